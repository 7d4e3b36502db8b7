/* A chat in which one is the customer: what is written arrives at the session, and what comes back to the customer's phone is shown. */

import { api } from '../../api.js';
import { h } from '../../dom.js';
import { t } from '../../i18n.js';
import { icon } from '../../icons.js';
import { busy, clearErrors, field, showError, values } from '../../parts/form.js';

const CUSTOMER = '+5511988887777';
const LOOK_MS = 500;
const PATIENCE_MS = 8000;
const LOOK_LATE_MS = 2000;

export function tryOut(session, signal) {
  const at = `whatsapp/sessions/${session.id}/sandbox`;
  const log = h('div', { class: 'bubbles', role: 'log', 'aria-label': t('start.try.chat'), tabindex: '0' }, h('ol'));
  const hint = h('p', { class: 'soft small try-hint', role: 'status' });
  const button = h('button', { type: 'submit', class: 'primary', 'aria-label': t('start.try.send') }, icon('send'));
  let after = null;
  let turn = 0;

  const write = () => busy(button, async () => {
    const { text } = values(form);
    if (!text) return;
    try {
      clearErrors(form);
      after ??= await latest(at, signal);
      await api.post(`${at}/inbound`, { from: CUSTOMER, name: t('start.try.customer'), text }, { signal });
    } catch (error) {
      if (error.name === 'ApiError') showError(form, error);
      else if (error.name !== 'AbortError') throw error;
      return;
    }
    say(log, 'customer', t('start.try.you'), text);
    form.reset();
    form.elements.text.focus();
    turn += 1;
    if (!await answers()) late(turn);
  });

  async function answers() {
    hint.textContent = t('start.try.waiting');
    const until = Date.now() + PATIENCE_MS;
    while (Date.now() < until && !signal.aborted) {
      if (await look()) return true;
      await pause(LOOK_MS);
    }
    hint.textContent = t('start.try.silent');
    return false;
  }

  /** An answer that takes longer is shown, too, until the next words are written. */
  async function late(mine) {
    while (mine === turn && !signal.aborted) {
      await pause(LOOK_LATE_MS);
      const done = mine !== turn || await look().catch(() => true);
      if (done) return;
    }
  }

  async function look() {
    const { messages, next } = await api.get(`${at}/outbox`, { after }, { signal });
    after = next;
    const texts = messages.filter(({ kind }) => kind === 'message').map(wordsOf).filter(Boolean);
    for (const words of texts) say(log, 'bot', t('start.try.bot'), words);
    if (texts.length) hint.textContent = '';
    return texts.length > 0;
  }

  const form = h('form', { class: 'try-form', onsubmit: (event) => { event.preventDefault(); write(); } },
    field({ label: t('start.try.label'), name: 'text', placeholder: t('start.try.placeholder'), autocomplete: 'off', maxlength: 1000 }), button);
  return h('section', { class: 'card try' }, h('h2', {}, t('start.try.title')), h('p', { class: 'soft' }, t('start.try.text')), log, hint, form);
}

function pause(milliseconds) {
  return new Promise((resolve) => { setTimeout(resolve, milliseconds); });
}

function say(log, kind, who, words) {
  const bubble = h('li', { class: kind }, h('span', { class: 'visually-hidden' }, `${who}: `), words);
  log.firstElementChild.append(bubble);
  log.scrollTop = log.scrollHeight;
}

/** Where the outbox ends now: what lies in it from before is not shown. */
async function latest(at, signal) {
  let after = 0;
  for (;;) {
    const { messages, next } = await api.get(`${at}/outbox`, { after, limit: 200 }, { signal });
    if (messages.length === 0) return after;
    after = next;
  }
}

function wordsOf({ content }) {
  return typeof content === 'string' ? content : content?.text ?? content?.caption;
}
