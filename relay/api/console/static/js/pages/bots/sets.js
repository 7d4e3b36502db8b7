/* The company's rule sets: a list; a new one begins as a draft, made from a starter. */

import { ApiError, api } from '../../api.js';
import { h, replace } from '../../dom.js';
import { language, t } from '../../i18n.js';
import { icon } from '../../icons.js';
import { confirm } from '../../parts/confirm.js';
import { openDialog } from '../../parts/dialog.js';
import { field } from '../../parts/form.js';
import { empty } from '../../parts/states.js';
import { badge } from '../../parts/status.js';
import { table } from '../../parts/table.js';
import { relative } from '../../parts/time.js';
import { toast } from '../../parts/toast.js';
import { go, href } from '../../routes.js';
import { draftsOf } from './drafts.js';
import { STARTERS, starter } from './starters.js';

const NAME = '[A-Za-z0-9_][A-Za-z0-9_.\\-]{0,63}';

export async function showSets(content, { who, signal, actions }) {
  const sets = [];
  for await (const page of api.all('rules', 'ruleSets', {}, { signal })) sets.push(...page);
  const view = { content, who, signal, sets: withDrafts(sets, draftsOf(who)) };
  replace(actions, newButton(view));
  draw(view);
}

/** Those in force, each with whether it has a text that is not; first those that are nothing but such a text. */
function withDrafts(sets, drafts) {
  const known = new Set(sets.map(({ name }) => name));
  const alone = [...drafts.keys()].filter((name) => !known.has(name));
  return [
    ...alone.map((name) => ({ name, version: null, note: '', updatedAt: null, isDrafted: true })),
    ...sets.map((set) => ({ ...set, isDrafted: drafts.has(set.name) })),
  ];
}

function newButton(view) {
  return h('button', { type: 'button', class: 'primary', onclick: () => create(view) }, icon('plus'), t('bots.new'));
}

function draw(view) {
  replace(view.content, view.sets.length === 0
    ? h('div', { class: 'card' }, empty({ icon: 'robot', title: t('bots.empty.title'), text: t('bots.empty.text'), action: newButton(view) }))
    : h('div', { class: 'stack' },
      table({ caption: t('bots.tab.rules'), columns: columns(view), key: ({ name }) => name, rows: view.sets }),
      h('p', { class: 'soft small' }, t('bots.where'), ' ', h('a', { href: href('sessions') }, t('bots.where.link')))));
}

function columns(view) {
  return [
    { title: t('bots.name'), class: 'lead', cell: nameCell },
    { title: t('bots.version'), class: 'numeric', cell: ({ version }) => String(version ?? '–') },
    { title: t('bots.note'), cell: ({ note }) => note || h('span', { class: 'soft' }, '–') },
    { title: t('bots.changed'), cell: ({ updatedAt }) => relative(updatedAt) },
    { title: t('bots.actions'), class: 'actions', cell: (set) => rowActions(set, view) },
  ];
}

function nameCell({ name, version, isDrafted }) {
  return h('span', { class: 'row' },
    h('a', { class: 'bot-name', href: href('bots', 'rules', name) }, name),
    isDrafted && (version ? badge('busy', t('bots.unsaved')) : badge('off', t('bots.notInForce'))));
}

function rowActions(set, view) {
  const { name } = set;
  return [
    h('a', { class: 'button small', href: href('bots', 'rules', name) }, icon('edit'), t('bots.open'), h('span', { class: 'visually-hidden' }, name)),
    h('button', {
      type: 'button', class: 'quiet bad small icon-only', 'aria-label': t('bots.deleteOf', { name }), title: t('bots.deleteOf', { name }),
      onclick: () => remove(set, view),
    }, icon('trash')),
  ];
}

async function remove({ name, version }, view) {
  const done = await confirm({
    title: t('bots.delete.title', { name }), text: version ? t('bots.delete.text') : t('bots.delete.draft'), action: t('bots.delete'), signal: view.signal,
    run: () => version && api.delete(`rules/${encodeURIComponent(name)}`),
  });
  if (!done) return;
  draftsOf(view.who).delete(name);
  view.sets = view.sets.filter((set) => set.name !== name);
  draw(view);
  toast(t('bots.deleted', { name }));
}

async function create(view) {
  const made = await openDialog({
    title: t('bots.new'),
    body: [
      field({
        label: t('bots.name'), name: 'name', required: true, maxlength: 64, pattern: NAME, autocomplete: 'off', spellcheck: 'false',
        placeholder: t('bots.name.example'), hint: t('bots.name.hint'),
      }),
      field({
        label: t('bots.starter'), name: 'starter', type: 'choice', value: STARTERS[0],
        options: STARTERS.map((kind) => [kind, t(`bots.starter.${kind}`), t(`bots.starter.${kind}.hint`)]),
      }),
    ],
    actions: [{ label: t('common.cancel') }, { label: t('bots.new.button'), kind: 'primary', run: (given) => begin(given, view) }],
    signal: view.signal,
  });
  if (made) go('bots', 'rules', made);
}

async function begin({ name, starter: kind }, { who, sets }) {
  if (sets.some((set) => set.name === name)) throw new ApiError({ status: 409, code: 'name_taken', detail: '', path: 'name' });
  // The server's own opinion of the name.
  await api.put(`rules/${encodeURIComponent(name)}`, starter(kind, language()), { type: 'application/yaml', query: { dryRun: true } });
  draftsOf(who).set(name, starter(kind, language()));
  return name;
}
