/* A contact as bots know it: number, tags, variables, whether bots answer. showContact(contactId, {who, signal}) → what changed, or undefined. */

import { api } from '../../api.js';
import { h } from '../../dom.js';
import { dateTime, t } from '../../i18n.js';
import { openDialog } from '../../parts/dialog.js';
import { field } from '../../parts/form.js';
import { phone } from '../../parts/phone.js';

export async function showContact(contact, { who, signal }) {
  const mayChange = who.can('messages:send');
  const save = async ({ tags, ignored, ...removed }) => api.patch(`whatsapp/contacts/${contact.id}`, {
    tags: [...new Set(tags.split(',').map((tag) => tag.trim()).filter(Boolean))],
    ignored,
    vars: Object.fromEntries(Object.entries(removed).filter(([, isGone]) => isGone).map(([name]) => [name.slice(4), null])),
  }, { signal });
  return openDialog({
    title: contact.name ?? t('conversations.contact.title'),
    body: [facts(contact), mayChange ? fields(contact) : null, variables(contact, mayChange)],
    actions: mayChange
      ? [{ label: t('common.cancel') }, { label: t('common.save'), kind: 'primary', run: save }]
      : [{ label: t('common.close') }],
    signal,
  });
}

function facts({ pn, lid, firstSeenAt, tags, ignored }) {
  const row = (title, words) => words && [h('dt', {}, title), h('dd', {}, words)];
  return h('dl', { class: 'contact-facts' },
    row(t('conversations.contact.number'), phone(pn)),
    !pn && row(t('conversations.contact.lid'), lid),
    row(t('conversations.contact.since'), dateTime(firstSeenAt)),
    row(t('conversations.contact.tags'), tags.join(', ')),
    ignored && row(t('conversations.contact.bots'), t('conversations.contact.isIgnored')));
}

function fields({ tags, ignored }) {
  return [
    field({ label: t('conversations.contact.tagsEdit'), name: 'tags', value: tags.join(', '), hint: t('conversations.contact.tags.hint') }),
    field({ label: t('conversations.contact.ignored'), name: 'ignored', type: 'check', value: ignored, hint: t('conversations.contact.ignored.hint') }),
  ];
}

function variables({ vars }, mayChange) {
  const names = Object.keys(vars).sort();
  if (names.length === 0) return null;
  return h('section', { class: 'stack tight' },
    h('h3', {}, t('conversations.contact.vars')),
    h('ul', { class: 'contact-vars' }, names.map((name) => h('li', {},
      h('code', {}, name), h('code', { class: 'soft' }, JSON.stringify(vars[name])),
      mayChange && field({ label: t('conversations.contact.remove', { name }), name: `var ${name}`, type: 'check' })))));
}
