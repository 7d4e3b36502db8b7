/* What else a made-up message is, folded below the chat: when, where, of which kind, in which session. */

import { api } from '../../api.js';
import { h } from '../../dom.js';
import { t } from '../../i18n.js';
import { field, values } from '../../parts/form.js';

const TYPES = ['text', 'image', 'audio', 'video', 'document', 'sticker', 'location'];
const CHATS = ['private', 'group', 'mentioned'];

/** → {element, read() → fields of rules/explain, isText(), kind(), forget()}; read() raises SyntaxError on JSON that is none. */
export async function circumstances({ who, signal }) {
  const sessions = who.can('sessions') ? await listSessions(signal) : [];
  const form = h('form', { class: 'fields', onsubmit: (event) => event.preventDefault() },
    field({ label: t('bots.sim.at'), name: 'at', type: 'datetime-local', hint: t('bots.sim.at.hint') }),
    field({ label: t('bots.sim.type'), name: 'type', type: 'select', options: TYPES.map((type) => [type, t(`bots.sim.type.${type}`)]) }),
    field({ label: t('bots.sim.where'), name: 'chat', type: 'select', options: CHATS.map((chat) => [chat, t(`bots.sim.where.${chat}`)]) }),
    sessions.length > 0 && field({
      label: t('bots.sim.session'), name: 'sessionId', type: 'select', hint: t('bots.sim.session.hint'),
      options: [['', t('bots.sim.session.any')], ...sessions.map(({ id, name }) => [id, name])],
    }),
    field({ label: t('bots.sim.name'), name: 'name', value: 'Maria', maxlength: 200, autocomplete: 'off' }),
    field({ label: t('bots.sim.first'), name: 'firstContact', type: 'check' }),
    field({ label: t('bots.sim.http'), name: 'http', type: 'textarea', spellcheck: 'false', placeholder: '{"state": "sent"}', hint: t('bots.sim.http.hint') }));
  let lastAt = '';

  function read() {
    const { at, http, sessionId, ...given } = values(form);
    // Later messages come a minute after each other, unless another moment is chosen.
    const moment = at && at !== lastAt ? { at } : {};
    const answer = http ? { http: JSON.parse(http) } : {};
    lastAt = at;
    return { ...given, ...moment, ...answer, ...(sessionId ? { sessionId } : {}) };
  }

  return {
    element: h('details', {}, h('summary', {}, t('bots.sim.more')), form),
    read,
    isText: () => form.elements.type.value === 'text',
    kind: () => t(`bots.sim.type.${form.elements.type.value}`),
    forget: () => { lastAt = ''; },
  };
}

async function listSessions(signal) {
  try {
    return (await api.get('whatsapp/sessions', { limit: 200 }, { signal })).sessions;
  } catch (error) {
    if (error.name !== 'ApiError') throw error;
    return [];
  }
}
