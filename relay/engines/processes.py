"""Engine processes, seen from the host: started, filled with accounts, watched, and replaced when they die.

    RemoteEngine.start ──► live file ready? ──no──► a process for linking alone ──linked──┐
                               │ yes                                                      │
                               ▼                                                          ▼
                     the first process with room ◄────────────────────────── snapshot, AuthChanged
                               │
              Said ──► listener.signal        Journaled ──► inbox        end of the process ──► Crashed, for all in it

A process takes `capacity` accounts at once, and so many starts in its life: the library leaks a little at each. After
that it gets no more, and ends when its last account has left.
"""

import asyncio
import logging
import os
import socket
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from math import inf
from pathlib import Path
from typing import Any, Protocol, TypeVar

import msgspec
from msgspec import structs

from relay.engines import channel
from relay.engines.channel import LENGTH, Answer, Call, Journaled, Ping, Question, Said, Start, Stop, Trouble
from relay.engines.engine import (
    Account,
    AuthChanged,
    CodeShown,
    Connected,
    Crashed,
    Degraded,
    Disconnected,
    Group,
    Linked,
    Listener,
    LoggedOut,
    Outgoing,
    QrShown,
    Restored,
    Sent,
    Signal,
)
from relay.engines.live_files import LiveFile
from relay.engines.transcode import Transcoder
from relay.model import errors
from relay.model.errors import EngineError, NotConnected, OutcomeUnknown, RelayError
from relay.model.ids import SessionId

log = logging.getLogger(__name__)

T = TypeVar("T")

_STARTS_IN_A_LIFE = 500
_STEADY_SECONDS = 600.0
_HUNG_SECONDS = 30.0
_START_SECONDS = 50.0
_STOP_SECONDS = 12.0
_LAST_STOP_SECONDS = 2.0
_EXIT_SECONDS = 5.0
_SETTLE_SECONDS = 2.0
_SETTLE_LOOK_SECONDS = 0.02
_CODES = (QrShown, CodeShown)
_AWAY = Disconnected(will_retry=True)
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


class EngineProcesses:
    """All engine processes of one host. `work` looks whether they answer."""

    def __init__(
        self,
        *,
        journal: SegmentReader,
        journaled: Callable[[], None],
        live_folder: Path,
        transcoder: Transcoder,
        capacity: int,
        lease_lasts_seconds: Callable[[], float] = lambda: inf,
    ) -> None:
        self.live_folder = live_folder
        self.transcoder = transcoder
        self._journal = journal
        self._journaled = journaled
        self._capacity = capacity
        self.lease_lasts_seconds = lease_lasts_seconds
        self._processes: list[_Process] = []
        self._linking: set[_Process] = set()
        self._crashes: dict[SessionId, int] = {}
        """How often in a row a session's process has died soon; the culprit is among them."""

    def engine(self, account: Account, listener: Listener) -> "RemoteEngine":
        return RemoteEngine(self, account, listener)

    def place(self, engine: "RemoteEngine") -> "_Process":
        """A process for a linked account; its place there is taken at once."""
        self._processes = [one for one in self._processes if not one.over]
        for process in self._processes:
            if process.starts < _STARTS_IN_A_LIFE and self._has_room(process, engine.session_id):
                break
        else:
            process = self._new_process(self._count_crash)
            self._processes.append(process)
        process.take(engine)
        return process

    def _new_process(self, count_crash: Callable[["_Process"], None]) -> "_Process":
        return _Process(self._journal, self._journaled, count_crash, self.lease_lasts_seconds)

    def _has_room(self, process: "_Process", session_id: SessionId) -> bool:
        """Those whose processes keep dying share with half as many each time, until the culprit is alone."""
        crashes = max(self._crashes.get(one, 0) for one in [*process.engines, session_id])
        return len(process.engines) < self._capacity >> max(0, crashes - 1)

    def _count_crash(self, process: "_Process") -> None:
        for session_id in process.engines:
            self._crashes[session_id] = 1 if process.is_steady() else self._crashes.get(session_id, 0) + 1

    def place_alone(self, engine: "RemoteEngine") -> "_Process":
        """A process for a link, which ends with it."""
        process = self._new_process(lambda _: None)
        self._linking = {one for one in self._linking if not one.over} | {process}
        process.take(engine)
        return process

    def leave(self, process: "_Process", engine: "RemoteEngine") -> None:
        process.engines.pop(engine.session_id, None)
        self._crashes.pop(engine.session_id, None)
        if process in self._linking or (not process.engines and process.starts >= _STARTS_IN_A_LIFE):
            process.close()

    def stop_seconds(self) -> float:
        """The patience with an account that is to stop: no more than the lease leaves."""
        return min(_STOP_SECONDS, max(_LAST_STOP_SECONDS, self.lease_lasts_seconds()))

    async def settle(self) -> None:
        """Wait until what is journaled so far is stored: an account that moves is not to overtake itself."""
        mark = self._journal.mark()
        until = time.monotonic() + _SETTLE_SECONDS
        while not self._journal.is_committed(mark) and time.monotonic() < until:  # noqa: ASYNC110 - a file moves
            await asyncio.sleep(_SETTLE_LOOK_SECONDS)

    async def work(self) -> bool:
        """Ask each process whether it is well, and end those that have not answered for long."""
        for process in [*self._processes, *self._linking]:
            process.look()
        return False

    @property
    def pids(self) -> list[int]:
        """Of the living processes."""
        found = [one.pid for one in [*self._processes, *self._linking] if not one.over]
        return [pid for pid in found if pid is not None]

    async def close(self) -> None:
        """End them all; their accounts have been stopped."""
        ending = [*self._processes, *self._linking]
        for process in ending:
            process.close()
        await asyncio.gather(*(process.ended() for process in ending))


class _Process:
    """One engine process and the accounts in it."""

    def __init__(
        self,
        journal: SegmentReader,
        journaled: Callable[[], None],
        count_crash: Callable[["_Process"], None],
        lease_lasts_seconds: Callable[[], float],
    ) -> None:
        self.engines: dict[SessionId, RemoteEngine] = {}
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

    def take(self, engine: "RemoteEngine") -> None:
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
        with suppress(asyncio.CancelledError):
            await asyncio.shield(self._running)


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


class RemoteEngine:
    """See `Engine`: an account that an engine process drives."""

    def __init__(self, processes: EngineProcesses, account: Account, listener: Listener) -> None:
        self.session_id = account.session_id
        self.is_linking = False
        self._processes = processes
        self._account = account
        self._listener = listener
        self._file = LiveFile(processes.live_folder, account.session_id)
        self._process: _Process | None = None
        self._linked: Linked | None = None
        self._heard_end = False
        self._degraded_at: float | None = None
        self._following: asyncio.Task[None] | None = None

    # --- the connection -----------------------------------------------------------------------------------------

    async def start(self) -> None:
        if self._process is not None:
            if not self._heard_end:
                return
            # What is over still has its place in the process.
            await self.stop()
        account = self._account
        self._heard_end, self._degraded_at = False, None
        ready = await asyncio.to_thread(
            self._file.make_ready, term=account.term, auth=account.auth, auth_term=account.auth_term
        )
        await (self._connect() if ready else self._link())

    async def _link(self) -> None:
        self.is_linking, self._linked = True, None
        self._process = self._processes.place_alone(self)
        await self._begin(self._account.link_method)

    async def _connect(self) -> None:
        self.is_linking = False
        await self._processes.settle()
        self._process = self._processes.place(self)
        await self._begin("")

    async def _begin(self, link_method: str) -> None:
        account, process = self._account, self._process
        assert process is not None  # noqa: S101 - placed just now
        async with asyncio.timeout(_START_SECONDS):
            await process.ask(
                lambda number: Start(
                    number=number,
                    session_id=account.session_id,
                    tenant_id=account.tenant_id,
                    path=str(self._file.path),
                    proxy=account.proxy,
                    link_method=link_method,
                    link_phone=account.link_phone,
                )
            )

    def hear(self, signal: Signal) -> None:
        """The process has said something of this account."""
        match signal:
            case Linked() if self.is_linking:
                # The process ends now; what it has written down is taken over then.
                self._linked = signal
                return
            case Degraded():
                self._degraded_at = self._degraded_at or time.monotonic()
            case Restored() | Connected():
                self._degraded_at = None
            case LoggedOut():
                self._heard_end = True
                self._account = structs.replace(self._account, auth=None)
            case _ if not isinstance(signal, _CODES) and signal != _AWAY:
                self._heard_end = True
        self._listener.signal(signal)

    def process_ended(self) -> None:
        self._process = None
        if self._linked is not None and self.is_linking:
            self._following = asyncio.create_task(self._go_live(self._linked))
        elif not self._heard_end:
            self._listener.signal(Crashed())

    async def _go_live(self, linked: Linked) -> None:
        try:
            auth = await asyncio.to_thread(self._file.snapshot)
            self._listener.signal(linked)
            if auth is not None:
                self._listener.signal(AuthChanged(auth=auth))
            await self._connect()
        except Exception as error:  # noqa: BLE001 - a task of its own: the host hears of it as of any failed start
            log.warning(
                "engine.start_failed", extra={"session": self.session_id, "error": type(error).__name__}
            )
            self._listener.signal(Crashed())

    async def stop(self) -> None:
        if self._following is not None:
            self._following.cancel()
            await asyncio.wait([self._following])
            self._following = None
        process, self._process = self._process, None
        if process is None:
            return
        if self.is_linking:
            # It could never be stopped in an orderly way, and has nothing to hand over.
            self._heard_end = True
            process.engines.pop(self.session_id, None)
            process.kill()
            await process.ended()
            await asyncio.to_thread(self._file.remove)
            return
        try:
            async with asyncio.timeout(self._processes.stop_seconds()):
                await process.ask(lambda number: Stop(number=number, session_id=self.session_id))
        except (RelayError, TimeoutError):
            # Nobody may believe it stopped while it goes on: another host could be next.
            process.engines.pop(self.session_id, None)
            process.kill()
            await process.ended()
        self._processes.leave(process, self)

    async def logout(self) -> None:
        await self._call("logout")
        self._heard_end = True
        self._account = structs.replace(self._account, auth=None)

    async def forget(self) -> None:
        await asyncio.to_thread(self._file.remove)

    async def snapshot(self) -> bytes | None:
        if self.is_linking:
            return None
        return await asyncio.to_thread(self._file.snapshot)

    def last_sign_of_life_at(self) -> float:
        return self._degraded_at or time.monotonic()

    # --- calls --------------------------------------------------------------------------------------------------

    async def _call(self, method: str, **arguments: Any) -> Any:
        process = self._process
        if process is None or self.is_linking:
            raise NotConnected("The session is not connected.")
        return await process.ask(
            lambda number: Call(number=number, session_id=self.session_id, method=method, arguments=arguments)
        )

    async def send(self, outgoing: Outgoing) -> Sent:
        packed = msgspec.to_builtins(outgoing)
        if outgoing.media is None:
            return msgspec.convert(await self._call("send", outgoing=packed, prepared=None), Sent)
        voice = bool(outgoing.content.get("voice"))
        async with self._processes.transcoder.prepared(outgoing.media, outgoing.type, voice=voice) as ready:
            sent = await self._call("send", outgoing=packed, prepared=msgspec.to_builtins(ready))
        return msgspec.convert(sent, Sent)

    async def edit(self, chat: str, wa_id: str, text: str) -> None:
        await self._call("edit", chat=chat, wa_id=wa_id, text=text)

    async def revoke(self, chat: str, wa_id: str) -> None:
        await self._call("revoke", chat=chat, wa_id=wa_id)

    async def mark_read(self, chat: str, sender: str, wa_ids: Sequence[str]) -> None:
        await self._call("mark_read", chat=chat, sender=sender, wa_ids=list(wa_ids))

    async def set_typing(self, chat: str, *, typing: bool) -> None:
        await self._call("set_typing", chat=chat, typing=typing)

    async def set_presence(self, *, available: bool) -> None:
        await self._call("set_presence", available=available)

    async def check_numbers(self, phones: Sequence[str]) -> dict[str, str | None]:
        found: dict[str, str | None] = await self._call("check_numbers", phones=list(phones))
        return found

    async def list_groups(self) -> list[Group]:
        return msgspec.convert(await self._call("list_groups"), list[Group])

    async def get_group(self, jid: str) -> Group:
        return msgspec.convert(await self._call("get_group", jid=jid), Group)

    async def set_profile_name(self, name: str) -> None:
        await self._call("set_profile_name", name=name)

    async def set_profile_picture(self, jpeg: bytes) -> None:
        await self._call("set_profile_picture", jpeg=jpeg)

    async def find_profile_picture(self, jid: str) -> str | None:
        found: str | None = await self._call("find_profile_picture", jid=jid)
        return found

    async def reject_call(self, call_id: str, caller: str) -> None:
        await self._call("reject_call", call_id=call_id, caller=caller)
