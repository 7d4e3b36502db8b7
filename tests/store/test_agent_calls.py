"""The log of agents' calls and the budget, on a real Postgres."""

import asyncio
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from relay.model import ids
from relay.model.agent import AgentCall, CallOutcome
from relay.model.ids import AgentId, TenantId
from relay.store import agent_calls
from relay.store.pool import Pool
from tests.owing import add_tenant

AGENT = AgentId("agt_1")


def call_of(tenant_id: TenantId, *, days_ago: int = 0) -> AgentCall:
    at = datetime.now(UTC) - timedelta(days=days_ago)
    fields: dict[str, Any] = {
        "id": ids.floor("cal_", at) + ids.new_call_id()[16:],
        "tenant_id": tenant_id,
        "agent_id": AGENT,
        "session_id": None,
        "message_id": None,
        "outcome": CallOutcome.ANSWERED,
        "requests": 1,
        "status_code": None,
        "duration_seconds": 0.5,
        "prompt_tokens": 10,
        "completion_tokens": 5,
        "cost": Decimal("0.000015"),
        "at": at,
    }
    return AgentCall(**fields)


async def test_two_who_reserve_at_once_never_take_more_than_there_is(pool: Pool) -> None:
    """Forty at once, of which ten have room: by calls, and by tokens. Begins with no row at all."""
    async with pool.acquire() as conn:
        one, _ = await add_tenant(conn)
        two, _ = await add_tenant(conn)

    async def reserve(tenant_id: TenantId, *, calls_most: int, tokens_most: int) -> bool:
        async with pool.acquire() as conn:
            day = await agent_calls.reserve(
                conn, tenant_id, tokens=7, calls_most=calls_most, tokens_most=tokens_most
            )
        return day is not None

    by_calls = await asyncio.gather(*[reserve(one, calls_most=10, tokens_most=10_000) for _ in range(40)])
    by_tokens = await asyncio.gather(*[reserve(two, calls_most=1000, tokens_most=76) for _ in range(40)])
    assert (sum(by_calls), sum(by_tokens)) == (10, 10)
    assert not await reserve(one, calls_most=0, tokens_most=0)


async def test_a_budget_of_nothing_is_nothing(pool: Pool) -> None:
    """Also for the first call of the day."""
    async with pool.acquire() as conn:
        tenant_id, _ = await add_tenant(conn)
        assert await agent_calls.reserve(conn, tenant_id, tokens=1, calls_most=0, tokens_most=9) is None
        assert await agent_calls.reserve(conn, tenant_id, tokens=10, calls_most=9, tokens_most=9) is None
        assert await agent_calls.list_usage(conn, tenant_id, days=1) == []


async def test_the_log_is_kept_as_long_as_is_asked(pool: Pool) -> None:
    """What is older goes, of this tenant only; calls come back as they were."""
    async with pool.acquire() as conn:
        tenant_id, _ = await add_tenant(conn)
        other, _ = await add_tenant(conn)
        kept = call_of(tenant_id)
        for call in (kept, call_of(tenant_id, days_ago=31), call_of(other, days_ago=31)):
            await agent_calls.insert_call(conn, call)
        oldest = ids.floor("cal_", datetime.now(UTC) - timedelta(days=30))
        assert await agent_calls.delete_before(conn, tenant_id, oldest, limit=10) == 1
        assert await agent_calls.list_calls(conn, tenant_id, AGENT, before=None, limit=10) == [kept]
        assert len(await agent_calls.list_calls(conn, other, AGENT, before=None, limit=10)) == 1
