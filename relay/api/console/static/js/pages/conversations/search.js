/* A search: chats by name or number, and messages by their words.

    const search = new Search({text, sessionId, chats, signal, onChange})
        search.start(), more()          more(): goes on to older messages
        search.leave()                  another one takes its place: what was asked is not waited for
        search.chats()                  those that are called so, known or not
        search.hits                     [{message, chat}], newest first
        search.state                    'asking', 'more' (there are older messages to look through), 'end', 'failed' (search.error)

The server looks through so many messages at a time; a few such steps are one here.
*/

import { api } from '../../api.js';
import { chatWith, idOf } from './chats.js';
import { nameOf } from './words.js';

const ENOUGH = 20;
const MOST_STEPS = 5;
const MOST_CONTACTS = 50;

export class Search {
  constructor({ text, sessionId, chats, signal, onChange }) {
    this.gone = new AbortController();
    signal.addEventListener('abort', () => this.leave(), { once: true, signal: this.gone.signal });
    Object.assign(this, {
      text, sessionId, known: chats, onChange, signal: this.gone.signal,
      met: [], hits: [], cursor: undefined, state: 'asking', error: null, knowsChats: false,
    });
    this.digits = /^[+\d\s().-]+$/.test(text) ? text.replace(/\D/g, '') : '';
  }

  start() {
    return this.tried(() => Promise.all([this.lookForChats(), this.look()]));
  }

  more() {
    if (this.state !== 'more') return undefined;
    this.state = 'asking';
    this.onChange();
    return this.tried(() => this.look());
  }

  leave() {
    this.gone.abort();
  }

  chats() {
    const { list } = this.known;
    const wanted = this.text.toLowerCase();
    const named = list.filter((chat) => (this.digits && chat.chat.includes(this.digits)) || nameOf(chat).toLowerCase().includes(wanted));
    const known = new Map(list.map((chat) => [idOf(chat), chat]));
    const met = this.met.map((chat) => known.get(idOf(chat)) ?? chat);
    return [...new Map([...named, ...met].map((chat) => [idOf(chat), chat])).values()];
  }

  /** What is deleted is not shown any longer. */
  hear(type, { messageId }) {
    if (type === 'message.revoked') this.drop(({ message }) => message.id === messageId);
  }

  forget(contactId) {
    this.drop(({ message, chat }) => message.contactId === contactId || chat.contactId === contactId);
    this.met = this.met.filter((chat) => chat.contactId !== contactId);
  }

  drop(is) {
    const left = this.hits.filter((hit) => !is(hit));
    if (left.length === this.hits.length) return;
    this.hits = left;
    this.onChange();
  }

  async lookForChats() {
    const query = { sessionId: this.sessionId, search: this.digits || this.text, limit: MOST_CONTACTS };
    const { contacts } = await api.get('whatsapp/contacts', query, { signal: this.signal });
    this.met = contacts.map(chatWith);
    this.knowsChats = true;
    this.onChange();
  }

  async look() {
    const before = this.hits.length;
    for (let steps = 0; steps < MOST_STEPS && this.hits.length < before + ENOUGH; steps += 1) {
      const query = { sessionId: this.sessionId, text: this.text, limit: ENOUGH, cursor: this.cursor };
      const { messages, nextCursor } = await api.get('whatsapp/messages', query, { signal: this.signal });
      const chats = await this.known.meet(messages);
      this.signal.throwIfAborted();
      this.hits.push(...messages.map((message) => ({ message, chat: chats.get(idOf(message)) })));
      this.cursor = nextCursor;
      if (!nextCursor) break;
      this.onChange();
    }
    this.state = this.cursor ? 'more' : 'end';
    this.onChange();
  }

  async tried(work) {
    try {
      await work();
    } catch (error) {
      if (error.name === 'AbortError') return;
      if (error.name !== 'ApiError') throw error;
      Object.assign(this, { state: 'failed', error });
      this.onChange();
    }
  }
}
