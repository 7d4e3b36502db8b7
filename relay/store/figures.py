"""How much there is to do: figures that are cheap enough to be asked for all the time.

What may be long is counted up to a bound. The age of the oldest due delivery is what tells of a silent stop.
"""

from datetime import UTC, datetime
from typing import Any

from msgspec import Struct, structs

from relay.model.ids import TenantId, made_at
from relay.model.session import SessionStatus
from relay.store import leases, sessions
from relay.store.pool import Connection

_COUNTED_MOST = 10_000


class Owed(Struct, frozen=True, kw_only=True):
    owed: int
    oldest_due_seconds: float
    """For how long the one that waits longest has been due; 0 where nothing is late."""


class Backlog(Struct, frozen=True, kw_only=True):
    """What waits to be done, each counted up to 10,000."""

    queued: int
    """Messages accepted and not yet sent."""
    replies: int
    """Messages that no bot has looked at yet."""
    oldest_reply_seconds: float
    agent_questions: int


class Figures(Struct, frozen=True, kw_only=True):
    sessions: dict[SessionStatus, int]
    hosts: int
    owed: int
    oldest_due_seconds: float
    queued: int
    replies: int
    oldest_reply_seconds: float
    agent_questions: int


# One look into the index for each endpoint. What a disabled one is owed waits as it should.
_OLDEST_DUE = """
    SELECT extract(epoch FROM now() - min(first.due_at))::float8
    FROM endpoints e CROSS JOIN LATERAL (
        SELECT d.due_at FROM deliveries d WHERE d.endpoint_id = e.id ORDER BY d.due_at LIMIT 1) first
    WHERE e.status = 'enabled' AND first.due_at <= now() AND ($1::text IS NULL OR e.tenant_id = $1)
      AND (NOT $2 OR e.failing_since IS NULL)
"""


async def find_oldest_due_seconds(
    conn: Connection, tenant_id: TenantId | None, *, healthy: bool = False
) -> float | None:
    """How long the delivery that waits longest has been due; None where none is.

    `healthy`: at endpoints that do not fail; where one does, what it is owed is late for that reason.
    """
    seconds: float | None = await conn.fetchval(_OLDEST_DUE, tenant_id, healthy)
    return seconds


# Past the bound the table's own estimate, which autovacuum keeps.
_OWED = """
    SELECT CASE WHEN n <= $1 THEN n
                ELSE greatest(n, (SELECT reltuples::bigint FROM pg_class WHERE oid = 'deliveries'::regclass)) END
    FROM (SELECT count(*) AS n FROM (SELECT FROM deliveries LIMIT $1 + 1) AS few) AS counted
"""
_OWED_OF_TENANT = """
    SELECT count(*) FROM endpoints e JOIN deliveries d ON d.endpoint_id = e.id WHERE e.tenant_id = $1
"""


async def get_owed(conn: Connection, tenant_id: TenantId | None) -> Owed:
    """What a tenant's endpoints are owed; None: everybody's, above 10,000 an estimate."""
    if tenant_id is None:
        owed = await conn.fetchval(_OWED, _COUNTED_MOST)
    else:
        owed = await conn.fetchval(_OWED_OF_TENANT, tenant_id)
    return Owed(owed=owed, oldest_due_seconds=await find_oldest_due_seconds(conn, tenant_id) or 0.0)


_BACKLOG = """
    SELECT (SELECT count(*) FROM (
                SELECT FROM whatsapp_messages WHERE status IN ('queued', 'sending') LIMIT $1) AS few) AS queued,
           (SELECT count(*) FROM (SELECT FROM reply_tasks LIMIT $1) AS few) AS replies,
           (SELECT min(message_id) FROM reply_tasks) AS oldest,
           (SELECT count(*) FROM (SELECT FROM agent_turns LIMIT $1) AS few) AS questions
"""
# A look into the index for each of its sessions, never through what other tenants have waiting.
_BACKLOG_OF_TENANT = """
    SELECT (SELECT count(*) FROM (
                SELECT FROM whatsapp_sessions s CROSS JOIN LATERAL (
                    SELECT FROM whatsapp_messages m
                    WHERE m.session_id = s.id AND m.status IN ('queued', 'sending') LIMIT $1) one
                WHERE s.tenant_id = $2 LIMIT $1) AS few) AS queued,
           (SELECT count(*) FROM (
                SELECT FROM whatsapp_sessions s CROSS JOIN LATERAL (
                    SELECT FROM reply_tasks t WHERE t.session_id = s.id LIMIT $1) one
                WHERE s.tenant_id = $2 LIMIT $1) AS few) AS replies,
           (SELECT min(first.message_id) FROM whatsapp_sessions s CROSS JOIN LATERAL (
                SELECT t.message_id FROM reply_tasks t WHERE t.session_id = s.id
                ORDER BY t.message_id LIMIT 1) first
            WHERE s.tenant_id = $2) AS oldest,
           (SELECT count(*) FROM (SELECT FROM agent_turns WHERE tenant_id = $2 LIMIT $1) AS few) AS questions
"""


async def get_backlog(conn: Connection, tenant_id: TenantId | None) -> Backlog:
    """A tenant's; None: everybody's."""
    if tenant_id is None:
        row: Any = await conn.fetchrow(_BACKLOG, _COUNTED_MOST)
    else:
        row = await conn.fetchrow(_BACKLOG_OF_TENANT, _COUNTED_MOST, tenant_id)
    return Backlog(
        queued=row["queued"],
        replies=row["replies"],
        oldest_reply_seconds=_age_seconds(row["oldest"]),
        agent_questions=row["questions"],
    )


async def get_figures(conn: Connection) -> Figures:
    """Those of the whole server."""
    counts = await sessions.count_by_status(conn, None)
    owed, backlog = await get_owed(conn, None), await get_backlog(conn, None)
    return Figures(
        sessions={status: counts.get(status, 0) for status in SessionStatus},
        hosts=await leases.count_holders(conn),
        **structs.asdict(owed),
        **structs.asdict(backlog),
    )


def _age_seconds(message_id: str | None) -> float:
    if message_id is None:
        return 0.0
    return max(0.0, (datetime.now(UTC) - made_at(message_id)).total_seconds())
