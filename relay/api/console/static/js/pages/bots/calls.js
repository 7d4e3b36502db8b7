/* The last calls of an agent: how each came out, what it took; never what was said. */

import { api } from '../../api.js';
import { h, replace } from '../../dom.js';
import { number, t } from '../../i18n.js';
import { failed } from '../../parts/states.js';
import { badge } from '../../parts/status.js';
import { table } from '../../parts/table.js';
import { relative } from '../../parts/time.js';

const SHOWN = 10;
const KINDS = { answered: 'good', handoff: 'info', empty: 'off', cancelled: 'off' };

/** → {element, look()}. */
export async function calls(id, { signal }) {
  const list = table({ caption: t('bots.calls'), columns: columns(), key: (call) => call.id });
  const place = h('div');
  async function look() {
    try {
      const { calls: found } = await api.get(`agents/${id}/calls`, { limit: SHOWN }, { signal });
      list.update(found);
      replace(place, found.length ? list : h('p', { class: 'soft' }, t('bots.calls.none')));
    } catch (error) {
      if (error.name !== 'AbortError') replace(place, failed(error, look));
    }
  }
  await look();
  return { element: h('section', { class: 'stack tight', 'aria-label': t('bots.calls') }, h('h2', {}, t('bots.calls')), place), look };
}

function columns() {
  return [
    { title: t('bots.calls.at'), class: 'lead', cell: ({ at }) => relative(at) },
    { title: t('bots.calls.outcome'), cell: ({ outcome }) => badge(KINDS[outcome] ?? 'bad', t(`bots.outcome.${outcome}.short`)) },
    { title: t('bots.calls.took'), class: 'numeric', cell: ({ durationSeconds }) => t('bots.agent.seconds', { seconds: number(durationSeconds, { maximumFractionDigits: durationSeconds < 1 ? 2 : 1 }) }) },
    { title: t('bots.calls.tokens'), class: 'numeric', cell: ({ usage }) => number(usage.promptTokens + usage.completionTokens) },
  ];
}
