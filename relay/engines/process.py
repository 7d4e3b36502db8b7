"""One engine process, seen from the host: started, asked, heard, watched, and gone.

ask() ──► Start, Stop, Call, Ping ══socket══► engine_process.py
Said ──► the session's engine      Journaled ──► inbox      the end ──► every engine in it
"""

import asyncio
import logging
import os
import socket
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol

from relay.engines import channel
from relay.engines.channel import LENGTH, Answer, Journaled, Ping, Question, Said, Trouble
from relay.engines.engine import Signal
from relay.model import errors
from relay.model.errors import EngineError, NotConnected, OutcomeUnknown
from relay.model.ids import SessionId

log = logging.getLogger(__name__)

_STEADY_SECONDS = 600.0
_HUNG_SECONDS = 30.0
_EXIT_SECONDS = 5.0
_ENVIRON = {
    # Without it a note to people's phones would call every message a bot's.
    "NEONIZE_BOT_TAG": "off",
    # Memory of an engine process with 50 accounts: less by 10 MB for each, and no slower at anything measured.
    "MALLOC_ARENA_MAX": "2",
    "GOGC": "25",
}


class SegmentReader(Protocol):
    """The host's journal, as far as engine processes are its writers."""

    @property
    def folder(self) -> Path: ...

    def new_writer(self) -> int: ...

    def watch(self, writer: int) -> None: ...

    def writer_ended(self, writer: int) -> None: ...

    def mark(self) -> dict[int, tuple[int, int]]: ...

    def is_committed(self, mark: dict[int, tuple[int, int]]) -> bool: ...


class Member(Protocol):
    """An account in a process."""

    session_id: SessionId
    is_linking: bool

    def hear(self, signal: Signal) -> None:
        """The process has said something of this account."""

    def process_ended(self) -> None: ...


class Process:
    """One engine process and the accounts in it."""

    def __init__(
        self,
        journal: SegmentReader,
        journaled: Callable[[], None],
        count_crash: Callable[["Process"], None],
        lease_lasts_seconds: Callable[[], float],
    ) -> None:
        self.engines: dict[SessionId, Member] = {}
        self.starts = 0
        self.over = False
        self.pid: int | None = None
        self._journal = journal
        self._journaled = journaled
        self._count_crash = count_crash
        self._lease_lasts_seconds = lease_lasts_seconds
        self._began_at = time.monotonic()
        self._writer = journal.new_writer()
        self._watching = False
        self._numbers = 0
        self._asked: dict[int, asyncio.Future[Any]] = {}
        self._answered_at = time.monotonic()
        self._ping: asyncio.Future[Any] | None = None
        self._process: asyncio.subprocess.Process | None = None
        self._ours, theirs = socket.socketpair()
        self._ours.setblocking(False)
        self._running = asyncio.create_task(self._run(theirs))
        self._stream: asyncio.StreamWriter | None = None
        self._unsent: list[bytes] = []
        self._closing = False
        # From its first moment on it knows how long it may go on without us.
        self.look()

    def take(self, engine: Member) -> None:
        self.engines[engine.session_id] = engine
        self.starts += 1

    def is_steady(self) -> bool:
        """It has lived for so long that its end is no one's first deed in it."""
        return time.monotonic() - self._began_at > _STEADY_SECONDS

    async def _run(self, theirs: socket.socket) -> None:
        code: int | None = None
        try:
            with theirs:
                self._process = await self._spawn(theirs)
            self.pid = self._process.pid
            if self._closing:
                # Killed before it was there.
                self._process.kill()
            await self._read()
            code = await self._wait()
        except Exception:
            log.exception("engine_process.broke")
        finally:
            self._ended(code)

    async def _spawn(self, theirs: socket.socket) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            sys.executable, "-m", "relay.engines.engine_process",
            "--socket", str(theirs.fileno()), "--journal", str(self._journal.folder), "--writer", str(self._writer),
            env=_environ(),
            pass_fds=(theirs.fileno(),),
            stdin=asyncio.subprocess.DEVNULL,
            # The library prints numbers and texts there.
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
            start_new_session=True,
        )  # fmt: skip

    async def _read(self) -> None:
        reader, self._stream = await asyncio.open_connection(sock=self._ours)
        self._stream.writelines(self._unsent)
        self._unsent = []
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                (size,) = LENGTH.unpack(await reader.readexactly(LENGTH.size))
                self._hear(await reader.readexactly(size))

    def _hear(self, packed: bytes) -> None:
        self._watch()
        match channel.decode_telling(packed):
            case Journaled():
                self._journaled()
            case Said() as said:
                engine = self.engines.get(said.session_id)
                if engine is not None:
                    engine.hear(said.signal)
            case Answer() as answer:
                asked = self._asked.pop(answer.number, None)
                if asked is not None and not asked.done():
                    _settle(asked, answer)
            case Trouble() as trouble:
                log.error(trouble.what, extra={"session": trouble.session_id, "error": trouble.error})

    def _watch(self) -> None:
        """From its first word on, its segment is there."""
        if not self._watching:
            self._watching = True
            self._journal.watch(self._writer)

    async def _wait(self) -> int:
        assert self._process is not None  # noqa: S101 - it was spawned
        try:
            async with asyncio.timeout(_EXIT_SECONDS):
                return await self._process.wait()
        except TimeoutError:
            self._process.kill()
            return await self._process.wait()

    def _ended(self, code: int | None) -> None:
        self.over = True
        if self._stream is not None:
            self._stream.close()
        else:
            self._ours.close()
        with suppress(FileNotFoundError):
            self._watch()
        self._journal.writer_ended(self._writer)
        self._journaled()
        for asked in self._asked.values():
            if not asked.done():
                asked.set_exception(OutcomeUnknown("The engine's process ended in the middle of it."))
        self._asked.clear()
        self._count_crash(self)
        left, self.engines = list(self.engines.values()), {}
        if any(not engine.is_linking for engine in left):
            log.error("engine_process.ended", extra={"code": code, "sessions": len(left)})
        for engine in left:
            engine.process_ended()

    async def ask(self, question: Callable[[int], Question]) -> Any:
        """Raises what the engine raised; OutcomeUnknown when the process ends first."""
        if self.over:
            raise NotConnected("The engine's process has ended.")
        self._numbers += 1
        asked = asyncio.get_running_loop().create_future()
        self._asked[self._numbers] = asked
        self._send(channel.frame(question(self._numbers)))
        return await asked

    def _send(self, packed: bytes) -> None:
        if self._stream is None:
            self._unsent.append(packed)
        else:
            self._stream.write(packed)

    def look(self) -> None:
        if self.over:
            return
        if self._ping is None or self._ping.done():
            self._answered_at = time.monotonic()
            lasts_seconds = self._lease_lasts_seconds()
            self._ping = asyncio.ensure_future(
                self.ask(lambda number: Ping(number=number, lasts_seconds=lasts_seconds))
            )
            self._ping.add_done_callback(_forget_outcome)
        elif time.monotonic() - self._answered_at > _HUNG_SECONDS:
            log.error("engine_process.hung", extra={"sessions": len(self.engines)})
            self.kill()

    def kill(self) -> None:
        self._closing = True
        if self._process is not None:
            with suppress(ProcessLookupError):
                self._process.kill()

    def close(self) -> None:
        """It leaves WhatsApp, writes down what still comes, and ends."""
        if self._stream is not None:
            # Its other end hears of it at once; a loop may close the descriptor when it likes.
            with suppress(OSError):
                self._ours.shutdown(socket.SHUT_RDWR)
        else:
            self.kill()

    async def ended(self) -> None:
        await asyncio.wait([self._running])


def _environ() -> dict[str, str]:
    """Ours without our secrets: the operator's key and the database are none of the library's business."""
    return {name: value for name, value in os.environ.items() if not name.startswith("RELAY")} | _ENVIRON


def _settle(asked: asyncio.Future[Any], answer: Answer) -> None:
    if answer.error is None:
        asked.set_result(answer.result)
    else:
        kind = getattr(errors, answer.error, EngineError)
        asked.set_exception(kind(answer.detail, code=answer.code))


def _forget_outcome(done: asyncio.Future[Any]) -> None:
    if not done.cancelled():
        done.exception()
