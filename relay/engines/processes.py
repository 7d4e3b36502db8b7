"""All engine processes of a host: filled with accounts, and replaced when they die.

A process takes `capacity` accounts at once, and so many starts in its life: the library leaks a little at each. After
that it gets no more, and ends when its last account has left. A link has a process for itself, which ends with it.
"""

import asyncio
import time
from collections.abc import Callable
from math import inf
from pathlib import Path

from relay.engines.process import Member, Process, SegmentReader
from relay.engines.transcode import Transcoder
from relay.model.ids import SessionId

_STARTS_IN_A_LIFE = 500
_STOP_SECONDS = 12.0
_LAST_STOP_SECONDS = 2.0
_SETTLE_SECONDS = 2.0
_SETTLE_LOOK_SECONDS = 0.02


class EngineProcesses:
    """All engine processes of one host. `work` looks whether they answer."""

    def __init__(
        self,
        *,
        journal: SegmentReader,
        journaled: Callable[[], None],
        live_folder: Path,
        transcoder: Transcoder,
        capacity: int,
        lease_lasts_seconds: Callable[[], float] = lambda: inf,
    ) -> None:
        self.live_folder = live_folder
        self.transcoder = transcoder
        self._journal = journal
        self._journaled = journaled
        self._capacity = capacity
        self.lease_lasts_seconds = lease_lasts_seconds
        self._processes: list[Process] = []
        self._linking: set[Process] = set()
        self._crashes: dict[SessionId, int] = {}
        """How often in a row a session's process has died soon; the culprit is among them."""

    def place(self, engine: Member) -> Process:
        """A process for a linked account; its place there is taken at once."""
        self._processes = [one for one in self._processes if not one.over]
        for process in self._processes:
            if process.starts < _STARTS_IN_A_LIFE and self._has_room(process, engine.session_id):
                break
        else:
            process = self._new_process(self._count_crash)
            self._processes.append(process)
        process.take(engine)
        return process

    def _new_process(self, count_crash: Callable[[Process], None]) -> Process:
        return Process(self._journal, self._journaled, count_crash, self.lease_lasts_seconds)

    def _has_room(self, process: Process, session_id: SessionId) -> bool:
        """Those whose processes keep dying share with half as many each time, until the culprit is alone."""
        crashes = max(self._crashes.get(one, 0) for one in [*process.engines, session_id])
        return len(process.engines) < self._capacity >> max(0, crashes - 1)

    def _count_crash(self, process: Process) -> None:
        for session_id in process.engines:
            self._crashes[session_id] = 1 if process.is_steady() else self._crashes.get(session_id, 0) + 1

    def place_alone(self, engine: Member) -> Process:
        """A process for a link, which ends with it."""
        process = self._new_process(lambda _: None)
        self._linking = {one for one in self._linking if not one.over} | {process}
        process.take(engine)
        return process

    def leave(self, process: Process, engine: Member) -> None:
        process.engines.pop(engine.session_id, None)
        self._crashes.pop(engine.session_id, None)
        if process in self._linking or (not process.engines and process.starts >= _STARTS_IN_A_LIFE):
            process.close()

    def stop_seconds(self) -> float:
        """The patience with an account that is to stop: no more than the lease leaves."""
        return min(_STOP_SECONDS, max(_LAST_STOP_SECONDS, self.lease_lasts_seconds()))

    async def settle(self) -> None:
        """Wait until what is journaled so far is stored: an account that moves is not to overtake itself."""
        mark = self._journal.mark()
        until = time.monotonic() + _SETTLE_SECONDS
        while not self._journal.is_committed(mark) and time.monotonic() < until:  # noqa: ASYNC110 - a file moves
            await asyncio.sleep(_SETTLE_LOOK_SECONDS)

    async def work(self) -> bool:
        """Ask each process whether it is well, and end those that have not answered for long."""
        for process in [*self._processes, *self._linking]:
            process.look()
        return False

    @property
    def pids(self) -> list[int]:
        """Of the living processes."""
        found = [one.pid for one in [*self._processes, *self._linking] if not one.over]
        return [pid for pid in found if pid is not None]

    async def close(self) -> None:
        """End them all; their accounts have been stopped."""
        ending = [*self._processes, *self._linking]
        for process in ending:
            process.close()
        await asyncio.gather(*(process.ended() for process in ending))
