/* How far a message of ours has come: ticks(status) → element, in a drawing and in words; failureOf(message) → a sentence or null. */

import { h, svg } from '../../dom.js';
import { has, t } from '../../i18n.js';
import { icon } from '../../icons.js';

const ONE = 'M2 12.5l4.5 4.5L16 7.5';
const TWO = `${ONE}M11 16l1 1l9.5-9.5`;
const DRAWN = { queued: 'clock', sending: 'clock', failed: 'alert', unknown: 'alert' };

export function ticks(status) {
  const words = t(`conversations.status.${status}`);
  return h('span', { class: `ticks ${status}`, title: words },
    DRAWN[status] ? icon(DRAWN[status]) : marks(status === 'sent' ? ONE : TWO),
    h('span', { class: 'visually-hidden' }, words));
}

export function failureOf({ status, error }) {
  if (status === 'unknown') return t('conversations.error.outcome_unknown');
  if (status !== 'failed') return null;
  const key = `conversations.error.${error}`;
  return has(key) ? t(key) : t('conversations.error.other');
}

function marks(path) {
  return svg('svg', {
    class: 'icon', viewBox: '0 0 24 24', fill: 'none', stroke: 'currentColor', 'stroke-width': '2',
    'stroke-linecap': 'round', 'stroke-linejoin': 'round', 'aria-hidden': 'true', focusable: 'false',
  }, svg('path', { d: path }));
}
