"""The receiving end, a process of its own: checks the HMAC of every delivery by Standard Webhooks, and keeps the books.

    POST /PATH ──► signature, timestamp ──► 200, and into the book of that path     (a path of `hang` never answers)
    standard input: one JSON command a line ──► standard output: one JSON answer a line

Written for few microseconds a request: it shares the cores with what is measured.
"""

import asyncio
import base64
import hmac
import os
import sys
import time
from array import array
from datetime import datetime
from typing import Any, cast

import msgspec

from bench.figures import percentile

_OK = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
_REFUSED = b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n"
_TOLERANCE_SECONDS = 300


class Book:
    """What one path has received."""

    def __init__(self, secret: str = "") -> None:
        self.key = base64.b64decode(secret.removeprefix("whsec_"))
        self.clear()

    def clear(self) -> None:
        self.seen: set[bytes] = set()
        self.arrivals: dict[bytes, float] = {}
        """Of messages, by WhatsApp id."""
        self.doubled = 0
        self.latencies = array("d")
        self.duplicates = 0
        self.bad = 0
        self.first_at = 0.0
        self.last_at = 0.0

    def take(self, head: bytes, body: bytes) -> bool:
        """Check one delivery and count it; False when its signature is wrong."""
        now = time.time()
        lower = head.lower()
        webhook_id = _header(head, lower, b"\r\nwebhook-id:")
        timestamp = _header(head, lower, b"\r\nwebhook-timestamp:")
        given = _header(head, lower, b"\r\nwebhook-signature:")
        digest = hmac.digest(self.key, b"%b.%b.%b" % (webhook_id, timestamp, body), "sha256")
        expected = b"v1," + base64.b64encode(digest)
        signed = any(hmac.compare_digest(each, expected) for each in given.split())
        if not signed or abs(now - float(timestamp)) > _TOLERANCE_SECONDS:
            self.bad += 1
            return False
        if webhook_id in self.seen:
            self.duplicates += 1
            return True
        self.seen.add(webhook_id)
        if body.startswith(b'{"type":"message.received"'):
            self._note_message(body, now)
        return True

    def _note_message(self, body: bytes, now: float) -> None:
        wa_id = _text(body, b'"waMessageId":"')
        self.doubled += wa_id in self.arrivals
        self.arrivals.setdefault(wa_id, now)
        sent_at = datetime.fromisoformat(_text(body, b'"sentAt":"').decode()).timestamp()
        self.latencies.append(now - sent_at)
        self.first_at = self.first_at or now
        self.last_at = now

    def report(self) -> dict[str, float]:
        """Seconds; `distinct` are messages with a right signature, `doubled` those told of by more than one event."""
        ordered = sorted(self.latencies)
        return {
            "distinct": len(self.arrivals),
            "events": len(self.seen),
            "duplicates": self.duplicates,
            "doubled": self.doubled,
            "bad": self.bad,
            "first_at": self.first_at,
            "last_at": self.last_at,
            "p50": percentile(ordered, 0.50),
            "p99": percentile(ordered, 0.99),
            "max": percentile(ordered, 1.0),
        }

    def audit(self, accepted: dict[str, int]) -> dict[str, int]:
        """Hold the messages against what was accepted: a prefix of WhatsApp ids, and how many it has."""
        expected = {
            f"{prefix}{n}".encode() for prefix, count in accepted.items() for n in range(1, count + 1)
        }
        arrived = self.arrivals.keys()
        return {"missing": len(expected - arrived), "foreign": len(arrived - expected)}


def _header(head: bytes, lower: bytes, name: bytes) -> bytes:
    at = lower.find(name)
    if at < 0:
        return b"0"
    start = at + len(name)
    return head[start : head.find(b"\r\n", start)].strip()


def _text(body: bytes, key: bytes) -> bytes:
    start = body.index(key) + len(key)
    return body[start : body.index(b'"', start)]


class Receiver(asyncio.Protocol):
    """One connection of the dispatcher's."""

    def __init__(self, books: dict[bytes, Book]) -> None:
        self._books = books
        self._received = b""
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transport is none by class.
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        received = self._received + data if self._received else data
        while (end := received.find(b"\r\n\r\n")) >= 0:
            head = received[: end + 2]
            length = int(_header(head, head.lower(), b"\r\ncontent-length:"))
            if len(received) < end + 4 + length:
                break
            self._answer(head, received[end + 4 : end + 4 + length])
            received = received[end + 4 + length :]
        self._received = received

    def _answer(self, head: bytes, body: bytes) -> None:
        path = head.split(b" ", 2)[1]
        if path == b"/hang":
            return
        self._transport.write(_OK if self._books[path].take(head, body) else _REFUSED)


class Commands(asyncio.Protocol):
    """Standard input; the end of it is the end of us."""

    def __init__(self, books: dict[bytes, Book], done: asyncio.Event) -> None:
        self._books = books
        self._done = done
        self._received = b""

    def data_received(self, data: bytes) -> None:
        *lines, self._received = (self._received + data).split(b"\n")
        for line in lines:
            command = msgspec.json.decode(line)
            _tell(self._carry_out(command["path"].encode(), command))

    def _carry_out(self, path: bytes, command: dict[str, Any]) -> object:
        match command["do"]:
            case "open":
                self._books[path] = Book(command["secret"])
            case "clear":
                self._books[path].clear()
            case "count":
                return len(self._books[path].arrivals)
            case "report":
                return self._books[path].report()
            case "arrivals":
                return {wa_id.decode(): at for wa_id, at in self._books[path].arrivals.items()}
            case "audit":
                return self._books[path].audit(command["accepted"])
        return None

    def connection_lost(self, exc: Exception | None) -> None:
        self._done.set()


def _tell(answer: object) -> None:
    line = msgspec.json.encode(answer) + b"\n"
    while line:
        line = line[os.write(1, line) :]


async def main() -> None:
    books: dict[bytes, Book] = {}
    done = asyncio.Event()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Receiver(books), "127.0.0.1", 0, backlog=1024)
    await loop.connect_read_pipe(lambda: Commands(books, done), sys.stdin)
    _tell(server.sockets[0].getsockname()[1])
    await done.wait()


if __name__ == "__main__":
    try:
        import uvloop
    except ImportError:
        asyncio.run(main())
    else:
        uvloop.run(main())
