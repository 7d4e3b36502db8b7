"""Reply tasks: which messages a bot is to look at, written with them, gone when it has.

    inbox, a person's send ──► due ──claim──► claimed ──lock, delete──► gone, with the answers in one transaction
                                ▲                │
                                └── lease over, release ◄┘

The lease is `due_at`: a claim moves it to now + lease. Only the oldest of a chat is claimed, so that a chat is answered
in order; tenants take turns, so that one's backlog is no other's. Whoever ends a task shows the claim, the fencing
token.
"""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any

from msgspec import Struct

from relay.model.ids import MessageId, TenantId
from relay.store.pool import Connection

# Each session shows the heads among its oldest 1,000; a tenant's first comes before any other's second.
_CLAIM = """
    WITH RECURSIVE lane AS (
        (SELECT session_id FROM reply_tasks ORDER BY session_id LIMIT 1)
        UNION ALL
        SELECT (SELECT t.session_id FROM reply_tasks t WHERE t.session_id > lane.session_id
                ORDER BY t.session_id LIMIT 1)
        FROM lane WHERE lane.session_id IS NOT NULL
    ), head AS (
        SELECT h.message_id, h.tenant_id FROM lane CROSS JOIN LATERAL (
            SELECT * FROM (
                SELECT DISTINCT ON (chat) message_id, tenant_id, due_at FROM (
                    SELECT message_id, tenant_id, chat, due_at FROM reply_tasks
                    WHERE session_id = lane.session_id ORDER BY message_id LIMIT 1000
                ) oldest ORDER BY chat, message_id
            ) heads WHERE due_at <= now() LIMIT $1
        ) h WHERE lane.session_id IS NOT NULL
    ), chosen AS (
        SELECT message_id FROM (
            SELECT message_id, row_number() OVER (PARTITION BY tenant_id ORDER BY message_id) AS turn FROM head
        ) turns ORDER BY turn, message_id LIMIT $1
    )
    UPDATE reply_tasks t SET due_at = now() + $2 * interval '1 second', claim = $3, attempt = t.attempt + 1
    FROM tenants n
    WHERE t.message_id = ANY (ARRAY (SELECT message_id FROM chosen)) AND t.due_at <= now() AND n.id = t.tenant_id
    RETURNING t.message_id, t.tenant_id, t.attempt, n.name AS tenant_name, n.rules_version
"""


class ClaimedTask(Struct, frozen=True, kw_only=True):
    message_id: MessageId
    tenant_id: TenantId
    attempt: int
    tenant_name: str
    rules_version: int
    """Of the tenant's rules and agents, see `raise_rules_version`."""


async def claim_tasks(conn: Connection, *, claim: str, limit: int, lease_seconds: float) -> list[ClaimedTask]:
    """Up to `limit` tasks that are due, one a chat, under the token `claim`."""
    return [ClaimedTask(**row) for row in await conn.fetch(_CLAIM, limit, lease_seconds, claim)]


class TaskRow(Struct, frozen=True, kw_only=True):
    """All that is known of a task's message, its session, contact and chat."""

    message_id: MessageId
    tenant_id: TenantId
    session_id: str
    chat: str
    offline: bool
    type: str
    content: dict[str, Any]
    origin: str
    sender: str
    sender_name: str | None
    sender_pn: str | None
    sender_lid: str | None
    mentions: list[str]
    sent_at: datetime
    revoked_at: datetime | None
    session_name: str
    session_phone: str | None
    session_lid: str | None
    automation: bool
    bot: dict[str, Any]
    rules_version: int
    contact_id: str | None
    contact_name: str | None
    pn: str | None
    lid: str | None
    ignored: bool | None
    tags: list[str] | None
    vars: dict[str, Any] | None
    flows: dict[str, Any] | None
    fired: dict[str, Any] | None
    paused_until: datetime | None
    said: list[Any] | None
    agent: str | None
    answered: bool
    first: bool
    answers_us: bool


_LOCK = """
    SELECT t.message_id, t.tenant_id, t.session_id, m.chat, t.offline,
           m.type, m.content, m.origin, m.sender, m.sender_name, m.sender_pn, m.sender_lid, m.mentions, m.sent_at,
           m.revoked_at, s.name AS session_name, s.phone AS session_phone, s.lid AS session_lid, s.automation, s.bot,
           n.rules_version, m.contact_id, c.name AS contact_name, c.pn, c.lid,
           k.ignored, k.tags, k.vars, k.flows, k.fired, b.paused_until, b.said, a.agent,
           EXISTS (SELECT FROM whatsapp_messages p WHERE p.session_id = m.session_id AND p.chat = m.chat
                   AND p.id > m.id AND p.origin IN ('phone', 'person')) AS answered,
           NOT EXISTS (SELECT FROM whatsapp_messages p WHERE p.session_id = m.session_id AND p.chat = m.chat
                       AND p.id < m.id) AS first,
           CASE WHEN m.reply_to IS NULL THEN false ELSE EXISTS (
               SELECT FROM whatsapp_messages r WHERE r.session_id = m.session_id AND r.chat = m.chat
                  AND r.sender = 'me' AND r.wa_id = m.reply_to) END AS answers_us
    FROM reply_tasks t
    JOIN whatsapp_messages m ON m.id = t.message_id
    JOIN whatsapp_sessions s ON s.id = t.session_id
    JOIN tenants n ON n.id = t.tenant_id
    LEFT JOIN whatsapp_contacts c ON c.id = m.contact_id
    LEFT JOIN bot_contacts k ON k.contact_id = m.contact_id
    LEFT JOIN bot_chats b ON b.session_id = m.session_id AND b.chat = m.chat
    LEFT JOIN agent_turns a ON a.session_id = m.session_id AND a.chat = m.chat
    WHERE t.message_id = ANY ($1) AND t.claim = $2
    ORDER BY t.session_id, t.message_id FOR UPDATE OF t
"""
# The sessions first, and in their order (see session_locks.py), by a statement of its own: one that has waited for a
# lock sees all but the locked rows as they were before.
_LOCK_SESSIONS = """
    SELECT FROM whatsapp_sessions
    WHERE id = ANY (ARRAY (SELECT session_id FROM reply_tasks WHERE message_id = ANY ($1) AND claim = $2))
    ORDER BY id FOR KEY SHARE
"""


async def lock_tasks(conn: Connection, message_ids: Sequence[MessageId], *, claim: str) -> list[TaskRow]:
    """Those that are still ours, until the transaction ends. A task whose message is gone is not among them."""
    await conn.execute(_LOCK_SESSIONS, message_ids, claim)
    return [TaskRow(**row) for row in await conn.fetch(_LOCK, message_ids, claim)]


_DELETE = "DELETE FROM reply_tasks WHERE message_id = ANY ($1) AND claim = $2"


async def delete_tasks(conn: Connection, message_ids: Collection[MessageId], *, claim: str) -> int:
    """They are dealt with; answers how many were still ours."""
    done = await conn.execute(_DELETE, list(message_ids), claim)
    return int(done.rpartition(" ")[2])


_RENEW = """
    UPDATE reply_tasks SET due_at = now() + $3 * interval '1 second'
    WHERE message_id = ANY ($1) AND claim = ANY ($2) RETURNING message_id
"""


async def renew_tasks(
    conn: Connection, message_ids: Collection[MessageId], claims: Collection[str], *, lease_seconds: float
) -> set[MessageId]:
    """Those whose claim still holds."""
    rows = await conn.fetch(_RENEW, list(message_ids), list(claims), lease_seconds)
    return {row["message_id"] for row in rows}


_RELEASE = """
    UPDATE reply_tasks SET due_at = now() + $3 * interval '1 second', claim = NULL, attempt = attempt - 1
    WHERE message_id = ANY ($1) AND claim = $2
"""


async def release_tasks(
    conn: Connection, message_ids: Collection[MessageId], *, claim: str, delay_seconds: float = 0
) -> None:
    """Give them back, for any responder; no attempt is used up."""
    await conn.execute(_RELEASE, list(message_ids), claim, delay_seconds)


# An answer a day late is no answer.
_DELETE_STALE = "DELETE FROM reply_tasks WHERE due_at < now() - interval '1 day'"


async def delete_stale(conn: Connection) -> None:
    """Drop what nobody has looked at within a day."""
    await conn.execute(_DELETE_STALE)
