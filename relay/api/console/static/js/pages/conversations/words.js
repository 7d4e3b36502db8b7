/* What chats and messages are called.

    nameOf(chat)               the contact's or group's name, else the number
    numberOf(jid)              '+55 11 …' of a private chat, else ''
    initialsOf(name)
    authorOf(message, chat)    {icon, words} where it is worth saying who wrote it, else null
    writerOf(message, chat)    who wrote it, whoever that was
    previewOf(message)         one line, as text
    lineOf({type, text, revokedAt})   the same, of a chat's lastMessage
*/

import { t } from '../../i18n.js';
import { phone } from '../../parts/phone.js';

export function nameOf({ name, chat, chatType }) {
  if (name) return name;
  return numberOf(chat) || (chatType === 'group' ? t('conversations.group', { end: chat.split('@')[0].slice(-4) }) : t('conversations.unnamed'));
}

export function numberOf(jid) {
  const [digits, server] = jid.split('@');
  return server === 's.whatsapp.net' ? phone(digits) : '';
}

export function initialsOf(name) {
  const words = name.split(/\s+/).filter((word) => /^\p{L}/u.test(word));
  return [words[0], words.length > 1 && words.at(-1)].filter(Boolean).map((word) => [...word][0].toUpperCase()).join('');
}

export function authorOf({ direction, origin, automation, senderName, from }, { chatType }) {
  if (direction === 'inbound') {
    return chatType === 'group' ? { icon: 'person', words: senderName ?? (phone(from?.pn) || t('conversations.unnamed')) } : null;
  }
  if (origin === 'bot') return { icon: 'robot', words: causeOf(automation ?? {}) };
  if (origin === 'person') return { icon: 'person', words: t('conversations.by.person') };
  if (origin === 'phone') return { icon: 'phone', words: t('conversations.by.phone') };
  return { icon: 'key', words: t('conversations.by.api') };
}

function causeOf({ ruleSet, rule, flow, step, agent, plugin }) {
  if (agent) return t('conversations.by.agent', { agent });
  if (flow) return step ? t('conversations.by.step', { flow, step }) : t('conversations.by.flow', { flow });
  if (rule) return ruleSet ? t('conversations.by.rule', { rule, ruleSet }) : t('conversations.by.ruleAlone', { rule });
  if (plugin) return t('conversations.by.plugin', { plugin });
  return t('conversations.by.bot');
}

export function writerOf(message, chat) {
  if (message.direction === 'outgoing') return t('conversations.side.us');
  return message.senderName || (chat.chatType === 'group' ? phone(message.from?.pn) || t('conversations.unnamed') : nameOf(chat));
}

export function previewOf({ type, content, revokedAt }) {
  const { text, caption, fileName, name, question, emoji } = content;
  return lineOf({ type: type === 'audio' && content.voice ? 'voice' : type, revokedAt, text: text || caption || fileName || name || question || emoji });
}

export function lineOf({ type, text, revokedAt }) {
  if (revokedAt) return t('conversations.revoked');
  if (type === 'text') return text ?? '';
  if (type === 'reaction') return text ? t('conversations.kind.reacted', { emoji: text }) : t('conversations.kind.unreacted');
  return t(`conversations.kind.${type}`) + (text ? `: ${text}` : '');
}
