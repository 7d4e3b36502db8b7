"""The local journal: reading what engines have written down, until it is in Postgres.

    our engines ──append()──► segment-…                       read()──► inbox ──commit()──► the segment's head moves
    engine processes ───────► segment-… (journal_file.Writer)    │        all committed, writer gone: the file goes

Each writer has segments of its own and they are read in turn, so that no busy one holds up the others. A segment's first
8 bytes hold how far it is committed, so a restart goes on there; it may read again what was committed just before a
kill, which the inbox tells by its names. `sync` is for the loss of power, and only for what Postgres has not taken
within 50 ms: the two would wait for each other at the disk. A torn record at the end of a segment ends it.

A slot is a folder that one process holds by a lock. Its name in `holder` outlives the process: the next one that
gets the slot is the same host as far as leases go, and replays what the last one left.
"""

import os
import re
import secrets
import zlib
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from relay.engines.journal_file import FRAME, HEAD, Record, Writer, encode, segment_path, set_aside
from relay.model.errors import NotReady

try:
    import fcntl
except ImportError:  # Windows has no flock; there the first slot is simply taken
    fcntl = None  # type: ignore[assignment]

_READ_BYTES = 1024 * 1024
_SLOTS = 1000
_NAME = re.compile(r"segment-(\d+)-(\d+)\.journal")

_decode = msgspec.json.Decoder(Record).decode


def parse(payload: bytes) -> Record:
    """A record's payload; characters that Postgres refuses are left out of its texts."""
    if b"\\u0000" in payload:
        payload = encode(without_nul(msgspec.json.decode(payload)))
    return _decode(payload)


def without_nul(value: Any) -> Any:
    """The same, without the character that Postgres refuses."""
    if isinstance(value, str):
        return value.replace("\x00", "")
    if isinstance(value, list):
        return [without_nul(item) for item in value]
    if isinstance(value, dict):
        return {without_nul(key): without_nul(item) for key, item in value.items()}
    return value


class _Stream:
    """One writer's segments, read one after the other."""

    def __init__(self, folder: Path, writer: int, number: int) -> None:
        self._folder = folder
        self._writer = writer
        self.ended = False
        """Nobody is expected to write any more; a lock on the segment would say otherwise."""
        self.number = number
        self._fd = -1
        self._open()

    def _open(self) -> None:
        self._fd = os.open(self._path(self.number), os.O_RDWR)
        head = os.pread(self._fd, HEAD.size, 0)
        self.committed = max(HEAD.size, HEAD.unpack(head)[0]) if len(head) == HEAD.size else HEAD.size

    def _path(self, number: int) -> Path:
        return segment_path(self._folder, self._writer, number)

    def read(self, most: int) -> tuple[list[bytes], int]:
        """The next payloads, and the offset behind them."""
        while True:
            payloads, offset = _read_frames(self._fd, self.committed, self.size, most)
            if payloads or not self._path(self.number + 1).exists():
                return payloads, offset
            # Another segment follows: a writer opens it when the last record is in this one.
            payloads, offset = _read_frames(self._fd, self.committed, self.size, most)
            if payloads:
                return payloads, offset
            self.remove()
            self.number += 1
            self._open()

    def commit(self, offset: int) -> None:
        self.committed = offset
        os.pwrite(self._fd, HEAD.pack(offset), 0)

    @property
    def size(self) -> int:
        """Of the segment that is being read."""
        return os.fstat(self._fd).st_size

    @property
    def end(self) -> tuple[int, int]:
        """The newest segment and its size."""
        newest = self.number
        while self._path(newest + 1).exists():
            newest += 1
        return newest, self._path(newest).stat().st_size

    @property
    def backlog_bytes(self) -> int:
        newest, _size = self.end
        later = sum(self._path(number).stat().st_size for number in range(self.number + 1, newest + 1))
        return max(0, self.size - self.committed) + later

    def is_over(self) -> bool:
        """All is committed, and the writer is gone."""
        # A segment without its head is one that is just being made, and not yet locked.
        if not self.ended or self.size < HEAD.size:
            return False
        if fcntl is not None:
            try:
                fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                return False
            fcntl.flock(self._fd, fcntl.LOCK_UN)
        # After the lock: a writer lets go of a segment when the next one is there.
        if self._path(self.number + 1).exists():
            return False
        return not _read_frames(self._fd, self.committed, self.size, 1)[0]

    def sync(self) -> None:
        newest, _size = self.end
        for number in range(self.number, newest + 1):
            descriptor = os.open(self._path(number), os.O_RDWR)
            try:
                os.fdatasync(descriptor)
            finally:
                os.close(descriptor)

    def remove(self) -> None:
        self.close()
        self._path(self.number).unlink(missing_ok=True)

    def close(self) -> None:
        os.close(self._fd)


class Batch(Struct, frozen=True):
    """Payloads read together; hand it to `commit` once they are in Postgres."""

    payloads: list[bytes]
    stream: _Stream | None = None
    offset: int = 0


class Journal:
    """One slot's segments. `append` may be called from any thread; the rest from one."""

    def __init__(self, slot: Path) -> None:
        self._slot = slot
        self._streams: dict[int, _Stream] = {}
        for writer, number in _first_segments(slot).items():
            # What a dead process left, or an engine process of it is still writing.
            self._streams[writer] = stream = _Stream(slot, writer, number)
            stream.ended = True
        self._next = max(self._streams, default=0) + 1
        self._own = self.new_writer()
        self._writer = Writer(slot, self._own)
        self.watch(self._own)

    def new_writer(self) -> int:
        """A number for one more writer."""
        self._next += 1
        return self._next - 1

    def watch(self, writer: int) -> None:
        """Read along what `writer` writes; its first segment is there."""
        self._streams[writer] = _Stream(self._slot, writer, 1)

    def writer_ended(self, writer: int) -> None:
        """The process behind `writer` is gone; its segments go once they are in Postgres."""
        if writer in self._streams:
            self._streams[writer].ended = True

    @property
    def folder(self) -> Path:
        return self._slot

    def append(self, record: Record) -> None:
        """Written when it returns, a few microseconds later."""
        self._writer.append(record)

    @property
    def backlog_bytes(self) -> int:
        """What is not yet in Postgres."""
        return sum(stream.backlog_bytes for stream in self._streams.values())

    def read(self, most: int) -> Batch:
        """The next records after the last commit, at most `most`, all of one writer; empty when all is committed."""
        for writer, stream in list(self._streams.items()):
            payloads, offset = stream.read(most)
            if payloads:
                # To the end of the row: the others have their turn first.
                self._streams[writer] = self._streams.pop(writer)
                return Batch(payloads, stream, offset)
            if stream.is_over():
                del self._streams[writer]
                stream.remove()
        return Batch([])

    def commit(self, batch: Batch) -> None:
        """The batch is in Postgres: it will not be read again."""
        if batch.stream is not None:
            batch.stream.commit(batch.offset)

    def set_aside(self, payload: bytes) -> None:
        """Keep what can never be stored, a line each, for a person to look at."""
        set_aside(self._slot, payload)

    def mark(self) -> dict[int, tuple[int, int]]:
        """The place behind the last record of each writer."""
        return {writer: stream.end for writer, stream in self._streams.items()}

    def is_committed(self, mark: dict[int, tuple[int, int]]) -> bool:
        """Whether all before `mark` is in Postgres."""
        for writer, (number, size) in mark.items():
            stream = self._streams.get(writer)
            if stream is not None and (stream.number, stream.committed) < (number, size):
                return False
        return True

    def sync(self) -> None:
        """To the disk itself; call it from a thread."""
        for stream in list(self._streams.values()):
            # By path alone: a segment may be committed, closed and removed meanwhile.
            with suppress(FileNotFoundError):
                if (stream.number, stream.committed) < stream.end:
                    stream.sync()

    def close(self) -> None:
        """Close the files; those with nothing left to commit go."""
        self._writer.close()
        self._streams[self._own].ended = True
        for stream in self._streams.values():
            if stream.is_over():
                stream.remove()
            else:
                stream.close()


def _first_segments(slot: Path) -> dict[int, int]:
    """The lowest segment of each writer, in the order in which the writers began."""
    first: dict[int, int] = {}
    for path in sorted(slot.glob("segment-*.journal")):
        named = _NAME.fullmatch(path.name)
        if named:
            first.setdefault(int(named[1]), int(named[2]))
    return first


def _read_frames(fd: int, start: int, end: int, most: int) -> tuple[list[bytes], int]:
    chunk = os.pread(fd, min(end - start, _READ_BYTES), start) if end > start else b""
    payloads: list[bytes] = []
    at = 0
    while len(payloads) < most and at + FRAME.size <= len(chunk):
        length, checksum = FRAME.unpack_from(chunk, at)
        body_at = at + FRAME.size
        if body_at + length > len(chunk):
            if at or start + body_at + length > end:
                break
            # A record larger than a read: take it alone.
            chunk = os.pread(fd, FRAME.size + length, start)
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
