/* The try-out box of an agent: each question is a real call, with what was said here before as its history. */

import { api } from '../../api.js';
import { h, replace } from '../../dom.js';
import { number, sentence, t } from '../../i18n.js';
import { icon } from '../../icons.js';
import { busy } from '../../parts/form.js';
import { spoken } from './answers.js';

const HISTORY_MOST = 50;

/** → element; `onAnswer()` after each call. */
export function tryBox({ id }, { signal, onAnswer }) {
  const log = h('div', { class: 'bot-chat', role: 'log', 'aria-label': t('bots.sim.chat'), tabindex: '0' });
  const input = h('input', { type: 'text', 'aria-label': t('bots.sim.message'), placeholder: t('bots.agent.ask'), autocomplete: 'off', maxlength: 4096 });
  const send = h('button', { type: 'submit', class: 'primary icon-only', 'aria-label': t('bots.sim.send'), title: t('bots.sim.send') }, icon('send'));
  let history = [];

  function startOver() {
    history = [];
    replace(log, h('div', { class: 'bot-aside' }, t('bots.agent.try.hint')));
    input.focus();
  }

  async function ask(event) {
    event.preventDefault();
    const text = input.value.trim();
    if (!text) return;
    const waiting = h('div', { class: 'bot-aside', role: 'status' }, h('span', { class: 'spinner small' }), t('bots.agent.thinking'));
    await busy(send, async () => {
      input.value = '';
      show(h('div', { class: 'bot-bubble customer' }, text), waiting);
      try {
        const answer = await api.post(`agents/${id}/try`, { text, history: history.slice(-HISTORY_MOST) }, { signal });
        waiting.replaceWith(...told(answer));
        const words = answer.messages.map(({ content }) => content.text ?? content.caption).filter(Boolean).join('\n\n');
        history.push({ role: 'user', text }, ...(words ? [{ role: 'assistant', text: words }] : []));
        onAnswer();
      } catch (error) {
        if (error.name === 'AbortError') return;
        if (error.name !== 'ApiError') throw error;
        waiting.replaceWith(h('div', { class: 'bot-aside bad' }, icon('alert'), h('span', {}, sentence(error))));
      }
    });
    show();
    input.focus();
  }

  function show(...nodes) {
    log.append(...nodes);
    log.scrollTop = log.scrollHeight;
  }

  replace(log, h('div', { class: 'bot-aside' }, t('bots.agent.try.hint')));
  return h('section', { class: 'card bot-simulator', 'aria-labelledby': 'bot-try-title' },
    h('div', { class: 'row apart' },
      h('h2', { id: 'bot-try-title' }, t('bots.agent.try.title')),
      h('button', { type: 'button', class: 'quiet small', onclick: startOver }, icon('refresh'), t('bots.sim.startOver'))),
    log,
    h('form', { class: 'bot-say', onsubmit: ask }, input, send));
}

function told({ messages, outcome, handoff, note, detail, usage, durationSeconds }) {
  const tokens = usage.promptTokens + usage.completionTokens;
  const facts = [t('bots.agent.seconds', { seconds: number(durationSeconds, { maximumFractionDigits: 1 }) }), tokens > 0 && t('bots.agent.tokens', { count: tokens })];
  return [
    ...messages.map((message) => h('div', { class: 'bot-bubble' }, spoken(message))),
    handoff && h('div', { class: 'bot-aside' }, icon('person'), h('span', {}, t('bots.sim.handoff'), note && ` ${note}`)),
    !['answered', 'handoff'].includes(outcome) && h('div', { class: 'bot-aside bad' }, icon('alert'),
      h('span', {}, t(`bots.outcome.${outcome}`), detail && h('span', { lang: 'en' }, ` ${detail}`))),
    h('div', { class: 'bot-why small soft' }, facts.filter(Boolean).join(' · ')),
  ].filter(Boolean);
}
