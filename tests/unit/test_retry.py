"""What follows an attempt: the schedule, its jitter, Retry-After and the end."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.config import Webhooks
from relay.model.delivery import DeliveryStatus, Outcome
from relay.webhooks.retry import Schedule, parse_retry_after

NOW = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)
DELAYS = Webhooks().schedule_seconds


def schedule(random: float = 0.5) -> Schedule:
    return Schedule(DELAYS, jitter=0.2, random=lambda: random, now=lambda: NOW)


def test_a_success_ends_it() -> None:
    """Whatever the number of tries."""
    assert schedule().judge(tries=10, outcome=Outcome.SUCCEEDED).final is DeliveryStatus.SUCCEEDED


def test_failures_follow_the_schedule_to_its_end() -> None:
    """Ten attempts in all, then it is exhausted."""
    verdicts = [schedule().judge(tries=n, outcome=Outcome.UNREACHABLE) for n in range(1, 11)]
    assert [verdict.delay_seconds for verdict in verdicts[:-1]] == list(DELAYS[1:])
    assert [verdict.final for verdict in verdicts] == [None] * 9 + [DeliveryStatus.EXHAUSTED]


@pytest.mark.parametrize(("random", "factor"), [(0.0, 0.8), (0.5, 1.0), (1.0, 1.2)])
def test_jitter_spreads_a_fifth_either_way(random: float, factor: float) -> None:
    """Many that failed together do not come back together."""
    verdict = schedule(random).judge(tries=2, outcome=Outcome.REJECTED, status=500)
    assert verdict.delay_seconds == pytest.approx(300 * factor)


@pytest.mark.parametrize(
    ("retry_after", "delay"),
    [
        ("120", 120.0),
        ("2", 5.0),
        ("999999999999999", 86400.0),
        ("Sun, 01 Mar 2026 12:10:00 GMT", 600.0),
        ("Sun, 01 Mar 2026 11:00:00 GMT", 5.0),
        ("-5", 5.0),
        ("soon", 5.0),
        ("", 5.0),
    ],
)
def test_retry_after_can_only_lengthen_the_wait_and_at_most_to_a_day(retry_after: str, delay: float) -> None:
    """Seconds or a date; nonsense and the past change nothing."""
    verdict = schedule().judge(tries=1, outcome=Outcome.REJECTED, status=503, retry_after=retry_after)
    assert verdict.delay_seconds == delay


@pytest.mark.parametrize(
    ("status", "gone", "throttled"),
    [(410, True, False), (429, False, True), (502, False, True), (504, False, True), (500, False, False)],
)
def test_some_answers_say_more(status: int, gone: bool, throttled: bool) -> None:
    """410 disables, 429, 502 and 504 slow down; the delivery itself goes on by the schedule."""
    verdict = schedule().judge(tries=1, outcome=Outcome.REJECTED, status=status)
    assert (verdict.gone, verdict.throttled, verdict.final) == (gone, throttled, None)


@given(st.text(max_size=60))
def test_no_header_breaks_it(text: str) -> None:
    """A customer's server may send anything."""
    assert 0 <= parse_retry_after(text, now=NOW) <= 86400
