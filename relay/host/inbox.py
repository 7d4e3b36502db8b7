"""The inbox: from the local journal into Postgres, a batch a transaction.

    journal ──read──► sort ──► one transaction: contacts, messages, chats, changes, events, deliveries, reply tasks
                                   └──commit──► the journal's head moves, the doorbell rings

What is committed is delivered or visibly exhausted; what was not committed is read again. An entry that can never be
stored is set aside in a file of its own, and the others go on. A receipt may come before the send that it is for has
been settled: it waits in `early_receipts`, which is looked at with each batch for a while, and each second.
"""

import asyncio
import logging
import time
from collections.abc import Callable

import msgspec

from relay.engines.journal_file import Record
from relay.host.inbox_transaction import Stored, Transaction
from relay.host.journal import Journal, parse
from relay.store.doorbell import Doorbell
from relay.store.pool import REFUSED, Pool
from relay.store.rates import Count, uncounted
from relay.vault import Vault

log = logging.getLogger(__name__)

_EARLY_SECONDS = 30.0
_LOOK_SECONDS = 1.0
# What will never be stored, however often it is tried.
_REFUSED = (
    *REFUSED,
    # Half a surrogate pair; and what our own code stumbles over, which it will again.
    ValueError,
    TypeError,
    LookupError,
)


class Inbox:
    """Moves one journal; `work` is one batch."""

    def __init__(
        self,
        pool: Pool,
        vault: Vault,
        doorbell: Doorbell,
        journal: Journal,
        *,
        batch: int,
        count: Count = uncounted,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._pool = pool
        self._doorbell = doorbell
        self._journal = journal
        self._batch = batch
        self._count = count
        self._vault = vault
        self._monotonic = monotonic
        self._one_at_a_time = asyncio.Lock()
        self._looked_at: float | None = None
        self._early_until = monotonic()

    async def work(self) -> bool:
        """Store one batch; True when there is more. A host that stops calls it beside the loop that does."""
        async with self._one_at_a_time:
            return await self._work()

    async def _work(self) -> bool:
        batch = self._journal.read(self._batch)
        records = self._parse(batch.payloads)
        try:
            stored = await self._store(records)
        except _REFUSED:
            stored = await self._store_each(records)
        self._journal.commit(batch)
        for tenant_id, received in stored.received.items():
            self._count(tenant_id, "received", received)
        if stored.early:
            self._early_until = self._monotonic() + _EARLY_SECONDS
        self._ring(stored)
        await self._look_at_early()
        # A batch is one writer's: where it was small, another may have written too.
        return bool(batch.payloads)

    def _parse(self, payloads: list[bytes]) -> list[Record]:
        records = []
        for payload in payloads:
            try:
                records.append(parse(payload))
            except msgspec.MsgspecError as error:
                self._journal.set_aside(payload)
                log.error("inbox.entry_refused", extra={"error": type(error).__name__})
        return records

    async def _store(self, records: list[Record]) -> Stored:
        if not records:
            return Stored()
        async with self._pool.acquire() as conn, conn.transaction():
            return await Transaction(conn, self._vault).store(records)

    async def _look_at_early(self) -> None:
        """Receipts whose message is known by now: at once while one of ours waits, else now and then."""
        now = self._monotonic()
        is_first = self._looked_at is None
        waits = self._looked_at is not None and now - self._looked_at < _LOOK_SECONDS
        if waits and now >= self._early_until:
            return
        async with self._pool.acquire() as conn, conn.transaction():
            # The first look is also at what a process has left that died long ago.
            stored = await Transaction(conn, self._vault).lift_early(all_ages=is_first)
        self._looked_at = now
        self._ring(stored)

    async def _store_each(self, records: list[Record]) -> Stored:
        """One entry that cannot be stored must not hold up the others, nor another session's."""
        together = Stored()
        for record in records:
            try:
                together.add(await self._store([record]))
            except _REFUSED as error:
                self._journal.set_aside(msgspec.json.encode(record))
                fields = {"session": record.session_id, "error": type(error).__name__}
                log.error("inbox.entry_refused", extra=fields)
        return together

    def _ring(self, stored: Stored) -> None:
        if stored.owed:
            self._doorbell.ring("deliveries")
        if stored.events:
            self._doorbell.ring("events")
        if stored.asked:
            self._doorbell.ring("replies")
        if stored.moved:
            self._doorbell.ring("messages")
        if stored.promised:
            self._doorbell.ring("media")
