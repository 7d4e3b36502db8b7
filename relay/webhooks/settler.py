"""Results of attempts on their way back into the database: one statement a batch, fenced by the claims.

    add ──► waiting ──5 ms of answers──► deliveries.settle ──┬─► chats freed: their next ones are due
                                                            └─► endpoints that are gone or failing: disabled

A result that cannot be written yet stays here; should it outlast its lease, its delivery is sent once more.
"""

import asyncio
import logging
from collections.abc import Callable
from datetime import datetime
from typing import Literal

import asyncpg

from relay.config import Webhooks
from relay.loops import Bell, Loop
from relay.model import ids
from relay.model.delivery import Outcome
from relay.model.event import Event, body_of
from relay.model.ids import EndpointId, TenantId
from relay.store import deliveries, endpoints, outbox
from relay.store.deliveries import Result
from relay.store.doorbell import Doorbell
from relay.store.kept import KeptConnection
from relay.store.pool import Connection, Pool
from relay.store.rates import Count, Kind, uncounted

log = logging.getLogger(__name__)

_GAP_SECONDS = 0.005
_BATCH = 500
_POLL_SECONDS = 1.0
_DAY_SECONDS = 86400.0


class Settler:
    def __init__(
        self,
        pool: Pool,
        doorbell: Doorbell,
        config: Webhooks,
        *,
        now: Callable[[], datetime],
        on_chats_freed: Callable[[], None],
        count: Count = uncounted,
    ) -> None:
        self._pool = pool
        self._kept = KeptConnection(pool)
        self._doorbell = doorbell
        self._patience_seconds = config.disable_after_days * _DAY_SECONDS
        self._now = now
        self._on_chats_freed = on_chats_freed
        self._count = count
        self._results: list[Result] = []
        self._gone: set[tuple[EndpointId, TenantId]] = set()
        """Endpoints that have answered 410 since the last batch."""
        self.loop = Loop("dispatcher.settle", self.work, poll_seconds=_POLL_SECONDS, bell=Bell())

    @property
    def waiting(self) -> int:
        return len(self._results)

    def add(self, result: Result, *, gone: bool = False) -> None:
        """`gone`: its endpoint wants no more of them."""
        self._results.append(result)
        if gone:
            self._gone.add((result.delivery.endpoint_id, result.delivery.tenant_id))
        self.loop.bell.ring()

    async def close(self) -> None:
        await self._kept.close()

    async def work(self) -> bool:
        """Record a batch; True when there is more."""
        if not self._results:
            return False
        await asyncio.sleep(_GAP_SECONDS)
        batch = self._results[:_BATCH]
        async with self._kept.use() as conn:
            failing = await self._record(conn, batch)
        del self._results[: len(batch)]
        self._tally(batch)
        if any(result.final and result.delivery.chat for result in batch):
            self._on_chats_freed()
        gone, self._gone = self._gone, set()
        for endpoint_id, tenant_id in gone:
            await self._disable(endpoint_id, tenant_id, reason="gone")
        for endpoint_id, tenant_id in failing:
            await self._disable(endpoint_id, tenant_id, reason="failing")
        return bool(self._results)

    def _tally(self, batch: list[Result]) -> None:
        for result in batch:
            if result.outcome is not Outcome.CANCELLED:
                kind: Kind = "delivered" if result.outcome is Outcome.SUCCEEDED else "undelivered"
                self._count(result.delivery.tenant_id, kind)

    async def _record(self, conn: Connection, batch: list[Result]) -> list[tuple[EndpointId, TenantId]]:
        """Settle a batch; one row that the database refuses must not hold up the others for ever."""
        try:
            return await deliveries.settle(conn, batch, patience_seconds=self._patience_seconds)
        except (asyncpg.DataError, asyncpg.IntegrityConstraintViolationError) as error:
            if len(batch) == 1:
                refused = batch[0].delivery
                log.error(
                    "webhook.settle_refused", extra={"delivery": refused.id, "error": type(error).__name__}
                )
                return []
        half = len(batch) // 2
        return await self._record(conn, batch[:half]) + await self._record(conn, batch[half:])

    async def _disable(
        self, endpoint_id: EndpointId, tenant_id: TenantId, *, reason: Literal["gone", "failing"]
    ) -> None:
        at = self._now()
        event = Event(
            id=ids.new_event_id(),
            tenant_id=tenant_id,
            type="endpoint.disabled",
            body=body_of("endpoint.disabled", at, {"endpointId": endpoint_id, "reason": reason}),
        )
        async with self._pool.acquire() as conn, conn.transaction():
            if not await endpoints.disable_endpoint(conn, tenant_id, endpoint_id, reason=reason):
                return
            await outbox.insert_events(conn, [event])
        log.warning("endpoint.disabled", extra={"endpoint": endpoint_id, "reason": reason})
        self._doorbell.ring("deliveries")
        self._doorbell.ring("events")
