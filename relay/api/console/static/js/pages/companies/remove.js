/* deleteCompany(company, {signal}) → true when it is gone, after its name was typed. */

import { ApiError, api } from '../../api.js';
import { h } from '../../dom.js';
import { t } from '../../i18n.js';
import { openDialog } from '../../parts/dialog.js';
import { field } from '../../parts/form.js';
import { toast } from '../../parts/toast.js';

const GOES = ['sessions', 'messages', 'bots', 'webhooks', 'keys'];

export async function deleteCompany({ companyId, name }, { signal }) {
  const done = await openDialog({
    title: t('companies.delete.title', { name }),
    body: [
      h('p', {}, t('companies.delete.text')),
      h('ul', { class: 'company-goes' }, GOES.map((what) => h('li', {}, t(`companies.delete.goes.${what}`)))),
      h('p', {}, h('strong', {}, t('companies.delete.forever')), ' ', t('companies.delete.phones')),
      field({
        label: t('companies.delete.typed', { name }), name: 'typed', autocomplete: 'off', autocapitalize: 'off', spellcheck: 'false',
      }),
    ],
    actions: [
      { label: t('common.cancel') },
      {
        label: t('companies.delete'), kind: 'danger',
        run: async ({ typed }) => {
          if (typed !== name.trim()) throw new ApiError({ status: 0, code: 'name_differs', detail: '', path: 'typed' });
          await api.delete(`admin/tenants/${companyId}`);
          return true;
        },
      },
    ],
    signal,
  });
  if (done) toast(t('companies.deleted', { name }));
  return done;
}
