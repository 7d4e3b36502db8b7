"""WhatsApp's frames inside a websocket: each a length of three bytes and its data, after one header from the client.

The server's side of RFC 6455, as far as the client goes: masked messages in, plain binary messages out, close and ping.
"""

import asyncio
import base64
import hashlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

from tests.phone_network.noise import HEADER

if TYPE_CHECKING:
    from tests.phone_network.network import WhatsApp

MAGIC = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
BINARY, CLOSE, PING, PONG = 2, 8, 9, 10
LAST = 0x80


def accept_key(key: str) -> str:
    """The answer to Sec-WebSocket-Key."""
    return base64.b64encode(hashlib.sha1(key.encode() + MAGIC, usedforsecurity=False).digest()).decode()


class WebSocket(asyncio.Protocol):
    """Takes over a TLS transport once its client has asked for an upgrade."""

    def __init__(self, network: "WhatsApp", transport: asyncio.Transport) -> None:
        self._transport = transport
        self._outgoing = bytearray()
        self._incoming = bytearray()
        self._frames = bytearray()
        self._has_header = False
        self._is_silent = False
        self._connection = network.connect(self)

    def data_received(self, data: bytes) -> None:
        self._incoming += data
        for opcode, payload in self._messages():
            if opcode == CLOSE:
                self._write(LAST | CLOSE, payload)
                self.close()
                return
            if opcode == PING:
                self._write(LAST | PONG, payload)
            elif opcode <= BINARY:
                self._frames += payload
        self._hand_on()

    def connection_lost(self, exc: Exception | None) -> None:
        self._connection.lost()

    def send_frame(self, data: bytes) -> None:
        self._write(LAST | BINARY, len(data).to_bytes(3, "big") + data)

    def close(self) -> None:
        self._flush()
        if not self._transport.is_closing():
            self._transport.close()

    def abort(self) -> None:
        self._transport.abort()

    def go_silent(self) -> None:
        self._is_silent = True
        self._transport.pause_reading()

    def speak_again(self) -> None:
        if self._is_silent and not self._transport.is_closing():
            self._is_silent = False
            self._transport.resume_reading()
            self._flush()

    def _write(self, first: int, payload: bytes) -> None:
        size = len(payload)
        if size < 126:
            head = bytes((first, size))
        elif size < 1 << 16:
            head = bytes((first, 126)) + size.to_bytes(2, "big")
        else:
            head = bytes((first, 127)) + size.to_bytes(8, "big")
        if not self._outgoing and not self._is_silent:
            # One TLS record and one system call for all that is sent in this turn of the loop.
            asyncio.get_running_loop().call_soon(self._flush)
        self._outgoing += head
        self._outgoing += payload

    def _flush(self) -> None:
        if self._is_silent:
            return
        if self._outgoing and not self._transport.is_closing():
            self._transport.write(bytes(self._outgoing))
        self._outgoing.clear()

    def _messages(self) -> Iterator[tuple[int, bytes]]:
        """What is complete of the websocket's own frames, unmasked. Fragments need not be joined: ours is a stream."""
        buffer = self._incoming
        while len(buffer) >= 2:
            size, head = buffer[1] & 0x7F, 2
            if size >= 126:
                head = 4 if size == 126 else 10
                size = int.from_bytes(buffer[2:head], "big")
            end = head + 4 + size
            if len(buffer) < end or len(buffer) < head:
                return
            opcode, mask, payload = buffer[0] & 0x0F, buffer[head : head + 4], buffer[head + 4 : end]
            del buffer[:end]
            yield opcode, _unmasked(payload, mask)

    def _hand_on(self) -> None:
        """What is complete of WhatsApp's frames goes to the connection."""
        frames = self._frames
        if not self._has_header:
            if len(frames) < len(HEADER):
                return
            self._has_header = True
            del frames[: len(HEADER)]
        while len(frames) >= 3:
            end = 3 + int.from_bytes(frames[:3], "big")
            if len(frames) < end:
                return
            frame = bytes(frames[3:end])
            del frames[:end]
            self._connection.receive(frame)


def _unmasked(payload: bytearray, mask: bytearray) -> bytes:
    size = len(payload)
    key = (mask * (size // 4 + 1))[:size]
    return (int.from_bytes(payload, "big") ^ int.from_bytes(key, "big")).to_bytes(size, "big")
