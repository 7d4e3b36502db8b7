/* Every endpoint with its health: is it answering, what waits for it, how the last attempts went. */

import { api } from '../../api.js';
import { h, replace } from '../../dom.js';
import { t } from '../../i18n.js';
import { icon } from '../../icons.js';
import { pageHeader } from '../../parts/header.js';
import { empty, failed, loading } from '../../parts/states.js';
import { table } from '../../parts/table.js';
import { relative } from '../../parts/time.js';
import { href } from '../../routes.js';
import { testEndpoint } from './actions.js';
import { follow } from './calm.js';
import { createEndpoint } from './edit.js';
import { attemptStrip, owedText } from './health.js';
import { healthBadge, nameOf } from './words.js';

const LOOK_SECONDS = 10;

export async function showList(container, context) {
  const view = new EndpointsView(container, context);
  await view.load();
  follow(() => view.load(), { seconds: LOOK_SECONDS, signal: context.signal });
}

class EndpointsView {
  constructor(container, context) {
    Object.assign(this, { context, shown: false });
    this.list = table({ caption: t('webhooks.title'), columns: columns(context), key: ({ id }) => id });
    this.content = h('div', {}, loading());
    replace(container, pageHeader({
      title: t('webhooks.title'), text: t('webhooks.text'),
      actions: [
        h('a', { class: 'button', href: href('webhooks', 'signature') }, icon('check'), t('webhooks.signature')),
        this.createButton(),
      ],
    }), this.content);
  }

  createButton() {
    return h('button', { type: 'button', class: 'primary', onclick: () => this.create() }, icon('plus'), t('webhooks.create'));
  }

  async load() {
    const { signal } = this.context;
    try {
      const endpoints = [];
      for await (const page of api.all('webhooks/endpoints', 'endpoints', { statistics: true }, { signal })) endpoints.push(...page);
      this.draw(endpoints);
    } catch (error) {
      if (error.name === 'AbortError') return;
      if (error.name !== 'ApiError') throw error;
      if (!this.shown) replace(this.content, failed(error, () => this.load()));
    }
  }

  draw(rows) {
    this.shown = true;
    this.list.update(rows);
    if (rows.length === 0) replace(this.content, this.nothing());
    else if (!this.list.isConnected) replace(this.content, this.list);
  }

  nothing() {
    return h('div', { class: 'card' },
      empty({ icon: 'webhook', title: t('webhooks.empty.title'), text: t('webhooks.empty.text'), action: this.createButton() }));
  }

  async create() {
    if (await createEndpoint(this.context)) this.load();
  }
}

function columns(context) {
  return [
    { title: t('webhooks.endpoint'), class: 'lead', cell: what },
    { title: t('webhooks.health'), cell: health },
    { title: t('webhooks.owed'), cell: ({ statistics }) => owedText(statistics) },
    { title: t('webhooks.lastAttempts'), cell: ({ statistics }) => attemptStrip(statistics.lastAttempts) },
    { title: t('webhooks.actions'), class: 'actions', cell: (endpoint) => actions(endpoint, context) },
  ];
}

function what(endpoint) {
  return h('div', { class: 'webhook-what' },
    h('a', { class: 'webhook-name', href: href('webhooks', endpoint.id) }, nameOf(endpoint)),
    h('span', { class: 'mono soft' }, endpoint.url));
}

function health(endpoint) {
  return h('div', { class: 'stack tight webhook-health' },
    h('div', {}, healthBadge(endpoint)),
    endpoint.disabledReason && h('p', { class: 'soft small' }, t(`webhooks.reason.${endpoint.disabledReason}`)),
    endpoint.status === 'enabled' && endpoint.failingSince && h('p', { class: 'soft small' }, t('webhooks.since'), ' ', relative(endpoint.failingSince)));
}

function actions(endpoint, context) {
  return [
    h('button', { type: 'button', class: 'small', disabled: endpoint.status === 'disabled', onclick: (event) => testEndpoint(endpoint, context, event.currentTarget) },
      icon('send'), t('webhooks.test'), h('span', { class: 'visually-hidden' }, nameOf(endpoint))),
    h('a', { class: 'button small', href: href('webhooks', endpoint.id) },
      t('webhooks.open'), h('span', { class: 'visually-hidden' }, nameOf(endpoint))),
  ];
}
