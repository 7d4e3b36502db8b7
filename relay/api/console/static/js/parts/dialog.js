/* A native <dialog>: modal, closed by Escape, the focus goes back to where it was.

    await openDialog({title, body, actions, wide, signal})  → what the action gave; undefined when it was closed
        body      a node or an array, or (close) => node
        actions   [{label, kind: 'primary' | 'danger' | 'quiet', value, run: async (values, form) => …}, …]
                  `run` gets the values of the dialog's fields. While it works its button is busy; an ApiError is shown
                  at its field or on top, and the dialog stays; else it closes with what run gave (or `value`).
                  Until then it stays open; where it is closed all the same, what run gives is the answer nevertheless.
                  The first primary or danger action is what Enter does.
        signal    closes it when the page is left
*/

import { h } from '../dom.js';
import { sentence, t } from '../i18n.js';
import { icon } from '../icons.js';
import { busy, clearErrors, showError, values } from './form.js';
import { toast } from './toast.js';

let made = 0;

export function openDialog({ title, body, actions = [], wide = false, signal }) {
  const before = document.activeElement;
  const id = `d${++made}`;
  let result;
  let atWork = null;
  const close = (value) => {
    result = value;
    dialog.close();
  };
  const main = actions.find(({ kind }) => kind === 'primary' || kind === 'danger');
  const buttons = actions.map((action) => button(action, action === main, () => run(action)));
  const cross = h('button', {
    type: 'button', class: 'quiet small icon-only', 'aria-label': t('common.close'), onclick: () => { if (!atWork) close(); },
  }, icon('close'));
  const form = h('form', { onsubmit: (event) => { event.preventDefault(); if (main) run(main); } },
    h('div', { class: 'dialog-head' },
      h('h2', { id }, title),
      cross),
    h('div', { class: 'dialog-body' }, typeof body === 'function' ? body(close) : body),
    buttons.length > 0 && h('div', { class: 'dialog-actions' }, buttons));
  const dialog = h('dialog', { 'aria-labelledby': id, class: wide && 'wide' }, form);

  /** What it makes may be shown once only: nothing else happens here until it is known. */
  async function run(action) {
    if (atWork) return;
    const others = [cross, ...buttons].filter((other) => other !== buttons[actions.indexOf(action)]);
    for (const other of others) other.setAttribute('aria-disabled', 'true');
    atWork = busy(buttons[actions.indexOf(action)], () => perform(action));
    await atWork;
    atWork = null;
    for (const other of others) other.removeAttribute('aria-disabled');
  }

  async function perform({ run: work, value }) {
    try {
      clearErrors(form);
      close(work ? await work(values(form), form) ?? value : value);
    } catch (error) {
      if (error.name === 'AbortError') return;
      if (error.name !== 'ApiError') console.error(error);
      if (dialog.open) showError(form, error);
      else if (!signal?.aborted) toast(sentence(error), { kind: 'bad' });
    }
  }

  document.body.append(dialog);
  dialog.showModal();
  // A field, else the main button; where that destroys something, the way out.
  (dialog.querySelector('.dialog-body :is(input, select, textarea):not([type="radio"])')
    ?? (main?.kind === 'danger' ? buttons[0] : buttons.at(-1)))?.focus();
  signal?.addEventListener('abort', () => close(), { once: true });
  return new Promise((resolve) => {
    dialog.addEventListener('cancel', (event) => { if (atWork) event.preventDefault(); });
    dialog.addEventListener('close', async () => {
      dialog.remove();
      if (before?.isConnected) before.focus();
      // Browsers let a second Escape through.
      await atWork;
      resolve(result);
    });
  });
}

function button({ label, kind = '' }, isMain, press) {
  return isMain
    ? h('button', { type: 'submit', class: kind }, label)
    : h('button', { type: 'button', class: kind, onclick: press }, label);
}
