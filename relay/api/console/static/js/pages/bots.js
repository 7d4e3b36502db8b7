/* Bots: what answers by itself. Rules in YAML, tried out beside their text; agents; what rules in shadow mode would have said.

    #/bots                 rule sets          #/bots/rules/<name>    one: editor, simulator, versions
    #/bots/agents          agents             #/bots/agents/<id>     one: try-out box, calls, usage
    #/bots/try             a chat with all that is in force
    #/bots/shadow          shadow mode
*/

import { h, replace } from '../dom.js';
import { t } from '../i18n.js';
import { icon } from '../icons.js';
import { pageHeader } from '../parts/header.js';
import { loading } from '../parts/states.js';
import { href } from '../routes.js';
import { showAgent } from './bots/agent.js';
import { showAgents } from './bots/agents.js';
import { showRuleSet } from './bots/rule_set.js';
import { showShadow } from './bots/shadow.js';
import { showSets } from './bots/sets.js';
import { showTry } from './bots/try_all.js';

const TABS = { rules: showSets, agents: showAgents, try: showTry, shadow: showShadow };

export default {
  async show(container, { params, who, signal }) {
    const [place, id] = params.rest;
    const context = { who, signal };
    if (place === 'rules' && id) await showRuleSet(container, id, context);
    else if (place === 'agents' && id) await showAgent(container, id, context);
    else await showTab(container, Object.hasOwn(TABS, place ?? '') ? place : 'rules', context);
  },
};

async function showTab(container, chosen, context) {
  const actions = h('div', { class: 'row' });
  const content = h('div', {}, loading());
  const head = pageHeader({ title: t('bots.title'), text: t('bots.text') });
  head.append(actions);
  replace(container, head, tabs(chosen), content);
  await TABS[chosen](content, { ...context, actions });
}

function tabs(chosen) {
  const link = (name, draw) => h('a', {
    href: href('bots', name === 'rules' ? null : name), 'aria-current': name === chosen ? 'page' : null,
  }, icon(draw), t(`bots.tab.${name}`));
  return h('nav', { class: 'bot-tabs', 'aria-label': t('bots.sections') },
    link('rules', 'file'), link('agents', 'robot'), link('try', 'chat'), link('shadow', 'moon'));
}
