"""What a question may use and has used: each request is taken from the tenant's budget before it is made."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import date
from decimal import Decimal

from relay.config import Agents
from relay.model.agent import AnySettings, CallOutcome, Tokens, cost_of
from relay.model.ids import TenantId
from relay.replies.agents.failure import CallFailed
from relay.store import agent_calls
from relay.store.pool import Pool


class Spend:
    """One request's. Until it is known what was used, the words that were sent count."""

    def __init__(self, sent_tokens: int) -> None:
        self.used = Tokens(prompt=sent_tokens)


class Meter:
    """Of one question."""

    def __init__(self, pool: Pool, tenant_id: TenantId, settings: AnySettings, budget: Agents) -> None:
        self._pool = pool
        self._tenant_id = tenant_id
        self._settings = settings
        self._budget = budget
        self.requests = 0
        self.used = Tokens()
        self.cost: Decimal | None = None

    @asynccontextmanager
    async def request(self, *, sent_tokens: int = 0, most_tokens: int = 0) -> AsyncIterator[Spend]:
        """Reserve `most_tokens` and one call; afterwards only what `Spend` says is taken. Raises CallFailed."""
        day = await self._reserve(most_tokens)
        self.requests += 1
        spend = Spend(sent_tokens)
        try:
            yield spend
        except CallFailed as failed:
            if failed.status is not None:
                # It was not answered, so it is not paid.
                spend.used = Tokens()
            raise
        finally:
            # A cancelled call has cost what it cost.
            await asyncio.shield(self._settle(day, most_tokens, spend.used))

    async def _reserve(self, tokens: int) -> date:
        async with self._pool.acquire() as conn:
            day = await agent_calls.reserve(
                conn,
                self._tenant_id,
                tokens=tokens,
                calls_most=self._budget.calls_per_day,
                tokens_most=self._budget.tokens_per_day,
            )
        if day is None:
            raise CallFailed(CallOutcome.BUDGET_EXHAUSTED, "The company's budget of the day is used up.")
        return day

    async def _settle(self, day: date, reserved: int, used: Tokens) -> None:
        cost = cost_of(self._settings, used)
        self.used += used
        if cost is not None:
            self.cost = (self.cost or Decimal()) + cost
        async with self._pool.acquire() as conn:
            await agent_calls.settle(
                conn, self._tenant_id, day, reserved=reserved, used=used.total, cost=cost or Decimal()
            )
