"""The responder: reply tasks are claimed, decided and answered, each exactly once.

    claim (token, lease) ─► books ─► one transaction: lock, decide, write, delete the tasks ─► rung
                                            └─ needs something from outside ─► slow_lane.py

A crash leaves claims that run out, and what was claimed is decided again, in ever smaller batches: whatever ends a
process is soon alone. What was written is written once, for the task goes with it. A message that cannot be decided
costs itself: the others of its batch are done one by one.
"""

import logging
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from relay.loops import Loop
from relay.model import ids
from relay.model.ids import MessageId, TenantId
from relay.replies.answers import Answered, Rung, log_outcome, write
from relay.replies.book import Book
from relay.replies.decide import decide
from relay.replies.library import Library
from relay.replies.outcome import Outcome
from relay.replies.situations import Seen, seen
from relay.replies.slow_lane import Pending, SlowLane
from relay.store import reply_tasks
from relay.store.doorbell import Doorbell
from relay.store.kept import KeptConnection
from relay.store.pool import DATABASE_AWAY, Connection, Pool
from relay.store.reply_tasks import ClaimedTask, TaskRow

log = logging.getLogger(__name__)

_BATCH = 200
_BATCHES_AGAIN = {2: 25, 3: 5}
"""How many are done together at which attempt; after these one by one."""
LEASE_SECONDS = 10.0
_MOST_ATTEMPTS = 5
_POLL_SECONDS = 2.0
"""Whoever writes a task rings."""


def _utc_now() -> datetime:
    return datetime.now(UTC)


class Responder:
    """Any number of them share the work. `work` deals with one batch."""

    def __init__(
        self,
        pool: Pool,
        doorbell: Doorbell,
        library: Library,
        slow: SlowLane,
        *,
        now: Callable[[], datetime] = _utc_now,
    ) -> None:
        self.loop = Loop("responder", self.work, poll_seconds=_POLL_SECONDS, bell=doorbell.bell("replies"))
        self._pool = pool
        self._claiming = KeptConnection(pool)
        self._doorbell = doorbell
        self._library = library
        self._slow = slow
        self._now = now

    async def close(self) -> None:
        await self._claiming.close()

    async def work(self) -> bool:
        """Claim what is due and answer it; True when there may be more."""
        claim = ids.new_claim()
        async with self._claiming.use() as conn:
            claimed = await reply_tasks.claim_tasks(
                conn, claim=claim, limit=_BATCH, lease_seconds=LEASE_SECONDS
            )
            if not claimed:
                return False
            fresh, again = await self._part(conn, claimed, claim)
            books = await self._open_books(conn, [*fresh, *again])
        await self._answer([task.message_id for task in fresh], claim, books)
        await self._give_up(again, claim)
        tasks = [task.message_id for task in again if task.attempt <= _MOST_ATTEMPTS]
        await self._answer(tasks, claim, books)
        # The next messages of these chats are their heads now, and nobody rings for them.
        return True

    async def _part(
        self, conn: Connection, claimed: Sequence[ClaimedTask], claim: str
    ) -> tuple[list[ClaimedTask], list[ClaimedTask]]:
        """Those that nobody has tried yet, and a few of the others, which are tried behind them; the rest is let go."""
        fresh = [task for task in claimed if task.attempt == 1]
        tried = sorted((task for task in claimed if task.attempt > 1), key=lambda task: -task.attempt)
        most = _BATCHES_AGAIN.get(tried[0].attempt, 1) if tried else 0
        if tried[most:]:
            left = [task.message_id for task in tried[most:]]
            await reply_tasks.release_tasks(conn, left, claim=claim)
        return fresh, tried[:most]

    async def _open_books(
        self, conn: Connection, claimed: Sequence[ClaimedTask]
    ) -> dict[TenantId, tuple[int, Book]]:
        tenants = {task.tenant_id: task for task in claimed}
        return {
            tenant_id: (
                task.rules_version,
                await self._library.book_of(
                    conn, tenant_id, tenant_name=task.tenant_name, rules_version=task.rules_version
                ),
            )
            for tenant_id, task in tenants.items()
        }

    async def _give_up(self, claimed: Sequence[ClaimedTask], claim: str) -> None:
        """What has broken again and again is left unanswered, and said so."""
        hopeless = [task.message_id for task in claimed if task.attempt > _MOST_ATTEMPTS]
        if hopeless:
            async with self._pool.acquire() as conn:
                await reply_tasks.delete_tasks(conn, hopeless, claim=claim)
            for message_id in hopeless:
                log.error("reply.given_up", extra={"id": message_id, "attempts": _MOST_ATTEMPTS})

    async def _answer(
        self, tasks: Sequence[MessageId], claim: str, books: dict[TenantId, tuple[int, Book]]
    ) -> None:
        if not tasks:
            return
        try:
            await self._answer_together(tasks, claim, books)
        except DATABASE_AWAY:
            raise
        except Exception as error:
            if len(tasks) == 1:
                # Its attempt is used up; the lease lets it wait before the next.
                log.exception("reply.failed", extra={"id": tasks[0]})
                return
            log.warning("reply.batch_failed", extra={"tasks": len(tasks), "error": type(error).__name__})
            for task in tasks:
                await self._answer([task], claim, books)

    async def _answer_together(
        self, tasks: Sequence[MessageId], claim: str, books: dict[TenantId, tuple[int, Book]]
    ) -> None:
        async with self._pool.acquire() as conn, conn.transaction():
            rows = await reply_tasks.lock_tasks(conn, tasks, claim=claim)
            batch = self._decide(rows, claim, books)
            rung = await write(conn, batch.answered)
            # A task whose message is gone has no row.
            gone = set(tasks) - {row.message_id for row in rows}
            await reply_tasks.delete_tasks(conn, [*batch.done, *gone], claim=claim)
            if batch.stale:
                await reply_tasks.release_tasks(conn, batch.stale, claim=claim)
        await self._after(batch, rung, claim)

    def _decide(
        self, rows: Sequence[TaskRow], claim: str, books: dict[TenantId, tuple[int, Book]]
    ) -> "_Batch":
        batch, now = _Batch(), self._now()
        for row in rows:
            rules_version, book = books[row.tenant_id]
            if not row.automation or row.revoked_at is not None:
                batch.done.append(row.message_id)
            elif row.rules_version != rules_version:
                # The rules have changed in this moment.
                batch.stale.append(row.message_id)
            else:
                self._decide_one(batch, seen(row, now), book, claim)
        return batch

    def _decide_one(self, batch: "_Batch", looked: Seen, book: Book, claim: str) -> None:
        situation = looked.situation
        decision = decide(situation, book)
        try:
            need = next(decision)
        except StopIteration as ended:
            outcome: Outcome = ended.value
            if not self._slow.has_files(outcome):
                batch.done.append(situation.message.id)
                batch.answered.append(_answered(looked, outcome))
                return
            pending = Pending(looked=looked, claim=claim, outcome=outcome)
        else:
            pending = Pending(looked=looked, claim=claim, decision=decision, need=need)
        batch.slow.append(pending)

    async def _after(self, batch: "_Batch", rung: Rung, claim: str) -> None:
        rung.ring(self._doorbell)
        for one in batch.answered:
            log_outcome(one)
            self._slow.replied(one)
        refused = self._slow.take(batch.slow)
        if refused:
            async with self._pool.acquire() as conn:
                await reply_tasks.release_tasks(conn, refused, claim=claim, delay_seconds=0.5)


class _Batch:
    def __init__(self) -> None:
        self.answered: list[Answered] = []
        self.done: list[MessageId] = []
        self.stale: list[MessageId] = []
        self.slow: list[Pending] = []


def _answered(looked: Seen, outcome: Outcome) -> Answered:
    return Answered(
        situation=looked.situation, outcome=outcome, expired=looked.expired, forgotten=looked.forgotten
    )
