/* What the company's agents have used in the last days, against what a day allows: await usage({signal}) → {element, look()}. */

import { api } from '../../api.js';
import { h, replace } from '../../dom.js';
import { date, number, t } from '../../i18n.js';

const DAYS = 14;

export async function usage({ signal }) {
  const element = h('section', { class: 'card stack', 'aria-label': t('bots.usage') });
  const look = async () => replace(element, parts(await api.get('agents/usage', { days: DAYS }, { signal })));
  await look();
  // What is on show stays where it fails.
  return { element, look: () => look().catch((error) => { if (!['AbortError', 'ApiError'].includes(error.name)) throw error; }) };
}

function parts({ days, callsPerDay, tokensPerDay }) {
  const today = new Date().toISOString().slice(0, 10);
  const used = days.find(({ day }) => day === today) ?? { calls: 0, tokens: 0 };
  return [
    h('h2', {}, t('bots.usage')),
    h('div', { class: 'fields' },
      meter(t('bots.usage.calls'), used.calls, callsPerDay), meter(t('bots.usage.tokens'), used.tokens, tokensPerDay)),
    days.length > 0 ? bars(days) : h('p', { class: 'soft small' }, t('bots.usage.none')),
  ];
}

function meter(label, used, most) {
  const share = most > 0 ? Math.min(used / most, 1) : 1;
  return h('div', { class: 'stack tight' },
    h('span', {}, h('strong', {}, label), ' ', h('span', { class: 'number' }, t('bots.usage.of', { used, most }))),
    h('div', { class: `meter ${share >= 1 ? 'full' : share >= 0.8 ? 'high' : ''}`, 'aria-hidden': 'true' }, h('span', { style: { width: `${share * 100}%` } })));
}

function bars(days) {
  const most = Math.max(...days.map(({ calls }) => calls), 1);
  return h('ul', { class: 'bot-days', 'aria-label': t('bots.usage.days') }, days.map(({ day, calls, tokens, cost }) => h('li', {},
    h('span', { class: 'small' }, date(`${day}T12:00:00`)),
    h('span', { class: 'bot-bar', 'aria-hidden': 'true' }, h('span', { style: { width: `${(calls / most) * 100}%` } })),
    h('span', { class: 'small number' }, t('bots.usage.dayCalls', { count: calls }), ' · ', t('bots.agent.tokens', { count: tokens }), cost > 0 && ` · ${t('bots.usage.cost', { cost: number(cost, { maximumFractionDigits: 4 }) })}`))));
}
