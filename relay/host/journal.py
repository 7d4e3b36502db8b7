"""The local journal: what an engine's callback has seen, safe before anybody else has to look.

    append() ──one pwrite──► segment-00000001.journal ──read()──► inbox ──commit()──► the segment's head moves
                                    │ full: the next one opens        all committed: the file goes

A record is `length(4) | crc32(4) | payload`. A segment's first 8 bytes hold how far it is committed, so a restart
goes on there; it may read again what was committed just before a kill, which the inbox tells by its names. After
a kill -9 the page cache still has every write; `sync` is for the loss of power, and only for what Postgres has not
taken within 50 ms: the two would wait for each other at the disk. A
torn record at the end of a segment ends it.

A slot is a folder that one process holds by a lock. Its name in `holder` outlives the process: the next one that
gets the slot is the same host as far as leases go, and replays what the last one left.
"""

import os
import secrets
import struct
import threading
import zlib
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import msgspec
from msgspec import Struct

from relay.engines.engine import Entry
from relay.model.errors import NotReady
from relay.model.ids import SessionId, TenantId

try:
    import fcntl
except ImportError:  # Windows has no flock; there the first slot is simply taken
    fcntl = None  # type: ignore[assignment]

_FRAME = struct.Struct("<II")
_HEAD = struct.Struct("<Q")
_SEGMENT_BYTES = 16 * 1024 * 1024
_READ_BYTES = 1024 * 1024
_SLOTS = 1000


class Record(Struct, frozen=True, array_like=True):
    """What a segment holds: whose session said what."""

    tenant_id: TenantId
    session_id: SessionId
    entry: Entry


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Record).decode


def parse(payload: bytes) -> Record:
    """A record's payload; characters that Postgres refuses are left out of its texts."""
    if b"\\u0000" in payload:
        payload = _encode(_without_nul(msgspec.json.decode(payload)))
    return _decode(payload)


def _without_nul(value: object) -> object:
    if isinstance(value, str):
        return value.replace("\x00", "")
    if isinstance(value, list):
        return [_without_nul(item) for item in value]
    if isinstance(value, dict):
        return {_without_nul(key): _without_nul(item) for key, item in value.items()}
    return value


class _Segment:
    def __init__(self, path: Path) -> None:
        self.path = path
        self.fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        size = os.fstat(self.fd).st_size
        if size < _HEAD.size:
            os.pwrite(self.fd, _HEAD.pack(_HEAD.size), 0)
            size = _HEAD.size
        self.end = size
        self.committed = min(size, max(_HEAD.size, _HEAD.unpack(os.pread(self.fd, _HEAD.size, 0))[0]))

    def commit(self, offset: int) -> None:
        self.committed = offset
        os.pwrite(self.fd, _HEAD.pack(offset), 0)

    def close(self, *, remove: bool) -> None:
        os.close(self.fd)
        if remove:
            self.path.unlink(missing_ok=True)


class Batch(Struct, frozen=True):
    """Payloads read together; hand it to `commit` once they are in Postgres."""

    payloads: list[bytes]
    offset: int


class Journal:
    """One slot's segments. `append` may be called from any thread; the rest from one."""

    def __init__(self, slot: Path) -> None:
        self._slot = slot
        self._lock = threading.Lock()
        names = sorted(slot.glob("segment-*.journal"))
        self._segments = [_Segment(path) for path in names]
        self._next = int(names[-1].stem.partition("-")[2]) + 1 if names else 1
        # What a dead process left is only read: a torn end must not stand before fresh records.
        self._open_segment()

    def _open_segment(self) -> None:
        self._segments.append(_Segment(self._slot / f"segment-{self._next:08d}.journal"))
        self._next += 1

    def append(self, record: Record) -> None:
        """Written when it returns, a few microseconds later."""
        payload = _encode(record)
        frame = _FRAME.pack(len(payload), zlib.crc32(payload)) + payload
        with self._lock:
            segment = self._segments[-1]
            if segment.end > _SEGMENT_BYTES:
                self._open_segment()
                segment = self._segments[-1]
            os.pwrite(segment.fd, frame, segment.end)
            segment.end += len(frame)

    @property
    def backlog_bytes(self) -> int:
        """What is not yet in Postgres."""
        return sum(segment.end - segment.committed for segment in self._segments)

    def read(self, most: int) -> Batch:
        """The next records after the last commit, at most `most`; empty when all is committed."""
        while True:
            segment = self._segments[0]
            payloads, offset = _read_frames(segment, most)
            if payloads or len(self._segments) == 1:
                return Batch(payloads, offset)
            with self._lock:
                self._segments.pop(0)
            segment.close(remove=True)

    def commit(self, batch: Batch) -> None:
        """The batch is in Postgres: it will not be read again."""
        self._segments[0].commit(batch.offset)

    def set_aside(self, payload: bytes) -> None:
        """Keep what can never be stored, a line each, for a person to look at."""
        descriptor = os.open(self._slot / "refused.jsonl", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            os.write(descriptor, payload + b"\n")
        finally:
            os.close(descriptor)

    def mark(self) -> tuple[int, int]:
        """The place behind the last record."""
        with self._lock:
            return self._next, self._segments[-1].end

    def is_committed(self, mark: tuple[int, int]) -> bool:
        """Whether all before `mark` is in Postgres."""
        number, end = mark
        first = self._next - len(self._segments) + 1
        return first > number or (first == number and self._segments[0].committed >= end)

    def sync(self) -> None:
        """To the disk itself; call it from a thread."""
        with self._lock:
            # A duplicate stays valid when the segment is closed meanwhile.
            descriptor = os.dup(self._segments[-1].fd)
        try:
            os.fdatasync(descriptor)
        finally:
            os.close(descriptor)

    def close(self) -> None:
        """Close the files; those with nothing left to commit go."""
        for segment in self._segments:
            segment.close(remove=segment.committed >= segment.end)


def _read_frames(segment: _Segment, most: int) -> tuple[list[bytes], int]:
    start, end = segment.committed, segment.end
    chunk = os.pread(segment.fd, min(end - start, _READ_BYTES), start)
    payloads: list[bytes] = []
    at = 0
    while len(payloads) < most and at + _FRAME.size <= len(chunk):
        length, checksum = _FRAME.unpack_from(chunk, at)
        body_at = at + _FRAME.size
        if body_at + length > len(chunk):
            if at or start + body_at + length > end:
                break
            # A record larger than a read: take it alone.
            chunk = os.pread(segment.fd, _FRAME.size + length, start)
        payload = chunk[body_at : body_at + length]
        if zlib.crc32(payload) != checksum:
            break
        payloads.append(payload)
        at = body_at + length
    return payloads, start + at


class Slot:
    """A journal folder that this process alone holds, and the host's name that goes with it."""

    def __init__(self, path: Path, lock: int) -> None:
        self.path = path
        self._lock = lock
        named = path / "holder"
        if not named.exists():
            draft = path / "holder.draft"
            draft.write_text(f"{os.uname().nodename}-{secrets.token_hex(6)}\n")
            draft.rename(named)
        self.holder = named.read_text().strip()

    def release(self) -> None:
        os.close(self._lock)


def _slots(root: Path) -> Iterator[Path]:
    return (root / f"{number:03d}" for number in range(_SLOTS))


def _try_slot(path: Path) -> Slot | None:
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    lock = os.open(path / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    if fcntl is not None:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(lock)
            return None
    return Slot(path, lock)


def take_slot(root: Path) -> Slot:
    """The first free slot below `root`. Raises NotReady when all are taken."""
    for path in _slots(root):
        slot = _try_slot(path)
        if slot:
            return slot
    raise NotReady(f"{root}: more than {_SLOTS} hosts on one data folder.")


def adopt_orphans(root: Path, mine: Slot) -> Iterator[Slot]:
    """The slots of hosts that are no longer started and that left something behind."""
    for path in sorted(root.iterdir()):
        if path != mine.path and any(path.glob("segment-*.journal")):
            with suppress(OSError):
                slot = _try_slot(path)
                if slot:
                    yield slot
