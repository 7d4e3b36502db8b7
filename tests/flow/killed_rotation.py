"""`relay keys rotate` that is killed, as by kill -9, at a named point of its way: `python -m … POINT`.

Nothing of Relay knows of it: this program wraps the functions that the way goes through, then runs the command.
"""

import asyncio
import functools
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

from relay.__main__ import main
from relay.commands import rotation

# Where the function is, its name, at which of its calls, on which side of it.
POINTS: dict[str, tuple[Any, str, int, Literal["before", "after"]]] = {
  "the new ring is being written": (os, "fsync", 1, "before"),
  "the new ring is written": (Path, "replace", 1, "before"),
  "the new ring is in place": (Path, "replace", 1, "after"),
  "the new key is named": (rotation, "name_wrapping_key", 1, "after"),
  "some are wrapped anew": (rotation, "rewrap_batch", 1, "after"),
  "all are wrapped anew": (rotation, "count_by_key", 1, "after"),
  "the last ring is being written": (os, "fsync", 3, "before"),
  "the last ring is written": (Path, "replace", 2, "before"),
  "the last ring is in place": (Path, "replace", 2, "after"),
}  # fmt: skip


def _kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _deadly(function: Callable[..., Any], call: int, side: str) -> Callable[..., Any]:
    calls = 0

    def is_due(now: str) -> bool:
        return calls == call and now == side

    @functools.wraps(function)
    def run(*given: Any, **named: Any) -> Any:
        nonlocal calls
        calls += 1
        if is_due("before"):
            _kill()
        answer = function(*given, **named)
        if is_due("after"):
            _kill()
        return answer

    @functools.wraps(function)
    async def run_async(*given: Any, **named: Any) -> Any:
        nonlocal calls
        calls += 1
        if is_due("before"):
            _kill()
        answer = await function(*given, **named)
        if is_due("after"):
            _kill()
        return answer

    return run_async if asyncio.iscoroutinefunction(function) else run


if __name__ == "__main__":
    owner, name, call, side = POINTS[sys.argv.pop(1)]
    setattr(owner, name, _deadly(getattr(owner, name), call, side))
    main()
