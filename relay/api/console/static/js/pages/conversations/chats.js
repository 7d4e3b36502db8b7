/* The chats of a session, or of all: the newest pages of them, kept up to date by looking again when something happened.

    GET chats ──► list ◄── more(), as one scrolls down
                   ▲
                   └── again(): the newest page; many events are one look

    chats.list                 [{…chat, key, preview}], newest first; key: its name in addresses, which tells nobody's number
    await chats.find(sessionId, key) → chat | null
*/

import { api } from '../../api.js';
import { previewOf } from './words.js';

const PAGE = 50;
const PREVIEWS = 200;
const GAP_MS = 300;

export class Chats {
  constructor({ sessionId, signal, onChange }) {
    Object.assign(this, { sessionId, signal, onChange, list: [], cursor: null, complete: false });
    this.previews = new Map(); // message id → its line
  }

  async open() {
    const { chats, nextCursor } = await this.page();
    Object.assign(this, { list: chats.map(named), cursor: nextCursor, complete: !nextCursor });
    this.onChange();
    await this.preview();
  }

  async more() {
    if (this.complete || this.asking) return;
    this.asking = true;
    try {
      const { chats, nextCursor } = await this.page(this.cursor);
      Object.assign(this, { cursor: nextCursor, complete: !nextCursor });
      this.merge(chats);
      await this.preview();
    } finally {
      this.asking = false;
    }
  }

  /** Soon, and once for all that happens until then. */
  again() {
    this.wanted = true;
    if (this.looking) return;
    this.looking = true;
    setTimeout(async () => {
      this.wanted = false;
      await this.look();
      this.looking = false;
      if (this.wanted) this.again();
    }, GAP_MS);
  }

  async look() {
    if (this.signal.aborted) return;
    try {
      this.merge((await this.page()).chats);
      await this.preview();
    } catch (error) {
      // What is on show stays; the next look may do better.
      if (error.name !== 'AbortError' && error.name !== 'ApiError') throw error;
    }
  }

  page(cursor) {
    return api.get('whatsapp/chats', { sessionId: this.sessionId, limit: PAGE, cursor }, { signal: this.signal });
  }

  merge(chats) {
    const fresh = chats.map(named);
    const found = new Map([...this.list, ...fresh].map((chat) => [idOf(chat), chat]));
    this.list = [...found.values()].sort((one, other) => ((one.lastMessageId ?? '') < (other.lastMessageId ?? '') ? 1 : -1));
    this.onChange();
  }

  change(sessionId, jid, fields) {
    this.list = this.list.map((chat) => (chat.sessionId === sessionId && chat.chat === jid ? { ...chat, ...fields } : chat));
    this.onChange();
  }

  /** The last lines of those whose last message was not seen yet: of one or two alone, else of the newest messages. */
  async preview() {
    const missing = this.list.map(({ lastMessageId }) => lastMessageId).filter((id) => id && !this.previews.has(id));
    if (missing.length === 0) return;
    const options = { signal: this.signal };
    const found = missing.length <= 2
      ? await Promise.all(missing.map((id) => api.get(`whatsapp/messages/${id}`, {}, options)))
      : (await api.get('whatsapp/messages', { sessionId: this.sessionId, limit: PREVIEWS }, options)).messages;
    for (const id of missing) this.previews.set(id, '');
    for (const message of found) this.previews.set(message.id, (message.direction === 'outgoing' ? '› ' : '') + previewOf(message));
    this.onChange();
  }

  forget(messageId) {
    if (this.previews.delete(messageId)) this.again();
  }

  lineOf({ lastMessageId }) {
    return this.previews.get(lastMessageId) ?? '';
  }

  async find(sessionId, key) {
    const known = this.list.find((chat) => chat.sessionId === sessionId && chat.key === key);
    if (known || !key.startsWith('ctc_')) return known ?? null;
    const contact = await api.get(`whatsapp/contacts/${encodeURIComponent(key)}`, {}, { signal: this.signal }).catch(() => null);
    return contact && chatWith(contact);
  }
}

/** The private chat with a contact, whether anything was said in it or not. */
export function chatWith({ id, sessionId, pn, lid, name }) {
  return named({
    sessionId, chat: pn ? `${pn}@s.whatsapp.net` : `${lid}@lid`, chatType: 'private', name, contactId: id,
    lastMessageId: null, lastMessageAt: null, unread: 0, automation: null,
  });
}

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
