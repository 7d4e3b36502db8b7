/* The dialogs in which an agent is made and changed. Its API key goes in and never comes out; a signing secret is shown once. */

import { api, newId } from '../../api.js';
import { h } from '../../dom.js';
import { t } from '../../i18n.js';
import { copyable } from '../../parts/copy.js';
import { openDialog } from '../../parts/dialog.js';
import { field } from '../../parts/form.js';
import { toast } from '../../parts/toast.js';

const NAME = '[A-Za-z0-9_][A-Za-z0-9_.\\-]{0,63}';
const OPENAI = 'https://api.openai.com/v1';
const NUMBERS = {
  temperature: { min: 0, max: 2, step: 0.1 },
  maxTokens: { min: 1, max: 100_000, value: 1024 },
  maxMessages: { min: 1, max: 10, value: 4 },
  historyMessages: { min: 0, max: 100, value: 20 },
  timeoutSeconds: { min: 1, max: 300, value: 60 },
  retries: { min: 0, max: 5, value: 2 },
};
const TICKS = { typing: true, tools: true, vision: false, transcribe: false };
const OF_MODELS = new Set(['temperature', 'maxTokens', 'tools', 'vision', 'transcribe']);

export async function createAgent({ signal }) {
  const idempotencyKey = newId();
  const kind = field({
    label: t('bots.agent.kind'), name: 'kind', type: 'choice', value: 'openai',
    options: [
      ['openai', t('bots.agent.kind.openai'), t('bots.agent.kind.openai.hint')],
      ['http', t('bots.agent.kind.http'), t('bots.agent.kind.http.hint')],
    ],
  });
  const parts = { openai: h('div', { class: 'stack' }, fieldsOf('openai')), http: h('div', { class: 'stack' }, fieldsOf('http')) };
  const choose = (chosen) => {
    for (const [name, part] of Object.entries(parts)) {
      part.hidden = name !== chosen;
      for (const node of part.querySelectorAll('input, select, textarea')) node.disabled = name !== chosen;
    }
  };
  kind.addEventListener('change', (event) => choose(event.target.value));
  choose('openai');
  const made = await openDialog({
    title: t('bots.agents.new'), wide: true, signal,
    body: [kind, nameField(), parts.openai, parts.http],
    actions: [
      { label: t('common.cancel') },
      {
        label: t('bots.agents.create'), kind: 'primary',
        run: (given) => api.post('agents', { ...api.owner(), kind: given.kind, ...bodyOf(given) }, { idempotencyKey }),
      },
    ],
  });
  if (made?.secret) await showSecret(made.secret, { signal });
  return made;
}

export async function editAgent(agent, { signal }) {
  const changed = await openDialog({
    title: t('bots.agent.editOf', { name: agent.name }), wide: true, signal,
    body: [
      nameField(agent.name),
      field({ label: t('bots.agent.enabled'), name: 'enabled', type: 'check', value: agent.enabled, hint: t('bots.agent.enabled.hint') }),
      fieldsOf(agent.kind, agent),
    ],
    actions: [
      { label: t('common.cancel') },
      { label: t('common.save'), kind: 'primary', run: (given) => api.patch(`agents/${agent.id}`, bodyOf(given)) },
    ],
  });
  if (changed) toast(t('common.saved'));
  return changed;
}

export function showSecret(secret, { signal }) {
  return openDialog({
    title: t('bots.secret.title'), signal,
    body: [h('p', {}, t('bots.secret.text')), copyable(secret, t('bots.secret.copy'))],
    actions: [{ label: t('bots.secret.done'), kind: 'primary', value: true }],
  });
}

function nameField(value) {
  return field({
    label: t('bots.name'), name: 'name', value, required: true, maxlength: 64, pattern: NAME, autocomplete: 'off', spellcheck: 'false',
    placeholder: 'main', hint: t('bots.agent.name.hint'),
  });
}

function fieldsOf(kind, { settings = {}, hasApiKey = false } = {}) {
  const text = (name, more = {}) => field({
    label: t(`bots.agent.${name}`), name: `settings.${name}`, value: settings[name], autocomplete: 'off', ...more,
  });
  const own = kind === 'http'
    ? [text('url', { type: 'url', required: true, placeholder: 'https://', hint: t('bots.agent.url.hint') })]
    : [
      text('prompt', { type: 'textarea', rows: 8, maxlength: 32_768, hint: t('bots.agent.prompt.hint'), placeholder: t('bots.agent.prompt.example') }),
      h('div', { class: 'fields' },
        text('model', { required: true, maxlength: 200, spellcheck: 'false', placeholder: 'gpt-5-mini' }),
        text('baseUrl', { type: 'url', placeholder: OPENAI, value: settings.baseUrl ?? OPENAI, hint: t('bots.agent.baseUrl.hint') })),
      apiKey(hasApiKey),
    ];
  return [own, text('fallback', { maxlength: 4096, hint: t('bots.agent.fallback.hint') }), more(kind, settings)];
}

function apiKey(isSet) {
  return [
    field({
      label: t('bots.agent.apiKey'), name: 'apiKey', type: 'password', autocomplete: 'off', maxlength: 4096,
      placeholder: isSet ? '••••••' : 'sk-…', hint: isSet ? t('bots.agent.apiKey.kept') : t('bots.agent.apiKey.hint'),
    }),
    isSet && field({ label: t('bots.agent.apiKey.remove'), name: 'removeApiKey', type: 'check', path: null }),
  ];
}

function more(kind, settings) {
  const fits = (name) => kind === 'openai' || !OF_MODELS.has(name);
  const numbers = Object.entries(NUMBERS).filter(([name]) => fits(name)).map(([name, bounds]) => field({
    label: t(`bots.agent.${name}`), name: `settings.${name}`, type: 'number', step: 1, ...bounds, value: settings[name] ?? bounds.value,
  }));
  const ticks = Object.entries(TICKS).filter(([name]) => fits(name)).map(([name, value]) => field({
    label: t(`bots.agent.${name}`), name: `settings.${name}`, type: 'check', value: settings[name] ?? value,
  }));
  return h('details', {}, h('summary', {}, t('bots.agent.more')),
    h('div', { class: 'stack' },
      h('div', { class: 'fields' }, numbers), h('div', { class: 'fields' }, ticks),
      field({
        label: t('bots.agent.stopWords'), name: 'settings.stopWords', value: (settings.stopWords ?? []).join(', '), hint: t('bots.agent.stopWords.hint'), autocomplete: 'off',
      })));
}

/** As the API takes it: an empty field is the default again (null), which a new agent leaves out. */
function bodyOf({ name, enabled, apiKey: key, removeApiKey, ...given }) {
  const settings = {};
  for (const [path, value] of Object.entries(given)) {
    const [group, inner] = path.split('.');
    if (group !== 'settings') continue;
    if (inner === 'stopWords') settings[inner] = value.split(',').map((word) => word.trim()).filter(Boolean);
    else settings[inner] = value === '' ? null : value;
  }
  const isNew = enabled === undefined;
  return {
    name,
    settings: isNew ? Object.fromEntries(Object.entries(settings).filter(([, value]) => value !== null)) : settings,
    ...(isNew ? {} : { enabled }),
    ...(removeApiKey ? { apiKey: null } : key ? { apiKey: key } : {}),
  };
}
