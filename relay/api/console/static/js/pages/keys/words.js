/* Keys in words and colour.

    SCOPES                what a key may be allowed to do, as the API names it
    scopeTags(key)        as little labels; `admin` opens everything, so it alone is said
    mayDo(key)            as one text: "Sessions, Bots and Webhooks"
    stateOf(key)          'works', 'ends' (it has an end), 'ended', 'revoked'
    isOver({state})       it opens nothing any more
    stateBadge(row)
*/

import { h } from '../../dom.js';
import { date, dateTime, language, t } from '../../i18n.js';
import { badge, tag } from '../../parts/status.js';
import { relative } from '../../parts/time.js';

export const SCOPES = ['messages:read', 'messages:send', 'sessions', 'webhooks', 'rules', 'admin'];

export function scopeName(scope) {
  return t(`keys.scope.${scope}`);
}

export function scopeTags(key) {
  return h('div', { class: 'key-scopes' }, names(key).map(tag));
}

export function mayDo(key) {
  return new Intl.ListFormat(language(), { type: 'conjunction' }).format(names(key));
}

function names({ scopes }) {
  if (scopes.includes('admin')) return [t('keys.scopes.all')];
  return SCOPES.filter((scope) => scopes.includes(scope)).map(scopeName);
}

export function stateOf({ expiresAt, revokedAt }) {
  if (revokedAt) return 'revoked';
  if (!expiresAt) return 'works';
  return new Date(expiresAt) > Date.now() ? 'ends' : 'ended';
}

export function isOver({ state }) {
  return state === 'ended' || state === 'revoked';
}

export function stateBadge({ state, expiresAt, revokedAt }) {
  const kind = { works: 'good', ends: 'info', ended: 'off', revoked: 'bad' }[state];
  return h('div', { class: 'stack tight' },
    h('div', {}, badge(kind, t(`keys.state.${state}`))),
    state === 'ends' && h('p', { class: 'soft small key-end' }, h('span', { title: dateTime(expiresAt) }, date(expiresAt)), relative(expiresAt)),
    state === 'ended' && h('p', { class: 'soft small' }, relative(expiresAt)),
    state === 'revoked' && h('p', { class: 'soft small' }, relative(revokedAt)));
}
