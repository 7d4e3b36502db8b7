/* keyTable(context) → the table of keys; context {who, signal, ofOperator, changed()}: changed() looks at the list again. */

import { h } from '../../dom.js';
import { t } from '../../i18n.js';
import { icon } from '../../icons.js';
import { table } from '../../parts/table.js';
import { relative } from '../../parts/time.js';
import { revokeKey, rotateKey } from './actions.js';
import { isOver, scopeTags, stateBadge } from './words.js';

export function keyTable(context) {
  return table({
    caption: t('keys.title'),
    key: ({ id }) => id,
    columns: [
      { title: t('keys.key'), class: 'lead', cell: (key) => what(key, context) },
      { title: t('keys.scopes'), cell: scopeTags },
      { title: t('keys.createdAt'), cell: ({ createdAt }) => relative(createdAt) },
      { title: t('keys.lastUsedAt'), cell: lastUsed },
      { title: t('keys.state'), cell: stateBadge },
      { title: t('keys.actions'), class: 'actions', cell: (key) => !isOver(key) && actions(key, context) },
    ],
  });
}

function what({ id, name, hint }, { who }) {
  return h('div', { class: 'key-what' },
    h('strong', {}, name),
    h('span', { class: 'mono soft' }, hint),
    id === who.keyId && h('span', { class: 'key-own' }, icon('person'), t('keys.own')));
}

function lastUsed({ lastUsedAt }) {
  return lastUsedAt ? relative(lastUsedAt) : h('span', { class: 'soft small' }, t('keys.lastUsedAt.never'));
}

function actions(key, context) {
  const press = (work) => async () => { if (await work(key, context)) context.changed(); };
  const whose = h('span', { class: 'visually-hidden' }, ` ${key.name}`);
  return [
    h('button', { type: 'button', class: 'small', onclick: press(rotateKey) }, icon('refresh'), t('keys.rotate'), whose),
    h('button', { type: 'button', class: 'quiet small bad', onclick: press(revokeKey) }, icon('trash'), t('keys.revoke'), whose.cloneNode(true)),
  ];
}
