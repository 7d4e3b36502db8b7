"""The sandbox's phone network: carries out what was asked of it through the API.

    API ─► sandbox_commands ─► work(): list ─► apply: scan, write, break ─► listener.journal ─► delete
                                  ▲                                                                │
                                  └── timers and receipts that are due, and the rest of long loads ┘

A command is deleted only after what it caused is durable, so a crash between the two carries it out again: its
messages keep their WhatsApp ids, which the inbox knows already. Commands of one session are carried out in order;
those for an account that is not connected wait for it, except scans and faults. A load of many messages is
spread over turns of the event loop, beside everybody else's.
"""

import asyncio
import logging
import math
import os
import signal
import time
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from itertools import islice

from relay.config import Sandbox
from relay.engines.engine import (
    Account,
    ClientOutdated,
    ConnectFailed,
    Disconnected,
    Engine,
    Entry,
    Listener,
    LoggedOut,
    Signal,
    StreamReplaced,
    TemporarilyBanned,
)
from relay.engines.sandbox import SandboxEngine
from relay.engines.sandbox_exchange import Exchange, Faults, now_utc
from relay.engines.sandbox_people import entries_of
from relay.engines.sandbox_receipts import Line
from relay.model.ids import SessionId
from relay.model.sandbox import FaultIn, InboundIn
from relay.store import sandbox as store
from relay.store.pool import Pool
from relay.store.sandbox import CommandRow

log = logging.getLogger(__name__)

_MOST_COMMANDS = 500
_MOST_RECEIPTS = 2_000
_ENTRIES_A_TURN = 500
_LOADS_A_LOOK = 4
_BAN_SECONDS = 3600.0
_SLOW_SECONDS = 5.0


def kill_process() -> None:
    """End as native code would: no cleaning up."""
    os.kill(os.getpid(), getattr(signal, "SIGKILL", signal.SIGTERM))


class _Load:
    """A command's messages on their way in over one connection."""

    def __init__(self, command_id: int, engine: SandboxEngine, line: Line, entries: Iterator[Entry]) -> None:
        self.command_id = command_id
        self.line = line
        self._engine = engine
        self._entries = entries

    def carry(self, most: int) -> int:
        """Journal up to `most`; fewer means that it is finished."""
        carried = 0
        for entry in islice(self._entries, most):
            self._engine.receive(entry)
            carried += 1
        return carried


class SandboxNetwork:
    """All sandbox accounts of a process. `bell` wakes the loop that calls `work`."""

    def __init__(
        self,
        pool: Pool,
        settings: Sandbox,
        *,
        clock: Callable[[], datetime] = now_utc,
        monotonic: Callable[[], float] = time.monotonic,
        randomness: Callable[[int], bytes] = os.urandom,
        kill: Callable[[], None] = kill_process,
    ) -> None:
        self._exchange = Exchange(pool, settings, clock=clock, monotonic=monotonic, randomness=randomness)
        self._pool = pool
        self._kill = kill
        self._loads: dict[SessionId, _Load] = {}
        self.bell = self._exchange.bell

    def engine(self, account: Account, listener: Listener) -> Engine:
        return SandboxEngine(self._exchange, account, listener)

    async def work(self) -> bool:
        """Whatever is due or was asked, a bounded amount; True when there is more."""
        more_due = await self.tick()
        more_commands = await self._carry_out()
        return more_due or more_commands

    async def tick(self) -> bool:
        """What is due by the clock alone; asks the database nothing while nothing is."""
        self._exchange.timers.run_due()
        settled, more_receipts = self._exchange.receipts.hand_over(most=_MOST_RECEIPTS)
        if settled:
            await store.settle_receipts(self._pool, settled)
        return more_receipts

    async def _carry_out(self) -> bool:
        """One look at the table; True when there is more."""
        rows = await self._list_commands()
        moving = any(not load.line.silent for load in self._loads.values())
        finished = await self._carry_loads()
        # Sessions that have not taken their oldest message yet: nothing overtakes it.
        waiting = set(self._loads)
        carried, crashing = 0, False
        for row in rows:
            if crashing or carried >= _ENTRIES_A_TURN:
                break
            if row.command is not None and row.command.inbound is not None:
                carried += self._let_in(row, row.command.inbound, waiting=waiting, finished=finished)
            else:
                crashing = self._do(row)
                finished.append(row.id)
        if finished:
            await store.delete_commands(self._pool, finished)
        if crashing:
            self._kill()
        return moving or carried >= _ENTRIES_A_TURN or len(rows) == _MOST_COMMANDS

    async def _list_commands(self) -> list[CommandRow]:
        if not (self._exchange.live or self._exchange.faults) or not await store.has_commands(self._pool):
            return []
        every: list[SessionId] = []
        others: list[SessionId] = []
        for session_id, engine in self._exchange.live.items():
            reachable = engine.line is not None and not engine.line.silent and session_id not in self._loads
            (every if reachable else others).append(session_id)
        # What is broken can be mended while no engine runs.
        others += [
            session_id for session_id in self._exchange.faults if session_id not in self._exchange.live
        ]
        return await store.list_commands(self._pool, every=every, but_inbound=others, limit=_MOST_COMMANDS)

    async def _carry_loads(self) -> list[int]:
        """Move each load on by one turn of the event loop; answers the commands that are finished."""
        finished = []
        for session_id, load in list(self._loads.items())[:_LOADS_A_LOOK]:
            del self._loads[session_id]
            if not load.line.up:
                continue  # Cut off: its command still stands, and comes in anew with the next connection.
            if not load.line.silent and load.carry(_ENTRIES_A_TURN) < _ENTRIES_A_TURN:
                finished.append(load.command_id)
            else:
                self._loads[session_id] = load  # behind the others
            await asyncio.sleep(0)
        return finished

    def _let_in(
        self, row: CommandRow, inbound: InboundIn, *, waiting: set[SessionId], finished: list[int]
    ) -> int:
        """Carry a command's messages in, or leave it where it is; answers how many came in."""
        engine = self._exchange.live.get(row.session_id)
        if engine is None or engine.line is None or engine.line.silent or row.session_id in waiting:
            waiting.add(row.session_id)
            return 0
        offline = row.id <= engine.seen_command_id
        entries = entries_of(row.id, inbound, own=engine.own, at=row.created_at, offline=offline)
        load = _Load(row.id, engine, engine.line, entries)
        carried = load.carry(_ENTRIES_A_TURN)
        if carried < _ENTRIES_A_TURN:
            finished.append(row.id)
        else:
            waiting.add(row.session_id)
            self._loads[row.session_id] = load
        return carried

    def _do(self, row: CommandRow) -> bool:
        """A scan or a fault; True when the process is to die of it."""
        engine = self._exchange.live.get(row.session_id)
        if row.command is None:
            log.warning("sandbox.command_ignored", extra={"command": row.id, "session": row.session_id})
        elif row.command.scan is not None and engine is not None:
            engine.scan(row.id, row.command.scan.phone)
        elif row.command.fault is not None:
            return self._break(row.session_id, engine, row.command.fault)
        return False

    def _break(self, session_id: SessionId, engine: SandboxEngine | None, fault: FaultIn) -> bool:
        match fault.kind:
            case "crash":
                return True
            case "clear":
                self._exchange.faults.pop(session_id, None)
                if engine is not None:
                    engine.restore(engine.line)
            case "silent":
                if engine is not None:
                    engine.fall_silent(fault.seconds)
            case "slow":
                self._faults_of(session_id).slow_seconds = fault.seconds or _SLOW_SECONDS
            case "reject":
                self._faults_of(session_id).rejects += fault.count
            case _:
                self._end(session_id, engine, fault)
        return False

    def _faults_of(self, session_id: SessionId) -> Faults:
        return self._exchange.faults.setdefault(session_id, Faults())

    def _end(self, session_id: SessionId, engine: SandboxEngine | None, fault: FaultIn) -> None:
        """The connection ends; for a lasting fault, so does every attempt to come back."""
        signal, lasting_seconds = self._ending(fault)
        if lasting_seconds:
            faults = self._faults_of(session_id)
            faults.refusal = signal
            faults.refused_until = self._exchange.monotonic() + lasting_seconds
        if engine is not None:
            engine.end(signal)

    def _ending(self, fault: FaultIn) -> tuple[Signal, float]:
        """What is said, and for how many seconds connecting ends the same way."""
        match fault.kind:
            case "logout":
                return LoggedOut(), 0
            case "replaced":
                return StreamReplaced(), 0
            case "outdated":
                return ClientOutdated(), fault.seconds or 0
            case "ban" if fault.permanent:
                return ConnectFailed(reason="banned"), math.inf
            case "ban":
                seconds = fault.seconds or _BAN_SECONDS
                return TemporarilyBanned(until=self._exchange.clock() + timedelta(seconds=seconds)), seconds
            case _:
                return Disconnected(will_retry=False), fault.seconds or 0
