"""Loops: one bounded unit of work at a time, watched, stopped and drained.

    work() → True    there is more: again at once
           → False   wait for the doorbell, at most `poll_seconds`
           raises    logged (with its trace the first time), again after a back-off that doubles

This is the one place that catches broadly: a loop survives what its work throws, because the truth is in
Postgres and the next look starts from it. Tests never run a loop: they call its `work()`.
"""

import asyncio
import contextlib
import logging
import random
from collections.abc import Awaitable, Callable

log = logging.getLogger(__name__)

_BACKOFF_FIRST_SECONDS = 0.2
_BACKOFF_MOST_SECONDS = 15.0


class Bell:
    """An in-process doorbell: says «look at the table», never carries the work."""

    def __init__(self) -> None:
        self._rung = asyncio.Event()

    def ring(self) -> None:
        self._rung.set()

    async def wait(self, timeout_seconds: float) -> None:
        """Return when it rings or the time is over; a ring before the call counts."""
        if not self._rung.is_set():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(timeout_seconds):
                    await self._rung.wait()
        self._rung.clear()


class Loop:
    """Calls `work` until stopped; each call finishes before a stop takes effect."""

    def __init__(
        self, name: str, work: Callable[[], Awaitable[bool]], *, poll_seconds: float, bell: Bell
    ) -> None:
        self.name = name
        self.bell = bell
        self._work = work
        self._poll_seconds = poll_seconds
        self._stopping = asyncio.Event()

    def stop(self) -> None:
        self._stopping.set()
        self.bell.ring()

    async def run(self) -> None:
        failures = 0
        while not self._stopping.is_set():
            try:
                more = await self._work()
            except Exception as error:  # noqa: BLE001 - the one place, see above
                failures += 1
                await self._back_off(error, failures)
                continue
            failures = 0
            if not more and not self._stopping.is_set():
                await self.bell.wait(self._poll_seconds)

    async def _back_off(self, error: Exception, failures: int) -> None:
        """Wait, whoever rings: only a stop cuts it short."""
        seconds = min(_BACKOFF_FIRST_SECONDS * 2 ** (failures - 1), _BACKOFF_MOST_SECONDS)
        fields = {"loop": self.name, "error": type(error).__name__, "retry_seconds": seconds}
        log.error("loop.failed", exc_info=error if failures == 1 else None, extra=fields)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds * random.uniform(0.8, 1.2)):  # noqa: S311
                await self._stopping.wait()


async def run_until(loops: list[Loop], stopping: asyncio.Event) -> None:
    """Run `loops` until `stopping` is set, then let each finish the work in hand."""
    async with asyncio.TaskGroup() as group:
        for loop in loops:
            group.create_task(loop.run(), name=loop.name)
        await stopping.wait()
        for loop in loops:
            loop.stop()
