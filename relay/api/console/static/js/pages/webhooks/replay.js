/* Sending an endpoint again what happened in a range of time, with a bar that shows how far it is.

    startReplay(endpoint, context, place)     asks for the range, then shows the progress in `place`

How far: the server says how many it owes again. What was owed before is not among them: it is noted first, and left out when what of
the range is still owed is counted. Where that is many, all that the endpoint is owed beyond what it was before has to do. What failed
meanwhile waits for its next attempt and is said so.
*/

import { ApiError, api } from '../../api.js';
import { h, replace } from '../../dom.js';
import { every } from '../../events.js';
import { number, t } from '../../i18n.js';
import { icon } from '../../icons.js';
import { openDialog } from '../../parts/dialog.js';
import { field } from '../../parts/form.js';
import { ALL } from './event_types.js';
import { nameOf } from './words.js';

const LOOK_SECONDS = 1;
const HOUR_MS = 3_600_000;
const COUNTED = 200;

export async function startReplay(endpoint, context, place) {
  const started = await askForRange(endpoint, context);
  if (!started) return;
  context.replay?.abort();
  context.replay = new AbortController();
  context.signal.addEventListener('abort', () => context.replay.abort(), { once: true });
  follow(endpoint, started, place, context.replay.signal);
}

function askForRange(endpoint, { signal }) {
  const now = Date.now();
  return openDialog({
    title: t('webhooks.replay.title', { name: nameOf(endpoint) }),
    body: [
      h('p', {}, t('webhooks.replay.text')),
      h('div', { class: 'fields' },
        field({ label: t('webhooks.replay.since'), name: 'since', type: 'datetime-local', value: local(now - 24 * HOUR_MS), required: true }),
        field({ label: t('webhooks.replay.until'), name: 'until', type: 'datetime-local', value: '', hint: t('webhooks.replay.until.hint') })),
      field({
        label: t('webhooks.replay.type'), name: 'type', type: 'select', value: '',
        options: [['', t('webhooks.replay.type.all')], ...ALL.map((type) => [type, t(`webhooks.type.${type}`)])],
      }),
    ],
    actions: [
      { label: t('common.cancel') },
      { label: t('webhooks.replay.button'), kind: 'primary', run: (given) => replay(endpoint, given) },
    ],
    signal,
  });
}

async function replay({ id }, { since, until, type }) {
  const range = { since: new Date(since).toISOString(), until: (until ? new Date(until) : new Date()).toISOString() };
  if (range.since >= range.until) throw new ApiError({ status: 0, code: 'range_backwards', detail: '', path: 'since' });
  const before = await owedIn(id, { ...range, type });
  const { count } = await api.post(`webhooks/endpoints/${id}/replay`, { ...range, ...(type ? { types: [type] } : {}) });
  return { count, type, ...range, before };
}

/** {owed, deliveries}: how many the endpoint is owed at all, and those of the range; null where they are too many to count. */
async function owedIn(id, { since, until, type }, signal) {
  const { owed } = await api.get(`webhooks/endpoints/${id}/statistics`, {}, { signal });
  if (owed > COUNTED) return { owed, deliveries: null };
  const { deliveries } = await api.get('webhooks/deliveries', { endpointId: id, status: 'pending', type, since, until, limit: COUNTED }, { signal });
  return { owed, deliveries };
}

/** As a field of this kind wants it: local time, to the minute. */
function local(at) {
  return new Date(at - new Date(at).getTimezoneOffset() * 60_000).toISOString().slice(0, 16);
}

function follow(endpoint, started, place, signal) {
  if (started.count === 0) {
    replace(place, h('div', { class: 'alert info', role: 'status' }, icon('info'), h('span', {}, t('webhooks.replay.nothing'))));
    return;
  }
  const bar = progressBar(started.count);
  replace(place, bar.element);
  const looking = new AbortController();
  signal.addEventListener('abort', () => looking.abort(), { once: true });
  const look = async () => {
    const { left, failing } = await remaining(endpoint, started, signal);
    bar.show(started.count - left, failing);
    if (left === 0) looking.abort();
  };
  // A look that fails is followed by another one.
  const tryLook = () => look().catch((error) => { if (!['ApiError', 'AbortError'].includes(error.name)) throw error; });
  tryLook();
  every(LOOK_SECONDS, tryLook, looking.signal);
}

async function remaining(endpoint, { before, count, ...range }, signal) {
  const { owed, deliveries } = await owedIn(endpoint.id, range, signal);
  if (!deliveries || !before.deliveries) return { left: Math.min(count, Math.max(0, owed - before.owed)), failing: 0 };
  const known = new Set(before.deliveries.map(({ id }) => id));
  const again = deliveries.filter(({ id }) => !known.has(id));
  const waits = ({ nextAttemptAt }) => nextAttemptAt && new Date(nextAttemptAt) > Date.now();
  return { left: Math.min(count, again.length), failing: Math.min(count, again.filter(waits).length) };
}

function progressBar(count) {
  const fill = h('span');
  const words = h('p', { role: 'status' });
  const note = h('p', { class: 'soft small' });
  const meter = h('div', {
    class: 'meter webhook-progress', role: 'progressbar', 'aria-label': t('webhooks.replay'), 'aria-valuemin': '0', 'aria-valuemax': String(count),
  }, fill);
  return {
    element: h('div', { class: 'card stack tight' }, words, meter, note),
    show(done, failing) {
      meter.setAttribute('aria-valuenow', String(done));
      fill.style.setProperty('width', `${(done / count) * 100}%`);
      words.textContent = done === count
        ? t('webhooks.replay.done', { count })
        : t('webhooks.replay.progress', { done: number(done), all: number(count) });
      note.textContent = failing > 0 ? t('webhooks.replay.failing', { count: failing }) : '';
      note.hidden = failing === 0;
    },
  };
}
