/* chart(kinds) → {element, update(minutes)}: bars, one for each minute, the kinds on top of each other.

What is drawn is also said: the total and the peak beside it, each minute's figures where the pointer is, and to the keyboard (left, right,
Home, End). Elements stay, whatever changes: nothing flickers, and the minute that is looked at stays under the eye.
*/

import { h, svg } from '../../dom.js';
import { number, t, time } from '../../i18n.js';

const WIDTH = 600;
const HEIGHT = 100;
const GAP = 0.25;
const STEPS = { ArrowLeft: -1, ArrowDown: -1, ArrowRight: 1, ArrowUp: 1, PageUp: 10, PageDown: -10, Home: -Infinity, End: Infinity };

export function chart(kinds) {
  const name = t(`health.chart.${kinds[0]}`);
  const totals = kinds.map(() => h('strong', { class: 'number' }));
  const said = h('p', { class: 'soft small health-said number' });
  const peak = h('span', { class: 'number', 'aria-hidden': 'true' });
  const mark = svg('rect', { class: 'mark', y: 0, height: HEIGHT, width: 0 });
  const bars = svg('g');
  const plot = h('div', {
    class: 'health-plot', role: 'slider', tabindex: '0', 'aria-label': t('health.chart.minute', { name }), 'aria-valuemin': '0',
    onpointermove: (event) => point(at(event)), onpointerdown: (event) => { focused = at(event); },
    onpointerleave: () => point(document.activeElement === plot ? focused : null),
    onkeydown: move, onfocus: () => point(focused ?? minutes.length - 1), onblur: () => { focused = null; point(null); },
  }, svg('svg', { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: 'none', 'aria-hidden': 'true', focusable: 'false' }, mark, bars));
  const element = h('figure', { class: 'card health-chart' },
    h('figcaption', {},
      h('h3', {}, name),
      h('div', { class: 'row health-totals' }, kinds.map((kind, index) => h('span', { class: `health-total ${kind}` }, totals[index], ' ', h('span', {}, t(`health.${kind}`))))),
      said),
    h('div', { class: 'health-peak small soft' }, peak),
    plot,
    h('div', { class: 'row apart small soft health-axis', 'aria-hidden': 'true' }, h('span', {}, t('health.axis.start')), h('span', {}, t('health.axis.end'))));
  let minutes = [];
  let pointed = null; // the minute that is looked at
  let focused = null; // the keyboard's

  function at(event) {
    const { left, width } = plot.getBoundingClientRect();
    return clamp(Math.floor(((event.clientX - left) / width) * minutes.length));
  }

  function clamp(index) {
    return Math.max(0, Math.min(minutes.length - 1, index));
  }

  function move(event) {
    const step = STEPS[event.key];
    if (step === undefined) return;
    event.preventDefault();
    focused = clamp((focused ?? minutes.length - 1) + step);
    point(focused);
  }

  function point(index) {
    pointed = index;
    const step = WIDTH / Math.max(1, minutes.length);
    set(mark, { width: index === null ? 0 : step, x: index === null ? 0 : index * step });
    const minute = minutes[index ?? focused ?? minutes.length - 1];
    if (!minute) return;
    const words = `${time(minute.at)}: ${kinds.map((kind) => t('health.value', { amount: minute[kind], kind: t(`health.${kind}`) })).join(', ')}`;
    write(said, index === null ? t('health.peak', { peak: Math.max(...minutes.map(sum)) }) : words);
    set(plot, { 'aria-valuenow': index ?? focused ?? minutes.length - 1, 'aria-valuetext': words, 'aria-valuemax': minutes.length - 1 });
  }

  function sum(minute) {
    return kinds.reduce((all, kind) => all + minute[kind], 0);
  }

  function update(next) {
    minutes = next;
    const most = Math.max(1, ...minutes.map(sum));
    kinds.forEach((kind, index) => write(totals[index], number(minutes.reduce((all, minute) => all + minute[kind], 0))));
    write(peak, number(most));
    draw(most);
    point(pointed);
  }

  function draw(most) {
    while (bars.childElementCount < minutes.length * kinds.length) {
      bars.append(svg('rect', { class: kinds[bars.childElementCount % kinds.length] }));
    }
    const step = WIDTH / minutes.length;
    minutes.forEach((minute, index) => {
      let y = HEIGHT;
      kinds.forEach((kind, layer) => {
        const height = (minute[kind] / most) * HEIGHT;
        y -= height;
        set(bars.children[index * kinds.length + layer], { x: (index + GAP / 2) * step, width: (1 - GAP) * step, y, height });
      });
    });
  }

  return { element, update };
}

function set(node, attributes) {
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
}

function write(node, words) {
  if (node.textContent !== words) node.textContent = words;
}
