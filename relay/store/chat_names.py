"""A contact's number has become known: everything that went by the LID alone goes by the number.

    chat `<lid>@lid`, sender `<lid>@lid`  ──►  `<number>@s.whatsapp.net`

In messages (those still to be sent, too), the chat's row, what its bot remembers and is about to do, reply tasks and
early receipts. What then is there twice, under the very same name, was one message told twice: the later row goes.
"""

from relay.model.ids import SessionId
from relay.store.pool import Connection

_IS_USED = """
    SELECT EXISTS (SELECT FROM whatsapp_messages WHERE session_id = $1 AND chat = $2)
        OR EXISTS (SELECT FROM whatsapp_messages WHERE session_id = $1 AND sender = $2 AND sender LIKE '%@lid')
        OR EXISTS (SELECT FROM whatsapp_chats WHERE session_id = $1 AND jid = $2)
        OR EXISTS (SELECT FROM bot_chats WHERE session_id = $1 AND chat = $2)
        OR EXISTS (SELECT FROM early_receipts WHERE session_id = $1 AND chat = $2)
"""
# A pause holds that was given under either name; what was said was said, the latest first.
_BOT_CHAT = """
    WITH gone AS (DELETE FROM bot_chats WHERE session_id = $1 AND chat = $2 RETURNING *)
    INSERT INTO bot_chats AS b (session_id, chat, tenant_id, paused_until, paused_reason, said)
    SELECT session_id, $3, tenant_id, paused_until, paused_reason, said FROM gone
    ON CONFLICT (session_id, chat) DO UPDATE
       SET paused_until = greatest(b.paused_until, excluded.paused_until),
           paused_reason = CASE WHEN excluded.paused_until > coalesce(b.paused_until, '-infinity')
                                THEN excluded.paused_reason ELSE b.paused_reason END,
           said = (SELECT coalesce(jsonb_agg(one ORDER BY (one ->> 0)::float8 DESC), '[]')
                   FROM jsonb_array_elements(b.said || excluded.said) AS one)
"""
# Both chats have a question: it becomes one, of which what may be asked already stays the beginning.
_ONE_TURN = """
    WITH gone AS (
        DELETE FROM agent_turns t USING agent_turns k
        WHERE t.session_id = $1 AND t.chat = $2 AND k.session_id = $1 AND k.chat = $3 RETURNING t.message_ids
    )
    UPDATE agent_turns k SET message_ids = k.message_ids || gone.message_ids
    FROM gone WHERE k.session_id = $1 AND k.chat = $3
"""
_FLOWS = """
    UPDATE bot_contacts k SET flows = jsonb_build_object($3::text, k.flows -> $2::text) || (k.flows - $2::text)
    FROM whatsapp_contacts c
    WHERE c.session_id = $1 AND c.lid = split_part($2, '@', 1) AND k.contact_id = c.id AND k.flows ? $2
"""
_STEPS = (
    # In the order of tables that bots go by (see bot_chats.py).
    _BOT_CHAT,
    _ONE_TURN,
    "UPDATE agent_turns SET chat = $3 WHERE session_id = $1 AND chat = $2",
    _FLOWS,
    """
    UPDATE shadow_decisions SET chat = $3
    WHERE tenant_id = (SELECT tenant_id FROM whatsapp_sessions WHERE id = $1) AND session_id = $1 AND chat = $2
    """,
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
