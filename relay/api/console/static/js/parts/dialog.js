/* A native <dialog>: modal, closed by Escape, the focus goes back to where it was.

    await openDialog({title, body, actions, wide, signal})  → what the action gave; undefined when it was closed
        body      a node or an array, or (close) => node
        actions   [{label, kind: 'primary' | 'danger' | 'quiet', value, run: async (values, form) => …}, …]
                  `run` gets the values of the dialog's fields. While it works its button is busy; an ApiError is shown
                  at its field or on top, and the dialog stays; else it closes with what run gave (or `value`).
                  The first primary or danger action is what Enter does.
        signal    closes it when the page is left
*/

import { h } from '../dom.js';
import { t } from '../i18n.js';
import { icon } from '../icons.js';
import { busy, clearErrors, showError, values } from './form.js';

let made = 0;

export function openDialog({ title, body, actions = [], wide = false, signal }) {
  const before = document.activeElement;
  const id = `d${++made}`;
  let result;
  const close = (value) => {
    result = value;
    dialog.close();
  };
  const main = actions.find(({ kind }) => kind === 'primary' || kind === 'danger');
  const buttons = actions.map((action) => button(action, action === main, () => run(action)));
  const form = h('form', { onsubmit: (event) => { event.preventDefault(); if (main) run(main); } },
    h('div', { class: 'dialog-head' },
      h('h2', { id }, title),
      h('button', { type: 'button', class: 'quiet small icon-only', 'aria-label': t('common.close'), onclick: () => close() }, icon('close'))),
    h('div', { class: 'dialog-body' }, typeof body === 'function' ? body(close) : body),
    buttons.length > 0 && h('div', { class: 'dialog-actions' }, buttons));
  const dialog = h('dialog', { 'aria-labelledby': id, class: wide && 'wide' }, form);

  async function run(action) {
    const { run: work, value } = action;
    await busy(buttons[actions.indexOf(action)], async () => {
      try {
        clearErrors(form);
        close(work ? await work(values(form), form) ?? value : value);
      } catch (error) {
        if (error.name === 'AbortError') return;
        if (error.name !== 'ApiError') console.error(error);
        showError(form, error);
      }
    });
  }

  document.body.append(dialog);
  dialog.showModal();
  // A field, else the main button; where that destroys something, the way out.
  (dialog.querySelector('.dialog-body :is(input, select, textarea):not([type="radio"])')
    ?? (main?.kind === 'danger' ? buttons[0] : buttons.at(-1)))?.focus();
  signal?.addEventListener('abort', () => close(), { once: true });
  return new Promise((resolve) => {
    dialog.addEventListener('close', () => {
      dialog.remove();
      if (before?.isConnected) before.focus();
      resolve(result);
    });
  });
}

function button({ label, kind = '' }, isMain, press) {
  return isMain
    ? h('button', { type: 'submit', class: kind }, label)
    : h('button', { type: 'button', class: kind, onclick: press }, label);
}
