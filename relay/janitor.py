"""The janitor: what is too old goes, what is needed tomorrow is made. One process at a time, each hour.

days ahead of `events` and `attempts` ──► made        messages, media older than a tenant keeps ──► removed
days older than the server keeps ──► dropped          idempotency keys, counters, requests, sign-ins ──► removed when over
contacts whose removal broke off ──► removed
"""

import logging
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Protocol

from relay.config import Config
from relay.loops import Bell, Loop
from relay.model import ids
from relay.model.errors import NotFound
from relay.model.ids import TenantId
from relay.model.tenant import Tenant
from relay.store import (
    agent_calls,
    console_sessions,
    contact_removal,
    early_receipts,
    events,
    idempotency,
    messages,
    migrate,
    rate_counters,
    rates,
    reply_tasks,
    requests,
    sandbox,
    shadow_decisions,
    tenants,
)
from relay.store.blobs import Blobs
from relay.store.pool import Connection, Pool

log = logging.getLogger(__name__)

_EVERY_SECONDS = 3600.0
_AT_ONCE = 1000
_TRY_LOCK = "SELECT pg_try_advisory_xact_lock($1)"
_LOCK = 0x4A414E49544F52  # "JANITOR"


class DeleteBefore(Protocol):
    """Removes up to `limit` of a tenant's rows with ids below `oldest`; answers how many."""

    async def __call__(self, conn: Connection, tenant_id: TenantId, oldest: str, /, *, limit: int) -> int: ...


class Janitor:
    """`work` is one round over everything."""

    def __init__(
        self,
        pool: Pool,
        blobs: Blobs,
        config: Config,
        *,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._pool = pool
        self._blobs = blobs
        self._retention = config.retention
        self._now = now

    def loop(self) -> Loop:
        return Loop("janitor", self.work, poll_seconds=_EVERY_SECONDS, bell=Bell())

    async def work(self) -> bool:
        """One round, unless another process is at it; never more than it can finish."""
        async with self._pool.acquire() as watch, watch.transaction():
            if not await watch.fetchval(_TRY_LOCK, _LOCK):
                return False
            async with self._pool.acquire() as conn:
                await self._turn_days(conn)
                for tenant in await _all_tenants(conn):
                    await self._sweep(conn, tenant)
                await self._finish_removals(conn)
                await self._blobs.sweep(conn, now=self._now())
                await idempotency.delete_expired(conn)
                await rate_counters.delete_expired(conn)
                await rates.delete_old(conn, now=self._now())
                await requests.delete_expired(conn)
                await console_sessions.delete_expired(conn, now=self._now())
                await reply_tasks.delete_stale(conn)
                await early_receipts.delete_stale(conn)
                await sandbox.delete_old(conn)
        return False

    async def _turn_days(self, conn: Connection) -> None:
        now = self._now()
        await migrate.add_partitions(conn, now=now)
        for name in await migrate.drop_partitions(
            conn, before=now - timedelta(days=self._retention.event_days)
        ):
            log.info("partition.dropped", extra={"partition": name})

    async def _finish_removals(self, conn: Connection) -> None:
        """Contacts that somebody wanted removed when their process died; their events go with the next ring."""
        for tenant_id, contact_id in await contact_removal.list_hidden(conn):
            with suppress(NotFound):
                async with conn.transaction():
                    hidden = await contact_removal.hide_contact(conn, tenant_id, contact_id)
                async with conn.transaction():
                    removed = await contact_removal.delete_contact(conn, hidden, at=self._now())
                self._blobs.remove_files(removed.media if removed else [])

    async def _sweep(self, conn: Connection, tenant: Tenant) -> None:
        kept, server = tenant.retention, self._retention
        sweeps: tuple[tuple[str, int | None, int, DeleteBefore], ...] = (
            ("msg_", kept.message_days, server.message_days, messages.delete_before),
            ("med_", kept.media_days, server.media_days, self._blobs.delete_before),
            ("evt_", kept.event_days, server.event_days, events.delete_before),
            ("cal_", kept.event_days, server.event_days, agent_calls.delete_before),
            ("dec_", kept.event_days, server.event_days, shadow_decisions.delete_before),
        )
        for prefix, wanted, most, delete_before in sweeps:
            days = most if wanted is None else min(wanted, most)
            oldest = ids.floor(prefix, self._now() - timedelta(days=days))
            while await delete_before(conn, tenant.id, oldest, limit=_AT_ONCE) == _AT_ONCE:
                pass


async def _all_tenants(conn: Connection) -> list[Tenant]:
    found: list[Tenant] = []
    while page := await tenants.list_tenants(conn, before=found[-1].id if found else None, limit=_AT_ONCE):
        found += page
    return found
