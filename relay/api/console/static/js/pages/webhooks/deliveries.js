/* The deliveries of an endpoint, newest first, filtered by status and type; each opens with all its attempts.

    const list = deliveryList(endpointId, context)   list.element, await list.load()

Looking again fetches the newest page and puts it in place of what it covers; pages that were added by "show more" stay below it.
*/

import { api } from '../../api.js';
import { h, replace } from '../../dom.js';
import { t } from '../../i18n.js';
import { icon } from '../../icons.js';
import { busy } from '../../parts/form.js';
import { empty, failed, loading } from '../../parts/states.js';
import { table } from '../../parts/table.js';
import { relative } from '../../parts/time.js';
import { tried } from './actions.js';
import { showDelivery } from './delivery.js';
import { ALL } from './event_types.js';
import { STATUSES, statusBadge, statusName } from './words.js';

const PAGE = 50;

export function deliveryList(endpointId, context) {
  return new DeliveryList(endpointId, context);
}

class DeliveryList {
  constructor(endpointId, context) {
    Object.assign(this, { endpointId, context, filter: { status: '', type: '' }, rows: [], cursor: null, looks: 0 });
    this.list = table({ caption: t('webhooks.deliveries'), columns: this.columns(), key: ({ id }) => id, whole: true });
    this.more = h('button', { type: 'button', onclick: () => busy(this.more, () => tried(() => this.loadMore())) }, icon('down'), t('common.more'));
    this.content = h('div', {}, loading());
    this.element = h('section', { class: 'stack', 'aria-label': t('webhooks.deliveries') },
      h('div', { class: 'toolbar webhook-toolbar' }, this.chooser('status', t('webhooks.filter.status'), STATUSES, statusName),
        this.chooser('type', t('webhooks.filter.type'), ALL, (type) => t(`webhooks.type.${type}`))),
      this.content);
  }

  chooser(name, label, choices, words) {
    return h('select', {
      'aria-label': label,
      onchange: (event) => {
        this.filter[name] = event.target.value;
        Object.assign(this, { rows: [], cursor: null });
        replace(this.content, loading());
        this.load();
      },
    }, h('option', { value: '' }, t(`webhooks.filter.${name}.all`)), choices.map((choice) => h('option', { value: choice }, words(choice))));
  }

  ask(cursor) {
    return api.get('webhooks/deliveries', { endpointId: this.endpointId, ...this.filter, limit: PAGE, cursor }, { signal: this.context.signal });
  }

  async load() {
    const look = ++this.looks;
    try {
      const page = await this.ask();
      if (look !== this.looks) return;
      this.take(page);
      this.draw();
    } catch (error) {
      if (error.name === 'AbortError' || look !== this.looks) return;
      if (error.name !== 'ApiError') throw error;
      if (this.rows.length === 0) replace(this.content, failed(error, () => this.load()));
    }
  }

  take({ deliveries, nextCursor }) {
    const last = deliveries.at(-1)?.id;
    const older = nextCursor ? this.rows.filter(({ id }) => id < last) : [];
    // More has come than fits one page: what was below it would leave a hole.
    const joined = this.rows.length === 0 || this.rows[0].id >= last;
    this.rows = joined ? [...deliveries, ...older] : deliveries;
    if (older.length === 0 || !joined) this.cursor = nextCursor;
  }

  async loadMore() {
    const { cursor } = this;
    const { deliveries, nextCursor } = await this.ask(cursor);
    // Another filter meanwhile, or a new beginning: this page belongs to neither.
    if (this.cursor !== cursor) return;
    this.rows = [...this.rows, ...deliveries];
    this.cursor = nextCursor;
    this.draw();
  }

  draw() {
    if (this.rows.length === 0) {
      replace(this.content, h('div', { class: 'card' }, this.nothing()));
      return;
    }
    this.list.update(this.rows);
    this.more.hidden = !this.cursor;
    if (!this.list.isConnected) replace(this.content, h('div', { class: 'stack' }, this.list, h('div', {}, this.more)));
  }

  nothing() {
    return this.filter.status || this.filter.type
      ? empty({ icon: 'search', title: t('webhooks.deliveries.noneFit'), text: t('webhooks.deliveries.noneFit.text') })
      : empty({ icon: 'webhook', title: t('webhooks.deliveries.none'), text: t('webhooks.deliveries.none.text') });
  }

  columns() {
    return [
      { title: t('webhooks.event'), class: 'lead', cell: eventCell },
      { title: t('webhooks.when'), cell: ({ createdAt }) => relative(createdAt) },
      { title: t('webhooks.delivery.status'), cell: stateCell },
      { title: t('webhooks.attempts'), class: 'numeric', cell: ({ attemptCount }) => String(attemptCount) },
      { title: t('webhooks.actions'), class: 'actions', cell: (delivery) => this.actions(delivery) },
    ];
  }

  actions({ id, eventType, status }) {
    const about = h('span', { class: 'visually-hidden' }, t(`webhooks.type.${eventType}`));
    return [
      status !== 'succeeded' && h('button', { type: 'button', class: 'small', onclick: (event) => this.redeliver(id, event.currentTarget) },
        icon('refresh'), t('webhooks.redeliver'), about.cloneNode(true)),
      h('button', { type: 'button', class: 'small', onclick: () => this.open(id) }, t('webhooks.delivery.open'), about),
    ];
  }

  async redeliver(id, button) {
    await busy(button, () => tried(() => api.post(`webhooks/deliveries/${id}/redeliver`)));
    await this.load();
  }

  async open(id) {
    await showDelivery(id, this.context);
    if (!this.context.signal.aborted) await this.load();
  }
}

function eventCell({ eventType }) {
  return h('div', { class: 'webhook-what' }, h('strong', {}, t(`webhooks.type.${eventType}`)), h('span', { class: 'mono soft small' }, eventType));
}

function stateCell({ status, attemptCount, nextAttemptAt }) {
  return h('div', { class: 'stack tight' },
    h('div', {}, statusBadge(status)),
    status === 'pending' && attemptCount > 0 && nextAttemptAt && h('p', { class: 'soft small' }, t('webhooks.nextAttempt'), ' ', relative(nextAttemptAt)));
}
