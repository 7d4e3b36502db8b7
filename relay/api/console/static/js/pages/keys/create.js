/* createKey({signal}, {companyId, companyName, name, ready}) → the new key without its text, after that was shown; undefined when none was made.
   An operator's chosen company gets it, or the one that is named; `ready` is the ready-made choice to begin with. */

import { ApiError, api } from '../../api.js';
import { h } from '../../dom.js';
import { t } from '../../i18n.js';
import { openDialog } from '../../parts/dialog.js';
import { field } from '../../parts/form.js';
import { showKey } from './shown.js';
import { SCOPES, scopeName } from './words.js';

const READY = {
  crm: ['messages:read', 'messages:send'],
  panel: ['messages:read', 'messages:send', 'sessions', 'webhooks', 'rules'],
  all: SCOPES,
};

export async function createKey({ signal }, { companyId, companyName, name, ready } = {}) {
  const owner = companyId ? { companyId } : api.owner();
  const made = await openDialog({
    title: companyName ? t('keys.create.for', { name: companyName }) : t('keys.create'),
    wide: true,
    body: [
      field({
        label: t('keys.name'), name: 'name', value: name, required: true, maxlength: 200, autocomplete: 'off',
        placeholder: t('keys.name.example'), hint: t('keys.name.hint'),
      }),
      scopeChoice(ready),
      field({ label: t('keys.expiresAt'), name: 'expiresAt', type: 'date', min: today(), hint: t('keys.expiresAt.hint') }),
    ],
    actions: [
      { label: t('common.cancel') },
      { label: t('keys.create.button'), kind: 'primary', run: (given, form) => api.post('admin/keys', { ...owner, ...wanted(given, form) }) },
    ],
    signal,
  });
  if (!made) return undefined;
  const { key, ...rest } = made;
  await showKey(key, rest, t('keys.created'));
  return rest;
}

/** Ticks, and ready-made choices that set them. Who may administrate may do everything: then all are set, and say so. */
function scopeChoice(ready) {
  const boxes = SCOPES.map((scope) => h('input', { type: 'checkbox', name: `scope ${scope}`, 'data-scope': scope }));
  const admin = boxes.at(-1);
  const settle = () => {
    for (const box of boxes.slice(0, -1)) {
      if (admin.checked) box.checked = true;
      box.disabled = admin.checked;
    }
  };
  admin.addEventListener('change', settle);
  const choose = (scopes) => {
    for (const box of boxes) box.checked = scopes.includes(box.dataset.scope);
    settle();
  };
  if (ready) choose(READY[ready]);
  return h('fieldset', { class: 'field', 'data-path': 'scopes' },
    h('legend', {}, t('keys.scopes.what')),
    h('div', { class: 'row', role: 'group', 'aria-label': t('keys.ready') },
      h('span', { class: 'soft small' }, t('keys.ready')),
      Object.entries(READY).map(([name, scopes]) => h('button', { type: 'button', class: 'small', onclick: () => choose(scopes) }, t(`keys.ready.${name}`)))),
    h('div', { class: 'choices' }, boxes.map((box) => h('label', { class: 'choice' }, box,
      h('span', {}, h('strong', {}, scopeName(box.dataset.scope)), h('span', { class: 'soft small' }, t(`keys.scope.${box.dataset.scope}.hint`)))))),
    h('p', { class: 'error', hidden: true }));
}

function wanted({ name, expiresAt }, form) {
  const scopes = [...form.querySelectorAll('[data-scope]:checked')].map((box) => box.dataset.scope);
  if (scopes.length === 0) throw new ApiError({ status: 0, code: 'no_scope', detail: '', path: 'scopes' });
  // The day that was chosen still counts, as the person's clock has it.
  return { name, scopes, ...(expiresAt && { expiresAt: new Date(`${expiresAt}T23:59:59`).toISOString() }) };
}

function today() {
  const now = new Date();
  return [now.getFullYear(), now.getMonth() + 1, now.getDate()].map((part) => String(part).padStart(2, '0')).join('-');
}
