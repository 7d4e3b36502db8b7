/* showKey(text, key, words) → Promise: the dialog with a new key's text, which nobody can read again once it is closed.

It has no `signal`: whoever has just replaced the key that one is signed in with is signed out behind it, and still needs the text. */

import { h } from '../../dom.js';
import { t } from '../../i18n.js';
import { icon } from '../../icons.js';
import { copyButton, copyable } from '../../parts/copy.js';
import { openDialog } from '../../parts/dialog.js';

// By the first scope of these that the key has: a call that answers at once, also where there is nothing yet.
const EXAMPLES = [
  ['sessions', 'whatsapp/sessions'],
  ['messages:read', 'whatsapp/messages'],
  ['webhooks', 'webhooks/endpoints'],
  ['rules', 'rules'],
];

export function showKey(text, key, words) {
  return openDialog({
    title: t('keys.shown.title', { name: key.name }),
    wide: true,
    body: [
      h('p', {}, words),
      copyable(text, t('keys.shown.copy')),
      h('div', { class: 'alert busy' }, icon('alert'), h('span', {}, t('keys.shown.once'))),
      example(text, key),
    ],
    actions: [{ label: t('keys.shown.done'), kind: 'primary' }],
  });
}

function example(text, key) {
  const code = curl(text, key);
  return h('div', { class: 'stack tight' },
    h('div', { class: 'row apart' }, h('h3', {}, t('keys.shown.example')), copyButton(code, t('keys.shown.copyExample'))),
    h('pre', { tabindex: '0', 'aria-label': t('keys.shown.example') }, h('code', {}, code)));
}

function curl(text, { companyId, scopes }) {
  const call = (path, ...more) => [`curl '${new URL(`api/v1/${path}`, document.baseURI)}'`, `  -H 'Authorization: Bearer ${text}'`, ...more].join(' \\\n');
  if (!companyId) return call('admin/tenants');
  const [, path] = EXAMPLES.find(([scope]) => scopes.includes(scope) || scopes.includes('admin')) ?? [];
  if (path) return call(path);
  const body = JSON.stringify({ sessionId: 'ses_…', to: '5511987654321', type: 'text', content: t('keys.shown.hello') });
  return call('whatsapp/send', "  -H 'Content-Type: application/json'", `  -d '${body}'`);
}
