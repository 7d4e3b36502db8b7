/* toast(text, {kind: 'good' | 'bad' | 'info', seconds}) → says it at the top, and to screen readers, for a while.
   All outside an open dialog is behind it, and out of reach: then the place of toasts is in there, until it closes. */

import { h } from '../dom.js';
import { t } from '../i18n.js';
import { icon } from '../icons.js';

const place = document.getElementById('toasts');

export function toast(text, { kind = 'good', seconds = 6 } = {}) {
  const close = () => note.remove();
  const note = h('div', { class: `toast ${kind}` },
    h('span', {}, text),
    h('button', { type: 'button', class: 'quiet small icon-only', 'aria-label': t('common.close'), onclick: close }, icon('close')));
  comeForward();
  place.append(note);
  setTimeout(close, seconds * 1000);
}

function comeForward() {
  const dialog = [...document.querySelectorAll('dialog:modal')].at(-1);
  if (!dialog || place.parentElement === dialog) return;
  dialog.append(place);
  dialog.addEventListener('close', () => { if (place.parentElement === dialog) document.body.append(place); }, { once: true });
}
