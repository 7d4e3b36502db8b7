"""Turns of agents: what is due is claimed, the agent called, and its answer written where nobody else has answered.

    doorbell ─┐                  ┌─── slots: of the process, of each tenant ───┐
    poll ─────┴─► work: claim ───┴► tasks: load, call (minutes, no connection) ┴─► one transaction: answers queued,
                                        ▲                                          the turn ended
                  watch: renew ─────────┘ the row is gone, or another's: the call is cancelled

A crash leaves a lease that runs out: the agent is asked again then, and its answer is written once, because whoever
writes it holds the row by its claim. A tenant whose agent hangs fills its own slots and nobody else's.
"""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Self, TypeAlias

from relay.config import Config
from relay.egress.fetch import http_client
from relay.egress.guard import AddressGuard
from relay.loops import Loop
from relay.model import ids
from relay.model.ids import TenantId
from relay.replies.agents.caller import Caller, ListTools, no_tools
from relay.replies.agents.ending import words_of, write_answer
from relay.replies.agents.preparing import prepare
from relay.replies.agents.question import situation_of
from relay.replies.outcome import Outcome, Planned
from relay.replies.outgoing_files import OutgoingFiles
from relay.replies.situation import Situation
from relay.store import agent_turns
from relay.store.agent_turns import ClaimedTurn
from relay.store.blobs import Blobs
from relay.store.doorbell import Doorbell
from relay.store.pool import DATABASE_AWAY, Connection, Pool
from relay.store.rates import Count, uncounted
from relay.vault import Vault

log = logging.getLogger(__name__)

_POLL_SECONDS = 3.0
_GAP_SECONDS = 0.05
"""The bell rings with every message; looking so often is often enough."""
_RENEWALS_IN_A_LEASE = 3
_TRIES_MOST = 3
"""A question that takes its process down three times is not asked again."""


Edit: TypeAlias = Callable[[Sequence[Planned], Situation], Awaitable[list[Planned]]]
Replied: TypeAlias = Callable[[Situation, Sequence[Planned]], Awaitable[None]]


async def unedited(messages: Sequence[Planned], _situation: Situation) -> list[Planned]:
    return list(messages)


async def untold(_situation: Situation, _messages: Sequence[Planned]) -> None:
    pass


class AgentTurns:
    """Open it with `async with`: leaving it lets running calls finish for a while, then gives them back.

    `tools`, `edit` and `replied` are what plugins have to do with it; see `PluginHost`.
    """

    def __init__(
        self,
        pool: Pool,
        vault: Vault,
        doorbell: Doorbell,
        *,
        guard: AddressGuard,
        blobs: Blobs,
        config: Config,
        tools: ListTools = no_tools,
        edit: Edit = unedited,
        replied: Replied = untold,
        count: Count = uncounted,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._pool = pool
        self._vault = vault
        self._doorbell = doorbell
        self._config = config.agents
        self._drain_seconds = config.server.drain_seconds
        self._clock = clock
        self._now = now
        self._caller = Caller(
            pool, guard, blobs, config.agents, tools=tools, clock=clock, now=now, sleep=sleep
        )
        self._edit = edit
        self._replied = replied
        self._count = count
        self._fetcher = http_client(
            guard, timeout_seconds=config.media.fetch_timeout_seconds, max_answer_bytes=None
        )
        self._files = OutgoingFiles(pool, blobs, self._fetcher, config.media)
        self._running: dict[asyncio.Task[None], ClaimedTurn] = {}
        self._calling: dict[asyncio.Task[None], ClaimedTurn] = {}
        """Those that may still be cancelled: their answer is not being written yet."""
        self._renew_at = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._work_loop = Loop(
            "agents.turns", self.work, poll_seconds=_POLL_SECONDS, bell=doorbell.bell("replies")
        )
        self._watch_loop = Loop(
            "agents.watch", self.watch, poll_seconds=_POLL_SECONDS, bell=doorbell.bell("replies")
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        try:
            await self.finish()
            await self._give_back()
        finally:
            for loop in self.loops():
                self._doorbell.drop("replies", loop.bell)
            if self._timer is not None:
                self._timer.cancel()
            await self._caller.aclose()
            await self._fetcher.aclose()

    def loops(self) -> list[Loop]:
        return [self._work_loop, self._watch_loop]

    # --- claiming -----------------------------------------------------------------------------------------------

    async def work(self) -> bool:
        """Claim what is due and begin with it; True when there may be more."""
        await asyncio.sleep(_GAP_SECONDS)
        free = self._config.concurrency - len(self._running)
        if free <= 0:
            return False
        async with self._pool.acquire() as conn:
            waiting = await agent_turns.list_waiting_tenants(conn)
            slots = self._share(free, [tenant for tenant, seconds in waiting.items() if seconds <= 0])
            claimed = await self._claim(conn, slots) if slots else []
        for turn in claimed:
            self._begin(turn)
        self._look_again_in(min((seconds for seconds in waiting.values() if seconds > 0), default=None))
        taken = Counter(turn.tenant_id for turn in claimed)
        return any(taken[tenant] == most for tenant, most in slots.items())

    def _share(self, free: int, due: Sequence[TenantId]) -> dict[TenantId, int]:
        """Slots for each tenant that has room, the ones with the fewest calls under way first."""
        busy = Counter(turn.tenant_id for turn in self._running.values())
        room = {tenant: self._config.concurrency_per_tenant - busy[tenant] for tenant in due}
        slots: dict[TenantId, int] = {}
        hungry = sorted((tenant for tenant in due if room[tenant] > 0), key=lambda tenant: busy[tenant])
        for place, tenant in enumerate(hungry):
            share = max(1, free // (len(hungry) - place))
            slots[tenant] = min(room[tenant], share)
            free -= slots[tenant]
            if free <= 0:
                break
        return slots

    async def _claim(self, conn: Connection, slots: dict[TenantId, int]) -> list[ClaimedTurn]:
        return await agent_turns.claim_turns(
            conn, slots, claim=ids.new_claim(), lease_seconds=self._config.lease_seconds
        )

    def _look_again_in(self, seconds: float | None) -> None:
        """A question is waited for until its time; the poll alone would be late."""
        if self._timer is not None:
            self._timer.cancel()
        if seconds is not None and seconds < _POLL_SECONDS:
            self._timer = asyncio.get_running_loop().call_later(seconds, self._work_loop.bell.ring)

    def _begin(self, turn: ClaimedTurn) -> None:
        task = asyncio.create_task(self._run(turn), name=f"agent turn {turn.id}")
        self._running[task] = self._calling[task] = turn
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        turn = self._running.pop(task)
        self._calling.pop(task, None)
        self._work_loop.bell.ring()
        if not task.cancelled() and (error := task.exception()) is not None:
            # The lease runs out, and the question is asked again.
            log.error("agent.turn_failed", extra={"turn": turn.id}, exc_info=error)

    # --- watching -----------------------------------------------------------------------------------------------

    async def watch(self) -> bool:
        """Keep the leases, and cancel the calls whose turn is gone: somebody has taken over."""
        calling = dict(self._calling)
        if not calling:
            return False
        await asyncio.sleep(_GAP_SECONDS)
        async with self._pool.acquire() as conn:
            if self._clock() >= self._renew_at:
                lease = self._config.lease_seconds
                held = await agent_turns.renew_turns(conn, calling.values(), lease_seconds=lease)
                self._renew_at = self._clock() + lease / _RENEWALS_IN_A_LEASE
            else:
                held = await agent_turns.list_held(conn, calling.values())
        for task, turn in calling.items():
            if turn.id not in held and task in self._calling:
                task.cancel()
        return False

    # --- a turn -------------------------------------------------------------------------------------------------

    async def _run(self, turn: ClaimedTurn) -> None:
        async with self._pool.acquire() as conn:
            prepared = await prepare(conn, self._vault, turn, now=self._now())
        if prepared is None:
            return
        asked = None
        if prepared.opened is not None and turn.attempt <= _TRIES_MOST:
            asked = await self._caller.ask(prepared.opened, prepared.question)
        elif prepared.opened is not None:
            log.error("agent.turn_given_up", extra={"turn": turn.id, "attempt": turn.attempt})
        situation = situation_of(prepared.question)
        planned = await self._finished(words_of(turn, prepared, asked), situation)
        task = asyncio.current_task()
        if task is not None:
            # From here on either all of it is written or nothing.
            self._calling.pop(task, None)
        async with self._pool.acquire() as conn, conn.transaction():
            channels = await write_answer(conn, turn, prepared, asked, planned, now=self._now())
        for channel in sorted(channels):
            self._doorbell.ring(channel)
        if "outgoing" in channels:
            self._count(turn.tenant_id, "answered")
            await self._replied(situation, planned)

    async def _finished(self, planned: list[Planned], situation: Situation) -> list[Planned]:
        """As plugins leave it, with its files."""
        if planned:
            planned = await self._edit(planned, situation)
        if not self._files.has(planned):
            return planned
        outcome = Outcome(messages=planned)
        await self._files.keep(situation, outcome)
        return outcome.messages

    # --- the end ------------------------------------------------------------------------------------------------

    async def finish(self) -> None:
        """Wait until no call is under way, at most as long as the server may take to stop; their leases are kept."""
        loop = asyncio.get_running_loop()
        until = loop.time() + self._drain_seconds
        while self._running and (left := until - loop.time()) > 0:
            _, unfinished = await asyncio.wait(self._running, timeout=min(left, _POLL_SECONDS))
            if unfinished:
                with suppress(*DATABASE_AWAY):
                    await self.watch()

    async def _give_back(self) -> None:
        unfinished = dict(self._running)
        for task in unfinished:
            task.cancel()
        await asyncio.gather(*unfinished, return_exceptions=True)
        if unfinished:
            async with self._pool.acquire() as conn:
                for turn in unfinished.values():
                    await agent_turns.release_turn(conn, turn)
