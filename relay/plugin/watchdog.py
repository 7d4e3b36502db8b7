"""Ends the process when a plugin blocks it, and knows at the next start which one it was.

    a step of a plugin begins ─► its number in the note ─► timer on ─► … ─► the step is done ─► timer off
                                 (a few bytes, mapped)        │ 10 s
                                                              ▼
                             SIGALRM: the kernel ends us, whatever holds the interpreter; faulthandler, which needs no
                             interpreter either, has written down where every thread was
    next start ─► a trace was left ─► the plugin in the note is the one: `plugin.blocked`, its breaker is open

A step is what an async function does between two awaits. One that is not async runs in a thread and blocks nobody
unless it holds the interpreter's lock (a regular expression can, for hours): while such threads run, the loop winds
the timer up again four times in its time, and cannot when it is held.

Files in `data_dir/plugins`: NUMBER.note and NUMBER.trace, one pair for each process that runs, locked while it does.
"""

import asyncio
import faulthandler
import logging
import mmap
import os
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

import msgspec

from relay.model.errors import NotReady

try:
    import fcntl
except ImportError:  # Windows has neither flock nor interval timers: nobody watches there
    fcntl = None  # type: ignore[assignment]

log = logging.getLogger(__name__)

STALL_SECONDS = 10.0
MOST_PLUGINS = 64
_SLOTS = 1000
# The note: [who takes a step] [threads of each …] [times in a row that each has blocked …] [names as JSON]
_THREADS, _BLOCKS, _NAMES = 1, 1 + MOST_PLUGINS, 1 + 2 * MOST_PLUGINS
_NOTE_BYTES = 4096


def can_watch() -> bool:
    return fcntl is not None


class Watchdog:
    """One for the process, opened before plugins are called and closed after; on the main thread."""

    def __init__(self, folder: Path, names: Sequence[str], *, stall_seconds: float = STALL_SECONDS) -> None:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._folder = folder
        self._names = list(names)
        self._stall_seconds = stall_seconds
        self._running = 0
        self._beating: asyncio.TimerHandle | None = None
        self.blocked: dict[str, int] = {}
        """Those that ended a process like us, and how often in a row."""
        number, self._note_file = self._take_slot()
        self._note = mmap.mmap(self._note_file.fileno(), _NOTE_BYTES)
        self._trace = (folder / f"{number}.trace").open("wb", buffering=0)
        # Whoever started us may have had it ignored; then nothing would end us.
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        faulthandler.register(signal.SIGALRM, file=self._trace, all_threads=True, chain=True)

    def close(self) -> None:
        signal.setitimer(signal.ITIMER_REAL, 0)
        if self._beating is not None:
            self._beating.cancel()
        faulthandler.unregister(signal.SIGALRM)
        self._note[:_NAMES] = bytes(_NAMES)
        self._note.close()
        self._trace.close()
        self._note_file.close()

    # --- while it runs ------------------------------------------------------------------------------------------

    def enter(self, plugin: int) -> None:
        """A step of a plugin's begins."""
        self._note[0] = plugin + 1
        signal.setitimer(signal.ITIMER_REAL, self._stall_seconds)

    def leave(self) -> None:
        signal.setitimer(signal.ITIMER_REAL, self._stall_seconds if self._running else 0)
        self._note[0] = 0

    def thread_begins(self, plugin: int) -> None:
        """Within the loop, as is `thread_ends`."""
        self._note[_THREADS + plugin] = min(self._note[_THREADS + plugin] + 1, 255)
        self._running += 1
        if self._beating is None:
            self._beat()

    def thread_ends(self, plugin: int) -> None:
        self._running -= 1
        self._note[_THREADS + plugin] -= 1

    def _beat(self) -> None:
        if not self._running:
            self._beating = None
            signal.setitimer(signal.ITIMER_REAL, 0)
            return
        signal.setitimer(signal.ITIMER_REAL, self._stall_seconds)
        self._beating = asyncio.get_running_loop().call_later(self._stall_seconds / 4, self._beat)

    def forgive(self, plugin: int) -> None:
        """It was called and came back."""
        self._note[_BLOCKS + plugin] = 0

    # --- what the last ones left --------------------------------------------------------------------------------

    def _take_slot(self) -> tuple[int, BinaryIO]:
        """The first free slot; what dead processes left in it and in others is read, and cleared."""
        mine: tuple[int, BinaryIO] | None = None
        for number in range(_SLOTS):
            if mine is not None and not (self._folder / f"{number}.note").exists():
                break
            file = self._lock(number)
            if file is None:
                continue
            self._read(number, file)
            if mine is None:
                mine = number, file
            else:
                file.close()
        if mine is None:
            raise NotReady(f"{self._folder}: {_SLOTS} processes run plugins here already.")
        self._write_head(mine[1])
        return mine

    def _lock(self, number: int) -> BinaryIO | None:
        descriptor = os.open(self._folder / f"{number}.note", os.O_RDWR | os.O_CREAT, 0o600)
        file = os.fdopen(descriptor, "r+b", buffering=0)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            file.close()
            return None
        return file

    def _read(self, number: int, file: BinaryIO) -> None:
        note = file.read(_NOTE_BYTES)
        trace = self._folder / f"{number}.trace"
        if len(note) < _NOTE_BYTES or not trace.is_file() or not trace.stat().st_size:
            return
        names = msgspec.json.decode(note[_NAMES:].rstrip(b"\0"), type=list[str])
        stepping = note[0]
        running = [place for place in range(len(names)) if note[_THREADS + place]]
        for place in [stepping - 1] if stepping else running:
            name = names[place]
            self.blocked[name] = note[_BLOCKS + place] + 1
            kept = self._folder / f"{name}.blocked.txt"
            kept.write_bytes(trace.read_bytes())
            log.error("plugin.blocked", extra={"plugin": name, "trace": kept})
        trace.unlink()

    def _write_head(self, file: BinaryIO) -> None:
        head = bytearray(_NOTE_BYTES)
        for place, name in enumerate(self._names):
            head[_BLOCKS + place] = min(self.blocked.get(name, 0), 255)
        names = msgspec.json.encode(self._names)
        head[_NAMES : _NAMES + len(names)] = names
        file.seek(0)
        file.write(head)
