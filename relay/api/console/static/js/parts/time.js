/* Moments that keep up with the clock.

    relative(instant)              → <time> "3 minutes ago", the exact moment as its title; "–" for null
    countdown(instant, {signal, onEnd})  → <span> "0:42", ticking; onEnd() once it is over
*/

import { h } from '../dom.js';
import { dateTime, language } from '../i18n.js';

const UNITS = [['year', 31_536_000], ['month', 2_592_000], ['day', 86_400], ['hour', 3600], ['minute', 60]];
const TICK_MS = 20_000;

setInterval(() => {
  for (const node of document.querySelectorAll('time[data-relative]')) say(node);
}, TICK_MS);

export function relative(instant) {
  if (!instant) return h('span', { class: 'soft' }, '–');
  const node = h('time', { datetime: instant, title: dateTime(instant), 'data-relative': true });
  say(node);
  return node;
}

export function countdown(instant, { signal, onEnd = () => {} } = {}) {
  const node = h('span', { class: 'number' });
  const tick = () => {
    const left = Math.max(0, Math.ceil((new Date(instant) - Date.now()) / 1000));
    node.textContent = `${Math.floor(left / 60)}:${String(left % 60).padStart(2, '0')}`;
    if (left > 0) return;
    clearInterval(ticking);
    onEnd();
  };
  const ticking = setInterval(tick, 500);
  signal?.addEventListener('abort', () => clearInterval(ticking), { once: true });
  tick();
  return node;
}

function say(node) {
  const seconds = (new Date(node.getAttribute('datetime')) - Date.now()) / 1000;
  const [unit, size] = UNITS.find(([, one]) => Math.abs(seconds) >= one) ?? ['second', 1];
  const amount = unit === 'second' ? 0 : Math.round(seconds / size);
  const words = new Intl.RelativeTimeFormat(language(), { numeric: 'auto' }).format(amount, unit);
  if (node.textContent !== words) node.textContent = words;
}
