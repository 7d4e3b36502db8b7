"""Decisions that need something from outside: an HTTP call, a plugin, a file. Each is a task of its own.

    Pending ─► its turn ─► need answered … ─► outcome ─► files fetched ─► one transaction: lock, look again, write,
       └──────────── its lease is renewed meanwhile; one that was lost is dropped ────────────┘      delete the task

So many of one tenant at once, the others wait their turn: whoever's server hangs holds up nobody else.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any, Protocol

from msgspec import Struct

from relay.loops import Bell, Loop
from relay.model.ids import MessageId, TenantId
from relay.replies.answers import Answered, log_outcome, write
from relay.replies.guards import find_guard
from relay.replies.outcome import Decision, Need, Outcome, Planned
from relay.replies.situation import Situation
from relay.replies.situations import Seen, seen
from relay.store import reply_tasks
from relay.store.doorbell import Doorbell
from relay.store.pool import Pool
from relay.store.rates import Count, uncounted

log = logging.getLogger(__name__)

_MOST_PER_TENANT = 16
"""Under way at once."""
_MOST_WAITING = 2000
_MOST_WAITING_PER_TENANT = 200
"""With those under way; what there is no room for goes back and is claimed again a little later."""
_RENEW_SECONDS = 3.0


class Needs(Protocol):
    """What answers a need; never raises for what a stranger's server or plugin does."""

    async def answer(self, need: Need, situation: Situation) -> Any: ...

    async def replied(self, situation: Situation, messages: Sequence[Planned]) -> None: ...


class Files(Protocol):
    """Keeps the files that messages name."""

    def has(self, messages: Sequence[Planned]) -> bool: ...

    async def keep(self, situation: Situation, outcome: Outcome) -> None:
        """Put what is kept in the place of addresses; a message whose file cannot be had is left out, with a note."""


class Pending(Struct, frozen=True, kw_only=True):
    """A decision that waits for a need, or whose outcome waits for its files."""

    looked: Seen
    claim: str
    decision: Decision | None = None
    need: Need | None = None
    outcome: Outcome | None = None

    @property
    def message_id(self) -> MessageId:
        return self.looked.situation.message.id

    @property
    def tenant_id(self) -> TenantId:
        return self.looked.situation.message.tenant_id


class SlowLane:
    def __init__(
        self,
        pool: Pool,
        doorbell: Doorbell,
        needs: Needs,
        files: Files,
        *,
        lease_seconds: float,
        count: Count = uncounted,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.loop = Loop("responder.leases", self.renew, poll_seconds=_RENEW_SECONDS, bell=Bell())
        self._pool = pool
        self._doorbell = doorbell
        self._needs = needs
        self._files = files
        self._lease_seconds = lease_seconds
        self._count = count
        self._now = now
        self._running: dict[asyncio.Task[None], Pending] = {}
        self._turns: dict[TenantId, asyncio.Semaphore] = {}
        self._telling: set[asyncio.Task[None]] = set()

    def has_files(self, outcome: Outcome) -> bool:
        return self._files.has(outcome.messages)

    def take(self, pending: Sequence[Pending]) -> list[MessageId]:
        """Begin with these; answers those that there is no room for."""
        busy = Counter(one.tenant_id for one in self._running.values())
        self._turns = {tenant: turns for tenant, turns in self._turns.items() if busy[tenant]}
        refused = []
        for one in pending:
            if len(self._running) >= _MOST_WAITING or busy[one.tenant_id] >= _MOST_WAITING_PER_TENANT:
                refused.append(one.message_id)
                continue
            busy[one.tenant_id] += 1
            turns = self._turns.setdefault(one.tenant_id, asyncio.Semaphore(_MOST_PER_TENANT))
            task = asyncio.create_task(self._run(one, turns))
            self._running[task] = one
            task.add_done_callback(self._ended)
        return refused

    def _ended(self, task: asyncio.Task[None]) -> None:
        pending = self._running.pop(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            # Its lease runs out, and it is tried again.
            log.error("reply.failed", exc_info=error, extra={"id": pending.message_id})
        self._doorbell.ring("replies")

    async def renew(self) -> bool:
        """Keep the claims of what is under way; what is no longer ours ends."""
        running = dict(self._running)
        if running:
            async with self._pool.acquire() as conn:
                held = await reply_tasks.renew_tasks(
                    conn,
                    [one.message_id for one in running.values()],
                    {one.claim for one in running.values()},
                    lease_seconds=self._lease_seconds,
                )
            for task, one in running.items():
                if one.message_id not in held:
                    task.cancel()
        return False

    async def finish(self) -> None:
        """Wait for all that is under way."""
        while waiting := [*self._running, *self._telling]:
            await asyncio.wait(waiting)

    async def close(self) -> None:
        """Give back what is still under way."""
        running = dict(self._running)
        for task in [*running, *self._telling]:
            task.cancel()
        await asyncio.gather(*running, *self._telling, return_exceptions=True)
        async with self._pool.acquire() as conn:
            for one in running.values():
                await reply_tasks.release_tasks(conn, [one.message_id], claim=one.claim)

    def replied(self, one: Answered) -> None:
        """Count what was answered, and tell plugins of it; nobody waits for them."""
        if one.outcome.messages:
            self._count(one.situation.message.tenant_id, "answered")
            task = asyncio.create_task(self._needs.replied(one.situation, one.outcome.messages))
            self._telling.add(task)
            task.add_done_callback(self._telling.discard)

    # --- one of them --------------------------------------------------------------------------------------------

    async def _run(self, pending: Pending, turns: asyncio.Semaphore) -> None:
        async with turns:
            outcome = pending.outcome or await self._decide(pending)
            situation = pending.looked.situation
            if self._files.has(outcome.messages):
                await self._files.keep(situation, outcome)
            await self._write(pending, outcome)

    async def _decide(self, pending: Pending) -> Outcome:
        decision, need = pending.decision, pending.need
        assert decision is not None  # noqa: S101 - a pending decision has no outcome
        assert need is not None  # noqa: S101 - the same
        try:
            while True:
                need = decision.send(await self._needs.answer(need, pending.looked.situation))
        except StopIteration as ended:
            outcome: Outcome = ended.value
            return outcome

    async def _write(self, pending: Pending, outcome: Outcome) -> None:
        async with self._pool.acquire() as conn, conn.transaction():
            rows = await reply_tasks.lock_tasks(conn, [pending.message_id], claim=pending.claim)
            if not rows:
                # The claim is another's by now, or the message is gone.
                await reply_tasks.delete_tasks(conn, [pending.message_id], claim=pending.claim)
                return
            fresh = seen(rows[0], self._now())
            answered = Answered(
                situation=fresh.situation,
                outcome=outcome,
                expired=fresh.expired,
                forgotten=fresh.forgotten,
            )
            rung = None
            wanted = rows[0].automation and rows[0].revoked_at is None
            if wanted and (outcome.resume or find_guard(fresh.situation) is None):
                rung = await write(conn, [answered])
            await reply_tasks.delete_tasks(conn, [pending.message_id], claim=pending.claim)
        if rung is None:
            # A person has answered meanwhile, or the bot was paused or switched off, or the message was deleted.
            log.debug("reply.withdrawn", extra={"id": pending.message_id})
            return
        rung.ring(self._doorbell)
        log_outcome(answered)
        self.replied(answered)
