/* The chats of a session, or of all: the newest pages of them, kept up to date.

    GET chats ──► list ◄── more(), as one scrolls down
                   ▲  ▲
                   │  └── hear(): what an event tells, at once
                   └───── again(): the newest page, for what it does not; many events are one look

    chats.list                 [{…chat, key}], newest first; key: its name in addresses, which tells nobody's number
    await chats.find(sessionId, key) → chat | null; throws where it could not be asked for
    await chats.meet(messages)       → Map(idOf(message) → the chat that it is in, listed or not)
*/

import { api } from '../../api.js';
import { GroupNames } from './group_names.js';

const PAGE = 50;
const GAP_MS = 300;
const CALM_MS = 2000;

export class Chats {
  constructor({ sessionId, signal, onChange }) {
    Object.assign(this, { sessionId, signal, onChange, list: [], cursor: null, complete: false, met: new Map() });
    this.groups = new GroupNames({ signal, onName: () => { this.list = this.list.map((chat) => this.named(chat)); onChange(); } });
  }

  async open() {
    const { chats, nextCursor } = await this.page();
    Object.assign(this, { cursor: nextCursor, complete: !nextCursor });
    this.merge(chats);
  }

  async more() {
    if (this.complete || this.asking) return;
    this.asking = true;
    try {
      const { chats, nextCursor } = await this.page(this.cursor);
      Object.assign(this, { cursor: nextCursor, complete: !nextCursor });
      this.merge(chats);
    } finally {
      this.asking = false;
    }
  }

  /** Soon, and once for all that happens until then. */
  again(ms = GAP_MS) {
    const at = Date.now() + ms;
    if (this.timer && this.at <= at) return;
    clearTimeout(this.timer);
    this.at = at;
    this.timer = setTimeout(() => this.lookNow(), ms);
  }

  async lookNow() {
    if (this.looking) return;
    this.looking = true;
    this.timer = null;
    await this.look();
    this.looking = false;
    // Asked for again while the answer was on its way.
    if (this.timer && Date.now() >= this.at) this.lookNow();
  }

  async look() {
    if (this.signal.aborted) return;
    try {
      this.merge((await this.page()).chats);
    } catch (error) {
      // What is on show stays; the next look may do better.
      if (error.name !== 'AbortError' && error.name !== 'ApiError') throw error;
    }
  }

  page(cursor) {
    return api.get('whatsapp/chats', { sessionId: this.sessionId, limit: PAGE, cursor }, { signal: this.signal });
  }

  merge(chats) {
    const found = new Map(this.list.map((chat) => [idOf(chat), chat]));
    for (const chat of chats) {
      const known = found.get(idOf(chat));
      const isLate = known && (known.lastMessageId ?? '') > (chat.lastMessageId ?? '');
      const { lastMessage, lastMessageId, lastMessageAt } = isLate ? known : chat;
      found.set(idOf(chat), this.named({ ...chat, lastMessage, lastMessageId, lastMessageAt }));
    }
    this.list = sorted([...found.values()]);
    this.groups.ask(this.list);
    this.onChange();
  }

  change(sessionId, jid, fields) {
    this.list = this.list.map((chat) => (chat.sessionId === sessionId && chat.chat === jid ? { ...chat, ...fields } : chat));
    this.onChange();
  }

  /** What an event says of a chat that is listed; the rest is asked for. */
  hear(type, data, timestamp) {
    const chat = this.list.find((one) => one.sessionId === data.sessionId && one.chat === data.chat);
    if (!chat) {
      this.again();
    } else if (type === 'message.received' && !data.history) {
      this.put(chat, { ...received(data), unread: data.fromMe ? 0 : chat.unread + 1 });
      this.again(CALM_MS);
    } else if (chat.lastMessageId === data.messageId && chat.lastMessage) {
      const lastMessage = CHANGES[type]?.(chat.lastMessage, data, timestamp);
      if (lastMessage) this.put(chat, { lastMessage });
    } else if (type !== 'message.status' || data.messageId > (chat.lastMessageId ?? '')) {
      this.again();
    }
  }

  put(chat, fields) {
    const now = { ...chat, ...fields };
    if ((now.lastMessageId ?? '') < (chat.lastMessageId ?? '')) return;
    const list = this.list.filter((one) => one !== chat);
    const at = list.findIndex((one) => (one.lastMessageId ?? '') <= (now.lastMessageId ?? ''));
    list.splice(at < 0 ? list.length : at, 0, now);
    this.list = list;
    this.onChange();
  }

  named(chat) {
    return named({ ...chat, name: chat.name ?? this.groups.find(chat) });
  }

  async meet(messages) {
    const found = new Map(messages.map((message) => [idOf(message), message]));
    await Promise.all([...found].map(async ([id, message]) => {
      const known = this.list.find((chat) => idOf(chat) === id) ?? this.met.get(id);
      found.set(id, known ?? await this.chatOf(message));
      this.met.set(id, found.get(id));
    }));
    this.groups.ask([...found.values()]);
    return found;
  }

  async chatOf({ sessionId, chat, chatType, contactId, direction, senderName }) {
    if (chatType !== 'private') return chatAt({ sessionId, chat, chatType, name: null, contactId: null });
    const name = direction === 'inbound' ? senderName : null;
    return (contactId && await this.find(sessionId, contactId).catch(() => null)) || chatAt({ sessionId, chat, chatType, name, contactId });
  }

  async find(sessionId, key) {
    const known = [...this.list, ...this.met.values()].find((chat) => chat.sessionId === sessionId && chat.key === key);
    if (known || !key.startsWith('ctc_')) return known ?? null;
    const contact = await api.get(`whatsapp/contacts/${encodeURIComponent(key)}`, {}, { signal: this.signal })
      .catch((error) => { if (error.status !== 404) throw error; });
    return contact ? chatWith(contact) : null;
  }
}

/** The private chat with a contact, whether anything was said in it or not. */
export function chatWith({ id, sessionId, pn, lid, name }) {
  return chatAt({ sessionId, chat: pn ? `${pn}@s.whatsapp.net` : `${lid}@lid`, chatType: 'private', name, contactId: id });
}

function chatAt({ sessionId, chat, chatType, name, contactId }) {
  return named({
    sessionId, chat, chatType, name, contactId,
    lastMessageId: null, lastMessageAt: null, lastMessage: null, unread: 0, automation: null,
  });
}

function sorted(chats) {
  return chats.sort((one, other) => ((one.lastMessageId ?? '') < (other.lastMessageId ?? '') ? 1 : -1));
}

function received({ messageId, type, content, senderName, fromMe, sentAt }) {
  const text = content.text || content.caption || content.fileName || content.name || content.question || null;
  const lastMessage = {
    messageId, type, text: text && text.slice(0, 200), senderName, sentAt, revokedAt: null,
    direction: fromMe ? 'outgoing' : 'inbound', origin: fromMe ? 'phone' : 'contact', status: fromMe ? 'sent' : 'received',
  };
  return { lastMessage, lastMessageId: messageId, lastMessageAt: sentAt };
}

const CHANGES = {
  'message.status': (message, { status }) => ({ ...message, status }),
  'message.edited': (message, { content }) => ({ ...message, text: content.text ?? content.caption ?? message.text }),
  'message.revoked': (message, _, at) => ({ ...message, text: null, revokedAt: at }),
};

export function named(chat) {
  return { ...chat, key: chat.contactId ?? `c${mixed(chat.chat)}` };
}

export function idOf({ sessionId, chat }) {
  return `${sessionId} ${chat}`;
}

/** FNV-1a: the same for the same chat, and no number to be read in an address. */
function mixed(text) {
  let hash = 0x811c9dc5;
  for (const char of text) hash = Math.imul(hash ^ char.codePointAt(0), 0x01000193);
  return (hash >>> 0).toString(16);
}
