/* Shadow mode: what rules would have said to real customers, who have heard nothing of it. */

import { api } from '../../api.js';
import { h, replace } from '../../dom.js';
import { t } from '../../i18n.js';
import { busy } from '../../parts/form.js';
import { phone } from '../../parts/phone.js';
import { empty } from '../../parts/states.js';
import { table } from '../../parts/table.js';
import { relative } from '../../parts/time.js';
import { spoken } from './answers.js';

export async function showShadow(content, { signal }) {
  const list = table({ caption: t('bots.tab.shadow'), columns: columns(), key: ({ id }) => id, whole: true });
  const shown = [];
  let cursor;

  async function more() {
    const page = await api.get('rules/shadow', { cursor }, { signal });
    shown.push(...page.decisions);
    cursor = page.nextCursor;
    list.update(shown);
    replace(content, shown.length === 0
      ? h('div', { class: 'card' }, empty({ icon: 'moon', title: t('bots.shadow.empty.title'), text: t('bots.shadow.empty.text') }))
      : h('div', { class: 'stack' }, h('p', { class: 'soft' }, t('bots.shadow.text')), list,
        cursor && h('p', {}, h('button', { type: 'button', onclick: (event) => busy(event.currentTarget, more) }, t('common.more')))));
  }

  await more();
}

function columns() {
  return [
    { title: t('bots.shadow.at'), class: 'lead', cell: ({ at }) => relative(at) },
    { title: t('bots.shadow.chat'), cell: ({ chat }) => h('span', { class: 'number' }, nameOf(chat)) },
    { title: t('bots.shadow.rule'), cell: ({ automation }) => cause(automation) },
    { title: t('bots.shadow.messages'), cell: ({ messages }) => h('ul', { class: 'stack tight' }, messages.map((message) => h('li', { class: 'bot-bubble shadow' }, spoken(message)))) },
  ];
}

function nameOf(chat) {
  const [digits, place] = chat.split('@');
  return place === 's.whatsapp.net' ? phone(digits) : t('bots.shadow.group');
}

function cause({ rule, flow, ruleSet }) {
  return h('span', {}, h('strong', {}, rule ?? flow ?? '–'), ruleSet && h('span', { class: 'soft' }, ` (${ruleSet})`));
}
