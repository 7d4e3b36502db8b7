/* What is done to a key.

    rotateKey(key, context)    a new text in place of the old one, which works on for a while  → true when it was done
    revokeKey(key, context)    it opens nothing any more                                       → true when it was done
*/

import { api } from '../../api.js';
import { h } from '../../dom.js';
import { t } from '../../i18n.js';
import { icon } from '../../icons.js';
import { confirm } from '../../parts/confirm.js';
import { openDialog } from '../../parts/dialog.js';
import { field } from '../../parts/form.js';
import { toast } from '../../parts/toast.js';
import { showKey } from './shown.js';
import { mayDo } from './words.js';

const OVERLAPS = [['0', 'now'], ['3600', 'hour'], ['86400', 'day'], ['604800', 'week']];
const USUAL = '86400';

export async function rotateKey(key, { who, signal }) {
  const isOwn = key.id === who.keyId;
  const made = await openDialog({
    title: t('keys.rotate.title', { name: key.name }),
    body: [
      h('p', {}, t('keys.rotate.text')),
      field({
        label: t('keys.rotate.overlap'), name: 'overlapSeconds', type: 'choice', value: USUAL,
        options: OVERLAPS.map(([seconds, name]) => [seconds, t(`keys.rotate.${name}`), t(`keys.rotate.${name}.hint`)]),
      }),
      isOwn && h('div', { class: 'alert info' }, icon('info'), h('span', {}, t('keys.rotate.own'))),
    ],
    actions: [
      { label: t('common.cancel') },
      {
        label: t('keys.rotate.button'), kind: 'primary',
        run: async ({ overlapSeconds }) => {
          const overlap = Number(overlapSeconds);
          return { overlap, ...await api.post(`admin/keys/${key.id}/rotate`, { overlapSeconds: overlap }) };
        },
      },
    ],
    signal,
  });
  if (!made) return false;
  const { key: text, overlap, ...rest } = made;
  await showKey(text, rest, overlap ? t('keys.rotate.both') : t('keys.rotate.only'));
  return true;
}

export async function revokeKey(key, { who, signal, ofOperator }) {
  const isOwn = key.id === who.keyId;
  const done = await confirm({
    title: t('keys.revoke.title', { name: key.name }),
    text: [
      t('keys.revoke.text', { list: mayDo(key) }),
      t('keys.revoke.people'),
      ofOperator && t('keys.revoke.operator'),
      isOwn && h('strong', {}, t('keys.revoke.own')),
    ].filter(Boolean),
    action: t('keys.revoke'),
    run: () => api.delete(`admin/keys/${key.id}`),
    signal,
  });
  if (done) toast(t('keys.revoked', { name: key.name }));
  return done;
}
