/* The dialog with everything that can be set of a session. */

import { api } from '../../api.js';
import { h } from '../../dom.js';
import { t } from '../../i18n.js';
import { openDialog } from '../../parts/dialog.js';
import { field } from '../../parts/form.js';
import { toast } from '../../parts/toast.js';

const MINUTE = 60;

export async function changeSettings(session, context) {
  const agents = context.who.can('rules') ? await agentNames(context.signal) : [];
  const changed = await openDialog({
    title: t('sessions.settings.title', { name: session.name }),
    wide: true,
    body: [general(session), limits(session), bot(session, agents), proxy(session)],
    actions: [
      { label: t('common.cancel') },
      { label: t('common.save'), kind: 'primary', run: (given) => api.patch(`whatsapp/sessions/${session.id}`, patchOf(given)) },
    ],
    signal: context.signal,
  });
  if (!changed) return;
  context.changed(changed);
  toast(t('common.saved'));
}

function section(title, text, ...children) {
  return h('section', { class: 'settings' }, h('div', {}, h('h3', {}, title), text && h('p', { class: 'soft small' }, text)), children);
}

function amount(name, value, { max = 1_000_000, min = 0, hint } = {}) {
  return field({ label: t(`sessions.${name}`), name, type: 'number', value, min, max, required: true, hint });
}

function general({ name }) {
  return section(t('sessions.settings.general'), null,
    field({ label: t('sessions.name'), name: 'name', value: name, required: true, maxlength: 200, autocomplete: 'off' }));
}

function limits({ limits: now }) {
  return section(t('sessions.settings.limits'), t('sessions.settings.limits.text'),
    h('div', { class: 'fields' },
      amount('limits.perMinute', now.perMinute),
      amount('limits.perDay', now.perDay),
      amount('limits.newContactsPerDay', now.newContactsPerDay),
      amount('limits.repliesPerMinute', now.repliesPerMinute),
      field({
        label: t('sessions.limits.whenExceeded'), name: 'limits.whenExceeded', type: 'select', value: now.whenExceeded,
        options: [['queue', t('sessions.limits.whenExceeded.queue')], ['reject', t('sessions.limits.whenExceeded.reject')]],
      })),
    field({ label: t('sessions.limits.pace'), name: 'limits.pace', type: 'check', value: now.pace, hint: t('sessions.limits.pace.hint') }));
}

function bot({ automation, bot: now }, agents) {
  const names = now.agent && !agents.includes(now.agent) ? [now.agent, ...agents] : agents;
  return section(t('sessions.settings.bot'), t('sessions.settings.bot.text'),
    field({ label: t('sessions.automation'), name: 'automation', type: 'check', value: automation, hint: t('sessions.automation.hint') }),
    h('div', { class: 'fields' },
      names.length > 0 && field({
        label: t('sessions.bot.agent'), name: 'bot.agent', type: 'select', value: now.agent ?? '', hint: t('sessions.bot.agent.hint'),
        options: [['', t('sessions.bot.agent.none')], ...names.map((name) => [name, name])],
      }),
      amount('bot.pauseSeconds', now.pauseSeconds / MINUTE, { max: 43_200, hint: t('sessions.bot.pauseSeconds.hint') }),
      amount('bot.offlineSeconds', now.offlineSeconds / MINUTE, { max: 1440, hint: t('sessions.bot.offlineSeconds.hint') }),
      amount('bot.repliesPerMinute', now.repliesPerMinute, { min: 1, max: 1000 }),
      amount('bot.repliesPerHour', now.repliesPerHour, { min: 1, max: 10_000 })));
}

function proxy({ hasProxy }) {
  return section(t('sessions.settings.proxy'), t('sessions.settings.proxy.text'),
    field({
      label: t('sessions.proxy.url'), name: 'proxy', type: 'text', autocomplete: 'off', spellcheck: 'false',
      placeholder: hasProxy ? t('sessions.proxy.kept') : 'socks5://…', hint: hasProxy && t('sessions.proxy.kept.hint'),
    }),
    hasProxy && field({ label: t('sessions.proxy.remove'), name: 'removeProxy', type: 'check', path: null }));
}

/** The form's values as the API wants them: dotted names nested, minutes as seconds, an empty proxy left as it is. */
function patchOf({ proxy: url, removeProxy, ...given }) {
  const patch = { limits: {}, bot: {} };
  for (const [name, value] of Object.entries(given)) {
    const [group, inner] = name.split('.');
    if (inner) patch[group][inner] = inner.endsWith('Seconds') ? value * MINUTE : value;
    else patch[group] = value;
  }
  if (patch.bot.agent === '') patch.bot.agent = null;
  if (removeProxy) patch.proxy = null;
  else if (url) patch.proxy = url;
  return patch;
}

async function agentNames(signal) {
  const found = [];
  try {
    for await (const page of api.all('agents', 'agents', {}, { signal })) found.push(...page.map(({ name }) => name));
  } catch (error) {
    if (error.name !== 'ApiError') throw error;
  }
  return found;
}
