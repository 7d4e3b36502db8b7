"""How clients reach the stand-in: an HTTP proxy on loopback that takes every CONNECT itself and ends TLS as that host.

CONNECT web.whatsapp.com:443 → 200 → TLS with our certificate → Https (→ WebSocket)
"""

import asyncio
import ssl
from typing import TYPE_CHECKING

from tests.phone_network.https import HEAD_END, Head, Https

if TYPE_CHECKING:
    from tests.phone_network.network import WhatsApp


class Transport:
    """The listening socket and everything that is connected to it."""

    def __init__(self, network: "WhatsApp", tls: ssl.SSLContext) -> None:
        self.network = network
        self.tls = tls
        # Whether new connections are cut at once.
        self.refuses = False
        self.tunnels: set[asyncio.Transport] = set()
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: Tunnel(self), "127.0.0.1", 0, backlog=512)

    async def stop(self) -> None:
        if self._server:
            self._server.close()
            self.abort_all()
            await self._server.wait_closed()

    @property
    def port(self) -> int:
        if not self._server:
            raise RuntimeError("the stand-in has not been started")
        return int(self._server.sockets[0].getsockname()[1])

    def abort_all(self) -> None:
        for tunnel in list(self.tunnels):
            tunnel.abort()


class Tunnel(asyncio.Protocol):
    """A client's connection until its CONNECT has been granted."""

    def __init__(self, transport: Transport) -> None:
        self._all = transport
        self._buffer = b""
        self._starting: asyncio.Task[None] | None = None
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        if self._all.refuses:
            transport.abort()
            return
        self._all.tunnels.add(transport)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if self._starting or not self._buffer.endswith(HEAD_END):
            return
        head = Head.parse(self._buffer[: -len(HEAD_END)])
        if head.method != "CONNECT":
            self._transport.write(b"HTTP/1.1 405 Method Not Allowed\r\n\r\n")
            self._transport.close()
            return
        host = head.path.rpartition(":")[0]
        self._transport.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        self._starting = asyncio.create_task(self._secure(host))

    def connection_lost(self, exc: Exception | None) -> None:
        self._all.tunnels.discard(self._transport)

    async def _secure(self, host: str) -> None:
        protocol = Https(self._all.network, host)
        try:
            secured = await asyncio.get_running_loop().start_tls(
                self._transport, protocol, self._all.tls, server_side=True
            )
        except (OSError, ssl.SSLError):
            # The client went away, or does not trust the certificate: its own error says so.
            return
        if secured:
            protocol.start(secured)
