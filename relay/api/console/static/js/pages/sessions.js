/* Sessions: every WhatsApp account of the company, as it stands right now.

    GET whatsapp/sessions (all pages) ──► list ◄── session.status, session.qr (live)
                                           └── once more now and then: last activity and what was sent have no events
*/

import { api } from '../api.js';
import { h, replace } from '../dom.js';
import { every, isLive, listen, onLive } from '../events.js';
import { t } from '../i18n.js';
import { icon } from '../icons.js';
import { pageHeader } from '../parts/header.js';
import { empty, failed, loading } from '../parts/states.js';
import { table } from '../parts/table.js';
import { showConnect } from './sessions/connect.js';
import { createSession } from './sessions/create.js';
import { columns } from './sessions/row.js';
import { STATUSES, nameOf } from './sessions/words.js';

const LOOK_SECONDS = 20;
const LOOK_BLIND_SECONDS = 3;
// The account has no linked phone any more. Where that was asked for (`requested`), the phone may be linked still.
const UNLINKED = new Set(['logged_out', 'banned']);

export default {
  async show(container, { params, who, signal }) {
    const view = new SessionsView(container, { who, signal });
    await view.load();
    view.follow();
    if (params.id && view.sessions.has(params.id)) showConnect(view.sessions.get(params.id), view.context);
  },
};

class SessionsView {
  constructor(container, { who, signal }) {
    this.signal = signal;
    this.sessions = new Map();
    this.gone = new Set();
    this.filter = { text: '', status: '' };
    this.context = { who, signal, changed: (session) => this.put(session), removed: (id) => this.drop(id) };
    const create = h('button', { type: 'button', class: 'primary', onclick: () => this.create() }, icon('plus'), t('sessions.create'));
    this.list = table({ caption: t('sessions.title'), columns: columns(this.context), key: ({ id }) => id });
    this.content = h('div', {}, loading());
    this.count = h('p', { class: 'soft small', role: 'status' });
    this.toolbar = h('div', { class: 'toolbar', hidden: true }, this.search(), this.statuses());
    replace(container, pageHeader({ title: t('sessions.title'), text: t('sessions.text'), actions: [create] }), this.toolbar, this.content);
  }

  search() {
    return h('input', {
      type: 'search', placeholder: t('sessions.search'), 'aria-label': t('sessions.search'),
      oninput: (event) => { this.filter.text = event.target.value.trim().toLowerCase(); this.draw(); },
    });
  }

  statuses() {
    return h('select', {
      'aria-label': t('sessions.filter'),
      onchange: (event) => { this.filter.status = event.target.value; this.draw(); },
    }, h('option', { value: '' }, t('sessions.filter.all')), STATUSES.map((status) => h('option', { value: status }, nameOf(status))));
  }

  async load() {
    // What is heard while the pages come is newer than they are.
    const heard = this.heard = new Map();
    try {
      const found = new Map();
      for await (const page of api.all('whatsapp/sessions', 'sessions', {}, { signal: this.signal })) {
        for (const session of page) found.set(session.id, session);
      }
      for (const [id, session] of heard) found.set(id, { ...found.get(id), ...session });
      for (const id of this.gone) found.delete(id);
      this.sessions = found;
      this.draw();
    } catch (error) {
      if (error.name === 'AbortError') return;
      if (error.name !== 'ApiError') throw error;
      // What is on show stays on show: the next look may do better.
      if (this.sessions.size === 0) replace(this.content, failed(error, () => this.load()));
    }
  }

  follow() {
    listen(['session.status'], ({ sessionId, status, reason, phone }) => {
      const known = this.sessions.get(sessionId);
      if (known) this.put({ ...known, status, reason, phone: phone ?? (UNLINKED.has(reason) ? null : known.phone) });
      if (!known || reason === 'requested') this.fetch(sessionId);
    }, this.signal);
    onLive((live) => { if (live) this.load(); }, this.signal);
    every(LOOK_SECONDS, () => { if (isLive()) this.load(); }, this.signal);
    every(LOOK_BLIND_SECONDS, () => { if (!isLive()) this.load(); }, this.signal);
  }

  async fetch(id) {
    const before = this.sessions.get(id);
    const session = await api.get(`whatsapp/sessions/${id}`, {}, { signal: this.signal }).catch(() => null);
    if (!session) return;
    // Something was heard of it meanwhile, which may be newer.
    if (this.sessions.get(id) !== before) await this.fetch(id);
    else this.put(session);
  }

  put(session) {
    // Its answer was under way when it was deleted.
    if (this.gone.has(session.id)) return;
    const before = this.sessions.get(session.id);
    // What answers a change does not say what was sent today.
    const now = { ...before, ...session, usedToday: session.usedToday ?? before?.usedToday ?? 0 };
    this.sessions.set(session.id, now);
    this.heard?.set(session.id, now);
    this.drawSoon();
  }

  drop(id) {
    this.sessions.delete(id);
    this.gone.add(id);
    this.drawSoon();
  }

  /** Many sessions may change at once: they are drawn once. */
  drawSoon() {
    this.drawing ??= requestAnimationFrame(() => {
      this.drawing = null;
      if (!this.signal.aborted) this.draw();
    });
  }

  draw() {
    this.toolbar.hidden = this.sessions.size < 2;
    if (this.sessions.size === 0) {
      replace(this.content, this.nothing());
      return;
    }
    const { text, status } = this.filter;
    const shown = [...this.sessions.values()]
      .filter((session) => (!status || session.status === status) && (!text || `${session.name} ${session.phone ?? ''}`.toLowerCase().includes(text)))
      .sort((one, other) => (one.id < other.id ? 1 : -1));
    this.list.update(shown);
    this.count.textContent = t('sessions.shown', { count: shown.length });
    if (!this.list.isConnected) replace(this.content, h('div', { class: 'stack' }, this.list, this.count));
  }

  nothing() {
    return h('div', { class: 'card' }, empty({
      icon: 'phone', title: t('sessions.empty.title'), text: t('sessions.empty.text'),
      action: h('button', { type: 'button', class: 'primary', onclick: () => this.create() }, icon('plus'), t('sessions.create')),
    }));
  }

  async create() {
    const session = await createSession(this.context);
    if (!session) return;
    this.put(session);
    showConnect(session, this.context);
  }
}
