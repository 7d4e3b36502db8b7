"""The sink's process as the measurements see it."""

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import msgspec

from bench.wire import BenchError

_LOOK_SECONDS = 0.1
_LINE_BYTES = 2**26


class Sink:
    """Open it with `open_sink`."""

    def __init__(self, process: asyncio.subprocess.Process, port: int) -> None:
        self._process = process
        self.port = port
        self.pid = process.pid

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    async def open(self, path: str, secret: str) -> None:
        """Receive on `path` what is signed with `secret`."""
        await self._ask("open", path, secret=secret)

    async def clear(self, path: str) -> None:
        await self._ask("clear", path)

    async def report(self, path: str) -> dict[str, float]:
        report: dict[str, float] = await self._ask("report", path)
        return report

    async def arrivals(self, path: str) -> dict[str, float]:
        """When each message came, by WhatsApp id."""
        arrivals: dict[str, float] = await self._ask("arrivals", path)
        return arrivals

    async def audit(self, path: str, accepted: Mapping[str, int]) -> dict[str, int]:
        """How many accepted messages are `missing`, and how many `foreign` ones came."""
        audit: dict[str, int] = await self._ask("audit", path, accepted=accepted)
        return audit

    async def wait_for(self, path: str, count: int, *, seconds: float) -> bool:
        """Until `count` distinct messages have come; False when they do not come in time."""
        until = time.monotonic() + seconds
        while await self._ask("count", path) < count:
            if time.monotonic() > until:
                return False
            await asyncio.sleep(_LOOK_SECONDS)
        return True

    async def _ask(self, what: str, path: str, **more: object) -> Any:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(msgspec.json.encode({"do": what, "path": path, **more}) + b"\n")
        line = await self._process.stdout.readline()
        if not line:
            raise BenchError("The sink has ended.")
        return msgspec.json.decode(line)


@asynccontextmanager
async def open_sink() -> AsyncIterator[Sink]:
    process = await asyncio.create_subprocess_exec(
        *[sys.executable, "-m", "bench.sink"],
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=_LINE_BYTES,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        yield Sink(process, int(await process.stdout.readline()))
    finally:
        process.stdin.close()
        await process.wait()
