/* What is done to an endpoint with one press or one question.

    testEndpoint(endpoint, context, button)   sends a test event and shows what becomes of it
    rotateSecret(endpoint, context)           a new secret, shown once
    switchEndpoint(endpoint, context)         → the endpoint, switched on or off; undefined when it was left as it is
    deleteEndpoint(endpoint, context)         → true when it is gone
    showSecret(secret, context, text)         the dialog with a secret
*/

import { api } from '../../api.js';
import { h } from '../../dom.js';
import { sentence, t } from '../../i18n.js';
import { icon } from '../../icons.js';
import { confirm } from '../../parts/confirm.js';
import { copyable } from '../../parts/copy.js';
import { openDialog } from '../../parts/dialog.js';
import { busy, field } from '../../parts/form.js';
import { toast } from '../../parts/toast.js';
import { showDelivery } from './delivery.js';
import { nameOf } from './words.js';

const DAY_SECONDS = 86_400;

const at = ({ id }) => `webhooks/endpoints/${id}`;

export async function testEndpoint(endpoint, context, button) {
  const sent = await busy(button, () => tried(() => api.post(`${at(endpoint)}/test`)));
  if (!sent) return;
  await showDelivery(sent.deliveryId, context, { title: t('webhooks.test.title', { name: nameOf(endpoint) }) });
}

export function showSecret(secret, { signal }, text) {
  return openDialog({
    title: t('webhooks.secret.title'),
    body: [
      h('p', {}, text),
      copyable(secret, t('webhooks.secret.copy')),
      h('div', { class: 'alert busy' }, icon('alert'), h('span', {}, t('webhooks.secret.once'))),
      h('p', { class: 'soft' }, t('webhooks.secret.use')),
    ],
    actions: [{ label: t('webhooks.secret.done'), kind: 'primary' }],
    signal,
  });
}

export async function rotateSecret(endpoint, context) {
  const made = await openDialog({
    title: t('webhooks.rotate.title', { name: nameOf(endpoint) }),
    wide: true,
    body: [
      h('p', {}, t('webhooks.rotate.text')),
      field({
        label: t('webhooks.rotate.overlap'), name: 'overlapSeconds', type: 'choice', value: String(DAY_SECONDS),
        options: [
          [String(DAY_SECONDS), t('webhooks.rotate.day'), t('webhooks.rotate.day.hint')],
          [String(7 * DAY_SECONDS), t('webhooks.rotate.week'), t('webhooks.rotate.week.hint')],
          ['0', t('webhooks.rotate.now'), t('webhooks.rotate.now.hint')],
        ],
      }),
    ],
    actions: [
      { label: t('common.cancel') },
      {
        label: t('webhooks.rotate.button'), kind: 'primary',
        run: async ({ overlapSeconds }) => {
          const overlap = Number(overlapSeconds);
          return { overlap, ...await api.post(`${at(endpoint)}/rotate`, { overlapSeconds: overlap }) };
        },
      },
    ],
    signal: context.signal,
  });
  if (made) await showSecret(made.secret, context, made.overlap ? t('webhooks.rotate.both') : t('webhooks.rotate.only'));
}

export async function switchEndpoint(endpoint, context) {
  if (endpoint.status === 'disabled') {
    const now = await tried(() => api.patch(at(endpoint), { status: 'enabled' }));
    if (now) toast(t('webhooks.enabled'));
    return now;
  }
  let now;
  await confirm({
    title: t('webhooks.disable.title', { name: nameOf(endpoint) }),
    text: t('webhooks.disable.text'),
    action: t('webhooks.disable'),
    kind: 'primary',
    run: async () => { now = await api.patch(at(endpoint), { status: 'disabled' }); },
    signal: context.signal,
  });
  return now;
}

export async function deleteEndpoint(endpoint, { signal }) {
  const done = await confirm({
    title: t('webhooks.delete.title', { name: nameOf(endpoint) }),
    text: t('webhooks.delete.text'),
    action: t('webhooks.delete'),
    run: () => api.delete(at(endpoint)),
    signal,
  });
  if (done) toast(t('webhooks.deleted', { name: nameOf(endpoint) }));
  return done;
}

/** Its answer; a refusal is said in the corner. */
export async function tried(work) {
  try {
    return await work();
  } catch (error) {
    if (error.name !== 'ApiError') throw error;
    toast(sentence(error), { kind: 'bad' });
    return undefined;
  }
}
