/* startChat({sessions, sessionId, signal}) → the chat that was written in, {sessionId, chat}; undefined when closed. */

import { api, newId } from '../../api.js';
import { t } from '../../i18n.js';
import { openDialog } from '../../parts/dialog.js';
import { field } from '../../parts/form.js';

export function startChat({ sessions, sessionId, signal }) {
  const idempotencyKey = newId();
  const first = sessions.find(({ id }) => id === sessionId) ?? sessions[0];
  const canPlay = sessions.some(({ engine }) => engine === 'sandbox');
  const run = async ({ session = first.id, to, text, side }) => {
    const isSandbox = sessions.find(({ id }) => id === session).engine === 'sandbox';
    const write = side === 'customer' && isSandbox ? asCustomer : asCompany;
    return { sessionId: session, chat: await write({ session, to, text }, { idempotencyKey, signal }) };
  };
  return openDialog({
    title: t('conversations.new'),
    body: [
      sessions.length > 1 && field({
        label: t('conversations.session'), name: 'session', type: 'select', path: 'sessionId', value: first.id,
        options: sessions.map(({ id, name }) => [id, name]),
      }),
      canPlay && field({
        label: t('conversations.side'), name: 'side', type: 'choice', value: first.engine === 'sandbox' ? 'customer' : 'us',
        options: [
          ['us', t('conversations.side.us'), t('conversations.new.us.hint')],
          ['customer', t('conversations.side.customer'), t('conversations.new.customer.hint')],
        ],
      }),
      field({ label: t('conversations.new.to'), name: 'to', type: 'tel', required: true, hint: t('conversations.new.to.hint'), placeholder: '+55 11 91234-5678' }),
      field({ label: t('conversations.new.text'), name: 'text', type: 'textarea', path: 'content', required: true }),
    ],
    actions: [{ label: t('common.cancel') }, { label: t('conversations.send'), kind: 'primary', run }],
    signal,
  });
}

async function asCompany({ session, to, text }, options) {
  const body = { sessionId: session, to, type: 'text', content: text, byPerson: true, ...api.owner() };
  const { messageId } = await api.post('whatsapp/send', body, options);
  // Its chat has the number as WhatsApp writes it.
  return (await api.get(`whatsapp/messages/${messageId}`)).chat;
}

async function asCustomer({ session, to, text }, options) {
  await api.post(`whatsapp/sessions/${session}/sandbox/inbound`, { from: to, text }, options);
  return `${to.replace(/\D/g, '')}@s.whatsapp.net`;
}
