/* How an endpoint is doing, in figures.

    owedText(figures)         how many deliveries wait for it, and since when the oldest
    attemptStrip(attempts)    its last attempts as little marks, the oldest on the left, with a sentence for those who do not see them
    healthCards(endpoint, figures)
*/

import { h } from '../../dom.js';
import { number, t } from '../../i18n.js';
import { relative } from '../../parts/time.js';
import { healthBadge, outcomeBadge, took } from './words.js';

export function owedText({ owed, oldestOwedAt }) {
  if (owed === 0) return h('span', { class: 'soft' }, t('webhooks.owed.none'));
  return h('div', {},
    h('strong', { class: 'number' }, number(owed)),
    h('p', { class: 'soft small' }, t('webhooks.owed.oldest'), ' ', relative(oldestOwedAt)));
}

export function attemptStrip(attempts) {
  if (attempts.length === 0) return h('span', { class: 'soft' }, t('webhooks.lastAttempts.none'));
  const good = attempts.filter(({ outcome }) => outcome === 'succeeded').length;
  return h('div', { class: 'stack tight' },
    h('div', { class: 'attempt-strip', 'aria-hidden': 'true' },
      [...attempts].reverse().map((attempt) => h('span', { class: attempt.outcome, title: told(attempt) }))),
    h('p', { class: 'soft small' }, t('webhooks.lastAttempts.good', { good: number(good), all: number(attempts.length) })));
}

function told({ outcome, statusCode, durationSeconds }) {
  return [statusCode, t(`webhooks.outcome.${outcome}`), took(durationSeconds)].filter(Boolean).join(' · ');
}

export function healthCards(endpoint, figures) {
  const [latest] = figures.lastAttempts;
  return [
    card(t('webhooks.health'), h('div', {}, healthBadge(endpoint)),
      endpoint.failingSince && h('p', { class: 'soft small' }, t('webhooks.since'), ' ', relative(endpoint.failingSince))),
    card(t('webhooks.owed'), owedText(figures)),
    card(t('webhooks.attempts'),
      h('strong', { class: 'number' }, t('webhooks.attempts.good', { count: figures.succeeded })),
      h('p', { class: 'soft small' }, t('webhooks.attempts.bad', { count: figures.failed }))),
    card(t('webhooks.lastAttempts'), attemptStrip(figures.lastAttempts),
      latest && h('div', { class: 'row' }, outcomeBadge(latest), h('span', { class: 'soft small' }, relative(latest.at)))),
  ];
}

function card(title, ...children) {
  return h('div', { class: 'card webhook-card' }, h('h2', { class: 'small soft' }, title), children);
}
