/* charts() → {element, update({minutes})}: the last hour as four small charts, and the same as a table. */

import { h } from '../../dom.js';
import { number, t, time } from '../../i18n.js';
import { table } from '../../parts/table.js';
import { chart } from './chart.js';

const CHARTS = [['received'], ['sent', 'failed'], ['answered'], ['delivered', 'undelivered']];
const KINDS = CHARTS.flat();

export function charts() {
  const drawn = CHARTS.map((kinds) => chart(kinds));
  const rows = table({
    caption: t('health.hour'), key: ({ at }) => at, whole: true,
    columns: [
      { title: t('health.minute'), class: 'lead', cell: ({ at }) => h('strong', {}, time(at)) },
      ...KINDS.map((kind) => ({ title: t(`health.${kind}`), class: 'numeric', cell: (minute) => number(minute[kind]) })),
    ],
  });
  const nothing = h('p', { class: 'soft' }, t('health.hour.quiet'));
  const element = h('section', { class: 'health-section', 'aria-labelledby': 'health-hour' },
    h('h2', { id: 'health-hour' }, t('health.hour')),
    h('div', { class: 'health-charts' }, drawn.map((one) => one.element)),
    h('details', { class: 'health-table' }, h('summary', {}, t('health.table')), nothing, rows));

  function update({ minutes }) {
    for (const one of drawn) one.update(minutes);
    const busy = minutes.filter((minute) => KINDS.some((kind) => minute[kind] > 0)).reverse();
    nothing.hidden = busy.length > 0;
    rows.hidden = busy.length === 0;
    rows.update(busy);
  }

  return { element, update };
}
