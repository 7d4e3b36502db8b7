"""A contact's number has become known: everything that went by the LID alone goes by the number.

    chat `<lid>@lid`, sender `<lid>@lid`  ──►  `<number>@s.whatsapp.net`

In messages (those still to be sent, too), the chat's row, reply tasks and early receipts. What then is there twice,
under the very same name, was one message told twice: the later row goes.
"""

from relay.model.ids import SessionId
from relay.store.pool import Connection

_IS_USED = """
    SELECT EXISTS (SELECT FROM whatsapp_messages WHERE session_id = $1 AND chat = $2)
        OR EXISTS (SELECT FROM whatsapp_messages WHERE session_id = $1 AND sender = $2 AND sender LIKE '%@lid')
        OR EXISTS (SELECT FROM whatsapp_chats WHERE session_id = $1 AND jid = $2)
        OR EXISTS (SELECT FROM early_receipts WHERE session_id = $1 AND chat = $2)
"""
_STEPS = (
    # Senders first, so that two names of one message differ in nothing but the chat.
    """
    DELETE FROM whatsapp_messages d USING whatsapp_messages k
    WHERE d.session_id = $1 AND d.sender = $2 AND d.sender LIKE '%@lid'
      AND k.session_id = $1 AND k.chat = d.chat AND k.sender = $3 AND k.wa_id = d.wa_id
    """,
    """
    UPDATE whatsapp_messages SET sender = $3, sender_pn = split_part($3, '@', 1)
    WHERE session_id = $1 AND sender = $2 AND sender LIKE '%@lid'
    """,
    """
    DELETE FROM whatsapp_messages d USING whatsapp_messages k
    WHERE d.session_id = $1 AND d.chat = $2
      AND k.session_id = $1 AND k.chat = $3 AND k.sender = d.sender AND k.wa_id = d.wa_id
    """,
    "UPDATE whatsapp_messages SET chat = $3 WHERE session_id = $1 AND chat = $2",
    """
    WITH gone AS (DELETE FROM whatsapp_chats WHERE session_id = $1 AND jid = $2 RETURNING *)
    INSERT INTO whatsapp_chats AS c (session_id, jid, tenant_id, name, contact_id, last_message_id, last_message_at,
                                     last_inbound_at, unread)
    SELECT session_id, $3, tenant_id, name, contact_id, last_message_id, last_message_at, last_inbound_at, unread
    FROM gone
    ON CONFLICT (session_id, jid) DO UPDATE
       SET name = coalesce(c.name, excluded.name), contact_id = coalesce(c.contact_id, excluded.contact_id),
           last_message_id = greatest(c.last_message_id, excluded.last_message_id),
           last_message_at = greatest(c.last_message_at, excluded.last_message_at),
           last_inbound_at = greatest(c.last_inbound_at, excluded.last_inbound_at),
           unread = c.unread + excluded.unread
    """,
    "UPDATE reply_tasks SET chat = $3 WHERE session_id = $1 AND chat = $2",
    """
    WITH gone AS (DELETE FROM early_receipts WHERE session_id = $1 AND chat = $2 RETURNING *)
    INSERT INTO early_receipts (session_id, chat, wa_id, status, at, stored_at)
    SELECT session_id, $3, wa_id, status, at, stored_at FROM gone ON CONFLICT DO NOTHING
    """,
)


async def rename_lid(conn: Connection, session_id: SessionId, *, lid: str, pn: str) -> None:
    """Within the transaction that learned that `lid` is `pn`."""
    names = (f"{lid}@lid", f"{pn}@s.whatsapp.net")
    if await conn.fetchval(_IS_USED, session_id, names[0]):
        for sql in _STEPS:
            await conn.execute(sql, session_id, *names)
