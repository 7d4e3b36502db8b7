"""The tally of a process: what happened, counted in memory and added to `rates` every few seconds.

    settled, stored, answered ──count──► a dict ──every 5 s, and at the end──► one statement: rates

Counting touches no row that hot transactions share, so it holds nobody up. What is in hand when the database is away
is added later; a process that is killed takes at most its last five seconds of a chart with it.
"""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from relay.loops import Bell, Loop
from relay.model.ids import TenantId
from relay.store import rates
from relay.store.pool import DATABASE_AWAY, Pool
from relay.store.rates import Kind

log = logging.getLogger(__name__)

_FLUSH_SECONDS = 5.0
_KEPT_MOST = 50_000
"""Tenants × minutes × kinds in hand; past it, what is new is not counted."""


class Tally:
    """One for a process; `count` is for its event loop's thread."""

    def __init__(self, pool: Pool, *, now: Callable[[], float] = time.time) -> None:
        self.loop = Loop("tally", self.flush, poll_seconds=_FLUSH_SECONDS, bell=Bell())
        self._pool = pool
        self._now = now
        self._counts: dict[tuple[TenantId, int, Kind], int] = {}

    def count(self, tenant_id: TenantId, kind: Kind, n: int = 1, /) -> None:
        """`n` of `kind` happened just now, and are committed."""
        key = (tenant_id, int(self._now() // 60), kind)
        if key in self._counts or len(self._counts) < _KEPT_MOST:
            self._counts[key] = self._counts.get(key, 0) + n

    async def flush(self) -> bool:
        """Add what was counted; where that fails it is kept for the next time."""
        if not self._counts:
            return False
        counts, self._counts = self._counts, {}
        try:
            async with self._pool.acquire() as conn:
                await rates.add(conn, counts)
        except BaseException:
            for key, n in counts.items():
                self._counts[key] = self._counts.get(key, 0) + n
            raise
        return False


@asynccontextmanager
async def open_tally(pool: Pool) -> AsyncIterator[Tally]:
    """A tally that is added to `rates` as long as it is open, and once more at the end."""
    tally = Tally(pool)
    adding = asyncio.create_task(tally.loop.run(), name="tally")
    try:
        yield tally
    finally:
        tally.loop.stop()
        await adding
        try:
            await tally.flush()
        except DATABASE_AWAY as error:
            log.warning("tally.lost", extra={"error": type(error).__name__})
