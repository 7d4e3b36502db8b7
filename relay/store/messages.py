"""Messages as they are read: one, a page, a chat list. `inbound.py` and `outgoing.py` write them."""

from datetime import datetime
from typing import Any

import msgspec

from relay.model.errors import NotFound
from relay.model.ids import ContactId, MessageId, SessionId, TenantId
from relay.model.message import Message, MessageStatus, MessageType, Origin, Party
from relay.store.pool import Connection


def message_of(row: Any) -> Message:
    return Message(
        id=row["id"],
        tenant_id=row["tenant_id"],
        session_id=row["session_id"],
        chat=row["chat"],
        direction=row["direction"],
        origin=Origin(row["origin"]),
        sender=Party(pn=row["sender_pn"], lid=row["sender_lid"], contact_id=row["contact_id"]),
        sender_name=row["sender_name"],
        type=MessageType(row["type"]),
        content=row["content"],
        status=MessageStatus(row["status"]),
        error=row["error"],
        wa_id=row["wa_id"],
        reply_to=row["reply_to"],
        mentions=row["mentions"],
        edited_at=row["edited_at"],
        revoked_at=row["revoked_at"],
        history=row["history"],
        automation=row["automation"],
        sent_at=row["sent_at"],
    )


_GET = "SELECT * FROM whatsapp_messages WHERE tenant_id = $1 AND id = $2"


async def get_message(conn: Connection, tenant_id: TenantId, message_id: str) -> Message:
    """Raises NotFound."""
    row = await conn.fetchrow(_GET, tenant_id, message_id)
    if row is None:
        raise NotFound("There is no such message.")
    return message_of(row)


class Filter(msgspec.Struct, frozen=True, kw_only=True):
    """Which messages; None leaves a question open."""

    session_id: str | None = None
    chat: str | None = None
    direction: str | None = None
    type: str | None = None
    status: str | None = None
    contact_id: str | None = None
    since: datetime | None = None
    until: datetime | None = None


_LIST = """
    SELECT * FROM whatsapp_messages WHERE tenant_id = $1
      AND ($2::text IS NULL OR session_id = $2) AND ($3::text IS NULL OR chat = $3)
      AND ($4::text IS NULL OR direction = $4) AND ($5::text IS NULL OR type = $5)
      AND ($6::text IS NULL OR status = $6) AND ($7::text IS NULL OR contact_id = $7)
      AND ($8::timestamptz IS NULL OR sent_at >= $8) AND ($9::timestamptz IS NULL OR sent_at < $9)
      AND ($10::text IS NULL OR id < $10)
    ORDER BY id DESC LIMIT $11
"""


async def list_messages(
    conn: Connection, tenant_id: TenantId, wanted: Filter, *, before: str | None, limit: int
) -> list[Message]:
    """Newest first."""
    rows = await conn.fetch(_LIST, tenant_id, *msgspec.structs.astuple(wanted), before, limit)
    return [message_of(row) for row in rows]


class LastMessage(msgspec.Struct, frozen=True, kw_only=True):
    """What a list of chats shows of a message."""

    id: MessageId
    direction: str
    origin: Origin
    type: MessageType
    text: str | None
    """The text, or what stands for it (a caption, a file's name, a poll's question …), shortened."""
    status: MessageStatus
    sender_name: str | None
    revoked_at: datetime | None
    sent_at: datetime


class Chat(msgspec.Struct, frozen=True, kw_only=True):
    session_id: SessionId
    jid: str
    name: str | None
    contact_id: ContactId | None
    last_message_id: MessageId | None
    last_message_at: datetime | None
    last_message: LastMessage | None
    """None where it was removed meanwhile, by retention."""
    unread: int
    paused_until: datetime | None
    """The bot keeps quiet in it until then; None where it does not."""


# The page first, so that only its messages are looked up, each by its primary key.
_CHATS = """
    WITH page AS (
        SELECT * FROM whatsapp_chats
        WHERE tenant_id = $1 AND ($2::text IS NULL OR session_id = $2)
          AND ($3::text IS NULL OR coalesce(last_message_id, '') < $3)
        ORDER BY coalesce(last_message_id, '') DESC LIMIT $4
    )
    SELECT c.session_id, c.jid, c.name, c.contact_id, c.last_message_id, c.last_message_at, c.unread,
           CASE WHEN b.paused_until > now() THEN b.paused_until END AS paused_until,
           m.id, m.direction, m.origin, m.type, m.status, m.sender_name, m.revoked_at, m.sent_at,
           left(coalesce(nullif(m.content ->> 'text', ''), nullif(m.content ->> 'caption', ''),
                         nullif(m.content ->> 'fileName', ''), nullif(m.content ->> 'name', ''),
                         nullif(m.content ->> 'question', ''), nullif(m.content ->> 'emoji', '')), $5) AS text
    FROM page c
    LEFT JOIN bot_chats b ON b.session_id = c.session_id AND b.chat = c.jid
    LEFT JOIN whatsapp_messages m ON m.id = c.last_message_id AND m.tenant_id = $1
    ORDER BY coalesce(c.last_message_id, '') DESC
"""
_PREVIEW_CHARACTERS = 200


async def list_chats(
    conn: Connection, tenant_id: TenantId, *, session_id: str | None, before: str | None, limit: int
) -> list[Chat]:
    """The one with the latest message first; `before` is the last message's id of the page before."""
    rows = await conn.fetch(_CHATS, tenant_id, session_id, before, limit, _PREVIEW_CHARACTERS)
    return [_chat_of(row) for row in rows]


def _chat_of(row: Any) -> Chat:
    return Chat(
        session_id=row["session_id"],
        jid=row["jid"],
        name=row["name"],
        contact_id=row["contact_id"],
        last_message_id=row["last_message_id"],
        last_message_at=row["last_message_at"],
        last_message=None if row["id"] is None else _last_message_of(row),
        unread=row["unread"],
        paused_until=row["paused_until"],
    )


def _last_message_of(row: Any) -> LastMessage:
    return LastMessage(
        id=row["id"],
        direction=row["direction"],
        origin=Origin(row["origin"]),
        type=MessageType(row["type"]),
        text=row["text"],
        status=MessageStatus(row["status"]),
        sender_name=row["sender_name"],
        revoked_at=row["revoked_at"],
        sent_at=row["sent_at"],
    )


_DELETE_BEFORE = """
    DELETE FROM whatsapp_messages WHERE id IN (
        SELECT id FROM whatsapp_messages WHERE tenant_id = $1 AND id < $2
           AND status NOT IN ('queued', 'sending') ORDER BY id LIMIT $3)
"""


async def delete_before(conn: Connection, tenant_id: TenantId, oldest: str, *, limit: int) -> int:
    """Retention: remove up to `limit` messages with ids below `oldest`; answers how many."""
    done = await conn.execute(_DELETE_BEFORE, tenant_id, oldest, limit)
    return int(done.rpartition(" ")[2])
