"""Lanes: fair shares, windows that follow the answers, and the breaker, by an injected clock."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.model.ids import EndpointId
from relay.webhooks.lanes import Lanes

A, B = EndpointId("ep_a"), EndpointId("ep_b")


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def lanes(clock: Clock, *, concurrency: int = 256, per_endpoint: int = 64) -> Lanes:
    return Lanes(concurrency=concurrency, per_endpoint=per_endpoint, clock=clock)


def take(given: Lanes, *endpoints: EndpointId) -> dict[EndpointId, int]:
    """Claim all that is granted."""
    grants = given.grant(endpoints)
    for endpoint, slots in grants.items():
        given.begin(endpoint, slots)
    return grants


def succeed(given: Lanes, endpoint: EndpointId, times: int, *, seconds: float = 0.01) -> None:
    for _ in range(times):
        given.begin(endpoint)
        given.succeed(endpoint, seconds=seconds)


def fail(given: Lanes, endpoint: EndpointId, times: int, *, shrink: bool = False) -> None:
    for _ in range(times):
        given.begin(endpoint)
        given.fail(endpoint, seconds=0.01, shrink=shrink)


def test_a_window_grows_with_success_up_to_its_limit(clock: Clock) -> None:
    """A quick endpoint earns its slots."""
    given = lanes(clock)
    assert given.grant([A]) == {A: 8}
    succeed(given, A, 10)
    assert given.grant([A]) == {A: 18}
    succeed(given, A, 100)
    assert given.grant([A]) == {A: 64}


def test_what_does_not_answer_or_asks_for_less_is_halved(clock: Clock) -> None:
    """Down to one; an answer that is merely wrong costs no slot."""
    given = lanes(clock)
    fail(given, A, 1, shrink=True)
    assert given.grant([A]) == {A: 4}
    fail(given, A, 1)
    assert given.grant([A]) == {A: 4}
    fail(given, A, 5, shrink=True)
    assert given.grant([A]) == {A: 1}


def test_the_slots_are_shared_evenly(clock: Clock) -> None:
    """Nobody gets a second slot before everybody has one."""
    given = lanes(clock, concurrency=10, per_endpoint=8)
    many = [EndpointId(f"ep_{n}") for n in range(20)]
    assert set(take(given, *many).values()) == {1}
    assert given.free == 0
    assert given.grant(many) == {}
    given = lanes(clock, concurrency=10, per_endpoint=8)
    assert take(given, A, B) == {A: 5, B: 5}


def test_who_has_fewest_in_flight_comes_first(clock: Clock) -> None:
    """A newcomer is served before a big one gets more."""
    given = lanes(clock, concurrency=10, per_endpoint=8)
    take(given, A)
    assert given.grant([A, B]) == {B: 2}


def test_whoever_waits_longest_is_next(clock: Clock) -> None:
    """With more busy endpoints than slots, each has its turn."""
    given = lanes(clock, concurrency=4, per_endpoint=1)
    many = [EndpointId(f"ep_{n:02}") for n in range(20)]
    served = []
    for _ in range(5):
        for endpoint in take(given, *many):
            served.append(endpoint)
            given.succeed(endpoint, seconds=0.01)
    assert sorted(served) == many


def test_a_hanging_endpoint_gets_nothing_new(clock: Clock) -> None:
    """It keeps what it holds until its deadline; the others share all the rest."""
    given = lanes(clock)
    succeed(given, A, 100)
    assert take(given, A) == {A: 64}
    clock.now += 2
    given.succeed(A, seconds=0.01)
    clock.now += 2
    assert given.grant([A]) == {}
    assert given.grant([A, B]) == {B: 8}


def test_all_slow_ones_together_leave_half_of_the_slots(clock: Clock) -> None:
    """However many endpoints answer slowly, those that answer promptly find room."""
    given = lanes(clock, concurrency=64)
    slow = [EndpointId(f"ep_slow{n}") for n in range(40)]
    for endpoint in slow:
        succeed(given, endpoint, 8, seconds=15.0)
    take(given, *slow)
    assert given.in_flight == 32
    assert take(given, A, B) == {A: 8, B: 8}


def test_many_failures_open_the_breaker_and_one_probe_closes_it(clock: Clock) -> None:
    """70% of at least ten; then nothing for 30 s, one probe, and back to normal when it succeeds."""
    given = lanes(clock)
    fail(given, A, 9)
    assert not given.is_open(A)
    fail(given, A, 1)
    assert given.is_open(A)
    assert given.grant([A]) == {}
    clock.now += 29.9
    assert given.grant([A]) == {}
    clock.now += 0.2
    assert take(given, A) == {A: 1}
    assert given.grant([A]) == {}
    given.fail(A, seconds=0.01, shrink=True)
    assert given.grant([A]) == {}
    clock.now += 30.1
    assert take(given, A) == {A: 1}
    given.succeed(A, seconds=0.01)
    assert not given.is_open(A)
    assert given.grant([A])[A] >= 8
    fail(given, A, 1)
    assert not given.is_open(A)


def test_a_mixed_record_keeps_it_closed(clock: Clock) -> None:
    """Four in ten succeed: it stays in use."""
    given = lanes(clock)
    for _ in range(20):
        succeed(given, A, 4)
        fail(given, A, 6)
    assert not given.is_open(A)


def test_old_failures_are_forgotten(clock: Clock) -> None:
    """Only the last five minutes count."""
    given = lanes(clock)
    fail(given, A, 9)
    clock.now += 301
    fail(given, A, 9)
    assert not given.is_open(A)


def test_a_pause_is_kept_and_bounded(clock: Clock) -> None:
    """Retry-After of a throttle holds its lane back, but not for longer than a minute."""
    given = lanes(clock)
    given.begin(A)
    given.fail(A, seconds=0.01, shrink=True, pause_seconds=3600)
    clock.now += 59
    assert given.grant([A, B]) == {B: 8}
    clock.now += 2
    assert given.grant([A]) == {A: 4}


def test_a_slot_given_back_is_no_attempt(clock: Clock) -> None:
    """It neither counts for nor against the endpoint."""
    given = lanes(clock)
    for _ in range(20):
        given.begin(A)
        given.give_back(A)
    assert (given.in_flight, given.is_open(A), given.grant([A])) == (0, False, {A: 8})


def test_idle_lanes_are_forgotten(clock: Clock) -> None:
    """Those with something in flight are not."""
    given = lanes(clock)
    succeed(given, A, 20)
    take(given, B)
    clock.now += 601
    given.forget_idle()
    assert given.grant([A]) == {A: 8}
    given.succeed(B, seconds=600.0)


@given(
    st.lists(st.tuples(st.integers(0, 9), st.sampled_from(["take", "succeed", "fail", "wait"])), max_size=80)
)
def test_slots_are_never_exceeded_and_never_lost(steps: list[tuple[int, str]]) -> None:
    """Any order of claims and answers keeps the sums right."""
    clock = Clock()
    given = lanes(clock, concurrency=16, per_endpoint=8)
    held = dict.fromkeys([EndpointId(f"ep_{n}") for n in range(10)], 0)
    for number, step in steps:
        endpoint = EndpointId(f"ep_{number}")
        if step == "take":
            for lane, slots in take(given, *held).items():
                held[lane] += slots
        elif step == "wait":
            clock.now += number * 5
        elif held[endpoint]:
            held[endpoint] -= 1
            if step == "succeed":
                given.succeed(endpoint, seconds=number / 5)
            else:
                given.fail(endpoint, seconds=number / 5, shrink=number % 2 == 0)
        assert given.in_flight == sum(held.values()) <= 16
        assert max(held.values()) <= 8
