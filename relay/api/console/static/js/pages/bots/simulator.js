/* A chat with the bot in which nothing is sent: what it would answer, and below each answer why.

    await simulator({source, who, signal}) → element
        source()   the text to try; undefined: what is in force

    a message ──► rules/explain {text, source, state} ──► answers, reasons, the state for the next message
*/

import { api } from '../../api.js';
import { h, replace } from '../../dom.js';
import { sentence, t } from '../../i18n.js';
import { icon } from '../../icons.js';
import { busy } from '../../parts/form.js';
import { answers } from './answers.js';
import { circumstances } from './circumstances.js';
import { marked } from './marked.js';

export async function simulator({ source, who, signal }) {
  const given = await circumstances({ who, signal });
  const log = h('div', { class: 'bot-chat', role: 'log', 'aria-label': t('bots.sim.chat'), tabindex: '0' });
  const input = h('input', { type: 'text', 'aria-label': t('bots.sim.message'), placeholder: t('bots.sim.placeholder'), maxlength: 4096, autocomplete: 'off' });
  const send = h('button', { type: 'submit', class: 'primary icon-only', 'aria-label': t('bots.sim.send'), title: t('bots.sim.send') }, icon('send'));
  let state = null;

  function startOver() {
    state = null;
    given.forget();
    replace(log, h('div', { class: 'bot-aside' }, t('bots.sim.hint')));
    input.focus();
  }

  async function say(event) {
    event.preventDefault();
    const text = input.value.trim();
    if (!text && given.isText()) return;
    await busy(send, async () => {
      input.value = '';
      show(h('div', { class: 'bot-bubble customer' }, given.isText() ? text : `[${given.kind()}] ${text}`));
      try {
        const body = { ...api.owner(), text, ...given.read(), source: source(), state };
        const answer = await api.post('rules/explain', body, { signal });
        ({ state } = answer);
        show(...answers(answer));
      } catch (error) {
        if (error.name === 'AbortError') return;
        if (error.name !== 'ApiError' && error.name !== 'SyntaxError') throw error;
        show(h('div', { class: 'bot-aside bad' }, icon('alert'), h('span', {}, marked(wordsOf(error)))));
      }
    });
    input.focus();
  }

  function show(...nodes) {
    log.append(...nodes);
    log.scrollTop = log.scrollHeight;
  }

  replace(log, h('div', { class: 'bot-aside' }, t('bots.sim.hint')));
  return h('section', { class: 'card bot-simulator', 'aria-labelledby': 'bot-simulator-title' },
    h('div', { class: 'row apart' },
      h('h2', { id: 'bot-simulator-title' }, t('bots.sim.title')),
      h('button', { type: 'button', class: 'quiet small', onclick: startOver }, icon('refresh'), t('bots.sim.startOver'))),
    log,
    h('form', { class: 'bot-say', onsubmit: say }, input, send),
    given.element);
}

function wordsOf(error) {
  if (error.name === 'SyntaxError') return t('bots.sim.http.wrong');
  if (error.code !== 'rules_invalid' || !error.errors.length) return sentence(error);
  const [{ line, detail }] = error.errors;
  return `${t('bots.check.line', { line: String(line) })} ${detail}`;
}
