"""A SOCKS5 proxy (RFC 1928, with a password by RFC 1929) before the network's own, for clients that are to use one."""

import asyncio
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from urllib.parse import urlsplit


@dataclass
class Socks:
    """A running proxy; whoever comes with another name or password is turned away."""

    http_proxy: str
    user: str = "relay"
    password: str = "p@ss"
    port: int = 0
    asked: list[str] = field(default_factory=list)
    """`host:port` of each connection that it made."""
    refused: int = 0

    @property
    def url(self) -> str:
        return f"socks5://{self.user}:p%40ss@127.0.0.1:{self.port}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            with suppress(asyncio.IncompleteReadError, ConnectionError):
                await self._serve(reader, writer)
        finally:
            writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        _version, methods = await reader.readexactly(2)
        await reader.readexactly(methods)
        writer.write(b"\x05\x02")
        _version, size = await reader.readexactly(2)
        user = await reader.readexactly(size)
        password = await reader.readexactly((await reader.readexactly(1))[0])
        if (user.decode(), password.decode()) != (self.user, self.password):
            self.refused += 1
            writer.write(b"\x01\x01")
            return
        writer.write(b"\x01\x00")
        address = await self._read_address(reader)
        self.asked.append(address)
        target = urlsplit(self.http_proxy)
        far_reader, far_writer = await asyncio.open_connection(target.hostname, target.port)
        far_writer.write(f"CONNECT {address} HTTP/1.1\r\nHost: {address}\r\n\r\n".encode())
        await far_reader.readuntil(b"\r\n\r\n")
        writer.write(b"\x05\x00\x00\x01" + bytes(6))
        await asyncio.gather(_pipe(reader, far_writer), _pipe(far_reader, writer))

    async def _read_address(self, reader: asyncio.StreamReader) -> str:
        _version, _connect, _reserved, kind = await reader.readexactly(4)
        assert kind == 3, "names are resolved by the proxy"
        host = await reader.readexactly((await reader.readexactly(1))[0])
        (port,) = struct.unpack(">H", await reader.readexactly(2))
        return f"{host.decode()}:{port}"


async def _pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError):
        while chunk := await reader.read(65_536):
            writer.write(chunk)
            await writer.drain()
    writer.close()


@asynccontextmanager
async def open_socks(http_proxy: str) -> AsyncIterator[Socks]:
    socks = Socks(http_proxy)
    server = await asyncio.start_server(socks.serve, "127.0.0.1", 0)
    socks.port = server.sockets[0].getsockname()[1]
    try:
        yield socks
    finally:
        server.close()
