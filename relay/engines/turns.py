"""Whose turn it is with the library: one at a time, and those that stop before those that start.

start ──► waits while somebody has the turn, or waits to stop ──► has it ──► gives it back
            └─ given up meanwhile ──► NotConnected
stop ───► waits while somebody has the turn ──► has it ──► gives it back

A start may take seconds, and many may wait: a stop waits for the one that has its turn, and no other.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from relay.model.errors import NotConnected


class Turns:
    """Used from any thread; within `to_start` or `to_stop` a thread is alone."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._is_taken = False
        self._waiting_to_stop = 0

    @contextmanager
    def to_start(self, is_given_up: Callable[[], bool]) -> Iterator[None]:
        """Raises NotConnected once it is given up; `look_again` after that has changed."""
        with self._changed:
            self._changed.wait_for(lambda: is_given_up() or not (self._is_taken or self._waiting_to_stop))
            if is_given_up():
                raise NotConnected("The session was stopped before it had started.")
            self._is_taken = True
        try:
            yield
        finally:
            self._give_back()

    @contextmanager
    def to_stop(self) -> Iterator[None]:
        with self._changed:
            self._waiting_to_stop += 1
            self._changed.wait_for(lambda: not self._is_taken)
            self._waiting_to_stop -= 1
            self._is_taken = True
        try:
            yield
        finally:
            self._give_back()

    def look_again(self) -> None:
        """Whoever waits to start finds out whether it is given up."""
        with self._changed:
            self._changed.notify_all()

    def _give_back(self) -> None:
        with self._changed:
            self._is_taken = False
            self._changed.notify_all()
