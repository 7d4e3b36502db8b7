/* The dialog of one delivery: how it stands, live, every attempt, what was sent; send it again, or stop trying.

    await showDelivery(id, context, {title})
*/

import { api } from '../../api.js';
import { h, replace } from '../../dom.js';
import { every } from '../../events.js';
import { dateTime, t } from '../../i18n.js';
import { icon } from '../../icons.js';
import { copyable } from '../../parts/copy.js';
import { openDialog } from '../../parts/dialog.js';
import { busy } from '../../parts/form.js';
import { failed, loading } from '../../parts/states.js';
import { relative } from '../../parts/time.js';
import { tried } from './actions.js';
import { outcomeBadge, statusBadge, took } from './words.js';

const LOOK_SECONDS = 1;

export async function showDelivery(id, { signal }, { title = t('webhooks.delivery.title') } = {}) {
  const open = new AbortController();
  const view = new DeliveryView(id, open.signal);
  view.load();
  // One that is owed moves; one that has ended moves only when it is sent again, from here.
  every(LOOK_SECONDS, () => { if (view.delivery?.status === 'pending') view.load(); }, open.signal);
  await openDialog({ title, body: view.element, wide: true, actions: [{ label: t('common.close') }], signal });
  open.abort();
}

class DeliveryView {
  constructor(id, signal) {
    Object.assign(this, { path: `webhooks/deliveries/${id}`, signal, delivery: null, as: null });
    const button = (draw, label, what, kind) => h('button', {
      type: 'button', class: kind, hidden: true, onclick: (event) => this.press(event.currentTarget, what),
    }, icon(draw), label);
    this.state = h('div', { class: 'row', role: 'status', tabindex: '-1' });
    this.again = button('refresh', t('webhooks.redeliver'), 'redeliver', '');
    this.stop = button('close', t('webhooks.stop'), 'cancel', 'quiet bad');
    this.about = h('p', { class: 'soft' });
    this.log = h('div', {}, loading());
    this.element = h('div', { class: 'stack' },
      h('div', { class: 'row apart' }, this.state, h('div', { class: 'row' }, this.again, this.stop)),
      this.about, this.log);
  }

  async load() {
    try {
      this.draw(await api.get(this.path, {}, { signal: this.signal }));
    } catch (error) {
      if (error.name === 'AbortError') return;
      if (error.name !== 'ApiError') throw error;
      if (!this.delivery) replace(this.log, failed(error, () => this.load()));
    }
  }

  async press(button, what) {
    await busy(button, () => tried(() => api.post(`${this.path}/${what}`)));
    await this.load();
    // Its button may have gone from under it.
    if (button.hidden) this.state.focus();
  }

  draw(delivery) {
    const as = JSON.stringify(delivery);
    if (as === this.as) return;
    const isFirst = this.delivery === null;
    Object.assign(this, { delivery, as });
    const { status, attempts, eventId, eventType, createdAt } = delivery;
    replace(this.state, statusBadge(status), h('span', {}, whatNow(delivery)));
    this.again.hidden = status === 'pending' && attempts.length === 0;
    this.stop.hidden = status !== 'pending';
    if (isFirst) {
      replace(this.about, t(`webhooks.type.${eventType}`), ' · ', dateTime(createdAt));
      this.element.append(this.content(eventId));
    }
    replace(this.log, attempts.length === 0
      ? h('p', { class: 'soft' }, t('webhooks.attempts.none'))
      : h('ul', { class: 'attempt-list', 'aria-label': t('webhooks.attempts') }, [...attempts].reverse().map(attemptItem)));
  }

  /** What was sent, fetched when somebody wants to see it. */
  content(eventId) {
    const place = h('div', { class: 'stack' }, loading());
    const show = async () => {
      try {
        const { type, timestamp, data } = await api.get(`events/${eventId}`, {}, { signal: this.signal });
        const body = JSON.stringify({ type, timestamp, data }, null, 2);
        replace(place, copyable(eventId, t('webhooks.delivery.idCopy')), h('pre', { tabindex: '0', 'aria-label': t('webhooks.delivery.content') }, h('code', {}, body)));
      } catch (error) {
        if (error.name === 'AbortError') return;
        replace(place, failed(error, show));
      }
    };
    return h('details', { ontoggle: (event) => { if (event.target.open) show(); } },
      h('summary', {}, t('webhooks.delivery.content')), place);
  }
}

function whatNow({ status, attempts, nextAttemptAt }) {
  if (status !== 'pending') return t(`webhooks.status.${status}.text`);
  if (!nextAttemptAt) return t('webhooks.sending');
  return attempts.length === 0 ? t('webhooks.waiting') : [t('webhooks.nextAttempt'), ' ', relative(nextAttemptAt)];
}

function attemptItem(attempt) {
  const { number, at, outcome, durationSeconds, response } = attempt;
  return h('li', { class: 'stack tight' },
    h('div', { class: 'row' },
      h('strong', { class: 'number' }, t('webhooks.attempt', { number })), outcomeBadge(attempt),
      outcome !== 'cancelled' && h('span', { class: 'number' }, took(durationSeconds)),
      h('span', { class: 'soft small' }, relative(at))),
    outcome !== 'cancelled' && (response ? h('code', { class: 'webhook-answer' }, response) : h('p', { class: 'soft small' }, t('webhooks.answer.empty'))));
}
