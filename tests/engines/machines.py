"""Engine processes as a host runs them, without the host: a machine with a journal and live files of its own.

async with world(tmp_path, monkeypatch) as world:
    shop = await world.link(world.machine("a"))      a phone, an account linked to it, and who listens
    await shop.hears(maria, "Oi"); await shop.tells(maria, "Olá")
"""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from relay.engines.engine import (
    Account,
    AuthChanged,
    Connected,
    Engine,
    Entry,
    Outgoing,
    QrShown,
    Received,
    Signal,
)
from relay.engines.processes import EngineProcesses
from relay.engines.remote_engine import RemoteEngine
from relay.engines.transcode import Transcoder
from relay.host.journal import Journal, parse
from relay.model.ids import SessionId, new_session_id, new_tenant_id
from relay.model.message import MessageType
from tests.engines.phones import Recorder
from tests.phone_network.accounts import Account as Phone
from tests.phone_network.accounts import Device
from tests.phone_network.groups import Group
from tests.phone_network.network import WhatsApp
from tests.phone_network.people import People
from tests.phone_network.phones import Person
from tests.phone_network.post import open_post_office
from tests.phone_network.services import Services
from tests.phone_network.watch import Watch

SECONDS = 20.0


class Ear(Recorder):
    """A listener that can be waited on."""

    def __init__(self) -> None:
        super().__init__()
        self._watch = Watch()

    def signal(self, signal: Signal) -> None:
        super().signal(signal)
        self._watch.changed()

    def journal(self, entry: Entry) -> None:
        super().journal(entry)
        self._watch.changed()

    async def until(self, is_true: Callable[[], object], what: str) -> None:
        await self._watch.until(is_true, f"{what}; heard {self.names}", within_seconds=SECONDS)

    async def says(self, kind: type[Signal]) -> None:
        await self.until(lambda: self.list_of(kind), kind.__name__)

    async def has(self, text: str) -> Received:
        """The message with this text, now or when it comes."""
        await self.until(lambda: text in self.texts, f"a message «{text}»")
        return next(one for one in self.list_of(Received) if one.content.get("text") == text)

    @property
    def texts(self) -> list[str]:
        return [str(one.content.get("text")) for one in self.list_of(Received)]


class Machine:
    """One machine's engine processes; `ears` by session."""

    def __init__(self, folder: Path, *, capacity: int = 50) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.live = folder / "live"
        self.live.mkdir(exist_ok=True, mode=0o700)
        self.ears: dict[SessionId, Ear] = {}
        self.journal = Journal(folder)
        self.processes = EngineProcesses(
            journal=self.journal,
            journaled=self.take,
            live_folder=self.live,
            transcoder=Transcoder(folder),
            capacity=capacity,
        )

    def engine(self, account: Account, ear: Ear) -> Engine:
        self.ears[account.session_id] = ear
        return RemoteEngine(self.processes, account, ear)

    def take(self) -> None:
        """What the host's inbox does."""
        while (batch := self.journal.read(500)).payloads:
            for payload in batch.payloads:
                record = parse(payload)
                self.ears[record.session_id].journal(record.entry)
            self.journal.commit(batch)

    async def kill(self) -> None:
        """Kill -9 of every engine process; nobody of this machine does anything any more."""
        for pid in self.processes.pids:
            os.kill(pid, signal.SIGKILL)
        await self.processes.close()


@dataclass
class Shop:
    """An account on a machine, the phone it is linked to, and who listens."""

    phone: Phone
    owner: Person
    device: Device
    account: Account
    engine: Engine
    ear: Ear

    async def hears(self, somebody: Person, text: str, group: Group | None = None) -> Received:
        """Somebody writes, and it is read."""
        await somebody.say(group or self.phone, text=text)
        return await self.ear.has(text)

    async def tells(self, somebody: Person, text: str, group: Group | None = None) -> None:
        """The account writes, and somebody reads it without asking again."""
        chat = str(group.jid) if group else str(somebody.pn)
        await self.engine.send(Outgoing(chat=chat, type=MessageType.TEXT, content={"text": text}))
        got = await somebody.inbox.first(lambda posted: posted.text == text, within_seconds=SECONDS)
        assert got.retries == 0

    async def resume(self, machine: Machine, *, term: int, auth: bytes | None, auth_term: int) -> "Shop":
        """Start it there, under this term, with what was kept; connected when it returns."""
        account = Account(
            session_id=self.account.session_id,
            tenant_id=self.account.tenant_id,
            auth=auth,
            auth_term=auth_term,
            term=term,
            proxy=self.account.proxy,
        )
        ear = Ear()
        engine = machine.engine(account, ear)
        await engine.start()
        await ear.says(Connected)
        return Shop(self.phone, self.owner, self.device, account, engine, ear)


class World:
    """The stand-in, people, and machines; whatever still runs at the end is ended."""

    def __init__(self, network: WhatsApp, folder: Path) -> None:
        self.network = network
        self.services = Services(network)
        self.people: People = open_post_office(network, self.services)
        self._folder = folder
        self._machines: list[Machine] = []
        self._phones = 0

    def machine(self, name: str, *, capacity: int = 50) -> Machine:
        """A name that was there before is the same machine, started again."""
        machine = Machine(self._folder / name, capacity=capacity)
        self._machines.append(machine)
        return machine

    def person(self, name: str) -> Person:
        """Somebody whose phone never asks for what it could not read."""
        self._phones += 1
        person = self.people.new(f"55119123{self._phones:05}", name)
        person.asks_for_retry = False
        return person

    def new_account(self) -> Account:
        """One that was never linked."""
        return Account(
            session_id=new_session_id(),
            tenant_id=new_tenant_id(),
            auth=None,
            proxy=self.network.proxy_url,
        )

    async def link(self, machine: Machine) -> Shop:
        self._phones += 1
        phone = self.network.new_account(phone=f"55119999{self._phones:05}")
        account = self.new_account()
        ear = Ear()
        engine = machine.engine(account, ear)
        await engine.start()
        await ear.says(QrShown)
        device = await phone.scan(ear.get(QrShown).text)
        await ear.says(AuthChanged)
        await ear.says(Connected)
        return Shop(phone, self.people.of(phone), device, account, engine, ear)

    async def close(self) -> None:
        for machine in self._machines:
            await machine.processes.close()


@asynccontextmanager
async def open_world(folder: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[World]:
    async with WhatsApp() as network:
        for name, value in network.environ.items():
            monkeypatch.setenv(name, value)
        world = World(network, folder)
        try:
            yield world
        finally:
            await world.close()


async def gone(pid: int) -> None:
    """Return once the process has ended."""
    async with asyncio.timeout(SECONDS):
        while psutil.pid_exists(pid):
            await asyncio.sleep(0.01)


async def forgotten(processes: EngineProcesses, pid: int) -> None:
    """Return once the host has taken note that it has ended."""
    async with asyncio.timeout(SECONDS):
        while pid in processes.pids:
            await asyncio.sleep(0.01)
