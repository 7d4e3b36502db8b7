"""HTTP/1.1 inside the tunnels: the websocket's upgrade, and requests for the media host.

One request at a time; a connection stays open until the client closes it.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING

from tests.phone_network.websocket import WebSocket, accept_key

if TYPE_CHECKING:
    from tests.phone_network.network import WhatsApp

HEAD_END = b"\r\n\r\n"
CHAT = "/ws/chat"
EMPTY: Mapping[str, str] = {}


@dataclass(frozen=True)
class Head:
    method: str
    path: str
    headers: dict[str, str]

    @classmethod
    def parse(cls, data: bytes) -> "Head":
        first, *lines = data.decode("latin-1").split("\r\n")
        method, path, _version = first.split(" ", 2)
        pairs = (line.partition(":")[::2] for line in lines)
        return cls(method, path, {name.strip().lower(): value.strip() for name, value in pairs})


class Https(asyncio.Protocol):
    """A client's requests to one host."""

    def __init__(self, network: "WhatsApp", host: str) -> None:
        self._network = network
        self._host = host
        self._buffer = bytearray()
        self._head: Head | None = None
        self._transport: asyncio.Transport | None = None
        self._answering: asyncio.Task[None] | None = None

    def start(self, transport: asyncio.Transport) -> None:
        """TLS stands. Data may have come before this is called."""
        self._transport = transport
        self._advance()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        self._advance()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._answering:
            self._answering.cancel()

    def _advance(self) -> None:
        if not self._transport or self._answering:
            return
        if not self._head:
            end = self._buffer.find(HEAD_END)
            if end < 0:
                return
            self._head = Head.parse(bytes(self._buffer[:end]))
            del self._buffer[: end + len(HEAD_END)]
        if self._head.headers.get("upgrade", "").lower() == "websocket":
            self._upgrade(self._transport, self._head)
            return
        body = self._body(self._head)
        if body is not None:
            self._answering = asyncio.create_task(self._answer(self._transport, self._head, body))
            self._head = None

    def _upgrade(self, transport: asyncio.Transport, head: Head) -> None:
        if head.path != CHAT:
            transport.write(_response(404, EMPTY, b""))
            transport.close()
            return
        key = accept_key(head.headers.get("sec-websocket-key", ""))
        lines = ("HTTP/1.1 101 Switching Protocols", "Upgrade: websocket", "Connection: Upgrade")
        transport.write("\r\n".join((*lines, f"Sec-WebSocket-Accept: {key}", "", "")).encode())
        websocket = WebSocket(self._network, transport)
        transport.set_protocol(websocket)
        if self._buffer:
            websocket.data_received(bytes(self._buffer))

    def _body(self, head: Head) -> bytes | None:
        """The request's body, or None while it is not all there."""
        if head.headers.get("transfer-encoding", "").lower() == "chunked":
            return self._chunks()
        size = int(head.headers.get("content-length", 0))
        if len(self._buffer) < size:
            return None
        body = bytes(self._buffer[:size])
        del self._buffer[:size]
        return body

    def _chunks(self) -> bytes | None:
        body, at = bytearray(), 0
        while (end := self._buffer.find(b"\r\n", at)) >= 0:
            size = int(self._buffer[at:end].split(b";")[0], 16)
            at = end + 2 + size + 2
            if len(self._buffer) < at:
                return None
            body += self._buffer[end + 2 : at - 2]
            if not size:
                del self._buffer[:at]
                return bytes(body)
        return None

    async def _answer(self, transport: asyncio.Transport, head: Head, body: bytes) -> None:
        handler = self._network.https.get(self._host)
        status, headers, content = 404, EMPTY, b""
        try:
            if handler:
                status, headers, content = await handler(head.method, head.path, head.headers, body)
            else:
                self._network.unheard[f"https {self._host}"] += 1
            transport.write(_response(status, headers, content))
        except Exception as error:  # noqa: BLE001 - it fails the test at the end
            self._network.errors.append(error)
            transport.close()
        self._answering = None
        self._advance()


def _response(status: int, headers: Mapping[str, str], content: bytes) -> bytes:
    # A handler may promise another length than it sends.
    named = {"Content-Length": str(len(content)), **headers}
    lines = [
        f"HTTP/1.1 {status} {HTTPStatus(status).phrase}",
        *(f"{name}: {value}" for name, value in named.items()),
    ]
    return "\r\n".join((*lines, "", "")).encode() + content
