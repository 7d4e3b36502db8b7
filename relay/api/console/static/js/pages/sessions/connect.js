/* The dialog that links a phone: QR code or pairing code, until the session is connected or stops trying.

    POST connect ──► starting ──► qr ◄──► code ──► linked ──► connected
                                   └─ each new code by itself ─┘
                                   ├─► ended: why, and one button for a new one
                                   └─► gone: somebody deleted the session

Driven by session.status and session.qr; where no events may be read, it looks for itself.
*/

import { api } from '../../api.js';
import { h, replace } from '../../dom.js';
import { every, isLive, listen } from '../../events.js';
import { sentence, t } from '../../i18n.js';
import { icon } from '../../icons.js';
import { openDialog } from '../../parts/dialog.js';
import { busy, field, showError, values } from '../../parts/form.js';
import { phone } from '../../parts/phone.js';
import { countdown } from '../../parts/time.js';
import { isWaiting, reasonOf } from './words.js';

const LOOK_SECONDS = 2;

export async function showConnect(session, context) {
  const closed = new AbortController();
  const panel = new ConnectPanel(session, context, closed.signal);
  const dialog = openDialog({
    title: t('sessions.connect.title', { name: session.name }),
    body: (close) => { panel.close = close; return panel.element; },
    wide: true,
    signal: context.signal,
  });
  panel.start();
  await dialog;
  closed.abort();
}

class ConnectPanel {
  constructor(session, context, signal) {
    Object.assign(this, { session, context, signal, at: `whatsapp/sessions/${session.id}`, phase: null, shown: null, switching: false, asked: 0, taken: 0 });
    this.content = h('div', { class: 'connect' });
    this.said = h('p', { class: 'visually-hidden', role: 'status' });
    this.element = [this.content, this.said];
  }

  async start() {
    listen(['session.status', 'session.qr'], ({ sessionId }) => { if (sessionId === this.session.id) this.look(); }, this.signal);
    // No event tells of a deletion, which ends the session first.
    every(LOOK_SECONDS, () => { if (!isLive() || /^(starting|ended)/.test(this.phase)) this.look(); }, this.signal);
    if (isWaiting(this.session)) await this.look();
    else await this.connect();
  }

  async connect(asked = {}) {
    this.enter('starting', () => waitingFor(t('sessions.connect.starting')));
    await this.ask(() => api.post(`${this.at}/connect`, asked, { signal: this.signal }));
  }

  /** Another way of linking: what is on show is given up first. */
  async connectAnew(asked) {
    const connect = () => api.post(`${this.at}/connect`, asked, { signal: this.signal });
    // Changes nothing yet, but a number that is wrong is refused here, while the old code is still on show.
    await connect();
    this.switching = true;
    let session;
    try {
      await api.post(`${this.at}/disconnect`, undefined, { signal: this.signal });
      session = await connect();
    } finally {
      this.switching = false;
      this.taken = this.asked;
    }
    this.take(session);
  }

  look() {
    return this.ask(() => api.get(this.at, {}, { signal: this.signal }));
  }

  /** What is answered counts, unless something that was asked later has been answered before. */
  ask(work) {
    return this.orSay(async () => {
      this.asked += 1;
      const number = this.asked;
      const session = await work();
      if (this.switching || number <= this.taken) return;
      this.taken = number;
      this.take(session);
    });
  }

  async orSay(work) {
    try {
      await work();
    } catch (error) {
      if (error.name === 'AbortError') return;
      if (error.name !== 'ApiError') throw error;
      if (error.status === 404) this.leave();
      else this.enter('failed', () => this.ended(sentence(error)));
    }
  }

  leave() {
    this.context.removed(this.session.id);
    this.enter('gone', () => this.gone());
  }

  take(session) {
    if (this.signal.aborted) return;
    this.session = session;
    this.context.changed(session);
    if (session.status === 'connected') this.enter('connected', () => this.connected());
    else if (session.status !== 'connecting') this.enter(`ended ${session.reason}`, () => this.ended(reasonOf(session)));
    else if (session.pairingCode) this.showCode();
    else if (session.qrCode) this.showQr();
    else this.enter(`starting ${session.reason}`, () => waitingFor(reasonOf(session) ?? t('sessions.connect.starting')));
  }

  /** Draws once a phase, so that the focus and what was typed stay. */
  enter(phase, draw) {
    if (phase === this.phase) return;
    this.phase = phase.split(' ')[0] === 'starting' ? 'starting' : phase;
    this.shown = null;
    replace(this.content, draw());
  }

  async showQr() {
    this.enter('qr', () => this.qrPart());
    if (this.shown === this.session.qrCode) return;
    this.shown = this.session.qrCode;
    const drawing = await api.get(`${this.at}/qr`, {}, { accept: 'image/svg+xml', signal: this.signal }).catch(() => null);
    if (this.phase !== 'qr' || !drawing) return;
    this.picture.setAttribute('src', `data:image/svg+xml,${encodeURIComponent(drawing)}`);
    this.picture.hidden = false;
    replace(this.clock, t('sessions.connect.renews'), ' ', countdown(this.session.qrExpiresAt, { signal: this.signal }));
  }

  showCode() {
    this.enter('code', () => this.codePart());
    if (this.shown === this.session.pairingCode) return;
    this.shown = this.session.pairingCode;
    this.code.textContent = this.session.pairingCode.replace(/^(.{4})(.{4})$/, '$1-$2');
    replace(this.clock, t('sessions.connect.codeEnds'), ' ', countdown(this.session.qrExpiresAt, { signal: this.signal }));
    this.said.textContent = t('sessions.connect.codeReady');
  }

  qrPart() {
    this.picture = h('img', { alt: t('sessions.connect.qrAlt'), hidden: true });
    this.clock = h('p', { class: 'soft small' });
    this.said.textContent = t('sessions.connect.qrReady');
    return [
      h('div', { class: 'connect-qr' }, h('div', { class: 'qr' }, this.picture), this.clock),
      h('div', { class: 'stack' }, steps('sessions.connect.step.open', 'sessions.connect.step.devices', 'sessions.connect.step.scan'), this.simulate(), this.withNumber()),
    ];
  }

  codePart() {
    this.code = h('p', { class: 'pairing-code' });
    this.clock = h('p', { class: 'soft small' });
    const withQr = h('button', { type: 'button', onclick: () => busy(withQr, () => this.orSay(() => this.connectAnew({ method: 'qr' }))) }, icon('qr'), t('sessions.connect.useQr'));
    return [
      h('div', { class: 'connect-qr' }, this.code, this.clock),
      h('div', { class: 'stack' },
        steps('sessions.connect.step.open', 'sessions.connect.step.devices', 'sessions.connect.step.number', 'sessions.connect.step.type'),
        this.simulate(), h('div', {}, withQr)),
    ];
  }

  /** A pairing code is made for a number: the form for it. */
  withNumber() {
    const button = h('button', { type: 'button', onclick: () => get() }, t('sessions.connect.getCode'));
    const form = h('div', { class: 'stack tight' },
      field({ label: t('sessions.connect.phone'), name: 'phone', type: 'tel', autocomplete: 'tel', placeholder: '+55 11 91234-5678', hint: t('sessions.connect.phone.hint') }),
      h('div', {}, button));
    const get = () => busy(button, async () => {
      const { form: around } = form.querySelector('input');
      try {
        await this.connectAnew({ method: 'code', phone: values(around).phone || null });
      } catch (error) {
        if (error.name === 'ApiError') showError(around, { ...error, path: 'phone' });
        else if (error.name !== 'AbortError') throw error;
      }
    });
    form.addEventListener('keydown', (event) => { if (event.key === 'Enter') { event.preventDefault(); get(); } });
    return h('details', {}, h('summary', {}, t('sessions.connect.useCode')), form);
  }

  simulate() {
    if (this.session.engine !== 'sandbox') return null;
    const button = h('button', {
      type: 'button', class: 'primary',
      onclick: () => busy(button, () => this.ask(() => api.post(`${this.at}/sandbox/scan`, undefined, { signal: this.signal }))),
    }, icon('phone'), t('sessions.simulate'));
    return h('div', { class: 'sandbox-hint stack tight' }, h('p', { class: 'small' }, t('sessions.simulate.hint')), h('div', {}, button));
  }

  connected() {
    this.said.textContent = t('sessions.connectedNow', { name: this.session.name });
    const done = h('button', { type: 'button', class: 'primary', onclick: () => this.close() }, t('sessions.connect.done'));
    queueMicrotask(() => done.focus());
    return h('div', { class: 'state good' }, icon('check'),
      h('h3', {}, t('sessions.connectedNow', { name: this.session.name })),
      this.session.phone && h('p', { class: 'number' }, phone(this.session.phone)), done);
  }

  ended(why) {
    this.said.textContent = why ?? '';
    const again = h('button', { type: 'button', class: 'primary', onclick: () => this.connect() }, icon('refresh'), t('sessions.connect.again'));
    queueMicrotask(() => again.focus());
    return h('div', { class: 'state' }, icon('qr'), h('h3', {}, t('sessions.connect.ended')), why && h('p', {}, why), again);
  }

  gone() {
    const title = t('sessions.deleted', { name: this.session.name });
    this.said.textContent = title;
    const close = h('button', { type: 'button', class: 'primary', onclick: () => this.close() }, t('common.close'));
    queueMicrotask(() => close.focus());
    return h('div', { class: 'state' }, icon('trash'), h('h3', {}, title), h('p', {}, t('sessions.connect.gone')), close);
  }
}

function waitingFor(words) {
  return h('div', { class: 'state' }, h('span', { class: 'spinner' }), h('p', {}, words));
}

function steps(...keys) {
  return h('ol', { class: 'steps' }, keys.map((key) => h('li', {}, t(key))));
}
