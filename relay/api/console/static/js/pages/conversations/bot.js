/* How the bot stands in a chat, and the button that keeps it quiet or lets it speak again.

    const bot = botState({chat, who, session, signal, onChange(pausedUntil)})  → {element, look(), session(session)}
*/

import { api } from '../../api.js';
import { h, replace } from '../../dom.js';
import { date, sentence, t, time } from '../../i18n.js';
import { icon } from '../../icons.js';
import { busy } from '../../parts/form.js';
import { badge } from '../../parts/status.js';
import { toast } from '../../parts/toast.js';

const LONGEST_TIMER_MS = 2 ** 31 - 1;

export function botState({ chat, who, session: first, signal, onChange }) {
  const element = h('div', { class: 'bot-state', role: 'status' });
  let session = first;
  let state = null;
  let timer = null;
  signal.addEventListener('abort', () => clearTimeout(timer), { once: true });

  async function look() {
    try {
      take(await api.get('whatsapp/chats/automation', { sessionId: chat.sessionId, chat: chat.chat }, { signal }));
    } catch (error) {
      if (error.name !== 'AbortError' && error.name !== 'ApiError') throw error;
    }
  }

  function take(now) {
    state = now;
    clearTimeout(timer);
    // A pause that runs out makes no event.
    if (now.pausedUntil) timer = setTimeout(look, Math.min(new Date(now.pausedUntil) - Date.now() + 1000, LONGEST_TIMER_MS));
    onChange(now.pausedUntil);
    draw();
  }

  const press = (action) => (event) => busy(event.currentTarget, async () => {
    try {
      take(await api.post('whatsapp/chats/automation', { sessionId: chat.sessionId, chat: chat.chat, action }, { signal }));
    } catch (error) {
      if (error.name === 'AbortError') return;
      if (error.name !== 'ApiError') throw error;
      toast(sentence(error), { kind: 'bad' });
    }
  });

  function draw() {
    const { pausedUntil, pausedReason } = state;
    const isOff = session && !session.automation && !pausedUntil;
    const action = pausedUntil ? 'resume' : 'pause';
    const words = pausedUntil ? t('conversations.bot.resume') : t('conversations.bot.pause');
    const button = who.can('messages:send') && !isOff
      && h('button', { type: 'button', class: 'small', onclick: press(action) }, icon(pausedUntil ? 'play' : 'pause'), words);
    const hadFocus = element.contains(document.activeElement);
    replace(element,
      pausedUntil ? badge('busy', t('conversations.bot.paused', { until: until(pausedUntil) }))
        : isOff ? badge('off', t('conversations.bot.off')) : badge('good', t('conversations.bot.on')),
      pausedReason && h('span', { class: 'small soft bot-reason' }, t(`conversations.bot.reason.${pausedReason}`)),
      !pausedUntil && where(state),
      button);
    if (hadFocus) element.querySelector('button')?.focus();
  }

  return { element, look, session: (now) => { session = now; if (state) draw(); } };
}

function where({ flow, step, agent }) {
  const words = agent ? t('conversations.bot.agent', { agent }) : flow ? t('conversations.bot.flow', { flow, step: step ?? '' }) : null;
  return words && h('span', { class: 'small soft' }, words);
}

function until(instant) {
  const isToday = new Date(instant).toDateString() === new Date().toDateString();
  return isToday ? time(instant) : `${date(instant)}, ${time(instant)}`;
}
