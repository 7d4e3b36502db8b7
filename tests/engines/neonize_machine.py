"""A machine with engine processes of its own, and the ears that hear what they say.

engine process ──► signals ──────────────► Ear ──► the test's listener
└──► journal ──► Machine ──► Ear ──┘
"""

import shutil
from collections.abc import Callable
from pathlib import Path

from relay.engines import engine as says
from relay.engines.engine import Account, Entry, Listener, Signal
from relay.engines.live_files import open_folder
from relay.engines.processes import EngineProcesses
from relay.engines.remote_engine import RemoteEngine
from relay.engines.transcode import Transcoder
from relay.host.journal import Journal, parse
from relay.model.ids import SessionId
from tests.phone_network.watch import Watch


class Ear:
    """Hears an engine for a test, and knows when it has heard enough."""

    def __init__(self, account: Account, listener: Listener) -> None:
        self.account = account
        self.listener = listener
        self.engine: RemoteEngine
        self.signals: list[Signal] = []
        self.marks: set[str] = set()
        self.watch = Watch()

    def signal(self, signal: Signal) -> None:
        self.signals.append(signal)
        self.listener.signal(signal)
        self.watch.changed()

    def journal(self, entry: Entry) -> None:
        if isinstance(entry, says.Acknowledged) and entry.wa_ids[0].startswith("MARK"):
            self.marks.add(entry.wa_ids[0])
        else:
            self.listener.journal(entry)
        self.watch.changed()

    @property
    def last(self) -> Signal | None:
        return self.signals[-1] if self.signals else None

    @property
    def is_connected(self) -> bool:
        return isinstance(self.last, says.Connected | says.Restored) and self.engine._process is not None

    def list_of(self, kind: type[Signal]) -> list[Signal]:
        return [signal for signal in self.signals if isinstance(signal, kind)]

    async def until(self, is_true: Callable[[], object], what: str) -> None:
        names = [type(signal).__name__ for signal in self.signals]
        await self.watch.until(is_true, f"{what}; so far {names}")


class Machine:
    """A machine with engine processes, a journal and live files of its own."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.journal = Journal(folder)
        self.live_folder = open_folder(folder)
        self.processes = EngineProcesses(
            journal=self.journal,
            journaled=self._take,
            live_folder=self.live_folder,
            transcoder=Transcoder(folder),
            capacity=50,
        )
        self.ears: dict[SessionId, Ear] = {}

    def engine(self, account: Account, listener: Listener) -> RemoteEngine:
        ear = self.ears[account.session_id] = Ear(account, listener)
        ear.engine = RemoteEngine(self.processes, account, ear)
        return ear.engine

    def _take(self) -> None:
        while (batch := self.journal.read(1000)).payloads:
            for payload in batch.payloads:
                record = parse(payload)
                self.ears[record.session_id].journal(record.entry)
            self.journal.commit(batch)

    async def close(self) -> None:
        """The power goes: tests that end in an orderly way have stopped their engines."""
        for process in [*self.processes._processes, *self.processes._linking]:
            process.kill()
        await self.processes.close()
        self.journal.close()
        shutil.rmtree(self.live_folder)
