/* A session's state in words and colour.

    nameOf(status)          'Connected'
    stateBadge(session)     the badge
    reasonOf(session)       the sentence behind it, or null where the state says it all
*/

import { has, t } from '../../i18n.js';
import { badge } from '../../parts/status.js';

export const STATUSES = ['connected', 'connecting', 'disconnected', 'failed'];
const KINDS = { connected: 'good', connecting: 'busy', disconnected: 'off', failed: 'bad' };
// These wait for a person: nothing is being tried by itself.
const WAITS = ['waiting_for_scan', 'waiting_for_code'];

export function nameOf(status) {
  return t(`sessions.status.${status}`);
}

export function isWaiting(session) {
  return session.status === 'connecting' && WAITS.includes(session.reason);
}

export function stateBadge(session) {
  if (isWaiting(session)) return badge('info', t('sessions.status.waiting'));
  return badge(KINDS[session.status], nameOf(session.status));
}

export function reasonOf({ reason, detail }) {
  if (!reason) return null;
  return has(`sessions.reason.${reason}`) ? t(`sessions.reason.${reason}`) : detail;
}
