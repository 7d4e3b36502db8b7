"""An engine process without its library: what the host says is done, however busy its accounts are."""

import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from relay.engines import channel, engine_process
from relay.engines.channel import LENGTH, Answer, Call, Start, Stop
from relay.engines.engine_process import EngineProcess
from relay.engines.journal_file import Writer
from relay.model.ids import SessionId, TenantId

_BUSY, _LEAVING = SessionId("ses_busy"), SessionId("ses_leaving")


class Calls:
    """WhatsApp does not answer."""

    def __init__(self) -> None:
        self.answers = threading.Event()

    def list_groups(self) -> list[Any]:
        self.answers.wait()
        return []


class FakeAccount:
    calls = Calls()
    is_linking = False

    def __init__(self, *_: Any) -> None: ...
    def start(self) -> None: ...
    def stop(self) -> None: ...
    def disconnect(self) -> None: ...


class Host:
    """The other end of the socket."""

    def __init__(self, ours: socket.socket) -> None:
        self._ours = ours
        self._numbers = 0

    def ask(self, kind: type[Start | Stop | Call], session_id: SessionId, **given: Any) -> int:
        self._numbers += 1
        self._ours.sendall(channel.frame(kind(number=self._numbers, session_id=session_id, **given)))
        return self._numbers

    def hear(self) -> Answer:
        """The next answer. Raises TimeoutError."""
        (size,) = LENGTH.unpack(self._ours.recv(LENGTH.size, socket.MSG_WAITALL))
        told = channel.decode_telling(self._ours.recv(size, socket.MSG_WAITALL))
        assert isinstance(told, Answer)
        return told


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Host]:
    monkeypatch.setattr(engine_process, "Library", lambda: None)
    monkeypatch.setattr(engine_process, "Account", FakeAccount)
    monkeypatch.setattr(EngineProcess, "_say_farewell", lambda _: None)
    ours, theirs = socket.socketpair()
    ours.settimeout(5)
    process = EngineProcess(theirs, Writer(tmp_path, 1))
    serving = threading.Thread(target=process.serve)
    serving.start()
    yield Host(ours)
    FakeAccount.calls.answers.set()
    ours.close()
    serving.join()


def test_a_stop_does_not_wait_for_calls(host: Host, tmp_path: Path) -> None:
    """WhatsApp answers nobody: one that is to leave leaves, or the host would kill the process with all who are in it."""
    for session_id in (_BUSY, _LEAVING):
        given = {
            "path": str(tmp_path / f"{session_id}.db"),
            "proxy": None,
            "link_method": "",
            "link_phone": None,
        }
        number = host.ask(Start, session_id, tenant_id=TenantId("ten_1"), **given)
        assert host.hear().number == number
    for _ in range(engine_process._CALLS_AT_ONCE):
        host.ask(Call, _BUSY, method="list_groups", arguments={})
    number = host.ask(Stop, _LEAVING)
    assert host.hear() == Answer(number=number)
