"""Waiting for what another process does: look, wait for the doorbell, look again.

The looks of one waiter keep a growing distance, so that many waiters on a busy channel do not flood the database.
"""

import asyncio
import math
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from relay.loops import Bell
from relay.store.doorbell import Channel, Doorbell

T = TypeVar("T")

_POLL_SECONDS = 1.0
_FIRST_GAP_SECONDS = 0.02
_MOST_GAP_SECONDS = 0.25


@contextmanager
def hung(doorbell: Doorbell, channel: Channel) -> Iterator[Bell]:
    """A bell for as long as the block lasts."""
    bell = doorbell.bell(channel)
    try:
        yield bell
    finally:
        doorbell.drop(channel, bell)


async def moments(bell: Bell, *, seconds: float = math.inf) -> AsyncIterator[None]:
    """When to look: now, after each ring, at least once a second, and once more when the time is over."""
    loop = asyncio.get_running_loop()
    deadline, gap = loop.time() + seconds, _FIRST_GAP_SECONDS
    yield
    while (left := deadline - loop.time()) > 0:
        await bell.wait(min(_POLL_SECONDS, left))
        yield
        await asyncio.sleep(max(0.0, min(gap, deadline - loop.time())))
        gap = min(gap * 1.5, _MOST_GAP_SECONDS)


async def wait_for(
    doorbell: Doorbell, channel: Channel, look: Callable[[], Awaitable[T | None]], *, seconds: float
) -> T | None:
    """What `look` answers once it is not None; None when the time is over."""
    with hung(doorbell, channel) as bell:
        async for _ in moments(bell, seconds=seconds):
            found = await look()
            if found is not None:
                return found
    return None
