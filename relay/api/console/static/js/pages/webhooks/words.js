/* Endpoints, deliveries and attempts in words and colour.

    nameOf(endpoint)          its description, else its host
    healthBadge(endpoint)     working, failing, switched off
    healthText(endpoint, figures)  what is wrong and what to do; null where nothing is
    statusBadge(status)       of a delivery
    outcomeBadge(attempt)     of an attempt, with the answer's status code
    took(seconds)             '84 ms', '2.1 s'
*/

import { has, number, t } from '../../i18n.js';
import { badge } from '../../parts/status.js';

export const STATUSES = ['pending', 'succeeded', 'exhausted', 'cancelled'];
const KINDS = { pending: 'busy', succeeded: 'good', exhausted: 'bad', cancelled: 'off' };

export function nameOf({ description, url }) {
  return description || new URL(url).host;
}

export function healthBadge({ status, failingSince }) {
  if (status === 'disabled') return badge('off', t('webhooks.health.disabled'));
  return failingSince ? badge('bad', t('webhooks.health.failing')) : badge('good', t('webhooks.health.enabled'));
}

export function healthText({ status, disabledReason, failingSince }, { owed }) {
  if (status === 'disabled') {
    const reason = `webhooks.disabled.${disabledReason}`;
    return has(reason) ? t(reason) : t('webhooks.disabled.requested');
  }
  if (!failingSince) return null;
  return owed > 0 ? t('webhooks.failing.text') : t('webhooks.failing.ended');
}

export function statusName(status) {
  return t(`webhooks.status.${status}`);
}

export function statusBadge(status) {
  return badge(KINDS[status], statusName(status));
}

export function outcomeBadge({ outcome, statusCode }) {
  const kind = { succeeded: 'good', cancelled: 'off' }[outcome] ?? 'bad';
  const words = t(`webhooks.outcome.${outcome}`);
  return badge(kind, statusCode ? `${statusCode} · ${words}` : words);
}

export function took(seconds) {
  const [unit, value, digits] = seconds < 1 ? ['millisecond', seconds * 1000, 0] : ['second', seconds, 1];
  return number(value, { style: 'unit', unit, unitDisplay: 'short', maximumFractionDigits: digits });
}
