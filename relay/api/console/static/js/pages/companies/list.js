/* companyTable({change, remove}) → the table of companies. «Open» and «Keys» choose the company, and go there. */

import { h } from '../../dom.js';
import { number, t } from '../../i18n.js';
import { icon } from '../../icons.js';
import { copyButton } from '../../parts/copy.js';
import { tag } from '../../parts/status.js';
import { table } from '../../parts/table.js';
import { relative } from '../../parts/time.js';
import { go } from '../../routes.js';

export function companyTable(work) {
  return table({
    caption: t('companies.title'),
    key: ({ companyId }) => companyId,
    columns: [
      { title: t('companies.company'), class: 'lead', cell: who },
      { title: t('companies.sessions'), cell: ({ sessions }) => h('span', { class: 'number' }, number(sessions)) },
      { title: t('companies.kept'), cell: kept },
      { title: t('companies.createdAt'), cell: ({ createdAt }) => relative(createdAt) },
      { title: t('companies.actions'), class: 'actions', cell: (company) => actions(company, work) },
    ],
  });
}

function who({ name, companyId, isChosen }) {
  return h('div', { class: 'company-who' },
    h('span', { class: 'row' }, h('strong', {}, name), isChosen && tag(t('companies.chosen'))),
    h('span', { class: 'company-id' }, h('span', { class: 'mono soft' }, companyId), copyButton(companyId, t('companies.copyId', { name }))));
}

function kept({ retention }) {
  const days = ['messageDays', 'eventDays', 'mediaDays'].filter((name) => retention[name] !== null);
  if (days.length === 0) return h('span', { class: 'soft small' }, t('companies.retention.usual'));
  return h('ul', { class: 'small' }, days.map((name) => h('li', {}, t(`companies.kept.${name}`, { count: retention[name] }))));
}

function actions(company, { change, remove }) {
  const { name } = company;
  const whose = () => h('span', { class: 'visually-hidden' }, ` ${name}`);
  const small = (label, draw, work, kind) => h('button', {
    type: 'button', class: `quiet small icon-only ${kind}`, 'aria-label': t(label, { name }), title: t(label, { name }), onclick: () => work(company),
  }, icon(draw));
  return [
    h('button', { type: 'button', class: 'small', onclick: () => open(company, 'start') }, icon('right'), t('companies.open'), whose()),
    h('button', { type: 'button', class: 'small', onclick: () => open(company, 'keys') }, icon('key'), t('companies.keys'), whose()),
    small('companies.changeOf', 'settings', change, ''),
    small('companies.deleteOf', 'trash', remove, 'bad'),
  ];
}

function open({ companyId }, page) {
  go(page);
  document.dispatchEvent(new CustomEvent('relay:company', { detail: companyId }));
}
