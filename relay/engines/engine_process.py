"""An engine process: the native library and the accounts that it drives, apart from everything else.

    python -m relay.engines.engine_process --socket FD --journal FOLDER --writer N

    host ══socket══► main thread ──► pool of threads ──► library
         ◄══════════ Said, Answer, Journaled ◄── library's threads ──► journal

The library can end its process at any moment; that costs a reconnect of these accounts and nothing else. When the
host is gone, or has not said for how much longer it holds its sessions, this process ends too, after it has
disconnected its accounts and written down what was still coming. It ends without saying goodbye to the library:
accounts that never finished linking cannot be stopped.
"""

import argparse
import os
import resource
import select
import signal
import socket
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from relay.engines import channel
from relay.engines.binding import Library
from relay.engines.channel import LENGTH, Answer, Call, Journaled, Ping, Said, Start, Stop, Telling, Trouble
from relay.engines.engine import Connected as ConnectedSignal
from relay.engines.engine import Entry, Linked, Outgoing, Signal
from relay.engines.journal_file import Record, Writer
from relay.engines.neonize import Account
from relay.engines.transcode_job import Prepared
from relay.engines.turns import Turns
from relay.model import errors
from relay.model.errors import Conflict, NotConnected, RelayError
from relay.model.ids import SessionId

try:
    import fcntl
except ImportError:  # Windows has no flock; there nobody shares the folder
    fcntl = None  # type: ignore[assignment]

_CALLS_AT_ONCE = 64
_UPLOADS_AT_ONCE = 2
_FAREWELL_SECONDS = 4.0
_LOOK_SECONDS = 3600.0
_LOCK_SECONDS = 6.0
_LOCK_LOOK_SECONDS = 0.05


class _Seat:
    """An account that the host wants here, from the moment on in which it has said so."""

    def __init__(self, wanted: Start) -> None:
        self.wanted = wanted
        self.account: Account | None = None
        """From its turn on."""
        self.lock = -1
        """On the account's file, once it has one."""
        self._given_up = threading.Event()
        self._settled = threading.Event()

    def give_up(self) -> None:
        """Its start never begins, unless it has its turn already."""
        self._given_up.set()

    def is_given_up(self) -> bool:
        return self._given_up.is_set()

    def settle(self) -> None:
        """Its start has had its turn, or will never have one; then nothing is left of it."""
        if self.account is None:
            self.release()
        self._settled.set()

    def wait_until_settled(self) -> None:
        self._settled.wait()

    def is_empty(self) -> bool:
        """A start that failed before its turn."""
        return self._settled.is_set() and self.account is None

    def release(self) -> None:
        if self.lock >= 0:
            os.close(self.lock)
            self.lock = -1


class EngineProcess:
    """The accounts of this process, and its one socket to the host."""

    def __init__(self, host: socket.socket, journal: Writer) -> None:
        self._host = host
        # Not select, which knows the first 1,024 descriptors only: the host may have many open.
        self._readable = select.poll()
        self._readable.register(host, select.POLLIN)
        self._journal = journal
        self._library = Library()
        self._seats: dict[SessionId, _Seat] = {}
        """Changed by the main thread alone, in the order of the host's words."""
        self._sending = threading.Lock()
        # The library's maps are not safe while an account begins or ends.
        self._turns = Turns()
        self._uploads = threading.Semaphore(_UPLOADS_AT_ONCE)
        self._pool = ThreadPoolExecutor(_CALLS_AT_ONCE, thread_name_prefix="call")
        self._grown = threading.Event()
        self._until: float | None = None
        """When the host's leases end, if it says nothing more; it may be frozen, and another one next."""

    def serve(self) -> None:
        """Until the host is gone."""
        threading.Thread(target=self._ring, daemon=True).start()
        while (packed := self._receive()) is not None:
            question = channel.decode_question(packed)
            match question:
                case Ping():
                    self._until = time.monotonic() + question.lasts_seconds
                    self._tell(Answer(number=question.number))
                case Start():
                    self._move(question, partial(self._start, self._take_seat(question)))
                case Stop():
                    self._move(question, partial(self._stop, self._leave_seat(question)))
                case Call():
                    self._pool.submit(self._answer, question, partial(self._call, question))
        self._say_farewell()

    def _move(self, question: Start | Stop, do: Callable[[], Any]) -> None:
        """On a thread of its own: where WhatsApp does not answer, calls hold all those of the pool for a minute."""
        threading.Thread(target=self._answer, args=(question, do), daemon=True).start()

    def _take_seat(self, wanted: Start) -> _Seat:
        """Here and not on the pool: a stop that comes next must find it, however long the start has to wait."""
        seat = self._seats.get(wanted.session_id)
        if seat is None or seat.is_empty():
            seat = self._seats[wanted.session_id] = _Seat(wanted)
        return seat

    def _leave_seat(self, question: Stop) -> _Seat | None:
        seat = self._seats.pop(question.session_id, None)
        if seat is not None:
            seat.give_up()
            self._turns.look_again()
        return seat

    def _receive(self) -> bytes | None:
        head = self._receive_exactly(LENGTH.size)
        return None if head is None else self._receive_exactly(LENGTH.unpack(head)[0])

    def _receive_exactly(self, size: int) -> bytes | None:
        received = bytearray()
        while len(received) < size:
            if not self._is_readable():
                return None
            try:
                chunk = self._host.recv(size - len(received))
            except OSError:
                return None
            if not chunk:
                return None
            received += chunk
        return bytes(received)

    def _is_readable(self) -> bool:
        """Waits for the host's next word; False when it has been silent for too long."""
        while True:
            patience = None if self._until is None else self._until - time.monotonic()
            if patience is not None and patience <= 0:
                return False
            if self._readable.poll(1000 * min(_LOOK_SECONDS, patience or _LOOK_SECONDS)):
                return True

    def _tell(self, telling: Telling) -> None:
        try:
            with self._sending:
                self._host.sendall(channel.frame(telling))
        except OSError:
            # The host is gone: the main thread has seen it, too.
            return

    def _ring(self) -> None:
        """One ring for all that was journaled since the last one."""
        while True:
            self._grown.wait()
            self._grown.clear()
            self._tell(Journaled())

    def _say_farewell(self) -> None:
        """Nobody asks any more: what the library still holds goes into the journal, for the host that comes next."""
        threading.Timer(_FAREWELL_SECONDS, os._exit, [1]).start()
        for seat in self._seats.values():
            seat.give_up()
        accounts = [seat.account for seat in self._seats.values() if seat.account is not None]
        leaving = [threading.Thread(target=one.disconnect) for one in accounts if not one.is_linking]
        for thread in leaving:
            thread.start()
        for thread in leaving:
            thread.join()
        os._exit(0)

    # --- questions ----------------------------------------------------------------------------------------------

    def _answer(self, question: Start | Stop | Call, do: Callable[[], Any]) -> None:
        try:
            result = do()
            answer = Answer(number=question.number, result=msgspec.to_builtins(result))
        except RelayError as error:
            answer = Answer(
                number=question.number, error=_family(error), code=error.code, detail=error.detail
            )
        except Exception as error:  # noqa: BLE001 - every question is answered
            self._tell(
                Trouble(session_id=question.session_id, what="engine.call_broke", error=type(error).__name__)
            )
            answer = Answer(
                number=question.number,
                error="EngineError",
                code="engine_error",
                detail="The engine could not do it.",
            )
        self._tell(answer)

    def _start(self, seat: _Seat) -> None:
        wanted = seat.wanted
        try:
            # A process whose host was killed may still be writing down what it has; two in one file would spoil it.
            seat.lock = take_lock(
                Path(wanted.path).with_suffix(".lock"),
                patience_seconds=_LOCK_SECONDS,
                is_given_up=seat.is_given_up,
            )
            with self._turns.to_start(seat.is_given_up):
                seat.account = Account(self._library, wanted, self)
                seat.account.start()
        finally:
            seat.settle()

    def _stop(self, seat: _Seat | None) -> None:
        if seat is None:
            return
        # A start that still waits ends at once without having begun; one that has its turn comes to its first sign.
        seat.wait_until_settled()
        if seat.account is not None:
            seat.account.disconnect()
            with self._turns.to_stop():
                seat.account.stop()
            seat.release()

    def _call(self, call: Call) -> Any:
        seat = self._seats.get(call.session_id)
        account = None if seat is None else seat.account
        if account is None:
            raise NotConnected("The session is not connected.")
        if call.method != "send":
            return getattr(account.calls, call.method)(**call.arguments)
        outgoing = msgspec.convert(call.arguments["outgoing"], Outgoing)
        prepared = msgspec.convert(call.arguments["prepared"], Prepared | None)
        if prepared is None:
            return account.calls.send(outgoing, None)
        # A file is in memory three times while it is being sent.
        with self._uploads:
            return account.calls.send(outgoing, prepared)

    # --- Outside: what accounts say -----------------------------------------------------------------------------

    def say(self, account: Account, signal: Signal) -> None:
        self._tell(Said(session_id=account.wanted.session_id, signal=signal))
        if isinstance(signal, Linked):
            # The live connection is another process's, and so is all that WhatsApp hands over once there is one: keys,
            # history, messages.
            os._exit(0)
        if isinstance(signal, ConnectedSignal):
            self._pool.submit(self._show, account)

    def _show(self, account: Account) -> None:
        """Unasked, the account does not show as online here, and the phone goes on ringing."""
        with suppress(RelayError):
            account.calls.set_presence(available=account.is_available)

    def journal(self, account: Account, entry: Entry) -> None:
        self._journal.append(Record(account.wanted.tenant_id, account.wanted.session_id, entry))
        self._grown.set()

    def set_aside(self, account: Account, code: int, event: bytes) -> None:
        kept = {"session": account.wanted.session_id, "code": code, "event": event}
        self._journal.set_aside(msgspec.json.encode(kept))

    def trouble(self, account: Account, what: str, error: str) -> None:
        self._tell(Trouble(session_id=account.wanted.session_id, what=what, error=error))


def _family(error: RelayError) -> str:
    """The name by which the host knows it: its own, or the nearest above."""
    return next(kind.__name__ for kind in type(error).__mro__ if kind.__module__ == errors.__name__)


def _never() -> bool:
    return False


def take_lock(path: Path, *, patience_seconds: float, is_given_up: Callable[[], bool] = _never) -> int:
    """The descriptor that holds it. Raises Conflict when somebody else keeps it; at once when it is given up."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    until = time.monotonic() + patience_seconds
    while fcntl is not None:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            break
        except OSError:
            if is_given_up() or time.monotonic() > until:
                os.close(descriptor)
                raise Conflict("Another process still works with this account.") from None
            time.sleep(_LOCK_LOOK_SECONDS)
    return descriptor


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--socket", type=int, required=True)
    parser.add_argument("--journal", type=Path, required=True)
    parser.add_argument("--writer", type=int, required=True)
    options = parser.parse_args()
    # What a crash would write to the disk holds the accounts' keys.
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    # The host's event loop leaves copies of its standard streams open: whoever waits for their end waits for us, too.
    os.closerange(3, options.socket)
    os.closerange(options.socket + 1, os.sysconf("SC_OPEN_MAX"))
    # Ctrl+C and the like reach a whole group; the end of this process is the host's word.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    host = socket.socket(fileno=options.socket)
    EngineProcess(host, Writer(options.journal, options.writer)).serve()


if __name__ == "__main__":
    main()
