/* The dialog for a new endpoint or for changing one.

    createEndpoint(context)            → the endpoint, after its secret was shown; undefined when nothing was made
    changeEndpoint(endpoint, context)  → the endpoint as it is now; undefined likewise
*/

import { ApiError, api } from '../../api.js';
import { h } from '../../dom.js';
import { t } from '../../i18n.js';
import { openDialog } from '../../parts/dialog.js';
import { field } from '../../parts/form.js';
import { toast } from '../../parts/toast.js';
import { showSecret, tried } from './actions.js';
import { GROUPS, filterOf, names } from './event_types.js';
import { nameOf } from './words.js';

const NEW = { url: '', description: '', events: [], sessions: [], order: 'none' };

export async function createEndpoint(context) {
  const form = await fields(NEW, context);
  if (!form) return undefined;
  const made = await openDialog({
    title: t('webhooks.create'), wide: true, body: form,
    actions: [
      { label: t('common.cancel') },
      {
        label: t('webhooks.create.button'), kind: 'primary',
        run: (given) => api.post('webhooks/endpoints', { ...api.owner(), ...wanted(given) }),
      },
    ],
    signal: context.signal,
  });
  if (!made) return undefined;
  const { secret, ...endpoint } = made;
  await showSecret(secret, context, t('webhooks.created'));
  return endpoint;
}

export async function changeEndpoint(endpoint, context) {
  const form = await fields(endpoint, context);
  if (!form) return undefined;
  const changed = await openDialog({
    title: t('webhooks.edit.title', { name: nameOf(endpoint) }), wide: true, body: form,
    actions: [
      { label: t('common.cancel') },
      { label: t('common.save'), kind: 'primary', run: (given) => api.patch(`webhooks/endpoints/${endpoint.id}`, wanted(given)) },
    ],
    signal: context.signal,
  });
  if (changed) toast(t('common.saved'));
  return changed;
}

async function fields(endpoint, { who, signal }) {
  const sessions = who.can('sessions') ? await tried(() => allSessions(signal)) : [];
  if (!sessions) return null;
  const isNew = endpoint === NEW;
  return [
    field({
      label: t('webhooks.url'), name: 'url', type: 'url', value: endpoint.url, hint: t('webhooks.url.hint'),
      required: true, maxlength: 2048, placeholder: 'https://…', autocomplete: 'off', spellcheck: 'false',
    }),
    field({ label: t('webhooks.description'), name: 'description', value: endpoint.description, maxlength: 500, autocomplete: 'off', hint: t('webhooks.description.hint') }),
    eventChoice(endpoint.events),
    sessions.length > 0 && sessionChoice(endpoint.sessions, sessions),
    field({
      label: t('webhooks.order'), name: 'order', type: 'choice', value: endpoint.order,
      options: [
        ['none', t('webhooks.order.none'), t('webhooks.order.none.hint')],
        ['chat', t('webhooks.order.chat'), t('webhooks.order.chat.hint')],
      ],
    }),
    h('details', {}, h('summary', {}, t('webhooks.headers')), h('div', { class: 'stack tight' },
      field({
        label: t('webhooks.headers.label'), name: 'headers', type: 'textarea', rows: 3, spellcheck: 'false', autocomplete: 'off',
        placeholder: 'Authorization: Bearer …', hint: isNew ? t('webhooks.headers.hint') : t('webhooks.headers.kept'),
      }),
      !isNew && field({ label: t('webhooks.headers.remove'), name: 'removeHeaders', type: 'check', path: null }))),
  ];
}

async function allSessions(signal) {
  const found = [];
  for await (const page of api.all('whatsapp/sessions', 'sessions', {}, { signal })) found.push(...page);
  return found;
}

function eventChoice(filter) {
  return choiceOrAll({
    legend: t('webhooks.events'), path: 'events', all: t('webhooks.events.all'), allName: 'allEvents', takesAll: filter.length === 0,
    some: Object.entries(GROUPS).map(([group, types]) => h('div', { class: 'tick-group' },
      h('strong', { class: 'small soft' }, t(`webhooks.group.${group}`)),
      types.map((type) => tick(`event ${type}`, names(filter, type), t(`webhooks.type.${type}`), type)))),
  });
}

function sessionChoice(chosen, sessions) {
  const ids = new Set(sessions.map(({ id }) => id));
  // One that was deleted meanwhile stands there by its id, so that it can be unticked.
  const gone = chosen.filter((id) => !ids.has(id)).map((id) => ({ id, name: id }));
  return choiceOrAll({
    legend: t('webhooks.sessions'), path: 'sessions', all: t('webhooks.sessions.all'), allName: 'allSessions', takesAll: chosen.length === 0,
    some: h('div', { class: 'tick-group' }, [...gone, ...sessions].map(({ id, name }) => tick(`session ${id}`, chosen.includes(id), name))),
  });
}

/** "All", or ticks for some, which are only there while "all" is off. */
function choiceOrAll({ legend, path, all, allName, takesAll, some }) {
  const list = h('div', { class: 'tick-list', }, some);
  list.hidden = takesAll;
  const box = tick(allName, takesAll, all);
  box.addEventListener('change', (event) => { list.hidden = event.target.checked; });
  return h('fieldset', { class: 'field webhook-choice', 'data-path': path },
    h('legend', {}, legend), box, list, h('p', { class: 'error', hidden: true }));
}

function tick(name, checked, words, note) {
  return h('label', { class: 'tick' }, h('input', { type: 'checkbox', name, checked }),
    h('span', {}, words, note && h('span', { class: 'mono soft small' }, note)));
}

/** The form's values as the API wants them; throws an ApiError for what it cannot know: nothing ticked, a header without a colon. */
function wanted({ url, description, order, allEvents, allSessions: everySession, headers, removeHeaders, ...ticks }) {
  const ticked = (kind) => Object.keys(ticks).filter((name) => ticks[name] && name.startsWith(`${kind} `)).map((name) => name.slice(kind.length + 1));
  const given = { url, description, order, events: allEvents ? [] : filterOf(some(ticked('event'), 'events', 'none_chosen')) };
  if (everySession !== undefined) given.sessions = everySession ? [] : some(ticked('session'), 'sessions', 'none_chosen');
  if (removeHeaders) given.headers = {};
  else if (headers) given.headers = parseHeaders(headers);
  return given;
}

function some(list, path, code) {
  if (list.length === 0) throw mistake(path, code);
  return list;
}

function parseHeaders(text) {
  const lines = text.split('\n').map((line) => line.trim()).filter(Boolean);
  return Object.fromEntries(lines.map((line) => {
    const [, name, value] = /^([^:\s]+):\s*(.*)$/.exec(line) ?? [];
    if (!name) throw mistake('headers', 'header_line');
    return [name, value];
  }));
}

function mistake(path, code) {
  return new ApiError({ status: 0, code, detail: '', path });
}
