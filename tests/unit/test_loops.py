"""Loops: what fails is tried again and told once at length, a ring wakes, a stop ends."""

import asyncio
import logging

import pytest

from relay import loops
from relay.loops import Bell, Loop, run_until


class Work:
    """Answers, or raises, what it was given, one after the other; then the loop is stopped."""

    def __init__(self, *answers: bool | Exception) -> None:
        self.answers = list(answers)
        self.done = 0
        self.loop = Loop("test", self.work, poll_seconds=60, bell=Bell())

    async def work(self) -> bool:
        answer = self.answers[self.done]
        self.done += 1
        if self.done == len(self.answers):
            self.loop.stop()
        if isinstance(answer, Exception):
            raise answer
        return answer


async def test_more_means_at_once() -> None:
    """True is followed by the next call without waiting for the poll of a minute."""
    work = Work(True, True, True)
    async with asyncio.timeout(5):
        await work.loop.run()
    assert work.done == 3


async def test_a_ring_wakes_and_one_before_the_wait_counts() -> None:
    work = Work(False, False)
    work.loop.bell.ring()
    async with asyncio.timeout(5):
        await work.loop.run()
    assert work.done == 2


async def test_failures_are_survived_and_told_once_at_length(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each is one line, only the first with its trace; a success in between starts anew."""
    monkeypatch.setattr(loops, "_BACKOFF_FIRST_SECONDS", 0.001)
    work = Work(ValueError(), ValueError(), True, ValueError(), True)
    with caplog.at_level(logging.ERROR):
        async with asyncio.timeout(5):
            await work.loop.run()
    assert [record.exc_info is not None for record in caplog.records] == [True, False, True]
    assert work.done == 5


async def test_a_ring_does_not_cut_a_back_off_short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who rings while the database is away does not make a loop hammer it; a stop ends the wait at once."""
    monkeypatch.setattr(loops, "_BACKOFF_FIRST_SECONDS", 60)
    work = Work(ValueError(), True)
    running = asyncio.create_task(work.loop.run())
    for _ in range(50):
        work.loop.bell.ring()
        await asyncio.sleep(0)
    assert work.done == 1
    work.loop.stop()
    async with asyncio.timeout(5):
        await running


async def test_a_stop_lets_the_work_in_hand_finish() -> None:
    started, finish, finished = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def work() -> bool:
        started.set()
        await finish.wait()
        finished.set()
        return False

    stopping = asyncio.Event()
    running = asyncio.create_task(run_until([Loop("test", work, poll_seconds=60, bell=Bell())], stopping))
    await started.wait()
    stopping.set()
    await asyncio.sleep(0)
    assert not running.done()
    finish.set()
    async with asyncio.timeout(5):
        await running
    assert finished.is_set()
