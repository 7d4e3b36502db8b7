"""How the bot stands in a chat: quiet for a while or not, in a flow or with an agent; and taking back what it had to say.

Whoever changes several tables of a chat in one transaction goes in this order: the session (session_locks.py), bot_chats,
agent_turns, messages.
"""

from datetime import datetime
from typing import Any, Literal, TypeAlias

from msgspec import Struct

from relay.model.ids import ContactId, SessionId, TenantId
from relay.store.pool import Connection

PauseReason = Literal["person", "handoff", "rule", "request"]
Row: TypeAlias = Any
"""A row of `whatsapp_messages`, by column name."""


class BotChat(Struct, frozen=True, kw_only=True):
    """A chat as its bot sees it; one that the bot was never in is all None."""

    contact_id: ContactId | None
    """The other side of a private chat."""
    paused_until: datetime | None
    """It may be over."""
    paused_reason: PauseReason | None
    said: list[tuple[float, str]]
    """The bot's answers of the last hour or more: unix time, digest."""
    flow: dict[str, Any] | None
    """The contact's FlowState, as stored; it may be over."""
    agent: str | None
    """The agent that has a question in hand."""


_GET = """
    SELECT c.contact_id, b.paused_until, b.paused_reason, coalesce(b.said, '[]') AS said, k.flows -> $3::text AS flow,
           t.agent
    FROM (SELECT) AS one
    LEFT JOIN bot_chats b ON b.tenant_id = $1 AND b.session_id = $2 AND b.chat = $3
    LEFT JOIN agent_turns t ON t.tenant_id = $1 AND t.session_id = $2 AND t.chat = $3
    LEFT JOIN whatsapp_chats c ON c.tenant_id = $1 AND c.session_id = $2 AND c.jid = $3
    LEFT JOIN bot_contacts k ON k.tenant_id = $1 AND k.contact_id = c.contact_id
"""


async def get_chat(conn: Connection, tenant_id: TenantId, session_id: SessionId, chat: str) -> BotChat:
    [row] = await conn.fetch(_GET, tenant_id, session_id, chat)
    return BotChat(**{**row, "said": [(one[0], one[1]) for one in row["said"]]})


_PAUSE = """
    INSERT INTO bot_chats (session_id, chat, tenant_id, paused_until, paused_reason) VALUES ($2, $3, $1, $4, $5)
    ON CONFLICT (session_id, chat) DO UPDATE
       SET paused_until = excluded.paused_until, paused_reason = excluded.paused_reason
"""


async def pause_chat(
    conn: Connection,
    *,
    tenant_id: TenantId,
    session_id: SessionId,
    chat: str,
    until: datetime,
    reason: PauseReason,
) -> None:
    """The bot keeps quiet in the chat, whatever was said about that before."""
    await conn.execute(_PAUSE, tenant_id, session_id, chat, until, reason)


_RESUME = """
    UPDATE bot_chats b SET paused_until = NULL, paused_reason = NULL
    FROM (SELECT paused_until FROM bot_chats WHERE tenant_id = $1 AND session_id = $2 AND chat = $3 FOR UPDATE) AS was
    WHERE b.tenant_id = $1 AND b.session_id = $2 AND b.chat = $3
    RETURNING coalesce(was.paused_until > $4, false)
"""


async def resume_chat(
    conn: Connection, *, tenant_id: TenantId, session_id: SessionId, chat: str, now: datetime
) -> bool:
    """The bot may speak in the chat; False when it might already."""
    return bool(await conn.fetchval(_RESUME, tenant_id, session_id, chat, now))


# What stands behind them was to wait as long as they; where it waits for its budget, it is postponed anew.
_CANCEL_ALL = """
    WITH cancelled AS (
        UPDATE whatsapp_messages
        SET status = 'failed', error = 'cancelled',
            history = history || jsonb_build_array(jsonb_build_object('status', 'failed', 'at', now()))
        WHERE session_id = $1 AND status = 'queued' AND origin = 'bot'
        RETURNING *
    ), freed AS (
        UPDATE whatsapp_messages SET due_at = NULL
        WHERE session_id = $1 AND status = 'queued' AND origin <> 'bot'
          AND chat IN (SELECT chat FROM cancelled)
    )
    SELECT * FROM cancelled
"""
_CANCEL = _CANCEL_ALL.replace("session_id = $1", "session_id = $1 AND chat = $2")


async def cancel_answers(conn: Connection, session_id: SessionId, chat: str) -> list[Row]:
    """Take back what the bot has queued in the chat; answers the rows, each of which owes a `message.status`.

    Ring `messages` and `outgoing` after the commit.
    """
    return list(await conn.fetch(_CANCEL, session_id, chat))


async def cancel_all_answers(conn: Connection, session_id: SessionId) -> list[Row]:
    """The same in every chat of the session: its bot is switched off."""
    return list(await conn.fetch(_CANCEL_ALL, session_id))
