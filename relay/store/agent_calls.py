"""Calls of agents: the log of each, without its text, and what a tenant has used of its day's budget.

    reserve (one statement: two processes together stay within the budget) ──► the request ──► settle: what it took

A process that dies between the two leaves its reservation: the budget is then used up a little too early.
"""

from datetime import date
from decimal import Decimal
from typing import Any

import msgspec

from relay.model.agent import AgentCall, DayUsage
from relay.model.ids import AgentId, TenantId
from relay.store.pool import Connection

_RESERVE = """
    INSERT INTO agent_usage AS u (tenant_id, day, calls, tokens)
    SELECT $1, (now() AT TIME ZONE 'UTC')::date, 1, $2 WHERE 1 <= $3::bigint AND $2 <= $4::bigint
    ON CONFLICT (tenant_id, day) DO UPDATE SET calls = u.calls + 1, tokens = u.tokens + $2
    WHERE u.calls < $3 AND u.tokens + $2 <= $4
    RETURNING day
"""


async def reserve(
    conn: Connection, tenant_id: TenantId, *, tokens: int, calls_most: int, tokens_most: int
) -> date | None:
    """Take one request of at most `tokens` from the day's budget; None where that is not left."""
    day: date | None = await conn.fetchval(_RESERVE, tenant_id, tokens, calls_most, tokens_most)
    return day


_SETTLE = """
    UPDATE agent_usage SET tokens = greatest(0, tokens - $3 + $4), cost = cost + $5 WHERE tenant_id = $1 AND day = $2
"""


async def settle(
    conn: Connection, tenant_id: TenantId, day: date, *, reserved: int, used: int, cost: Decimal
) -> None:
    """What the request has taken, instead of what was reserved."""
    await conn.execute(_SETTLE, tenant_id, day, reserved, used, cost)


_INSERT = """
    INSERT INTO agent_calls (id, tenant_id, agent_id, session_id, message_id, outcome, requests, status_code,
                             duration_seconds, prompt_tokens, completion_tokens, cost, at)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)
"""


async def insert_call(conn: Connection, call: AgentCall) -> None:
    await conn.execute(
        _INSERT,
        call.id,
        call.tenant_id,
        call.agent_id,
        call.session_id,
        call.message_id,
        call.outcome.value,
        call.requests,
        call.status_code,
        call.duration_seconds,
        call.prompt_tokens,
        call.completion_tokens,
        call.cost,
        call.at,
    )


_LIST = """
    SELECT * FROM agent_calls WHERE tenant_id = $1 AND agent_id = $2 AND ($3::text IS NULL OR id < $3)
    ORDER BY id DESC LIMIT $4
"""


async def list_calls(
    conn: Connection, tenant_id: TenantId, agent_id: AgentId, *, before: str | None, limit: int
) -> list[AgentCall]:
    """Newest first."""
    return [_call(row) for row in await conn.fetch(_LIST, tenant_id, agent_id, before, limit)]


def _call(row: Any) -> AgentCall:
    return msgspec.convert(dict(row), AgentCall)


_USAGE = """
    SELECT day, calls, tokens, cost FROM agent_usage
    WHERE tenant_id = $1 AND day > (now() AT TIME ZONE 'UTC')::date - $2::int ORDER BY day DESC
"""


async def list_usage(conn: Connection, tenant_id: TenantId, *, days: int) -> list[DayUsage]:
    """Of the last days, today among them; the newest first. A day without calls is left out."""
    return [msgspec.convert(dict(row), DayUsage) for row in await conn.fetch(_USAGE, tenant_id, days)]


_DELETE_BEFORE = """
    DELETE FROM agent_calls WHERE id = ANY (ARRAY (
        SELECT id FROM agent_calls WHERE tenant_id = $1 AND id < $2 ORDER BY id LIMIT $3))
"""


async def delete_before(conn: Connection, tenant_id: TenantId, oldest: str, *, limit: int) -> int:
    """Retention: remove up to `limit` with ids below `oldest`; answers how many."""
    return int((await conn.execute(_DELETE_BEFORE, tenant_id, oldest, limit)).split()[-1])
