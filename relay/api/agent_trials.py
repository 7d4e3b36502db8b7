"""Trying agents: a few at once for each company, so that nobody's patience is used up by another's."""

from collections import Counter

from relay.model.errors import RateLimited
from relay.model.ids import TenantId
from relay.replies.agents.caller import Asked, Caller
from relay.replies.agents.question import Question
from relay.store.agents import OpenedAgent

AT_ONCE_MOST = 4
_SECONDS_MOST = 60.0


class AgentTrials:
    """One in each API process."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller
        self._running: Counter[TenantId] = Counter()

    async def ask(self, opened: OpenedAgent, question: Question) -> Asked:
        """Without a connection: it may take a minute. Raises RateLimited."""
        tenant_id = question.tenant_id
        if self._running[tenant_id] >= AT_ONCE_MOST:
            raise RateLimited(
                f"{AT_ONCE_MOST} agents are being tried already: wait for one of them.",
                retry_after_seconds=1,
                code="too_many_trials",
            )
        self._running[tenant_id] += 1
        try:
            return await self._caller.ask(opened, question, most_seconds=_SECONDS_MOST)
        finally:
            self._running[tenant_id] -= 1
            if not self._running[tenant_id]:
                del self._running[tenant_id]

    async def aclose(self) -> None:
        await self._caller.aclose()
