"""A call that came to nothing, and trying again while there is time."""

import time
from collections.abc import Awaitable, Callable
from email.utils import parsedate_to_datetime
from typing import TypeVar

from msgspec import Struct

from relay.model.agent import CallOutcome

T = TypeVar("T")

_FIRST_WAIT_SECONDS = 0.5
_DETAIL_CHARACTERS = 300


class CallFailed(Exception):
    """`detail` is for the tenant, who sees it when trying the agent; it holds no text of a chat's."""

    def __init__(
        self,
        outcome: CallOutcome,
        detail: str,
        *,
        status: int | None = None,
        retry_after: str | None = None,
        again: bool = False,
    ) -> None:
        super().__init__(detail)
        self.outcome = outcome
        self.detail = detail[:_DETAIL_CHARACTERS]
        self.status = status
        self.retry_after = retry_after
        self.again = again
        """Another try may help."""


def failed_by_status(status: int, *, retry_after: str | None, detail: str = "") -> CallFailed:
    """What a status that is no success means."""
    said = f"The server answered with status {status}" + (f": {detail}" if detail else ".")
    if status == 429:
        return CallFailed(CallOutcome.THROTTLED, said, status=status, retry_after=retry_after, again=True)
    if status >= 500 or status == 408:
        return CallFailed(CallOutcome.FAILED, said, status=status, retry_after=retry_after, again=True)
    return CallFailed(CallOutcome.REFUSED, said, status=status)


class Patience(Struct, frozen=True, kw_only=True):
    """How often and how long a question is tried."""

    retries: int
    until: float
    """By `clock`."""
    clock: Callable[[], float]
    sleep: Callable[[float], Awaitable[None]]

    async def again_and_again(self, attempt: Callable[[], Awaitable[T]]) -> T:
        """Until it succeeds, fails for good, or the next try would come too late. Raises CallFailed."""
        for tried in range(self.retries + 1):
            try:
                return await attempt()
            except CallFailed as failed:
                wait = _wait_seconds(failed.retry_after, tried)
                if not failed.again or tried == self.retries or self.clock() + wait >= self.until:
                    raise
                await self.sleep(wait)
        raise AssertionError("the last try returns or raises")


def _wait_seconds(retry_after: str | None, tried: int) -> float:
    """As the server asks, in seconds or as a date; else twice as long each time."""
    doubling = _FIRST_WAIT_SECONDS * float(2**tried)
    if retry_after is None:
        return doubling
    try:
        return max(0.0, float(retry_after))
    except ValueError:
        pass
    try:
        return max(0.0, parsedate_to_datetime(retry_after).timestamp() - time.time())
    except (ValueError, TypeError, OverflowError):
        return doubling
