"""Threads for what rules cost to read and to try: a few, of which a company has one at a time.

    run ──► the company's turn ──► a thread ──► the answer
             └──────────┴── too long ──► NotReady; what has begun keeps the turn until it ends

A text can be made to be hard to read. That takes the time of its company's next check, not that of the API's other
threads, and whoever asked is not kept waiting for ever.
"""

import asyncio
import threading
from collections import defaultdict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TypeVar

from relay.model.errors import NotReady
from relay.model.ids import TenantId

T = TypeVar("T")

_THREADS = 4
_WAIT_SECONDS = 15.0


class _Turns:
    """A company's: one has it, the others wait for it."""

    def __init__(self) -> None:
        self.lock = asyncio.Lock()
        self.wanted = 0


class RuleChecks:
    """One in each API process."""

    def __init__(self, *, wait_seconds: float = _WAIT_SECONDS) -> None:
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="rules")
        self._wait_seconds = wait_seconds
        self._shared = threading.Lock()
        self._turns: defaultdict[TenantId, _Turns] = defaultdict(_Turns)

    async def run(self, tenant_id: TenantId, work: Callable[[], T], *, alone: bool = False) -> T:
        """What `work` answers, from a thread. Raises NotReady where that takes too long.

        `alone`: it uses compiled rules that companies share, which only one thread at a time may do.
        """
        try:
            async with asyncio.timeout(self._wait_seconds):
                await self._take_turn(tenant_id)
                return await self._start(tenant_id, self._alone(work) if alone else work)
        except TimeoutError:
            raise NotReady(
                f"Checking these rules takes longer than {self._wait_seconds:g} s. If it happens again, make the "
                "rule set smaller, above all its regular expressions, or split it.",
                code="rules_busy",
            ) from None

    async def _take_turn(self, tenant_id: TenantId) -> None:
        turns = self._turns[tenant_id]
        turns.wanted += 1
        try:
            await turns.lock.acquire()
        except BaseException:
            self._leave(tenant_id)
            raise

    def _start(self, tenant_id: TenantId, work: Callable[[], T]) -> "asyncio.Future[T]":
        loop = asyncio.get_running_loop()
        begun = self._threads.submit(work)

        def end(_: object) -> None:
            # In the thread; the loop may have ended before it.
            with suppress(RuntimeError):
                loop.call_soon_threadsafe(self._give_back, tenant_id)

        begun.add_done_callback(end)
        return asyncio.wrap_future(begun)

    def _give_back(self, tenant_id: TenantId) -> None:
        self._turns[tenant_id].lock.release()
        self._leave(tenant_id)

    def _leave(self, tenant_id: TenantId) -> None:
        turns = self._turns[tenant_id]
        turns.wanted -= 1
        if not turns.wanted:
            del self._turns[tenant_id]

    def _alone(self, work: Callable[[], T]) -> Callable[[], T]:
        def work_alone() -> T:
            with self._shared:
                return work()

        return work_alone

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)
