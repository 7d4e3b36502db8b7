"""Lanes: how many slots each endpoint may use now, so that nobody waits for a stranger.

    closed ──70% of ≥ 10 attempts in 5 minutes failed──► open ──30 s──► one probe ──► closed
                                                          ▲                └──failed──┘ (open again)

An open lane is not claimed from: its refusal uses up no attempt. In a closed one the window of slots grows with each
success and is halved by each timeout or throttle. A lane that has stopped answering gets nothing new, and all slow
lanes together hold at most half of the slots: the other half is always there for those that answer. What is free
is shared out evenly: those with the fewest in flight first, and among them who has waited longest.
"""

from collections import deque
from collections.abc import Callable, Iterable

from relay.model.ids import EndpointId

_FIRST_WINDOW = 8
_SLOW_SECONDS = 1.0
_STALLED_SLOTS = 2
_SAMPLE_SECONDS = 30.0
_SAMPLES = 10
_OPEN_SECONDS = 30.0
_OPEN_REQUESTS = 10
_OPEN_SHARE = 0.7
_FORGET_SECONDS = 600.0
_PAUSE_MOST_SECONDS = 60.0


class _Lane:
    def __init__(self, now: float) -> None:
        self.window = float(_FIRST_WINDOW)
        self.in_flight = 0
        self.mean_seconds = 0.0
        self.moved_at = now
        """When something last finished, or started where nothing was in flight."""
        self.served = 0
        """The grant that last gave it something: those who have waited longest come first."""
        self.is_open = False
        self.closed_until = now
        """No slots before then: the breaker, or a pause that the endpoint asked for."""
        self._samples: deque[list[float]] = deque(maxlen=_SAMPLES)
        """[started, attempts, failures], the newest last."""

    def is_stalled(self, now: float) -> bool:
        return self.in_flight > 0 and now - self.moved_at > _SLOW_SECONDS

    def is_slow(self, now: float) -> bool:
        return self.mean_seconds > _SLOW_SECONDS or self.is_stalled(now)

    def wants(self, now: float) -> int:
        if now < self.closed_until:
            return 0
        if self.is_open:
            limit = 1
        elif self.is_stalled(now):
            limit = min(int(self.window), _STALLED_SLOTS)
        else:
            limit = int(self.window)
        return max(0, limit - self.in_flight)

    def sample(self, now: float, *, failed: bool) -> bool:
        """Count an attempt; True when so many have failed that the lane must open."""
        if not self._samples or now - self._samples[-1][0] >= _SAMPLE_SECONDS:
            self._samples.append([now, 0, 0])
        self._samples[-1][1] += 1
        if not failed:
            return False
        self._samples[-1][2] += 1
        recent = [s for s in self._samples if now - s[0] < _SAMPLE_SECONDS * _SAMPLES]
        attempts, failures = sum(s[1] for s in recent), sum(s[2] for s in recent)
        return attempts >= _OPEN_REQUESTS and failures >= attempts * _OPEN_SHARE

    def close(self) -> None:
        self.is_open = False
        self.window = float(_FIRST_WINDOW)
        self._samples.clear()


class Lanes:
    """The slots of one dispatcher. Pure: `clock` counts monotonic seconds."""

    def __init__(self, *, concurrency: int, per_endpoint: int, clock: Callable[[], float]) -> None:
        self._concurrency = concurrency
        self._per_endpoint = per_endpoint
        self._clock = clock
        self._lanes: dict[EndpointId, _Lane] = {}
        self._busy: set[EndpointId] = set()
        self._grants = 0
        self.in_flight = 0

    @property
    def free(self) -> int:
        return self._concurrency - self.in_flight

    def is_open(self, endpoint_id: EndpointId) -> bool:
        lane = self._lanes.get(endpoint_id)
        return lane is not None and lane.is_open

    def grant(self, endpoint_ids: Iterable[EndpointId]) -> dict[EndpointId, int]:
        """How many each of `endpoint_ids` may claim now; those that may claim nothing are left out."""
        if self.free <= 0:
            return {}
        now = self._clock()
        prompt: list[tuple[_Lane, int, EndpointId]] = []
        slow: list[tuple[_Lane, int, EndpointId]] = []
        for endpoint_id in endpoint_ids:
            lane = self._lanes.get(endpoint_id) or self._lane(endpoint_id, now)
            wants = lane.wants(now)
            if wants > 0:
                (slow if lane.is_slow(now) else prompt).append((lane, wants, endpoint_id))
        held = sum(self._lanes[busy].in_flight for busy in self._busy if self._lanes[busy].is_slow(now))
        grants = _share(prompt, self.free)
        left = self.free - sum(grants.values())
        grants |= _share(slow, min(left, self._concurrency // 2 - held))
        self._grants += 1
        for endpoint_id in grants:
            self._lanes[endpoint_id].served = self._grants
        return grants

    def begin(self, endpoint_id: EndpointId, slots: int = 1) -> None:
        """`slots` were claimed and are in flight."""
        now = self._clock()
        lane = self._lane(endpoint_id, now)
        if lane.in_flight == 0:
            lane.moved_at = now
        lane.in_flight += slots
        self.in_flight += slots
        self._busy.add(endpoint_id)

    def give_back(self, endpoint_id: EndpointId) -> None:
        """A slot ends without an attempt."""
        lane = self._lanes[endpoint_id]
        lane.in_flight -= 1
        self.in_flight -= 1
        if lane.in_flight == 0:
            self._busy.discard(endpoint_id)

    def pause(self, endpoint_id: EndpointId, seconds: float) -> None:
        """Nothing is claimed from it for so long."""
        now = self._clock()
        lane = self._lane(endpoint_id, now)
        lane.closed_until = max(lane.closed_until, now + seconds)

    def succeed(self, endpoint_id: EndpointId, *, seconds: float) -> None:
        lane, now = self._finish(endpoint_id, seconds)
        if lane.is_open:
            lane.close()
            lane.closed_until = now
        lane.sample(now, failed=False)
        grown = lane.window + (1.0 if seconds < _SLOW_SECONDS else 1.0 / lane.window)
        lane.window = min(grown, float(self._per_endpoint))

    def fail(
        self, endpoint_id: EndpointId, *, seconds: float, shrink: bool, pause_seconds: float = 0.0
    ) -> None:
        """`shrink`: it did not answer, or asked for less; `pause_seconds`: what its Retry-After asked for."""
        lane, now = self._finish(endpoint_id, seconds)
        if shrink:
            lane.window = max(1.0, lane.window / 2)
        opens = lane.sample(now, failed=True)
        if lane.is_open or opens:
            lane.is_open = True
            lane.closed_until = max(lane.closed_until, now + _OPEN_SECONDS)
        pause_seconds = min(pause_seconds, _PAUSE_MOST_SECONDS)
        lane.closed_until = max(lane.closed_until, now + pause_seconds)

    def forget_idle(self) -> None:
        """Drop what has been idle for long, so that memory is bounded by who is owed something."""
        now = self._clock()
        for endpoint_id, lane in list(self._lanes.items()):
            if lane.in_flight == 0 and now - max(lane.moved_at, lane.closed_until) > _FORGET_SECONDS:
                del self._lanes[endpoint_id]

    def _lane(self, endpoint_id: EndpointId, now: float) -> _Lane:
        lane = self._lanes.get(endpoint_id)
        if lane is None:
            lane = self._lanes[endpoint_id] = _Lane(now)
            lane.window = min(lane.window, float(self._per_endpoint))
        return lane

    def _finish(self, endpoint_id: EndpointId, seconds: float) -> tuple[_Lane, float]:
        self.give_back(endpoint_id)
        now = self._clock()
        lane = self._lanes[endpoint_id]
        lane.moved_at = now
        lane.mean_seconds += (seconds - lane.mean_seconds) * 0.2
        return lane, now


def _share(asking: list[tuple[_Lane, int, EndpointId]], free: int) -> dict[EndpointId, int]:
    """Share `free` slots evenly among those who ask, as (lane, wanted, id)."""
    asking.sort(key=lambda each: (each[0].in_flight, each[0].served))
    grants: dict[EndpointId, int] = {}
    while asking and free > 0:
        share = max(1, free // len(asking))
        unsatisfied = []
        for lane, wants, endpoint_id in asking[:free]:
            given = min(share, wants, free)
            free -= given
            grants[endpoint_id] = grants.get(endpoint_id, 0) + given
            if wants > given:
                unsatisfied.append((lane, wants - given, endpoint_id))
        asking = unsatisfied
    return grants
