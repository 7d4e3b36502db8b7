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


class JournalWatch:
    """Open it with `watch_journal`."""

    def __init__(self, data_dir: Path) -> None:
        self._folder = data_dir / "journal"
        self._open: dict[tuple[int, int], int] = {}

    def look(self) -> None:
        for path in self._folder.glob("*/segment-*.journal"):
            with suppress(FileNotFoundError):
                status = path.stat()
                if (status.st_dev, status.st_ino) not in self._open:
                    self._open[status.st_dev, status.st_ino] = os.open(path, os.O_RDONLY)

    def read_ids(self) -> set[str]:
        """The WhatsApp ids of all messages in it."""
        self.look()
        return {wa_id for descriptor in self._open.values() for wa_id in _read_ids(descriptor)}

    def close(self) -> None:
        for descriptor in self._open.values():
            os.close(descriptor)


def _read_ids(descriptor: int) -> list[str]:
    content = os.pread(descriptor, os.fstat(descriptor).st_size, 0)
    found, at = [], HEAD.size
    while at + FRAME.size <= len(content):
        length, _checksum = FRAME.unpack_from(content, at)
        at += FRAME.size + length
        if at > len(content):
            # Torn by the kill: it was never seen.
            break
        entry = parse(content[at - length : at]).entry
        if isinstance(entry, Received):
            found.append(entry.wa_id)
    return found


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
