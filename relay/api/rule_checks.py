"""Threads for what rules cost to read and to try: a few, of which a company has one at a time.

A text can be made to be hard to read. That takes the time of its company's next check, not that of the API's other
threads, and whoever asked is not kept waiting for ever.
"""

import asyncio
from collections import defaultdict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from relay.model.errors import NotReady
from relay.model.ids import TenantId

T = TypeVar("T")

_THREADS = 4
_WAIT_SECONDS = 15.0


class RuleChecks:
    """One in each API process."""

    def __init__(self, *, wait_seconds: float = _WAIT_SECONDS) -> None:
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="rules")
        self._wait_seconds = wait_seconds
        self._turns: defaultdict[TenantId, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._asking: defaultdict[TenantId, int] = defaultdict(int)

    async def run(self, tenant_id: TenantId, work: Callable[[], T]) -> T:
        """What `work` answers, from a thread. Raises NotReady where that takes too long."""
        task = asyncio.create_task(self._run(tenant_id, work))
        try:
            async with asyncio.timeout(self._wait_seconds):
                # A thread cannot be stopped: it keeps the company's turn until it has ended.
                return await asyncio.shield(task)
        except TimeoutError:
            task.add_done_callback(_forget)
            raise NotReady(
                f"Checking these rules takes longer than {self._wait_seconds:.0f} s. If it happens again, make the "
                "rule set smaller, above all its regular expressions, or split it.",
                code="rules_busy",
            ) from None

    async def _run(self, tenant_id: TenantId, work: Callable[[], T]) -> T:
        self._asking[tenant_id] += 1
        try:
            async with self._turns[tenant_id]:
                return await asyncio.get_running_loop().run_in_executor(self._threads, work)
        finally:
            self._asking[tenant_id] -= 1
            if not self._asking[tenant_id]:
                del self._asking[tenant_id], self._turns[tenant_id]

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)


def _forget(task: "asyncio.Task[object]") -> None:
    """Nobody waits for how it ended."""
    if not task.cancelled():
        task.exception()
