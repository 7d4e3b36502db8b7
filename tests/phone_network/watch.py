"""Waiting for something to become true, told by whoever changes it: tests never poll and never sleep."""

import asyncio
from collections.abc import Callable

DEFAULT_SECONDS = 30.0


class Watch:
    """A bell: `changed()` rings it, `until()` looks again at every ring."""

    def __init__(self) -> None:
        self._waiting: set[asyncio.Future[None]] = set()

    def changed(self) -> None:
        for waiter in self._waiting:
            if not waiter.done():
                waiter.set_result(None)
        self._waiting.clear()

    async def until(
        self, is_true: Callable[[], object], what: str, *, within_seconds: float = DEFAULT_SECONDS
    ) -> None:
        """Raises TimeoutError, with `what` in its words, when it has not become true in time."""
        try:
            async with asyncio.timeout(within_seconds):
                while not is_true():
                    waiter = asyncio.get_running_loop().create_future()
                    self._waiting.add(waiter)
                    await waiter
        except TimeoutError:
            raise TimeoutError(f"waited {within_seconds:g} s in vain: {what}") from None
