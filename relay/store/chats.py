"""Chats as the API acts on them; `inbound.py` moves them, `messages.py` lists them."""

from collections.abc import Mapping

from msgspec import Struct

from relay.model.ids import SessionId, TenantId
from relay.store.pool import Connection


class Standing(Struct, frozen=True, kw_only=True):
    """What a message's budget depends on."""

    is_reply: bool
    """The chat has written within a day."""
    is_first: bool
    """Nothing was ever exchanged in it."""


_STANDING = """
    SELECT coalesce(last_inbound_at > now() - interval '1 day', false) AS is_reply, last_message_at IS NULL AS is_first
    FROM whatsapp_chats WHERE tenant_id = $1 AND session_id = $2 AND jid = $3
"""


async def get_standing(conn: Connection, tenant_id: TenantId, session_id: SessionId, jid: str) -> Standing:
    """An unknown chat is one where nothing was exchanged."""
    row = await conn.fetchrow(_STANDING, tenant_id, session_id, jid)
    return Standing(is_reply=False, is_first=True) if row is None else Standing(**row)


# A chat that is being moved gets its name the next time: nobody waits for anybody.
_NAME_GROUPS = """
    WITH called AS (
        SELECT c.jid, n.name FROM unnest($3::text[], $4::text[]) AS n (jid, name)
        JOIN whatsapp_chats c ON c.tenant_id = $1 AND c.session_id = $2 AND c.jid = n.jid
        WHERE n.name <> '' AND c.name IS DISTINCT FROM n.name
        FOR NO KEY UPDATE OF c SKIP LOCKED
    )
    UPDATE whatsapp_chats c SET name = called.name FROM called
    WHERE c.tenant_id = $1 AND c.session_id = $2 AND c.jid = called.jid
"""


async def name_groups(
    conn: Connection, tenant_id: TenantId, session_id: SessionId, names: Mapping[str, str]
) -> None:
    """As WhatsApp calls them, by JID; those that the session has no chat with stay unknown."""
    await conn.execute(_NAME_GROUPS, tenant_id, session_id, list(names), list(names.values()))


class Unread(Struct, frozen=True, kw_only=True):
    """Messages of one sender that were received and not marked as read."""

    sender: str
    wa_ids: list[str]


_UNREAD = """
    SELECT sender, array_agg(wa_id ORDER BY id) AS wa_ids FROM (
        SELECT id, sender, wa_id FROM whatsapp_messages
        WHERE tenant_id = $1 AND session_id = $2 AND chat = $3 AND direction = 'inbound' AND status = 'received'
          AND wa_id IS NOT NULL AND ($4::text IS NULL OR id <= $4)
        ORDER BY id DESC LIMIT $5
    ) AS latest GROUP BY sender
"""


async def list_unread(
    conn: Connection, tenant_id: TenantId, session_id: SessionId, jid: str, *, until: str | None, limit: int
) -> list[Unread]:
    """The latest `limit` unread messages, up to and with the message `until`."""
    rows = await conn.fetch(_UNREAD, tenant_id, session_id, jid, until, limit)
    return [Unread(**row) for row in rows]


# The chat first, as whoever stores what arrives goes from chats to messages.
_LOCK = """
    SELECT FROM whatsapp_chats WHERE tenant_id = $1 AND session_id = $2 AND jid = $3 FOR NO KEY UPDATE
"""
_MARK_MESSAGES = """
    UPDATE whatsapp_messages
    SET status = 'read', history = history || jsonb_build_array(jsonb_build_object('status', 'read', 'at', now()))
    WHERE tenant_id = $1 AND session_id = $2 AND chat = $3 AND wa_id = ANY ($4) AND direction = 'inbound'
      AND status = 'received'
"""
# What was written after the last message that was marked is still unread.
_MARK_CHAT = """
    UPDATE whatsapp_chats
    SET unread = (SELECT count(*) FROM whatsapp_messages m
                  WHERE m.session_id = $2 AND m.chat = $3 AND m.direction = 'inbound' AND m.status = 'received'
                    AND m.id > coalesce((SELECT max(id) FROM whatsapp_messages r
                                         WHERE r.session_id = $2 AND r.chat = $3 AND r.wa_id = ANY ($4)), ''))
    WHERE tenant_id = $1 AND session_id = $2 AND jid = $3
"""


async def mark_read(
    conn: Connection, tenant_id: TenantId, session_id: SessionId, jid: str, *, wa_ids: list[str]
) -> None:
    """Note that these messages, and with them what came before, were marked as read; in the caller's transaction."""
    await conn.execute(_LOCK, tenant_id, session_id, jid)
    await conn.execute(_MARK_MESSAGES, tenant_id, session_id, jid, wa_ids)
    await conn.execute(_MARK_CHAT, tenant_id, session_id, jid, wa_ids)
