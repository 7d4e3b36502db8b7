/* The dialog for a new session; answers it, already connecting, or undefined. */

import { api, newId } from '../../api.js';
import { t } from '../../i18n.js';
import { openDialog } from '../../parts/dialog.js';
import { field } from '../../parts/form.js';

export function createSession({ signal }) {
  const idempotencyKey = newId();
  return openDialog({
    title: t('sessions.create'),
    body: [
      field({
        label: t('sessions.name'), name: 'name', required: true, maxlength: 200, autocomplete: 'off',
        placeholder: t('sessions.name.example'), hint: t('sessions.name.hint'),
      }),
      field({
        label: t('sessions.engine'), name: 'engine', type: 'choice', value: 'neonize',
        options: [
          ['neonize', t('sessions.engine.phone'), t('sessions.engine.phone.hint')],
          ['sandbox', t('sessions.engine.sandbox'), t('sessions.engine.sandbox.hint')],
        ],
      }),
    ],
    actions: [
      { label: t('common.cancel') },
      {
        label: t('sessions.create.button'), kind: 'primary',
        run: (given) => api.post('whatsapp/sessions', { ...api.owner(), ...given }, { idempotencyKey }),
      },
    ],
    signal,
  });
}
