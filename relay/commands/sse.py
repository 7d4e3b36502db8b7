"""text/event-stream, read as bytes (WHATWG HTML, 9.2.6), and followed over lost connections.

A line ends at CR, LF or CRLF and nowhere else: an event's data may hold U+2028, and is to be signed as it came.

    connect ──► events ──► lost, silent, or the server stops ──► back-off ──► connect, Last-Event-ID: the last one seen
"""

import asyncio
import random
import re
from collections.abc import AsyncIterator, Callable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from msgspec import Struct

from relay.commands.client import CallFailed, Client

_LINE_END = re.compile(rb"\r\n|\n|\r(?=.)", re.DOTALL)
_BACKOFF_FIRST_SECONDS = 0.5
_BACKOFF_MOST_SECONDS = 5.0


class ServerEvent(Struct, frozen=True, kw_only=True):
    id: str
    """Of this event, or of the last one before it that had any."""
    type: str
    data: bytes


class Parser:
    """Bytes in, whole events out."""

    def __init__(self) -> None:
        self._rest = b""
        self._id = ""
        self._type = ""
        self._data: list[bytes] = []

    def feed(self, chunk: bytes) -> list[ServerEvent]:
        *lines, self._rest = _LINE_END.split(self._rest + chunk)
        return [event for line in lines if (event := self._take(line)) is not None]

    def _take(self, line: bytes) -> ServerEvent | None:
        if not line:
            return self._finish()
        field, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        match field:
            case b"data":
                self._data.append(value)
            case b"event":
                self._type = value.decode("utf-8", "replace")
            case b"id" if b"\0" not in value:
                self._id = value.decode("utf-8", "replace")
        return None

    def _finish(self) -> ServerEvent | None:
        data, type_ = self._data, self._type
        self._data, self._type = [], ""
        if not data:
            return None
        return ServerEvent(id=self._id, type=type_ or "message", data=b"\n".join(data))


async def parse(chunks: AsyncIterator[bytes]) -> AsyncIterator[ServerEvent]:
    """The events of one connection, until the server ends it."""
    parser = Parser()
    async for chunk in chunks:
        for event in parser.feed(chunk):
            yield event


async def follow(
    client: Client,
    path: str,
    *,
    opened: Callable[[], None],
    lost: Callable[[str, float], None],
    **query: Any,
) -> AsyncIterator[ServerEvent]:
    """Events without an end. `opened` hears of each connection, `lost` why one ended and when comes the next.

    Raises CallFailed where the server refuses, and where it cannot be reached at the start.
    """
    started, last_id, backoff = None, "", _BACKOFF_FIRST_SECONDS
    while True:
        headers = {"Last-Event-ID": last_id} if last_id else {}
        # Until there is an event to go on from, it is from the moment at which we began, by the server's clock.
        since = None if last_id else started
        reason = "The server ended the stream."
        try:
            async with client.stream(path, headers=headers, since=since, **query) as response:
                started = started or _date(response.headers)
                opened()
                async for event in parse(response.aiter_bytes()):
                    last_id, backoff = event.id or last_id, _BACKOFF_FIRST_SECONDS
                    yield event
        except CallFailed as error:
            if started is None or not error.may_pass:
                raise
            reason = error.brief
        wait = backoff * random.uniform(0.8, 1.2)  # noqa: S311 - it only spreads the callers
        lost(reason, wait)
        await asyncio.sleep(wait)
        backoff = min(backoff * 2, _BACKOFF_MOST_SECONDS)


def _date(headers: Mapping[str, str]) -> str:
    """When an answer was made, to the second."""
    try:
        made_at = parsedate_to_datetime(headers["date"])
    except (KeyError, ValueError):
        made_at = datetime.now(UTC)
    return made_at.astimezone(UTC).isoformat()
