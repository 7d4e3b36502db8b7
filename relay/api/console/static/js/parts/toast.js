/* toast(text, {kind: 'good' | 'bad' | 'info', seconds}) → says it in the corner, and to screen readers, for a while. */

import { h } from '../dom.js';
import { t } from '../i18n.js';
import { icon } from '../icons.js';

export function toast(text, { kind = 'good', seconds = 6 } = {}) {
  const close = () => note.remove();
  const note = h('div', { class: `toast ${kind}` },
    h('span', {}, text),
    h('button', { type: 'button', class: 'quiet small icon-only', 'aria-label': t('common.close'), onclick: close }, icon('close')));
  document.getElementById('toasts').append(note);
  setTimeout(close, seconds * 1000);
}
