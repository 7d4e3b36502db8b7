/* What is done to a session with one press or one question; each tells the list what came of it. */

import { api } from '../../api.js';
import { sentence, t } from '../../i18n.js';
import { confirm } from '../../parts/confirm.js';
import { openDialog } from '../../parts/dialog.js';
import { busy, field } from '../../parts/form.js';
import { toast } from '../../parts/toast.js';
import { showConnect } from './connect.js';
import { isWaiting } from './words.js';

const at = ({ id }) => `whatsapp/sessions/${id}`;

/** A linked phone needs no new code; where it was unlinked meanwhile, its code is shown. */
export async function reconnect(session, context, button) {
  const now = await tried(button, () => api.post(`${at(session)}/connect`));
  if (!now) return;
  context.changed(now);
  if (isWaiting(now)) showConnect(now, context);
}

export async function simulateScan(session, context, button) {
  const now = await tried(button, () => api.post(`${at(session)}/sandbox/scan`));
  if (!now) return;
  context.changed(now);
  if (now.status === 'connected') toast(t('sessions.connectedNow', { name: now.name }));
}

export async function disconnect(session, context) {
  await openDialog({
    title: t('sessions.disconnect.title', { name: session.name }),
    body: session.phone
      ? field({
        label: t('sessions.disconnect.how'), name: 'how', type: 'choice', value: 'disconnect',
        options: [
          ['disconnect', t('sessions.disconnect.keep'), t('sessions.disconnect.keep.hint')],
          ['logout', t('sessions.disconnect.unlink'), t('sessions.disconnect.unlink.hint')],
        ],
      })
      : t('sessions.disconnect.trying'),
    actions: [
      { label: t('common.cancel') },
      {
        label: t('sessions.disconnect'), kind: 'primary',
        run: async ({ how = 'disconnect' }) => { context.changed(await api.post(`${at(session)}/${how}`)); },
      },
    ],
    signal: context.signal,
  });
}

export async function deleteSession(session, context) {
  const done = await confirm({
    title: t('sessions.delete.title', { name: session.name }),
    text: t('sessions.delete.text'),
    action: t('sessions.delete'),
    run: () => api.delete(at(session)),
    signal: context.signal,
  });
  if (!done) return;
  context.removed(session.id);
  toast(t('sessions.deleted', { name: session.name }));
}

async function tried(button, work) {
  try {
    return await busy(button, work);
  } catch (error) {
    if (error.name !== 'ApiError') throw error;
    toast(sentence(error), { kind: 'bad' });
    return null;
  }
}
