/* The list of chats, with the search above it.

    const list = chatList({nameOfSession, onMore, onSearch, signal})  → {element, update(chats, {open, found}), say(node), term()}
        the search asks onSearch(text), '' to end it; near the end of the list onMore() is called
        found: {none, below} of a search: what to say where no chat is found, or null; the element below the chats

Of a long list the first hundred have elements, and more as one scrolls down: what is not seen costs nothing when a chat moves up.
*/

import { h, replace } from '../../dom.js';
import { date, dateTime, t, time } from '../../i18n.js';
import { icon } from '../../icons.js';
import { href } from '../../routes.js';
import { idOf } from './chats.js';
import { ticks } from './ticks.js';
import { initialsOf, lineOf, nameOf } from './words.js';

const SEARCH_MS = 250;
const NEAR_PIXELS = 400;
const STEP = 100;

export function chatList({ nameOfSession, onMore, onSearch, signal }) {
  const list = h('ul', { class: 'chats', 'aria-label': t('conversations.chats') });
  const content = h('div', { class: 'chat-list-content' });
  let timer = null;
  const search = h('input', {
    type: 'search', maxlength: '100', 'aria-label': t('conversations.search'), placeholder: t('conversations.search'),
    oninput: () => {
      clearTimeout(timer);
      timer = setTimeout(() => onSearch(search.value.trim()), SEARCH_MS);
    },
  });
  signal.addEventListener('abort', () => clearTimeout(timer), { once: true });
  content.addEventListener('scroll', () => {
    if (content.scrollTop === 0) most = STEP;
    if (content.scrollHeight - content.scrollTop - content.clientHeight >= NEAR_PIXELS) return;
    if (last.chats.length > most) {
      most += STEP;
      update(last.chats, last);
    } else {
      wantsMoreThan = last.chats.length;
      onMore();
    }
  }, { passive: true });
  let shown = new Map(); // id → {li, as}
  let last = { chats: [], open: null, found: null };
  let most = STEP;
  // Who is at the end of the list cannot scroll on: what was asked for shows when it comes.
  let wantsMoreThan = null;
  const title = h('h2', { class: 'found-title' }, t('conversations.chats'));
  const none = h('p', { class: 'found-note small soft' });

  function update(chats, { open, found = null }) {
    last = { chats, open, found };
    if (wantsMoreThan !== null && chats.length > wantsMoreThan) {
      most += STEP;
      wantsMoreThan = null;
    }
    const before = shown;
    shown = new Map();
    const today = new Date().toDateString();
    for (const chat of chats.slice(0, most)) {
      const facts = { ...chat, open: idOf(chat) === open, session: nameOfSession(chat), today };
      const as = JSON.stringify(facts);
      const old = before.get(idOf(chat));
      shown.set(idOf(chat), old?.as === as ? old : { li: refreshed(old?.li, facts), as });
    }
    for (const [id, { li }] of before) if (!shown.has(id)) li.remove();
    let place = list.firstElementChild;
    for (const { li } of shown.values()) {
      if (li === place) place = place.nextElementSibling;
      else list.insertBefore(li, place);
    }
    none.textContent = found?.none ?? '';
    const parts = found ? [chats.length || found.none ? title : null, chats.length ? list : none, found.below].filter(Boolean) : [list];
    if (parts.length !== content.children.length || parts.some((part, at) => part !== content.children[at])) replace(content, parts);
  }

  const element = h('section', { class: 'chat-list', 'aria-label': t('conversations.chats') },
    h('div', { class: 'chat-search', role: 'search' }, icon('search'), search), content);
  return { element, update, say: (node) => replace(content, node), term: () => search.value.trim() };
}

/** The link stays the same element: it keeps the focus. */
function refreshed(li, facts) {
  const fresh = h('a', { href: href('conversations', facts.sessionId, facts.key), 'aria-current': facts.open ? 'true' : null }, row(facts));
  if (!li) return h('li', {}, fresh);
  const link = li.firstElementChild;
  link.setAttribute('href', fresh.getAttribute('href'));
  if (facts.open) link.setAttribute('aria-current', 'true');
  else link.removeAttribute('aria-current');
  link.replaceChildren(...fresh.childNodes);
  return li;
}

function row(chat) {
  const name = nameOf(chat);
  const { automation, unread, lastMessageAt, lastMessage, session, today } = chat;
  const line = lastMessage && lastWords(chat);
  return [
    avatar(chat),
    h('span', { class: 'chat-words' },
      h('span', { class: 'chat-top' }, h('strong', {}, name), lastMessageAt && when(lastMessageAt, today)),
      h('span', { class: 'chat-bottom' },
        lastMessage?.direction === 'outgoing' && !lastMessage.revokedAt && ticks(lastMessage.status),
        h('span', { class: 'chat-line' }, line || session || ' '),
        automation && h('span', { class: 'chat-paused', title: t('conversations.bot.pausedShort') }, icon('pause'), h('span', { class: 'visually-hidden' }, t('conversations.bot.pausedShort'))),
        unread > 0 && h('span', { class: 'chat-unread' }, unread, h('span', { class: 'visually-hidden' }, ` ${t('conversations.unread', { count: unread })}`))),
      line && session && h('span', { class: 'chat-session small' }, session)),
  ];
}

function lastWords({ chatType, lastMessage }) {
  const words = lineOf(lastMessage);
  const { direction, senderName } = lastMessage;
  return chatType === 'group' && direction === 'inbound' && senderName ? `${senderName}: ${words}` : words;
}

export function avatar(chat) {
  const letters = chat.chatType === 'private' ? initialsOf(nameOf(chat)) : '';
  return h('span', { class: 'avatar', 'aria-hidden': 'true' }, letters || icon(chat.chatType === 'group' ? 'building' : 'person'));
}

function when(instant, today) {
  const isToday = new Date(instant).toDateString() === today;
  return h('time', { datetime: instant, title: dateTime(instant), class: 'small' }, isToday ? time(instant) : date(instant));
}
