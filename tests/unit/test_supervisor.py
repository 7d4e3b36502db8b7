"""A kept process: started again when it ends, and not once more after a stop."""

import asyncio
import os
import sys
from pathlib import Path

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
