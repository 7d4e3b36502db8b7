/* The dialogs for a new company and for changing one.

    createCompany(context)           → the company, after its first key was offered; undefined when none was made
    changeCompany(company, context)  → the company as it is now; undefined likewise
*/

import { api } from '../../api.js';
import { h } from '../../dom.js';
import { t } from '../../i18n.js';
import { openDialog } from '../../parts/dialog.js';
import { field } from '../../parts/form.js';
import { toast } from '../../parts/toast.js';
import { createKey } from '../keys/create.js';

const NEW = { name: '', retention: {} };

export async function createCompany(context) {
  const made = await openDialog({
    title: t('companies.create'),
    body: [name(NEW), h('details', {}, h('summary', {}, t('companies.retention')), h('div', { class: 'stack' }, days(NEW)))],
    actions: [
      { label: t('common.cancel') },
      { label: t('companies.create.button'), kind: 'primary', run: (given) => api.post('admin/tenants', wanted(given)) },
    ],
    signal: context.signal,
  });
  if (made) await offerKey(made, context);
  return made;
}

/** A company without a key is one that nobody can use. */
async function offerKey({ companyId, name: companyName }, context) {
  const yes = await openDialog({
    title: t('companies.created', { name: companyName }),
    body: h('p', {}, t('companies.firstKey.text')),
    actions: [
      { label: t('companies.firstKey.later') },
      { label: t('companies.firstKey.button'), kind: 'primary', value: true },
    ],
    signal: context.signal,
  });
  if (yes) await createKey(context, { companyId, companyName, name: t('companies.firstKey.name'), ready: 'all' });
}

export async function changeCompany(company, { signal }) {
  const changed = await openDialog({
    title: t('companies.change.title', { name: company.name }),
    body: [name(company), h('h3', {}, t('companies.retention')), days(company)],
    actions: [
      { label: t('common.cancel') },
      { label: t('common.save'), kind: 'primary', run: (given) => api.patch(`admin/tenants/${company.companyId}`, wanted(given)) },
    ],
    signal,
  });
  if (changed) toast(t('common.saved'));
  return changed;
}

function name(company) {
  return field({ label: t('companies.name'), name: 'name', value: company.name, required: true, maxlength: 200, autocomplete: 'off' });
}

function days({ retention }) {
  const one = (key) => field({
    label: t(`companies.days.${key}`), name: key, type: 'number', value: retention[key] ?? '', min: 1, max: 36500, step: 1, path: `retention.${key}`,
    placeholder: t('companies.days.usual'), autocomplete: 'off',
  });
  return [h('p', { class: 'soft small' }, t('companies.retention.text')), h('div', { class: 'fields' }, one('messageDays'), one('eventDays'), one('mediaDays'))];
}

/** All three: what is left out would take the server's setting. */
function wanted({ name: given, messageDays, eventDays, mediaDays }) {
  return { name: given, retention: { messageDays, eventDays, mediaDays } };
}
