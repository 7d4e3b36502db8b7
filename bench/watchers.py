"""Open consoles: connections that hold the event stream, and how late what happens reaches them.

The streams are read as raw bytes: a thousand readers share the cores with the server that they measure.
"""

import asyncio
import re
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from datetime import datetime
from typing import cast

from bench.wire import Api, BenchError

_OPEN_AT_ONCE = 50
_PATIENCE_SECONDS = 30.0
_TIMESTAMP = re.compile(rb'"timestamp":\s*"([^"]+)"')


class Watcher(asyncio.Protocol):
    """One stream: the events that came, and for the last of each packet how old it was."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self.listening = asyncio.get_running_loop().create_future()
        self.events = 0
        self.ages: list[float] = []
        """Seconds since each event was made."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        if not self.listening.done():
            self.listening.set_exception(BenchError("The server closed a stream."))

    def data_received(self, data: bytes) -> None:
        if not self.listening.done() and b": listening" in data:
            self.listening.set_result(None)
        self.events += data.count(b"\nevent: ")
        found = _TIMESTAMP.findall(data)
        if found:
            self.ages.append(time.time() - datetime.fromisoformat(found[-1].decode()).timestamp())

    @property
    def is_open(self) -> bool:
        return self._transport is not None

    def send(self, request: bytes) -> None:
        assert self._transport is not None
        self._transport.write(request)

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()


@asynccontextmanager
async def open_watchers(apis: Iterable[Api], each: int) -> AsyncIterator[list[Watcher]]:
    """`each` streams with the key of each of these, all of them listening."""
    gate = asyncio.Semaphore(_OPEN_AT_ONCE)

    async def open_one(api: Api) -> Watcher:
        async with gate, asyncio.timeout(_PATIENCE_SECONDS):
            _, watcher = await asyncio.get_running_loop().create_connection(Watcher, *api.where)
            watcher.send(api.request_of("GET", "/api/v1/events"))
            await watcher.listening
            return watcher

    watchers = list(await asyncio.gather(*(open_one(api) for api in apis for _ in range(each))))
    try:
        yield watchers
    finally:
        for watcher in watchers:
            watcher.close()
