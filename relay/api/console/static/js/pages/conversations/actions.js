/* What may be done with a message, and doing it.

    actionsOf(message, who)        → of 'reply', 'react', 'copy', 'edit', 'delete' those that may be offered
    wordsIn(message)               → the text that it holds, '' for none
    react(message, emoji, chat)    → the id of the reaction; '' takes the one that was given back
    edit(message, text)            → the message as it is now
    remove(message, {signal})      asks first → true once it is deleted

    Others see what happened by an event: message.edited, message.revoked, message.status of the reaction.
*/

import { api, newId } from '../../api.js';
import { t } from '../../i18n.js';
import { confirm } from '../../parts/confirm.js';

// WhatsApp drops later ones without a word; then only we would show the message as changed.
const EDIT_MS = 15 * 60_000;
const DELETE_MS = 60 * 3_600_000;
const BARE = new Set(['call', 'unsupported']);

export function actionsOf(message, who) {
  const { direction, type, waMessageId, revokedAt, status, sentAt } = message;
  if (revokedAt) return [];
  const age = Date.now() - new Date(sentAt);
  const maySend = who.can('messages:send');
  const isOurs = maySend && direction === 'outgoing';
  const isThere = maySend && Boolean(waMessageId) && !BARE.has(type);
  return Object.entries({
    react: isThere,
    reply: isThere,
    copy: Boolean(wordsIn(message)),
    edit: isOurs && isThere && type === 'text' && age < EDIT_MS,
    delete: isOurs && ((isThere && age < DELETE_MS) || status === 'queued'),
  }).filter(([, may]) => may).map(([name]) => name);
}

export function wordsIn({ type, content }) {
  return (type === 'text' ? content.text : content.caption) ?? '';
}

export async function react({ id, chat, sessionId }, emoji) {
  const body = { sessionId, to: chat, type: 'reaction', content: { emoji, messageId: id }, byPerson: true, ...api.owner() };
  return (await api.post('whatsapp/send', body, { idempotencyKey: newId() })).messageId;
}

export function edit({ id }, text) {
  return api.patch(`whatsapp/messages/${id}`, { text });
}

export function remove({ id, status }, { signal }) {
  const isQueued = status === 'queued';
  return confirm({
    title: isQueued ? t('conversations.cancel.title') : t('conversations.delete.title'),
    text: isQueued ? t('conversations.cancel.text') : t('conversations.delete.text'),
    action: isQueued ? t('conversations.cancel.action') : t('conversations.delete.action'),
    run: () => api.delete(`whatsapp/messages/${id}`),
    signal,
  });
}
