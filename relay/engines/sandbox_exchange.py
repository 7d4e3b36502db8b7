"""What all sandbox engines of a process share: time, chance, what is broken, and where words are kept.

No session has a task or a timer of its own: what is to happen later stands in one heap, and the network's `work`
looks at it.
"""

import heapq
import itertools
import os
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from relay.config import Sandbox
from relay.engines.engine import Signal
from relay.engines.sandbox_groups import Groups
from relay.engines.sandbox_outbox import Outbox
from relay.engines.sandbox_receipts import Receipts
from relay.loops import Bell
from relay.model.ids import SessionId
from relay.store.pool import Pool

if TYPE_CHECKING:
    # The engine needs the exchange to be made; the exchange only points at engines.
    from relay.engines.sandbox import SandboxEngine


def now_utc() -> datetime:
    return datetime.now(UTC)


class Timers:
    """Calls that are due at an instant of the monotonic clock."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._due: list[tuple[float, int, Callable[[], None]]] = []
        self._pushed = itertools.count()

    def call_in(self, seconds: float, call: Callable[[], None]) -> None:
        """Whoever is called looks first whether it still matters."""
        heapq.heappush(self._due, (self._monotonic() + seconds, next(self._pushed), call))

    def run_due(self) -> None:
        now = self._monotonic()
        while self._due and self._due[0][0] <= now:
            heapq.heappop(self._due)[2]()


class Faults:
    """What is broken for one session, whichever engine object drives it."""

    __slots__ = ("refusal", "refused_until", "rejects", "slow_seconds")

    def __init__(self) -> None:
        self.slow_seconds = 0.0
        self.rejects = 0
        self.refusal: Signal | None = None
        """How connecting ends before `refused_until`."""
        self.refused_until = 0.0


class Exchange:
    def __init__(
        self,
        pool: Pool,
        settings: Sandbox,
        *,
        clock: Callable[[], datetime] = now_utc,
        monotonic: Callable[[], float] = time.monotonic,
        randomness: Callable[[int], bytes] = os.urandom,
    ) -> None:
        self.pool = pool
        self.settings = settings
        self.clock = clock
        self.monotonic = monotonic
        self.randomness = randomness
        self.bell = Bell()
        self.timers = Timers(monotonic)
        self.outbox = Outbox(pool)
        self.receipts = Receipts(settings, clock=clock, monotonic=monotonic)
        self.faults: dict[SessionId, Faults] = {}
        self.live: dict[SessionId, SandboxEngine] = {}
        """The engines that show a code or are connected."""
        self._groups: dict[SessionId, Groups] = {}

    def groups_of(self, session_id: SessionId) -> Groups:
        """They outlive the engine object: an account that reconnects is in the same groups."""
        return self._groups.setdefault(session_id, Groups())

    def find_refusal(self, session_id: SessionId) -> Signal | None:
        faults = self.faults.get(session_id)
        if faults is None or faults.refused_until <= self.monotonic():
            return None
        return faults.refusal
