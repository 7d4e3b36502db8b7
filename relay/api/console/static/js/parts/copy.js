/* copyButton(text | () => text, label) → a button that copies and says so.
   await copy(text, near) → copies; near: what has the focus.
   copyable(text) → the text in a box with that button: ids, keys, secrets. */

import { h } from '../dom.js';
import { t } from '../i18n.js';
import { icon } from '../icons.js';
import { toast } from './toast.js';

export function copyButton(text, label = t('common.copy')) {
  const onclick = async (event) => {
    await copy(typeof text === 'function' ? text() : text, event.currentTarget);
    toast(t('common.copied'));
  };
  return h('button', { type: 'button', class: 'quiet small icon-only', 'aria-label': label, title: label, onclick }, icon('copy'));
}

export function copyable(text, label) {
  return h('div', { class: 'copyable' }, h('code', {}, text), copyButton(text, label));
}

export async function copy(text, near) {
  if (navigator.clipboard) {
    await navigator.clipboard.writeText(text);
    return;
  }
  // Without https, browsers offer the old way only. Near the button: a dialog keeps the focus inside.
  const field = h('textarea', { value: text, class: 'visually-hidden', readonly: true });
  near.after(field);
  field.select();
  document.execCommand('copy');
  field.remove();
  near.focus();
}
