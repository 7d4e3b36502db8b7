/* One agent: a chat that asks it for real and sends nothing, and what its last calls came to. */

import { api } from '../../api.js';
import { h, replace } from '../../dom.js';
import { t } from '../../i18n.js';
import { icon } from '../../icons.js';
import { confirm } from '../../parts/confirm.js';
import { pageHeader } from '../../parts/header.js';
import { loading } from '../../parts/states.js';
import { tag } from '../../parts/status.js';
import { go } from '../../routes.js';
import { editAgent, showSecret } from './agent_form.js';
import { enabledBadge, removeAgent } from './agents.js';
import { back, orGone } from './back.js';
import { calls } from './calls.js';
import { tryBox } from './try_agent.js';
import { usage } from './usage.js';

export async function showAgent(container, id, { signal }) {
  replace(container, loading());
  const agent = await orGone(container, 'agents', () => api.get(`agents/${id}`, {}, { signal }));
  if (!agent) return;
  const head = h('div');
  const list = await calls(id, { signal });
  const used = await usage({ signal });
  drawHead(head, agent, { signal });
  replace(container,
    back('agents'),
    head,
    h('div', { class: 'bot-bench even' },
      tryBox(agent, { signal, onAnswer: () => { list.look(); used.look(); } }),
      h('div', { class: 'stack' }, list.element, used.element)));
}

function drawHead(head, agent, { signal }) {
  const edit = async () => {
    const changed = await editAgent(agent, { signal });
    if (changed) drawHead(head, changed, { signal });
  };
  const remove = async () => {
    if (await removeAgent(agent, { signal })) go('bots', 'agents');
  };
  const page = pageHeader({
    title: agent.name,
    actions: [
      agent.kind === 'http' && h('button', { type: 'button', onclick: () => rotate(agent, { signal }) }, icon('refresh'), t('bots.secret.rotate')),
      h('button', { type: 'button', onclick: edit }, icon('settings'), t('bots.agent.edit')),
      h('button', { type: 'button', class: 'quiet bad', onclick: remove }, icon('trash'), t('bots.delete')),
    ],
  });
  page.firstElementChild.append(h('p', { class: 'row' },
    enabledBadge(agent.enabled), tag(t(`bots.agent.kind.${agent.kind}`)), h('span', { class: 'mono' }, agent.settings.model ?? agent.settings.url)));
  replace(head, page);
}

async function rotate({ id }, { signal }) {
  let secret;
  const done = await confirm({
    title: t('bots.secret.rotate.title'), text: t('bots.secret.rotate.text'), action: t('bots.secret.rotate'), kind: 'primary', signal,
    run: async () => { ({ secret } = await api.post(`agents/${id}/rotate-secret`)); },
  });
  if (done) await showSecret(secret, { signal });
}
