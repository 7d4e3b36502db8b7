"""A lean HTTP/1.1 client: the load generator shares the cores with what it measures.

Kept-alive connections, one request in flight on each, answers with a Content-Length only. About 20 µs a request,
where httpx takes a millisecond.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Self, cast

import msgspec


class BenchError(Exception):
    """The product did not answer as the measurement needs it."""


class Connection(asyncio.Protocol):
    """One connection; `exchange` sends a request made by `request_of`."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._answer: asyncio.Future[tuple[int, bytes]] | None = None
        self._received = b""

    @classmethod
    async def open(cls, host: str, port: int) -> Self:
        _transport, connection = await asyncio.get_running_loop().create_connection(cls, host, port)
        return connection

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transport is none by class.
        self._transport = cast("asyncio.Transport", transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(BenchError("The server closed the connection."))

    def data_received(self, data: bytes) -> None:
        self._received += data
        end = self._received.find(b"\r\n\r\n")
        if end < 0 or self._answer is None:
            return
        head = self._received[:end].lower()
        status = int(head[9:12])
        length_at = head.find(b"\r\ncontent-length:")
        length = int(head[length_at + 17 :].partition(b"\r\n")[0]) if length_at >= 0 else 0
        if len(self._received) < end + 4 + length:
            return
        body, self._received = self._received[end + 4 : end + 4 + length], b""
        if not self._answer.done():
            self._answer.set_result((status, body))

    async def exchange(self, request: bytes) -> tuple[int, bytes]:
        """The answer's status and body."""
        if self._transport is None:
            raise BenchError("The server closed the connection.")
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return await self._answer

    @property
    def is_open(self) -> bool:
        return self._transport is not None

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()


class Api:
    """The API as one key sees it, over a few kept-alive connections."""

    def __init__(self, host: str, port: int, key: str) -> None:
        self._host, self._port, self._key = host, port, key
        self._idle: list[Connection] = []

    @property
    def where(self) -> tuple[str, int]:
        return self._host, self._port

    def at(self, host: str, port: int) -> Self:
        """With the same key, at another address."""
        self.close()
        return type(self)(host, port, self._key)

    def request_of(self, method: str, path: str, body: object = None) -> bytes:
        content = b"" if body is None else msgspec.json.encode(body)
        head = (
            f"{method} {path} HTTP/1.1\r\nHost: {self._host}:{self._port}\r\nAuthorization: Bearer {self._key}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(content)}\r\n\r\n"
        )
        return head.encode() + content

    async def call(self, method: str, path: str, body: object = None) -> Any:
        """The answer's JSON. Raises BenchError unless it is a 2xx."""
        status, answer = await self.try_call(method, path, body)
        if not 200 <= status < 300:
            raise BenchError(f"{method} {path} answered {status}: {answer.decode(errors='replace')[:500]}")
        return msgspec.json.decode(answer) if answer else None

    async def try_call(self, method: str, path: str, body: object = None) -> tuple[int, bytes]:
        async with self.connection() as connection:
            return await connection.exchange(self.request_of(method, path, body))

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        """A connection of one's own, kept for the next one afterwards."""
        connection = None
        while self._idle and connection is None:
            idle = self._idle.pop()
            connection = idle if idle.is_open else None
        if connection is None:
            connection = await Connection.open(self._host, self._port)
        yield connection
        self._idle.append(connection)

    def close(self) -> None:
        while self._idle:
            self._idle.pop().close()
