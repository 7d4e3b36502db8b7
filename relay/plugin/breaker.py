"""A rest for a plugin that fails: it is not asked for a while, so that nobody waits for it.

closed ──5 failures in a row──► open 60 s ──► one call is let through ──► closed
                                 ▲                 │ fails
                                 └── twice as long ┘ (10 min at most)
"""

from collections.abc import Callable

_FAILURES = 5
_FIRST_SECONDS, _MOST_SECONDS = 60.0, 600.0


class Breaker:
    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._failures = 0
        self._openings = 0
        self._open_until: float | None = None
        self._trying = False

    def allows(self) -> bool:
        """Whether to call it now; a True while it is open is the one call that is let through."""
        if self._open_until is None:
            return True
        if self._trying or self._clock() < self._open_until:
            return False
        self._trying = True
        return True

    @property
    def is_open(self) -> bool:
        return self._open_until is not None and (self._trying or self._clock() < self._open_until)

    def succeed(self) -> None:
        self._failures = self._openings = 0
        self._open_until, self._trying = None, False

    def fail(self) -> float | None:
        """For how many seconds it opens by this; None where it does not."""
        self._failures += 1
        if not self._trying and (self._open_until is not None or self._failures < _FAILURES):
            return None
        return self.open()

    def open(self, openings: int = 1) -> float:
        """For how long; `openings`: how often in a row, counted from now on."""
        self._openings = max(self._openings + 1, openings)
        seconds = min(_FIRST_SECONDS * 2.0 ** min(self._openings - 1, 10), _MOST_SECONDS)
        self._open_until, self._trying = self._clock() + seconds, False
        return seconds

    def abandon(self) -> None:
        """A call has ended without an outcome: the next one may be the one that is let through."""
        self._trying = False
