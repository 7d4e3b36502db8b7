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


class Chat(msgspec.Struct, frozen=True, kw_only=True):
    session_id: SessionId
    jid: str
    name: str | None
    contact_id: ContactId | None
    last_message_id: MessageId | None
    last_message_at: datetime | None
    unread: int
    paused_until: datetime | None
    """The bot keeps quiet in it until then; None where it does not."""


_CHATS = """
    SELECT c.session_id, jid, name, contact_id, last_message_id, last_message_at, unread,
           CASE WHEN b.paused_until > now() THEN b.paused_until END AS paused_until
    FROM whatsapp_chats c LEFT JOIN bot_chats b ON b.session_id = c.session_id AND b.chat = c.jid
    WHERE c.tenant_id = $1 AND ($2::text IS NULL OR c.session_id = $2)
      AND ($3::text IS NULL OR coalesce(last_message_id, '') < $3)
    ORDER BY coalesce(last_message_id, '') DESC LIMIT $4
"""


async def list_chats(
    conn: Connection, tenant_id: TenantId, *, session_id: str | None, before: str | None, limit: int
) -> list[Chat]:
    """The one with the latest message first; `before` is the last message's id of the page before."""
    return [Chat(**row) for row in await conn.fetch(_CHATS, tenant_id, session_id, before, limit)]


_DELETE_BEFORE = """
    DELETE FROM whatsapp_messages WHERE id IN (
        SELECT id FROM whatsapp_messages WHERE tenant_id = $1 AND id < $2
           AND status NOT IN ('queued', 'sending') ORDER BY id LIMIT $3)
"""


async def delete_before(conn: Connection, tenant_id: TenantId, oldest: str, *, limit: int) -> int:
    """Retention: remove up to `limit` messages with ids below `oldest`; answers how many."""
    done = await conn.execute(_DELETE_BEFORE, tenant_id, oldest, limit)
    return int(done.rpartition(" ")[2])
