"""The inbox: from the local journal into Postgres, a batch a transaction.

    journal ──read──► sort ──► one transaction: contacts, messages, chats, changes, events, deliveries, reply tasks
                                   └──commit──► the journal's head moves, the doorbell rings

What is committed is delivered or visibly exhausted; what was not committed is read again. An entry that can never be
stored is set aside in a file of its own, and the others go on. A receipt may come
before the send that it is for has been settled: it waits here for some seconds and is tried again.
"""

import logging
import time
from collections import defaultdict
from collections.abc import Callable
from typing import assert_never

import asyncpg
import msgspec

from relay.engines.engine import Acknowledged, Called, Edited, Reacted, Received, Revoked
from relay.host import arrivals, facts
from relay.host.journal import Journal, Record, parse
from relay.model.event import Event
from relay.model.ids import SessionId
from relay.store import contacts, inbound, outbox
from relay.store.contacts import Known
from relay.store.doorbell import Doorbell
from relay.store.inbound import Change
from relay.store.pool import Connection, Pool

log = logging.getLogger(__name__)

_EARLY_SECONDS = 30.0
# What Postgres will never take, however often it is asked.
_REFUSED = (
    asyncpg.DataError,
    asyncpg.IntegrityConstraintViolationError,
    asyncpg.ProgramLimitExceededError,
    UnicodeEncodeError,
)


class Inbox:
    """Moves one journal; `work` is one batch."""

    def __init__(
        self,
        pool: Pool,
        doorbell: Doorbell,
        journal: Journal,
        *,
        batch: int,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._pool = pool
        self._doorbell = doorbell
        self._journal = journal
        self._batch = batch
        self._monotonic = monotonic
        self._early: list[tuple[float, Record]] = []

    async def work(self) -> bool:
        """Store one batch; True when there is more."""
        batch = self._journal.read(self._batch)
        now = self._monotonic()
        waiting = [record for until, record in self._early if until > now]
        records = waiting + self._parse(batch.payloads)
        try:
            stored = await self._store(records)
        except _REFUSED:
            stored = await self._store_each(records)
        self._journal.commit(batch)
        # Only now: what waited is not forgotten when the transaction fails.
        self._early = self._still_early(stored.early)
        self._ring(stored)
        return len(batch.payloads) == self._batch

    def _parse(self, payloads: list[bytes]) -> list[Record]:
        records = []
        for payload in payloads:
            try:
                records.append(parse(payload))
            except msgspec.MsgspecError as error:
                self._journal.set_aside(payload)
                log.error("inbox.entry_refused", extra={"error": type(error).__name__})
        return records

    async def _store(self, records: list[Record]) -> "_Stored":
        if not records:
            return _Stored()
        async with self._pool.acquire() as conn, conn.transaction():
            return await _Transaction(conn, records).store()

    async def _store_each(self, records: list[Record]) -> "_Stored":
        """One entry that cannot be stored must not hold up the others, nor another session's."""
        together = _Stored()
        for record in records:
            try:
                together.add(await self._store([record]))
            except _REFUSED as error:
                self._journal.set_aside(msgspec.json.encode(record))
                fields = {"session": record.session_id, "error": type(error).__name__}
                log.error("inbox.entry_refused", extra=fields)
        return together

    def _still_early(self, early: list[Record]) -> list[tuple[float, Record]]:
        """Receipts whose message is still unknown, each with the time until which it is tried."""
        now = self._monotonic()
        since = {id(record): until for until, record in self._early}
        return [(since.get(id(record), now + _EARLY_SECONDS), record) for record in early]

    def _ring(self, stored: "_Stored") -> None:
        if stored.owed:
            self._doorbell.ring("deliveries")
        if stored.events:
            self._doorbell.ring("events")
        if stored.asked:
            self._doorbell.ring("replies")
        if stored.moved:
            self._doorbell.ring("messages")


class _Stored:
    """What one transaction did, for those who wait."""

    def __init__(self) -> None:
        self.owed = False
        self.asked = False
        self.moved = False
        self.events: list[Event] = []
        self.early: list[Record] = []

    def add(self, other: "_Stored") -> None:
        self.owed |= other.owed
        self.asked |= other.asked
        self.moved |= other.moved
        self.events += other.events
        self.early += other.early


class _Transaction:
    """One batch within one transaction."""

    def __init__(self, conn: Connection, records: list[Record]) -> None:
        self._conn = conn
        self._records = records
        self._done = _Stored()

    async def store(self) -> _Stored:
        automated = await inbound.lock_sessions(self._conn, sorted({r.session_id for r in self._records}))
        # A session that was deleted meanwhile leaves no trace.
        records = [record for record in self._records if record.session_id in automated]
        known = await contacts.resolve(self._conn, arrivals.meetings(records))
        await self._store_messages(records, known, automated)
        await self._change_messages(records)
        self._done.owed = await outbox.insert_events(self._conn, self._done.events)
        return self._done

    async def _store_messages(
        self, records: list[Record], known: Known, automated: dict[SessionId, bool]
    ) -> None:
        arrived = [(new, record.entry) for record in records if (new := arrivals.new_message(record, known))]
        fresh = await inbound.insert_messages(self._conn, [new for new, _ in arrived])
        arrived = [(new, entry) for new, entry in arrived if new.id in fresh]
        await inbound.move_chats(self._conn, arrivals.moves(arrived))
        self._done.events += [arrivals.event_of(new, entry) for new, entry in arrived]
        asked = [
            n for n, entry in arrived if automated[SessionId(n.session_id)] and arrivals.asks_for_reply(entry)
        ]
        await inbound.insert_reply_tasks(self._conn, asked)
        self._done.asked = bool(asked)

    async def _change_messages(self, records: list[Record]) -> None:
        edits: list[Change] = []
        revokes: list[Change] = []
        receipts: defaultdict[str, list[tuple[Change, Record]]] = defaultdict(list)
        for record in records:
            match record.entry:
                case Edited() as edit:
                    sender = arrivals.sender_of(edit.sender, from_me=edit.from_me)
                    edits.append(arrivals.change(record, edit, edit.wa_id, sender=sender, value=edit.text))
                case Revoked() as revoke:
                    sender = arrivals.sender_of(revoke.sender, from_me=revoke.from_me)
                    revokes.append(arrivals.change(record, revoke, revoke.wa_id, sender=sender, value=""))
                case Acknowledged() as receipt:
                    for wa_id in receipt.wa_ids:
                        lift = arrivals.change(record, receipt, wa_id, sender="me", value=receipt.status)
                        receipts[receipt.status].append((lift, record))
                case Received() | Reacted() | Called():
                    pass
                case _ as never:
                    assert_never(never)
        self._done.events += [
            facts.message_edited(row) for row in await inbound.edit_messages(self._conn, edits)
        ]
        rows = await inbound.revoke_messages(self._conn, revokes)
        self._done.events += [facts.message_revoked(row) for row in rows]
        for status in ("delivered", "read"):
            await self._lift(receipts[status])

    async def _lift(self, receipts: list[tuple[Change, Record]]) -> None:
        moved, unknown = await inbound.lift_messages(self._conn, [change for change, _ in receipts])
        self._done.moved |= bool(moved)
        self._done.events += [facts.message_status(row, receipts[row["n"] - 1][0].at) for row in moved]
        self._done.early += [arrivals.receipt_of(receipts[n][1], receipts[n][0]) for n in unknown]
