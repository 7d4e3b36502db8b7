"""A kept process: started again when it ends, and not once more after a stop."""

import asyncio
import errno
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from relay.supervisor import Child


async def test_a_stop_while_it_waits_to_start_again_is_the_end(tmp_path: Path) -> None:
    """A child that keeps dying is in its back-off when the server stops: it is not started any more."""
    starts = tmp_path / "starts"
    script = f"open({str(starts)!r}, 'a').write('x')"
    child = Child(["host"], [sys.executable, "-c", script], os.environ, fd=0)
    keeping = asyncio.create_task(child.keep())
    async with asyncio.timeout(20):
        while not starts.exists() or len(starts.read_text()) < 2:
            await asyncio.sleep(0.01)
        while child._process is None or child._process.returncode is None:
            await asyncio.sleep(0.01)
        started = len(starts.read_text())
        await child.stop(patience_seconds=5)
        await keeping
    assert len(starts.read_text()) == started


async def test_a_machine_that_can_start_nothing_just_now(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No memory, no process or no file left for one more: it is tried again, as when the child had ended."""
    starts = tmp_path / "starts"
    start, refusals = asyncio.create_subprocess_exec, [errno.EAGAIN, errno.ENOMEM]

    async def start_at_last(*args: Any, **given: Any) -> Any:
        if refusals:
            number = refusals.pop()
            raise OSError(number, os.strerror(number))
        return await start(*args, **given)

    monkeypatch.setattr(asyncio, "create_subprocess_exec", start_at_last)
    script = f"open({str(starts)!r}, 'w'); input()"
    child = Child(["host"], [sys.executable, "-c", script], os.environ, fd=0)
    keeping = asyncio.create_task(child.keep())
    async with asyncio.timeout(20):
        while not starts.exists():
            assert not keeping.done(), "nobody starts it any more"
            await asyncio.sleep(0.01)
        await child.stop(patience_seconds=5)
        await keeping
