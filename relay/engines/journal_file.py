"""Writing the journal: what an engine's callback has seen, safe before anybody else has to look.

    append() ──one write──► segment-00000007-00000001.journal     (writer 7's first)
                               │ 16 MB: the next one opens

A record is `length(4) | crc32(4) | payload`. A segment's first 8 bytes hold how far the host has committed it. After a
kill -9 the page cache still has every write. A writer holds a lock on the segment that it writes: as long as it does,
more may come.
"""

import os
import struct
import threading
import zlib
from pathlib import Path

import msgspec
from msgspec import Struct

from relay.engines.engine import Entry
from relay.model.ids import SessionId, TenantId

try:
    import fcntl
except ImportError:  # Windows has no flock; there nobody else looks
    fcntl = None  # type: ignore[assignment]

FRAME = struct.Struct("<II")
HEAD = struct.Struct("<Q")
_SEGMENT_BYTES = 16 * 1024 * 1024


class Record(Struct, frozen=True, array_like=True):
    """What a segment holds: whose session said what."""

    tenant_id: TenantId
    session_id: SessionId
    entry: Entry


encode = msgspec.json.Encoder().encode


def segment_path(folder: Path, writer: int, number: int) -> Path:
    return folder / f"segment-{writer:08d}-{number:08d}.journal"


class Writer:
    """Appends to segments of its own; `append` may be called from any thread."""

    def __init__(self, folder: Path, writer: int) -> None:
        self._folder = folder
        self._writer = writer
        self._lock = threading.Lock()
        self._number = 0
        self._fd = -1
        self._end = _SEGMENT_BYTES + 1
        self._open_next()

    def _open_next(self) -> None:
        path = segment_path(self._folder, self._writer, self._number + 1)
        opened = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        if fcntl is not None:
            fcntl.flock(opened, fcntl.LOCK_EX)
        os.pwrite(opened, HEAD.pack(HEAD.size), 0)
        if self._fd >= 0:
            # Not before the next one is there: without either a reader would take the writer for gone.
            os.close(self._fd)
        self._fd, self._number, self._end = opened, self._number + 1, HEAD.size

    def append(self, record: Record) -> None:
        """Written when it returns, a few microseconds later. Raises OSError."""
        payload = encode(record)
        frame = FRAME.pack(len(payload), zlib.crc32(payload)) + payload
        with self._lock:
            if self._end > _SEGMENT_BYTES:
                self._open_next()
            written = 0
            while written < len(frame):
                # A disk that fills up takes a part and says so only when it is asked again: what is torn is written over.
                written += os.pwrite(self._fd, frame[written:], self._end + written)
            self._end += len(frame)

    def set_aside(self, payload: bytes) -> None:
        """Keep what can never be stored, a line each, for a person to look at."""
        set_aside(self._folder, payload)

    def close(self) -> None:
        os.close(self._fd)


def set_aside(folder: Path, payload: bytes) -> None:
    descriptor = os.open(folder / "refused.jsonl", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        os.write(descriptor, payload + b"\n")
    finally:
        os.close(descriptor)
