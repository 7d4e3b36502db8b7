"""Turns with the library: alone, stops first, and nobody begins who was given up."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from relay.engines.turns import Turns
from relay.model.errors import NotConnected

SECONDS = 10.0


def test_those_that_stop_come_before_those_that_start() -> None:
    """However long the others have been waiting; each has its turn, and nobody has one beside another."""
    turns, order, with_turn = Turns(), list[str](), threading.Semaphore()
    waiting = threading.Semaphore(0)

    def never() -> bool:
        # Asked as soon as it waits.
        waiting.release()
        return False

    def work(name: str) -> None:
        assert with_turn.acquire(blocking=False)
        order.append(name)
        with_turn.release()

    def start(name: str) -> None:
        with turns.to_start(never):
            work(name)

    def stop(name: str) -> None:
        with turns.to_stop():
            work(name)

    with ThreadPoolExecutor() as pool:
        with turns.to_stop():
            starting = [pool.submit(start, f"start {number}") for number in range(2)]
            for _ in starting:
                assert waiting.acquire(timeout=SECONDS)
            stopping = [pool.submit(stop, f"stop {number}") for number in range(2)]
            while turns._waiting_to_stop < len(stopping):
                turns.look_again()
        for one in [*starting, *stopping]:
            one.result(SECONDS)
    assert [name.split()[0] for name in order] == ["stop", "stop", "start", "start"]


def test_a_start_that_is_given_up_never_has_its_turn() -> None:
    """It ends while the turn is still somebody else's, and leaves nothing behind for those who come later."""
    turns, given_up, waiting = Turns(), threading.Event(), threading.Event()

    def is_given_up() -> bool:
        waiting.set()
        return given_up.is_set()

    def start() -> None:
        with turns.to_start(is_given_up):
            raise AssertionError

    with ThreadPoolExecutor() as pool:
        with turns.to_stop():
            starting = pool.submit(start)
            assert waiting.wait(SECONDS)
            given_up.set()
            turns.look_again()
            with pytest.raises(NotConnected, match="before it had started"):
                starting.result(SECONDS)
        with pytest.raises(NotConnected):
            start()
        with turns.to_start(lambda: False):
            pass
