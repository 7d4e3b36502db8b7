/* One chat: who it is with, how the bot stands, its messages, and where one writes.

    const open = thread({chat, who, session, signal, onChange(fields), backTo})
        await open.load({at});  await open.goTo(id)      at: the message to show, in place of the newest; null: none
        open.hear(type, data, timestamp);  open.look();  open.session(session);  open.focus()
        onChange tells the list what is known better here: {unread, automation, name}
*/

import { api } from '../../api.js';
import { h, replace } from '../../dom.js';
import { sentence, t } from '../../i18n.js';
import { icon } from '../../icons.js';
import { failed, loading } from '../../parts/states.js';
import { copy } from '../../parts/copy.js';
import { tag } from '../../parts/status.js';
import { toast } from '../../parts/toast.js';
import { actionsOf, react, remove, wordsIn } from './actions.js';
import { botState } from './bot.js';
import { bubble } from './bubble.js';
import { avatar } from './chat_list.js';
import { composer } from './composer.js';
import { showContact } from './contact.js';
import { History } from './history.js';
import { Log } from './log.js';
import { openMenu } from './menu.js';
import { failureOf } from './ticks.js';
import { paced } from './paced.js';
import { nameOf, numberOf, previewOf } from './words.js';

export class Thread {
  constructor({ chat, who, session, signal, onChange, backTo }) {
    Object.assign(this, { chat, who, sessionNow: session, signal, onChange });
    this.missed = 0;
    this.arrived = []; // and not drawn yet
    this.reacted = new Set(); // ids of reactions given here, until they have gone
    this.history = new History(chat, { signal, onChange: (arrived) => { this.arrived.push(...arrived); this.draw(); } });
    this.draw = paced(() => this.drawn(this.arrived.splice(0)), signal);
    this.log = new Log({
      label: t('conversations.messages'), signal,
      draw: (message) => bubble(message, {
        chat, who, about: (one) => this.history.about(one),
        onMenu: (one, button) => this.menu(one, button), onQuote: ({ replyTo }) => this.goTo(replyTo),
      }),
      older: () => this.loadOlder(), hasOlder: () => !this.history.start,
      onEnd: () => this.drawJump(),
    });
    this.bot = botState({
      chat, who, session, signal,
      onChange: (pausedUntil) => onChange({ automation: pausedUntil ? { pausedUntil } : null }),
    });
    this.heading = h('h2', { tabindex: '-1' }, nameOf(chat));
    this.tags = h('span', { class: 'row thread-tags' });
    this.said = h('p', { class: 'visually-hidden', 'aria-live': 'polite' });
    this.notice = h('p', { class: 'thread-notice small', role: 'status', hidden: true });
    this.jump = h('button', { type: 'button', class: 'thread-jump small', hidden: true, onclick: () => this.log.toEnd() });
    this.seeking = h('p', { class: 'thread-seeking small', role: 'status', hidden: true }, h('span', { class: 'spinner' }), t('conversations.seeking'));
    this.body = h('div', { class: 'thread-body' }, loading());
    this.foot = h('div', { class: 'thread-foot' });
    this.element = h('section', { class: 'thread', 'aria-label': nameOf(chat) }, this.head(backTo), this.notice, this.body, this.said, this.foot);
    this.takeDrops();
    document.addEventListener('visibilitychange', () => this.markRead(), { signal });
  }

  head(backTo) {
    const { chat } = this;
    const number = numberOf(chat.chat);
    return h('header', { class: 'thread-head' },
      h('a', { class: 'button quiet icon-only back', href: backTo, 'aria-label': t('conversations.back') }, icon('left')),
      avatar(chat),
      h('div', { class: 'grow' }, this.heading,
        h('div', { class: 'row thread-about' }, number && number !== nameOf(chat) && h('span', { class: 'small soft number' }, number), this.tags)),
      chat.contactId && h('button', {
        type: 'button', class: 'quiet icon-only', 'aria-label': t('conversations.contact.show'), title: t('conversations.contact.show'), onclick: () => this.showContact(),
      }, icon('person')),
      this.bot.element);
  }

  /** Files that are dropped anywhere on the chat are to be sent. */
  takeDrops() {
    const over = (is) => (event) => {
      if (!event.dataTransfer.types.includes('Files') || !this.composer?.add) return;
      event.preventDefault();
      this.element.classList.toggle('dropping', is);
    };
    this.element.addEventListener('dragover', over(true));
    this.element.addEventListener('dragleave', over(false));
    this.element.addEventListener('drop', (event) => {
      over(false)(event);
      if (event.dataTransfer.files.length) this.composer?.add?.(event.dataTransfer.files);
    });
  }

  /** It may have got its name only now. */
  called(name) {
    if (!name || name === this.chat.name) return;
    this.chat = { ...this.chat, name };
    this.heading.textContent = nameOf(this.chat);
    this.element.setAttribute('aria-label', nameOf(this.chat));
  }

  async load({ at = null } = {}) {
    this.session(this.sessionNow);
    this.bot.look();
    this.loadContact();
    try {
      await this.history.open();
      this.draw.now();
      replace(this.body, this.log.element, this.jump, this.seeking);
      this.log.bottom();
      this.composer = this.makeComposer();
      replace(this.foot, this.composer.element);
      if (at && await this.goTo(at)) return;
      this.showUnread();
      this.markRead();
    } catch (error) {
      if (error.name === 'AbortError') return;
      replace(this.body, failed(error, () => { replace(this.body, loading()); this.load({ at }); }));
    }
  }

  makeComposer() {
    return composer({
      chat: this.chat, who: this.who, session: this.sessionNow,
      customer: () => this.customer(),
      onSent: async (id) => { this.log.toEnd(); await this.history.fetch(id); },
      onCustomer: () => this.log.toEnd(),
      onEdited: (message) => this.history.put([message]),
    });
  }

  /** One begins to read where one has not read yet, if that is not too long ago. */
  showUnread() {
    const { unread } = this.chat;
    const theirs = this.history.messages.filter(({ direction }) => direction === 'inbound');
    if (unread > 0 && unread <= theirs.length) this.log.fromUnread(theirs.at(-unread).id, unread);
  }

  menu(message, button) {
    const { signal } = this;
    openMenu(button, {
      actions: actionsOf(message, this.who), mine: this.history.about(message).mine, signal,
      choose: (action, emoji) => this.tried(() => this.act(action, message, { emoji, button })),
    });
  }

  async act(action, message, { emoji, button }) {
    if (action === 'reply') this.composer.reply(message);
    if (action === 'edit') this.composer.edit(message);
    if (action === 'copy') {
      await copy(wordsIn(message), button);
      toast(t('common.copied'));
    }
    if (action === 'react') {
      const id = await react(message, emoji);
      this.reacted.add(id);
      await this.history.fetch(id);
    }
    if (action === 'delete' && await remove(message, { signal: this.signal })) await this.history.fetch(message.id);
  }

  /** Whether it is there; it may be a long way back. */
  async goTo(id) {
    this.wanted = id;
    this.seeking.hidden = false;
    const found = await this.tried(() => this.history.find(id));
    // Another one may be wanted by now, or another chat.
    if (this.signal.aborted || this.wanted !== id) return true;
    this.seeking.hidden = true;
    this.draw.now();
    if (found) this.log.toMessage(found.id);
    else if (found === null) toast(t('conversations.quoted.gone'), { kind: 'info' });
    return Boolean(found);
  }

  /** As whom the sandbox writes here: the contact; in a group, who wrote last. */
  customer() {
    const [digits, server] = this.chat.chat.split('@');
    if (server === 's.whatsapp.net') return { from: `+${digits}`, name: this.chat.name ?? undefined };
    const last = this.history.messages.findLast(({ direction, from }) => direction === 'inbound' && from?.pn);
    return server === 'g.us' && last ? { from: `+${last.from.pn}`, name: last.senderName ?? undefined, chat: this.chat.chat } : null;
  }

  drawn(arrived) {
    this.log.show(this.history.messages, this.history.version);
    this.tellOfReactions();
    const theirs = arrived.filter(({ direction }) => direction === 'inbound');
    if (!this.log.atEnd) this.missed += theirs.length;
    this.drawJump();
    if (theirs.length === 0) return;
    this.said.textContent = `${nameOf(this.chat)}: ${previewOf(theirs.at(-1))}`;
    this.chat = { ...this.chat, unread: this.chat.unread + theirs.length };
    this.markRead();
  }

  /** They have no bubble that could say that they did not arrive. */
  tellOfReactions() {
    for (const id of this.reacted) {
      const reaction = this.history.known.get(id);
      if (!reaction || ['queued', 'sending'].includes(reaction.status)) continue;
      this.reacted.delete(id);
      const failure = failureOf(reaction);
      if (failure) toast(failure, { kind: 'bad' });
    }
  }

  drawJump() {
    if (this.log.atEnd) this.missed = 0;
    this.jump.hidden = this.log.atEnd;
    replace(this.jump, icon('down'), this.missed ? t('conversations.newBelow', { count: this.missed }) : t('conversations.toEnd'));
    if (this.log.atEnd) this.markRead();
  }

  /** Whoever looks at the end of a chat has read it. */
  async markRead() {
    if (!this.chat.unread || document.hidden || !this.log.atEnd || !this.who.can('messages:send') || this.marking) return;
    this.marking = true;
    const { sessionId, chat, unread } = this.chat;
    try {
      await api.post('whatsapp/chats/read', { sessionId, chat }, { signal: this.signal });
      this.chat = { ...this.chat, unread: Math.max(0, this.chat.unread - unread) };
      this.onChange({ unread: this.chat.unread });
    } catch (error) {
      // A session that is away cannot tell WhatsApp; the chat stays unread.
      if (error.name !== 'AbortError' && error.name !== 'ApiError') throw error;
    } finally {
      this.marking = false;
    }
  }

  hear(type, data, timestamp) {
    if (type.startsWith('automation.')) this.bot.look();
    else this.history.hear(type, data, timestamp);
  }

  look() {
    this.bot.look();
    this.history.look();
  }

  loadOlder() {
    return this.tried(async () => { await this.history.older(); this.draw.now(); });
  }

  async tried(work) {
    try {
      return await work();
    } catch (error) {
      if (error.name === 'AbortError') return undefined;
      if (error.name !== 'ApiError') throw error;
      toast(sentence(error), { kind: 'bad' });
      return undefined;
    }
  }

  session(session) {
    this.sessionNow = session;
    this.bot.session(session);
    const isAway = session && session.status !== 'connected';
    this.notice.hidden = !isAway;
    if (isAway) this.notice.textContent = t('conversations.away', { name: session.name });
  }

  async loadContact() {
    if (!this.chat.contactId) return;
    this.contact = await api.get(`whatsapp/contacts/${this.chat.contactId}`, {}, { signal: this.signal }).catch(() => null);
    this.drawTags();
  }

  drawTags() {
    replace(this.tags, (this.contact?.tags ?? []).map(tag), this.contact?.ignored && tag(t('conversations.contact.isIgnored')));
  }

  async showContact() {
    await this.loadContact();
    if (!this.contact) return;
    const changed = await showContact(this.contact, { who: this.who, signal: this.signal });
    if (!changed) return;
    this.contact = changed;
    this.drawTags();
  }

  focus() {
    const field = matchMedia('(pointer: fine)').matches && this.foot.querySelector('textarea');
    (field || this.heading).focus();
  }
}
