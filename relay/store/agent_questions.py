"""What an agent is told: the messages that are its question, what was said before them, and who asks.

One read for each part, all of them of the turn's tenant, session and chat.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec
from msgspec import Struct, field

from relay.model.ids import ContactId, MessageId, SessionId, TenantId
from relay.model.session import BotSettings
from relay.store.pool import Connection


class ToldMessage(Struct, frozen=True, kw_only=True):
    """A message of the chat's."""

    id: MessageId
    ours: bool
    """Written by the bot, through the API or by the account's owner."""
    sender_name: str | None
    type: str
    content: dict[str, Any]
    in_group: bool = False
    sent_at: datetime


class Asker(Struct, frozen=True, kw_only=True):
    """Who wrote it; `vars` without what has expired."""

    id: ContactId
    name: str | None
    pn: str | None
    lid: str | None
    tags: list[str] = field(default_factory=list)
    vars: dict[str, Any] = field(default_factory=dict)


class AskedSession(Struct, frozen=True, kw_only=True):
    id: SessionId
    name: str
    phone: str | None
    bot: BotSettings


_MESSAGE = """
    id, direction = 'outgoing' OR origin <> 'contact' AS ours, sender_name, type, content,
    chat LIKE '%@g.us' AS in_group, sent_at
"""
_QUESTION = f"""
    SELECT {_MESSAGE} FROM whatsapp_messages WHERE tenant_id = $1 AND id = ANY ($2::text[]) AND revoked_at IS NULL
    ORDER BY id
"""


async def list_asked(
    conn: Connection, tenant_id: TenantId, message_ids: Sequence[MessageId]
) -> list[ToldMessage]:
    """The question, oldest first, without what was deleted for everyone since."""
    return [_told(row) for row in await conn.fetch(_QUESTION, tenant_id, message_ids)]


# What arrived after the question is a question of its own.
_HISTORY = f"""
    SELECT {_MESSAGE} FROM whatsapp_messages
    WHERE tenant_id = $1 AND session_id = $2 AND chat = $3 AND NOT id = ANY ($4::text[])
      AND (direction = 'outgoing' OR id < $5) AND status <> 'failed' AND revoked_at IS NULL
    ORDER BY id DESC LIMIT $6
"""


async def list_history(
    conn: Connection,
    tenant_id: TenantId,
    session_id: SessionId,
    chat: str,
    *,
    asked: Sequence[MessageId],
    limit: int,
) -> list[ToldMessage]:
    """What was said before, oldest first."""
    if limit == 0:
        return []
    rows = await conn.fetch(_HISTORY, tenant_id, session_id, chat, asked, max(asked), limit)
    return [_told(row) for row in reversed(rows)]


def _told(row: Any) -> ToldMessage:
    return ToldMessage(**dict(row))


_KEEP_TRANSCRIPT = """
    UPDATE whatsapp_messages SET content = content || jsonb_build_object('transcript', $3::text)
    WHERE tenant_id = $1 AND id = $2 AND type = 'audio'
"""


async def keep_transcript(conn: Connection, tenant_id: TenantId, message_id: MessageId, words: str) -> None:
    """A voice note's words stay with it: later questions are told them, and it is not heard twice."""
    await conn.execute(_KEEP_TRANSCRIPT, tenant_id, message_id, words)


_ASKER = """
    SELECT c.id, c.name, c.pn, c.lid, coalesce(b.tags, '{}') AS tags, coalesce(b.vars, '{}') AS vars
    FROM whatsapp_contacts c LEFT JOIN bot_contacts b ON b.contact_id = c.id
    WHERE c.tenant_id = $1 AND c.id = $2
"""


async def find_asker(
    conn: Connection, tenant_id: TenantId, contact_id: ContactId | None, *, now: datetime
) -> Asker | None:
    row = None if contact_id is None else await conn.fetchrow(_ASKER, tenant_id, contact_id)
    if row is None:
        return None
    kept = {
        name: variable["value"]
        for name, variable in row["vars"].items()
        if datetime.fromisoformat(variable["expires_at"]) > now
    }
    return Asker(id=row["id"], name=row["name"], pn=row["pn"], lid=row["lid"], tags=row["tags"], vars=kept)


_SESSION = "SELECT id, name, phone, bot FROM whatsapp_sessions WHERE tenant_id = $1 AND id = $2"


async def find_session(conn: Connection, tenant_id: TenantId, session_id: SessionId) -> AskedSession | None:
    """None where it has been removed."""
    row = await conn.fetchrow(_SESSION, tenant_id, session_id)
    return None if row is None else msgspec.convert(dict(row), AskedSession)
