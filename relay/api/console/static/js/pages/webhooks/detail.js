/* One endpoint: how it is doing, what can be done to it, its deliveries. */

import { api } from '../../api.js';
import { h, replace } from '../../dom.js';
import { listen } from '../../events.js';
import { dateTime, t } from '../../i18n.js';
import { icon } from '../../icons.js';
import { copyable } from '../../parts/copy.js';
import { failed, loading } from '../../parts/states.js';
import { tag } from '../../parts/status.js';
import { go, href } from '../../routes.js';
import { deleteEndpoint, rotateSecret, switchEndpoint, testEndpoint } from './actions.js';
import { follow } from './calm.js';
import { deliveryList } from './deliveries.js';
import { changeEndpoint } from './edit.js';
import { healthCards } from './health.js';
import { startReplay } from './replay.js';
import { healthText, nameOf } from './words.js';

const LOOK_SECONDS = 5;

export async function showDetail(container, id, context) {
  replace(container, loading());
  const view = new EndpointView(id, context);
  // What goes wrong the first time is shown by the shell, with a button that tries again. What is not there never will be.
  try {
    await view.look();
  } catch (error) {
    if (error.status !== 404) throw error;
    replace(container, backToList(), h('h1', { class: 'visually-hidden', tabindex: '-1' }, t('webhooks.title')), failed(error));
    return;
  }
  view.put(container);
  await view.deliveries.load();
  follow(() => view.lookAgain(), { seconds: LOOK_SECONDS, signal: context.signal });
  listen(['endpoint.disabled'], () => view.lookAgain(), context.signal);
}

function backToList() {
  return h('a', { class: 'webhook-back', href: href('webhooks') }, icon('left'), t('webhooks.back'));
}

class EndpointView {
  constructor(id, context) {
    Object.assign(this, { id, context, path: `webhooks/endpoints/${id}`, names: new Map(), as: null });
    this.deliveries = deliveryList(id, context);
    this.title = h('h1', { tabindex: '-1' });
    this.url = h('p', { class: 'mono' });
    this.alert = h('div', { role: 'status' });
    this.cards = h('div', { class: 'grid webhook-cards' });
    this.facts = h('dl', { class: 'webhook-facts' });
    this.progress = h('div', {});
    this.buttons = this.makeButtons();
  }

  put(container) {
    const { test, edit, rotate, toggle, remove } = this.buttons;
    replace(container,
      backToList(),
      h('div', { class: 'page-head' }, h('div', {}, this.title, this.url), h('div', { class: 'row' }, test, edit, rotate, toggle, remove)),
      h('div', { class: 'stack' },
        this.alert, this.cards,
        h('details', {}, h('summary', {}, t('webhooks.facts')), this.facts),
        h('div', { class: 'row apart' }, h('h2', {}, t('webhooks.deliveries')), this.replayButton()),
        this.progress, this.deliveries.element));
  }

  makeButtons() {
    const button = (work, kind = '') => h('button', { type: 'button', class: kind, onclick: (event) => work(event.currentTarget) });
    const { context } = this;
    return {
      test: replace(button((pressed) => this.changing(testEndpoint(this.endpoint, context, pressed)), 'primary'), icon('send'), t('webhooks.test')),
      edit: replace(button(() => this.changing(changeEndpoint(this.endpoint, context))), icon('edit'), t('webhooks.edit')),
      rotate: replace(button(() => rotateSecret(this.endpoint, context)), icon('key'), t('webhooks.rotate')),
      toggle: button(() => this.changing(switchEndpoint(this.endpoint, context))),
      remove: replace(button(() => this.remove(), 'quiet bad'), icon('trash'), t('webhooks.delete')),
    };
  }

  replayButton() {
    return h('button', { type: 'button', onclick: () => startReplay(this.endpoint, this.context, this.progress) }, icon('refresh'), t('webhooks.replay'));
  }

  async look() {
    const { signal, who } = this.context;
    [this.endpoint, this.figures] = await Promise.all([api.get(this.path, {}, { signal }), api.get(`${this.path}/statistics`, {}, { signal })]);
    if (who.can('sessions')) await this.learnNames();
    this.draw();
  }

  async lookAgain() {
    try {
      await Promise.all([this.look(), this.deliveries.load()]);
    } catch (error) {
      if (error.name === 'AbortError') return;
      if (error.name !== 'ApiError') throw error;
      if (error.status === 404) go('webhooks');
    }
  }

  async learnNames() {
    const unknown = this.endpoint.sessions.filter((id) => !this.names.has(id));
    await Promise.all(unknown.map(async (id) => {
      const session = await api.get(`whatsapp/sessions/${id}`, {}, { signal: this.context.signal }).catch(() => null);
      this.names.set(id, session?.name ?? id);
    }));
  }

  async changing(work) {
    const endpoint = await work;
    if (endpoint) this.endpoint = endpoint;
    if (!this.context.signal.aborted) await this.lookAgain();
  }

  async remove() {
    if (await deleteEndpoint(this.endpoint, this.context)) go('webhooks');
  }

  /** Only when something is different: the title keeps the focus, a screen reader is told once. */
  draw() {
    const as = JSON.stringify([this.endpoint, this.figures]);
    if (as === this.as) return;
    this.as = as;
    const { endpoint, figures } = this;
    this.title.textContent = nameOf(endpoint);
    this.url.textContent = endpoint.url;
    const wrong = healthText(endpoint, figures);
    if (this.alert.textContent !== (wrong ?? '')) {
      replace(this.alert, wrong && h('div', { class: endpoint.status === 'disabled' ? 'alert info' : 'alert' }, icon('alert'), h('span', {}, wrong)));
    }
    const isOff = endpoint.status === 'disabled';
    replace(this.buttons.toggle, icon(isOff ? 'play' : 'pause'), isOff ? t('webhooks.enable') : t('webhooks.disable'));
    this.buttons.test.disabled = isOff;
    replace(this.cards, healthCards(endpoint, figures));
    replace(this.facts, this.drawFacts());
  }

  drawFacts() {
    const { events, sessions, order, createdAt, id } = this.endpoint;
    const fact = (name, ...worth) => [h('dt', {}, name), h('dd', {}, worth)];
    return [
      fact(t('webhooks.events'), h('div', { class: 'row tags' }, events.length ? events.map(tag) : t('webhooks.events.all'))),
      fact(t('webhooks.sessions'), h('div', { class: 'row tags' },
        sessions.length ? sessions.map((session) => tag(this.names.get(session) ?? session)) : t('webhooks.sessions.all'))),
      fact(t('webhooks.order'), order === 'chat' ? t('webhooks.order.chat') : t('webhooks.order.none')),
      fact(t('webhooks.createdAt'), dateTime(createdAt)),
      fact(t('webhooks.id'), copyable(id, t('webhooks.id.copy'))),
    ];
  }
}
