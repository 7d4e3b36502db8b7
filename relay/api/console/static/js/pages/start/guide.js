/* Three steps to a bot that answers in the sandbox, and a chat to try it; each step shows when it is done.

    session ──► phone ──► bot ──► try it
*/

import { api, newId } from '../../api.js';
import { h, replace } from '../../dom.js';
import { every, isLive, listen } from '../../events.js';
import { language, t } from '../../i18n.js';
import { icon } from '../../icons.js';
import { busy, clearErrors, showError } from '../../parts/form.js';
import { pageHeader } from '../../parts/header.js';
import { phone } from '../../parts/phone.js';
import { HELLO } from './hello.js';
import { nextSteps } from './next.js';
import { tryOut } from './try_out.js';

export async function showGuide(container, { sessions, who, signal }) {
  const guide = new Guide(container, { who, signal });
  guide.session = sessions.find(({ engine, status }) => engine === 'sandbox' && status === 'connected') ?? sessions.find(({ engine }) => engine === 'sandbox');
  await guide.lookForRules();
  guide.follow();
  guide.draw();
}

class Guide {
  constructor(container, { who, signal }) {
    Object.assign(this, { who, signal, session: undefined, ruleSet: null, chat: null, drawn: '' });
    this.steps = h('ol', { class: 'guide' });
    this.after = h('div', { class: 'stack' });
    replace(container, pageHeader({ title: t('start.hello'), text: t('start.text') }), h('div', { class: 'guide-page' }, this.steps, this.after));
  }

  get hello() {
    return HELLO[language()];
  }

  get at() {
    return `whatsapp/sessions/${this.session.id}`;
  }

  follow() {
    listen(['session.status', 'session.qr'], ({ sessionId }) => { if (sessionId === this.session?.id) this.look(); }, this.signal);
    every(2, () => { if (this.session && (!isLive() || this.session.status === 'connecting')) this.look(); }, this.signal);
  }

  async look() {
    try {
      this.session = await api.get(this.at, {}, { signal: this.signal });
    } catch (error) {
      if (error.status !== 404) return;
      this.session = undefined;
    }
    this.draw();
  }

  async lookForRules() {
    if (!this.who.can('rules')) return;
    const names = new Set();
    for await (const page of api.all('rules', 'ruleSets', {}, { signal: this.signal })) page.forEach(({ name }) => names.add(name));
    this.ruleSet = [this.hello, ...Object.values(HELLO)].map(({ name }) => name).find((name) => names.has(name)) ?? null;
  }

  draw() {
    const linked = this.session?.status === 'connected';
    const answers = linked && this.session.automation && this.ruleSet !== null;
    const told = JSON.stringify([this.session?.name, this.session?.phone, linked, answers]);
    if (told === this.drawn) return;
    this.drawn = told;
    const steps = [
      this.step(1, { done: Boolean(this.session), now: !this.session, words: 'session', have: { name: this.session?.name }, work: () => this.createSession() }),
      this.step(2, { done: linked, now: Boolean(this.session) && !linked, words: 'phone', have: { phone: phone(this.session?.phone) }, work: () => this.simulate() }),
      this.step(3, { done: answers, now: linked && !answers, words: 'bot', have: { name: this.ruleSet }, text: this.ruleSet && t('start.bot.kept', { name: this.ruleSet }), work: () => this.switchOn(), hindrance: this.who.can('rules') ? null : t('start.bot.noScope') }),
    ];
    const hadFocus = this.steps.contains(document.activeElement);
    replace(this.steps, steps);
    this.chat ??= answers ? tryOut(this.session, this.signal) : null;
    replace(this.after, answers && [this.chat, nextSteps()]);
    if (hadFocus) (this.steps.querySelector('button') ?? this.chat?.querySelector('input'))?.focus();
  }

  step(count, { done, now, words, have, text, work, hindrance }) {
    const press = h('button', { type: 'button', class: 'primary', onclick: () => this.run(press, work) }, t(`start.${words}.button`));
    return h('li', { class: `card ${done ? 'done' : now ? 'now' : 'later'}` },
      h('span', { class: 'mark', 'aria-hidden': 'true' }, done ? icon('check') : count),
      h('div', { class: 'stack tight' },
        h('h2', {}, h('span', { class: 'visually-hidden' }, done ? t('start.done') : t('start.step', { count }), ': '), t(`start.${words}.title`)),
        h('p', { class: 'soft' }, done ? t(`start.${words}.have`, have) : text ?? t(`start.${words}.text`)),
        now && (hindrance ? h('p', { class: 'alert busy' }, hindrance) : h('div', {}, press))));
  }

  async run(button, work) {
    const card = button.closest('li');
    await busy(button, async () => {
      try {
        clearErrors(card);
        await work();
        this.draw();
      } catch (error) {
        if (error.name !== 'ApiError') throw error;
        showError(card.querySelector('.stack'), error);
      }
    });
  }

  async createSession() {
    this.session = await api.post('whatsapp/sessions', { ...api.owner(), name: t('start.session.name'), engine: 'sandbox' }, { idempotencyKey: newId() });
  }

  async simulate() {
    const now = await api.post(`${this.at}/connect`);
    this.session = now.status === 'connected' ? now : await api.post(`${this.at}/sandbox/scan`);
  }

  async switchOn() {
    // Rules of that name are the company's own by now: they stay as they are.
    await this.lookForRules();
    if (!this.ruleSet) {
      await api.put(`rules/${this.hello.name}`, this.hello.source, { type: 'application/yaml' });
      this.ruleSet = this.hello.name;
    }
    this.session = await api.patch(this.at, { automation: true });
  }
}
