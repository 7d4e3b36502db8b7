/* Agents: what messages are handed to when rules do not do. A list; each has a page of its own. */

import { api } from '../../api.js';
import { h, replace } from '../../dom.js';
import { t } from '../../i18n.js';
import { icon } from '../../icons.js';
import { confirm } from '../../parts/confirm.js';
import { empty } from '../../parts/states.js';
import { badge } from '../../parts/status.js';
import { table } from '../../parts/table.js';
import { toast } from '../../parts/toast.js';
import { go, href } from '../../routes.js';
import { createAgent, editAgent } from './agent_form.js';
import { usage } from './usage.js';

export async function showAgents(content, { signal, actions }) {
  const view = { content, signal, agents: [] };
  for await (const page of api.all('agents', 'agents', {}, { signal })) view.agents.push(...page);
  view.usage = view.agents.length > 0 && (await usage({ signal })).element;
  replace(actions, newButton(view));
  draw(view);
}

function newButton(view) {
  return h('button', { type: 'button', class: 'primary', onclick: () => create(view) }, icon('plus'), t('bots.agents.new'));
}

async function create({ signal }) {
  const agent = await createAgent({ signal });
  if (agent) go('bots', 'agents', agent.id);
}

function draw(view) {
  replace(view.content, view.agents.length === 0
    ? h('div', { class: 'card' }, empty({ icon: 'robot', title: t('bots.agents.empty.title'), text: t('bots.agents.empty.text'), action: newButton(view) }))
    : h('div', { class: 'stack' },
      table({ caption: t('bots.tab.agents'), columns: columns(view), key: ({ id }) => id, rows: view.agents }),
      view.usage));
}

function columns(view) {
  return [
    { title: t('bots.name'), class: 'lead', cell: ({ id, name }) => h('a', { class: 'bot-name', href: href('bots', 'agents', id) }, name) },
    { title: t('bots.agent.kind'), cell: ({ kind }) => t(`bots.agent.kind.${kind}`) },
    { title: t('bots.agent.what'), cell: ({ settings }) => h('span', { class: 'mono' }, settings.model ?? settings.url) },
    { title: t('bots.agent.state'), cell: ({ enabled }) => enabledBadge(enabled) },
    { title: t('bots.actions'), class: 'actions', cell: (agent) => rowActions(agent, view) },
  ];
}

export function enabledBadge(enabled) {
  return enabled ? badge('good', t('common.on')) : badge('off', t('common.off'));
}

function rowActions(agent, view) {
  const { id, name } = agent;
  const small = (label, draws, work, kind) => h('button', {
    type: 'button', class: `quiet ${kind} small icon-only`, 'aria-label': label, title: label, onclick: work,
  }, icon(draws));
  return [
    h('a', { class: 'button small', href: href('bots', 'agents', id) }, icon('chat'), t('bots.agent.try'), h('span', { class: 'visually-hidden' }, name)),
    small(t('bots.agent.editOf', { name }), 'settings', () => edit(agent, view), ''),
    small(t('bots.deleteOf', { name }), 'trash', () => remove(agent, view), 'bad'),
  ];
}

async function edit(agent, view) {
  const changed = await editAgent(agent, { signal: view.signal });
  if (!changed) return;
  view.agents = view.agents.map((one) => (one.id === changed.id ? changed : one));
  draw(view);
}

async function remove(agent, view) {
  if (!await removeAgent(agent, view)) return;
  view.agents = view.agents.filter(({ id }) => id !== agent.id);
  draw(view);
}

export async function removeAgent({ id, name }, { signal }) {
  const done = await confirm({
    title: t('bots.delete.title', { name }), text: t('bots.agent.delete.text'), action: t('bots.delete'), signal,
    run: () => api.delete(`agents/${id}`),
  });
  if (done) toast(t('bots.deleted', { name }));
  return done;
}
