"""A value that many ask for and one look-up answers: probes and scrapes come as often as they like."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Remembered(Generic[T]):
    """What `look` answered, for `seconds`; who asks while it looks waits for the same answer."""

    def __init__(
        self,
        look: Callable[[], Awaitable[T]],
        *,
        seconds: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._look = look
        self._seconds = seconds
        self._clock = clock
        self._looking = asyncio.Lock()
        self._known: tuple[T, float] | None = None

    async def get(self) -> T:
        async with self._looking:
            if self._known is None or self._clock() >= self._known[1]:
                self._known = (await self._look(), self._clock() + self._seconds)
            return self._known[0]
