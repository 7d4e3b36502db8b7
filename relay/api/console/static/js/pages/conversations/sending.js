/* send({side, text, files, idempotencyKey}, {chat, customer, signal, onSent, onCustomer}): a letter as one or more messages.
   Files are uploaded first; the text is the first one's caption. */

import { api } from '../../api.js';

const TYPES = [[/^image\/(jpeg|png|webp)$/, 'image'], [/^video\/mp4$/, 'video'], [/^audio\//, 'audio']];

export async function send({ side, text, files, idempotencyKey }, context) {
  const say = side === 'customer' ? asCustomer : asCompany;
  if (files.length === 0) await say({ type: 'text', content: text }, context, idempotencyKey);
  for (const [at, file] of files.entries()) {
    const content = { mediaId: await upload(file, context), fileName: file.name.replace(/[/\\]/g, '_').slice(0, 255) };
    const type = typeOf(file);
    // An audio has no room for words.
    const caption = at === 0 && text && type !== 'audio' ? { caption: text } : {};
    await say({ type, content: { ...content, ...caption } }, context, `${idempotencyKey}-${at}`);
    if (at === 0 && text && type === 'audio') await say({ type: 'text', content: text }, context, `${idempotencyKey}-text`);
  }
}

async function asCompany({ type, content }, { chat, signal, onSent }, idempotencyKey) {
  const body = { sessionId: chat.sessionId, to: chat.chat, type, content, byPerson: true, ...api.owner() };
  const { messageId } = await api.post('whatsapp/send', body, { idempotencyKey, signal });
  await onSent(messageId);
}

async function asCustomer({ type, content }, { chat, customer, signal, onCustomer }, idempotencyKey) {
  const body = { ...customer(), type, ...(type === 'text' ? { text: content } : { content }) };
  await api.post(`whatsapp/sessions/${chat.sessionId}/sandbox/inbound`, body, { idempotencyKey, signal });
  await onCustomer();
}

async function upload(file, { signal }) {
  const type = file.type || 'application/octet-stream';
  return (await api.post('whatsapp/media', file, { query: { fileName: file.name }, type, signal })).mediaId;
}

function typeOf({ type }) {
  return TYPES.find(([pattern]) => pattern.test(type))?.[1] ?? 'document';
}
