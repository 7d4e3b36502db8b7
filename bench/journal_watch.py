"""What an engine's callback has seen: the journal, read beside the host.

The host removes a segment once it is in Postgres; we keep each one open from the moment that it is there, and read it
through to the end.
"""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from relay.engines.engine import Received
from relay.engines.journal_file import FRAME, HEAD
from relay.host.journal import parse

_LOOK_SECONDS = 0.02


class _Segment:
    """One file, read as far as it is whole."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self._read_to = HEAD.size

    def read_on(self) -> list[str]:
        """The WhatsApp ids of the messages that have come since the last time."""
        size = os.fstat(self.descriptor).st_size
        content = os.pread(self.descriptor, max(0, size - self._read_to), self._read_to)
        found, at = [], 0
        while at + FRAME.size <= len(content):
            length, _checksum = FRAME.unpack_from(content, at)
            end = at + FRAME.size + length
            if end > len(content):
                # Still being written, or torn by the kill: then it was never seen.
                break
            entry = parse(content[at + FRAME.size : end]).entry
            if isinstance(entry, Received):
                found.append(entry.wa_id)
            at = end
        self._read_to += at
        return found


class JournalWatch:
    """Open it with `watch_journal`."""

    def __init__(self, data_dir: Path) -> None:
        self._folder = data_dir / "journal"
        self._segments: dict[tuple[int, int], _Segment] = {}
        self._seen: set[str] = set()

    def look(self) -> None:
        for path in self._folder.glob("*/segment-*.journal"):
            with suppress(FileNotFoundError):
                status = path.stat()
                if (status.st_dev, status.st_ino) not in self._segments:
                    descriptor = os.open(path, os.O_RDONLY)
                    self._segments[status.st_dev, status.st_ino] = _Segment(descriptor)

    def read_ids(self) -> set[str]:
        """The WhatsApp ids of all messages so far; cheap, as each is read once."""
        self.look()
        for segment in self._segments.values():
            self._seen.update(segment.read_on())
        return self._seen

    def close(self) -> None:
        for segment in self._segments.values():
            os.close(segment.descriptor)


@asynccontextmanager
async def watch_journal(data_dir: Path) -> AsyncIterator[JournalWatch]:
    watch = JournalWatch(data_dir)

    async def look() -> None:
        while True:
            watch.look()
            await asyncio.sleep(_LOOK_SECONDS)

    looking = asyncio.create_task(look())
    try:
        yield watch
    finally:
        looking.cancel()
        watch.close()
