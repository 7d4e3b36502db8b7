/* Messages that a search has found, below the chats.

    const hits = hitsView({nameOfSession, onMore, onRetry, onAgain})  → {element, update(search, {open, chatOf})}
        open: the message that is on show; chatOf(chat): the chat as it is called by now
        onAgain(id): the one that is open was chosen once more
*/

import { h, replace } from '../../dom.js';
import { date, dateTime, t, time } from '../../i18n.js';
import { icon } from '../../icons.js';
import { failed } from '../../parts/states.js';
import { href } from '../../routes.js';
import { snippetOf } from './snippet.js';
import { nameOf, writerOf } from './words.js';

export function hitsView({ nameOfSession, onMore, onRetry, onAgain }) {
  const list = h('ul', { class: 'hits', 'aria-labelledby': 'hits-title' });
  const said = h('p', { class: 'found-note small soft', role: 'status' });
  const more = h('button', { type: 'button', class: 'small', hidden: true, onclick: onMore }, icon('search'), t('conversations.hits.older'));
  const trouble = h('div', {});
  const element = h('section', { class: 'found', 'aria-labelledby': 'hits-title' },
    h('h2', { class: 'found-title', id: 'hits-title' }, t('conversations.hits.title')), list, said, more, trouble);
  let rows = new Map(); // id → {li, as}

  function update({ text, hits, state, error }, { open, chatOf }) {
    const before = rows;
    rows = new Map();
    for (const { message, chat } of hits) {
      const facts = { message, chat: chatOf(chat), text, session: nameOfSession(chat), open: message.id === open };
      const as = JSON.stringify(facts);
      const old = before.get(message.id);
      rows.set(message.id, old?.as === as ? old : { li: drawn(facts, onAgain, old?.li), as });
    }
    const wanted = [...rows.values()].map(({ li }) => li);
    if (wanted.length !== list.children.length || wanted.some((li, at) => li !== list.children[at])) replace(list, wanted);
    list.hidden = hits.length === 0;
    const isAsking = state === 'asking';
    replace(said, isAsking && h('span', { class: 'spinner' }), words(state, hits.length));
    said.hidden = state === 'failed';
    const hadFocus = document.activeElement === more;
    more.hidden = state !== 'more' && !(isAsking && hadFocus);
    more.setAttribute('aria-disabled', String(isAsking));
    if (hadFocus && more.hidden) list.querySelector('li:last-child a')?.focus();
    replace(trouble, state === 'failed' && failed(error, onRetry));
  }

  return { element, update };
}

function words(state, count) {
  if (state === 'asking') return t('conversations.hits.asking');
  if (count) return t('conversations.hits.count', { count });
  return state === 'more' ? t('conversations.hits.noneYet') : t('conversations.hits.none');
}

function drawn({ message, chat, text, session, open }, onAgain, old) {
  const { id, sentAt, sessionId, type, direction } = message;
  const [before, hit, after] = snippetOf(message, text);
  const isToday = new Date(sentAt).toDateString() === new Date().toDateString();
  const who = direction === 'outgoing' || chat.chatType === 'group' ? `${writerOf(message, chat)}: ` : '';
  const link = h('a', {
    href: href('conversations', sessionId, chat.key, id), 'aria-current': open ? 'true' : null,
    onclick: ({ currentTarget }) => { if (currentTarget.hash === location.hash) onAgain(id); },
  },
  h('span', { class: 'chat-top' }, h('strong', {}, nameOf(chat)), h('time', { datetime: sentAt, title: dateTime(sentAt), class: 'small' }, isToday ? time(sentAt) : date(sentAt))),
  h('span', { class: 'hit-words', dir: 'auto' }, h('span', { class: 'hit-who' }, who, type !== 'text' && `${t(`conversations.kind.${type}`)}: `), before, hit && h('mark', {}, hit), after),
  session && h('span', { class: 'chat-session small' }, session));
  if (!old) return h('li', {}, link);
  const hadFocus = old.contains(document.activeElement);
  replace(old, link);
  if (hadFocus) link.focus();
  return old;
}
