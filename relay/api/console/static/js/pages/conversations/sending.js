/* A letter is what one sends at once: a text, files, or both; it becomes one message or more.

    letterOf({side: 'us' | 'customer', text, files, reply})  → letter; reply: the message that its first part answers
    await send(letter, {chat, customer, onSent, onCustomer})
        Files are uploaded first; the text is the first one's caption. What has gone leaves `letter.parts`: sending it again
        after a failure goes on where it stopped, and says nothing twice. It ends though the chat is left meanwhile.
    leftOf(letter)                                    → {text, files, reply} that have not gone
*/

import { api, newId } from '../../api.js';

const TYPES = [[/^image\/(jpeg|png|webp)$/, 'image'], [/^video\/mp4$/, 'video'], [/^audio\//, 'audio']];

export function letterOf({ side, text, files, reply }) {
  const parts = files.map((file) => ({ file, type: typeOf(file), idempotencyKey: newId() }));
  // An audio has no room for words.
  if (text && parts.length && parts[0].type !== 'audio') parts[0].text = text;
  else if (text) parts.unshift({ text, type: 'text', idempotencyKey: newId() });
  if (reply) parts[0].reply = reply;
  return { side, parts };
}

export async function send(letter, context) {
  const say = letter.side === 'customer' ? asCustomer : asCompany;
  while (letter.parts.length) {
    const [part] = letter.parts;
    const { type, text, file, reply, idempotencyKey } = part;
    if (file) part.mediaId ??= await upload(file);
    const content = file ? { mediaId: part.mediaId, fileName: nameOf(file), ...(text && { caption: text }) } : text;
    await say({ type, content, reply }, context, { idempotencyKey });
    letter.parts.shift();
  }
}

export function leftOf({ parts }) {
  return { text: parts.map(({ text }) => text ?? '').join(''), files: parts.map(({ file }) => file).filter(Boolean), reply: parts[0]?.reply ?? null };
}

async function asCompany({ type, content, reply }, { chat, onSent }, options) {
  const body = { sessionId: chat.sessionId, to: chat.chat, type, content, replyTo: reply?.id, byPerson: true, ...api.owner() };
  const { messageId } = await api.post('whatsapp/send', body, options);
  await onSent(messageId);
}

async function asCustomer({ type, content, reply }, { chat, customer, onCustomer }, options) {
  const body = { ...customer(), type, replyTo: reply?.waMessageId, ...(type === 'text' ? { text: content } : { content }) };
  await api.post(`whatsapp/sessions/${chat.sessionId}/sandbox/inbound`, body, options);
  onCustomer();
}

async function upload(file) {
  const options = { query: { fileName: nameOf(file) }, type: file.type || 'application/octet-stream' };
  return (await api.post('whatsapp/media', file, options)).mediaId;
}

function nameOf({ name }) {
  return name.replace(/[/\\]/g, '_').slice(0, 255);
}

function typeOf({ type }) {
  return TYPES.find(([pattern]) => pattern.test(type))?.[1] ?? 'document';
}
