/* Conversations: the chats of a session, or of all, and one of them open beside the list (on a phone, in its place).

    #/conversations/ses_…/ctc_…      a session's chat; without the last part the session's list, without both everybody's
    …/msg_…                          and one of its messages, which a search has found

    GET whatsapp/chats ──► list ◄── events: look again          conversations/chats.js, chat_list.js
                            │ a chat is chosen
                            ▼
                          thread: messages, bot, composer       conversations/thread.js
*/

import { api } from '../api.js';
import { h, replace } from '../dom.js';
import { every, isLive, listen, onLive } from '../events.js';
import { t } from '../i18n.js';
import { icon } from '../icons.js';
import { pageHeader } from '../parts/header.js';
import { empty, failed, loading } from '../parts/states.js';
import { go, here, href } from '../routes.js';
import { chatList } from './conversations/chat_list.js';
import { Chats, idOf } from './conversations/chats.js';
import { startChat } from './conversations/new_chat.js';
import { hitsView } from './conversations/hits.js';
import { paced } from './conversations/paced.js';
import { Search } from './conversations/search.js';
import { Thread } from './conversations/thread.js';

const LOOK_SECONDS = 30;
const LOOK_BLIND_SECONDS = 4;
const TYPES = ['message.*', 'call.received', 'automation.*'];

export default {
  async show(container, { params, who, signal }) {
    const view = new ConversationsView(container, { who, signal });
    await view.load(params);
    view.follow();
    return (next) => view.moved(next);
  },
};

class ConversationsView {
  constructor(container, { who, signal }) {
    Object.assign(this, { container, who, signal, sessions: new Map(), sessionId: undefined, found: null, thread: null });
    this.drawSoon = paced(() => this.draw(), signal);
    const nameOfSession = ({ sessionId }) => (this.sessionId || this.sessions.size < 2 ? '' : this.sessions.get(sessionId)?.name ?? '');
    this.hits = hitsView({
      nameOfSession, onMore: () => this.found.more(), onRetry: () => this.search(this.found.text), onAgain: (id) => this.thread?.goTo(id),
    });
    this.list = chatList({
      nameOfSession,
      onMore: () => { if (!this.found) this.tried(() => this.chats.more()); },
      onSearch: (text) => this.search(text),
      signal,
    });
    this.main = h('div', { class: 'chat-pane' });
    container.classList.add('conversations');
  }

  async load(params) {
    replace(this.container, loading());
    if (this.who.can('sessions')) {
      for await (const page of api.all('whatsapp/sessions', 'sessions', {}, { signal: this.signal })) {
        for (const session of page) this.sessions.set(session.id, session);
      }
    }
    replace(this.container, this.header(), h('div', { class: 'panes' }, this.list.element, this.main));
    this.sessionId = this.sessions.has(params.id) && this.sessions.size > 1 ? params.id : undefined;
    await this.openList();
    await this.openChat(params);
  }

  header() {
    const mayStart = this.sessions.size > 0 && this.who.can('messages:send');
    this.chooser = this.sessions.size > 1 && h('select', {
      'aria-label': t('conversations.session'), onchange: (event) => go('conversations', event.target.value || undefined),
    }, h('option', { value: '' }, t('conversations.session.all')), [...this.sessions.values()].map(({ id, name }) => h('option', { value: id }, name)));
    return pageHeader({
      title: t('conversations.title'),
      actions: [
        this.chooser,
        mayStart && h('button', { type: 'button', class: 'primary', onclick: () => this.start() }, icon('plus'), t('conversations.new')),
      ].filter(Boolean),
    });
  }

  async openList() {
    if (this.chooser) this.chooser.value = this.sessionId ?? '';
    this.chats = new Chats({ sessionId: this.sessionId, signal: this.signal, onChange: () => this.drawSoon() });
    this.list.say(loading());
    if (this.list.term()) this.search(this.list.term());
    await this.tried(() => this.chats.open(), (error) => this.list.say(failed(error, () => this.openList())));
  }

  async moved(params) {
    const [, key] = params.rest;
    const wanted = this.sessions.has(params.id) ? params.id : undefined;
    // An open chat leaves the choice above the list as it is.
    if (!key && wanted !== this.sessionId) {
      this.sessionId = wanted;
      await this.openList();
    }
    await this.openChat(params, { focus: true });
  }

  async openChat({ id, rest }, { focus = false } = {}) {
    const [, key, at = null] = rest;
    this.wanted = `${id} ${key}`;
    this.at = at;
    let chat = null;
    let failure = null;
    if (id && key) await this.tried(async () => { chat = await this.chats.find(id, key); }, (error) => { failure = error; });
    const before = this.thread;
    // Somebody may have gone on to another meanwhile.
    if (this.signal.aborted || this.wanted !== `${id} ${key}`) return;
    if (before && chat && idOf(before.chat) === idOf(chat)) {
      this.draw();
      if (at) await before.goTo(at);
      return;
    }
    before?.leave.abort();
    this.thread = chat && this.makeThread(chat);
    if (chat) this.cameBy = href('conversations', id, key, at);
    // On a phone the pane takes the list's place: it is there for what is said of a chat that is not.
    this.container.classList.toggle('chat-open', Boolean(chat ?? key));
    replace(this.main, this.thread?.element ?? (key ? this.notThere(failure) : this.nothingOpen()));
    this.draw();
    if (this.thread) await this.thread.load({ at });
    if (!focus) return;
    // The message that was wanted has it.
    if (this.thread?.element.contains(document.activeElement)) return;
    if (this.thread) this.thread.focus();
    else if (before) this.focusOn(before.chat);
  }

  makeThread(chat) {
    const leave = new AbortController();
    this.signal.addEventListener('abort', () => leave.abort(), { once: true, signal: leave.signal });
    const thread = new Thread({
      chat, who: this.who, session: this.sessions.get(chat.sessionId) ?? null, signal: leave.signal,
      onChange: (fields) => this.chats.change(chat.sessionId, chat.chat, fields),
      backTo: href('conversations', this.sessionId),
    });
    return Object.assign(thread, { leave });
  }

  focusOn({ sessionId, key }) {
    const links = [...this.list.element.querySelectorAll('a')];
    const opened = href('conversations', sessionId, key);
    (links.find(({ hash }) => hash === this.cameBy) ?? links.find(({ hash }) => hash === opened))?.focus();
  }

  follow() {
    listen(TYPES, (data, { type, timestamp }) => this.hear(type, data, timestamp), this.signal);
    listen(['contact.deleted'], ({ contactId }) => {
      this.chats.list = this.chats.list.filter((chat) => chat.contactId !== contactId);
      this.found?.forget(contactId);
      this.drawSoon();
      if (this.thread?.chat.contactId === contactId) go('conversations', this.sessionId);
    }, this.signal);
    listen(['session.status'], (data) => this.putSession(data), this.signal);
    onLive((live) => { if (live) this.look(); }, this.signal);
    every(LOOK_SECONDS, () => { if (isLive()) this.look(); }, this.signal);
    every(LOOK_BLIND_SECONDS, () => { if (!isLive()) this.look(); }, this.signal);
  }

  hear(type, data, timestamp) {
    this.chats.hear(type, data, timestamp);
    this.found?.hear(type, data);
    if (this.thread && idOf(this.thread.chat) === idOf(data)) this.thread.hear(type, data, timestamp);
  }

  putSession({ sessionId, status }) {
    const known = this.sessions.get(sessionId);
    if (!known) return;
    const now = { ...known, status };
    this.sessions.set(sessionId, now);
    if (status === 'connected' && known.status !== status) {
      this.chats.groups.retry(sessionId);
      this.chats.again();
    }
    if (this.thread?.chat.sessionId === sessionId) this.thread.session(now);
  }

  look() {
    this.chats.again();
    this.thread?.look();
  }

  search(text) {
    this.found?.leave();
    const { sessionId, chats, signal } = this;
    this.found = text ? new Search({ text, sessionId, chats, signal, onChange: () => this.drawSoon() }) : null;
    this.found?.start();
    this.drawSoon();
  }

  async start() {
    const written = await startChat({
      sessions: [...this.sessions.values()], sessionId: this.thread?.chat.sessionId ?? this.sessionId, signal: this.signal,
    });
    if (!written) return;
    this.awaited = idOf(written);
    this.chats.again();
  }

  draw() {
    const { list } = this.chats;
    const opened = this.thread && list.find((chat) => idOf(chat) === idOf(this.thread.chat));
    if (opened) this.thread.called(opened.name);
    const awaited = this.awaited && list.find((chat) => idOf(chat) === this.awaited);
    if (awaited) {
      this.awaited = null;
      go('conversations', awaited.sessionId, awaited.key);
    }
    const open = this.thread && idOf(this.thread.chat);
    if (this.found) this.drawFound(open);
    else if (list.length) this.list.update(list, { open });
    else this.list.say(this.nothing());
  }

  drawFound(open) {
    const { found, hits } = this;
    hits.update(found, { open: this.at, chatOf: (chat) => this.chats.named(chat) });
    const none = found.knowsChats ? t('conversations.notFound') : null;
    this.list.update(found.chats(), { open, found: { none, below: hits.element } });
  }

  nothing() {
    const action = this.sessions.size === 0 && this.who.can('sessions')
      && h('a', { class: 'button primary', href: href('sessions') }, t('conversations.empty.session'));
    return empty({ icon: 'chat', title: t('conversations.empty.title'), text: t('conversations.empty.text'), action });
  }

  nothingOpen() {
    return h('div', { class: 'nothing-open' }, empty({ icon: 'chat', title: t('conversations.choose') }));
  }

  /** The chat of an address: it is nowhere, or could not be asked for. */
  notThere(failure) {
    const back = h('a', { class: 'button', href: href('conversations', this.sessionId) }, icon('left'), t('conversations.back'));
    return h('div', { class: 'nothing-open', role: failure ? null : 'alert' }, failure
      ? [failed(failure, () => this.openChat(here())), back]
      : empty({ icon: 'chat', title: t('conversations.missing.title'), text: t('conversations.missing.text'), action: back }));
  }

  async tried(work, onFailure = () => {}) {
    try {
      await work();
    } catch (error) {
      if (error.name === 'AbortError') return;
      if (error.name !== 'ApiError') throw error;
      onFailure(error);
    }
  }
}
