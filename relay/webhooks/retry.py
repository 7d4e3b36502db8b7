"""What follows an attempt: the end, or the next one and when.

2xx ──► succeeded
else ─► the schedule's next delay ± jitter, or what Retry-After asks for where that is longer
        └── no next delay ──► exhausted
410 ──► besides, its endpoint is disabled;   429, 502, 504 ──► besides, its endpoint is given fewer slots
"""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from msgspec import Struct

from relay.model.delivery import DeliveryStatus, Outcome

_RETRY_AFTER_MOST_SECONDS = 86400.0
_GONE = 410
_THROTTLES = frozenset({429, 502, 504})


class Verdict(Struct, frozen=True, kw_only=True):
    final: DeliveryStatus | None = None
    """None: there will be another attempt, after `delay_seconds`."""
    delay_seconds: float = 0.0
    gone: bool = False
    throttled: bool = False
    retry_after_seconds: float = 0.0


class Schedule:
    """`delays[n]` seconds pass before attempt n + 1; the first stands for completeness, outboxes make it due at once."""

    def __init__(
        self,
        delays: Sequence[float],
        *,
        jitter: float,
        random: Callable[[], float],
        now: Callable[[], datetime],
    ) -> None:
        self._delays = tuple(delays)
        self._jitter = jitter
        self._random = random
        self._now = now

    def judge(
        self, *, tries: int, outcome: Outcome, status: int | None = None, retry_after: str | None = None
    ) -> Verdict:
        """What follows; `tries` counts the attempts of this schedule, this one included."""
        if outcome is Outcome.SUCCEEDED:
            return Verdict(final=DeliveryStatus.SUCCEEDED)
        asked_seconds = parse_retry_after(retry_after, now=self._now()) if retry_after else 0.0
        exhausted = tries >= len(self._delays)
        return Verdict(
            final=DeliveryStatus.EXHAUSTED if exhausted else None,
            delay_seconds=0.0 if exhausted else max(self._spread(self._delays[tries]), asked_seconds),
            gone=status == _GONE,
            throttled=status in _THROTTLES,
            retry_after_seconds=asked_seconds,
        )

    def _spread(self, delay: float) -> float:
        return delay * (1 + self._jitter * (2 * self._random() - 1))


def parse_retry_after(text: str, *, now: datetime) -> float:
    """Seconds from now, between 0 and a day; 0 where it says nothing that can be understood (RFC 9110, 10.2.3)."""
    text = text.strip()
    if text.isascii() and text.isdecimal():
        return min(float(text[:10]), _RETRY_AFTER_MOST_SECONDS)
    try:
        at = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return 0.0
    seconds = (at if at.tzinfo else at.replace(tzinfo=UTC)) - now
    return min(max(seconds.total_seconds(), 0.0), _RETRY_AFTER_MOST_SECONDS)
