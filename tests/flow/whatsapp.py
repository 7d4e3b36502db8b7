"""WhatsApp's stand-in around a real Relay: phones that are linked to it, bursts of messages, and what became of them.

async with open_phones() as phones, serving(folder, **phones.settings) as relay:
    shop = await phones.link(caller, sink)      a session, its phone, an endpoint of its own
    await shop.burst(maria, 2000)
    await shop.settle(); shop.check()
"""

import asyncio
import struct
import time
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import psutil

from tests.flow.ledger import WIDE_LIMITS, Sink, Traffic, ask
from tests.flow.serving import Program, until
from tests.phone_network.accounts import Account, Device
from tests.phone_network.network import WhatsApp
from tests.phone_network.people import People
from tests.phone_network.phones import Person
from tests.phone_network.post import open_post_office
from tests.phone_network.services import Services

SESSIONS = "/api/v1/whatsapp/sessions"
_LINK_SECONDS = 20.0


class Phones:
    """The stand-in, and people with phones."""

    def __init__(self, network: WhatsApp) -> None:
        self.network = network
        self.services = Services(network)
        self.people: People = open_post_office(network, self.services)
        self._numbers = 0

    @property
    def settings(self) -> dict[str, Any]:
        """For `serving`: this is WhatsApp, and it is reached through the operator's proxy."""
        return {"environ": self.environ, "host__proxy": self.network.proxy_url}

    @property
    def environ(self) -> Mapping[str, str]:
        return self.network.environ

    def person(self, name: str) -> Person:
        self._numbers += 1
        return self.people.new(f"55119123{self._numbers:05}", name)

    def account(self) -> Account:
        self._numbers += 1
        return self.network.new_account(phone=f"55119999{self._numbers:05}", name="Shop")

    async def link(self, caller: httpx.AsyncClient, sink: Sink, **fields: Any) -> "Shop":
        """A new session, linked by its QR code, and an endpoint of its own."""
        phone = self.account()
        made = await caller.post(SESSIONS, json={"name": "shop", "limits": WIDE_LIMITS, **fields})
        assert made.status_code == 201, made.text
        session = str(made.json()["sessionId"])
        device = await phone.scan(await shows_code(caller, session))
        await stands(caller, session, "connected")
        path = f"/{session}"
        await sink.register(caller, path, events=["message.*"], sessions=[session])
        return Shop(phone, self.people.of(phone), device, Traffic(caller, session, sink, path))


@asynccontextmanager
async def open_phones() -> AsyncIterator[Phones]:
    async with WhatsApp() as network:
        yield Phones(network)


async def shows_code(caller: httpx.AsyncClient, session: str) -> str:
    """The session's QR code, now or when it comes."""

    async def code() -> Any:
        return (await read(caller, session))["qrCode"]

    return str(await until(code, seconds=_LINK_SECONDS, what="a QR code"))


async def read(caller: httpx.AsyncClient, session: str) -> dict[str, Any]:
    found: dict[str, Any] = await ask(caller, "GET", f"{SESSIONS}/{session}")
    return found


async def stands(
    caller: httpx.AsyncClient, session: str, status: str, reason: str | None = None, *, seconds: float = 20
) -> None:
    """Return once the session stands so."""
    found: dict[str, Any] = {}

    async def look() -> bool:
        found.update(await read(caller, session))
        return (found["status"], found["reason"]) == (status, reason)

    try:
        await until(look, seconds=seconds, what=f"the session is {status} ({reason})")
    except AssertionError as error:
        error.add_note(f"it is {found['status']} ({found['reason']})")
        raise


class Shop:
    """A session, the phone that it is linked to, and what reached its endpoint."""

    def __init__(self, phone: Account, owner: Person, device: Device, traffic: Traffic) -> None:
        self.phone = phone
        self.owner = owner
        self.device = device
        self.traffic = traffic
        self.session = traffic.session
        self.caller = traffic.caller
        self.said: list[str] = []
        (self.path,) = traffic.paths
        self._bursts = 0

    @property
    def told(self) -> list[str]:
        """The texts of the messages that the endpoint was told of, as they came."""
        arrived = self.traffic.sink.arrived[self.path]
        return [str(one.data["content"]["text"]) for one in arrived if one.type == "message.received"]

    @property
    def arrived(self) -> int:
        return len(self.told)

    async def burst(self, somebody: Person, count: int) -> None:
        """Numbered texts, as fast as WhatsApp passes them on."""
        self._bursts += 1
        words = f"burst {self._bursts} message"
        self.said += [f"{words} {number}" for number in range(count)]
        await somebody.say_many(self.phone, count, words=words)

    async def hears(self, somebody: Person, text: str, to: Any = None) -> None:
        """Somebody writes, to the account or a group, and the endpoint is told."""
        self.said.append(text)
        await somebody.say(to or self.phone, text=text)

        async def told() -> bool:
            return text in self.told

        await until(told, seconds=20, what=f"the endpoint hears «{text}»")

    async def tells(self, somebody: Person, text: str, to: Any = None) -> None:
        """The account writes, to somebody or a group, and it is read without being asked for again."""
        body = {"sessionId": self.session, "to": str(to or somebody.pn), "type": "text", "content": text}
        await ask(self.caller, "POST", "/api/v1/whatsapp/send", json=body)
        got = await somebody.inbox.first(lambda posted: posted.text == text, within_seconds=20)
        assert got.retries == 0

    async def connected_after(self, before: str | None, *, seconds: float) -> float:
        """Seconds until it is connected anew, not as it was `before`."""
        began = time.monotonic()

        async def again() -> bool:
            found = await read(self.caller, self.session)
            return bool(found["status"] == "connected" and found["connectedAt"] != before)

        await until(again, seconds=seconds, what="the session is connected again")
        return time.monotonic() - began

    async def connected_at(self) -> str | None:
        at: str | None = (await read(self.caller, self.session))["connectedAt"]
        return at

    async def settle(self, url: str) -> None:
        """WhatsApp has nothing more for the account, and nothing is owed to the endpoint."""
        await self.phone.acknowledged(within_seconds=30)

        async def paid() -> bool:
            owed, *_ = await self.traffic._look(url)
            stored = len(await self.traffic.list_all("inbound"))
            return bool(owed == 0 and stored == self.arrived)

        await until(paid, seconds=120, what="all that is stored has been delivered")

    async def check(self) -> int:
        """Each message is stored once, in order, and delivered once; answers how many are lost."""
        stored = [one["content"]["text"] for one in await self.traffic.list_all("inbound")]
        told = self.told
        for found in (stored, told):
            twice = [text for text, times in Counter(found).items() if times > 1]
            assert not twice, f"{len(twice)} came twice"
        assert set(stored) == set(told)
        assert set(stored) <= set(self.said)
        places = {text: place for place, text in enumerate(self.said)}
        assert stored == sorted(stored, key=lambda text: places[text])
        assert self.traffic.sink.forged == 0
        assert self.device.replaced == 0
        return len(self.said) - len(stored)


def engine_pids(program: Program) -> list[int]:
    """The engine processes of its folder, those whose host is gone too."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.NoSuchProcess, psutil.AccessDenied):
            words = process.cmdline()
            if "relay.engines.engine_process" in words and str(program.errors.parent) in " ".join(words):
                found.append(process.pid)
    return found


def engine_pid(program: Program, session: str) -> int:
    """The engine process that works with this session's live file."""
    (pid,) = [pid for pid in engine_pids(program) if has_open(pid, f"{session}.db")]
    return pid


def has_open(pid: int, name: str) -> bool:
    with suppress(psutil.NoSuchProcess):
        return any(Path(file.path).name == name for file in psutil.Process(pid).open_files())
    return False


def is_journal_empty(data: Path) -> bool:
    """Whether all that stands in the segments is in Postgres, by their heads."""
    for path in data.glob("journal/*/segment-*.journal"):
        with suppress(FileNotFoundError):
            content = path.read_bytes()
            if struct.unpack_from("<Q", content)[0] != len(content):
                return False
    return True


class Watcher:
    """Somebody who asks the API all the time, and how long the longest answer took."""

    def __init__(self, caller: httpx.AsyncClient) -> None:
        self.slowest = 0.0
        self.answers: Counter[int] = Counter()
        self._caller = caller

    async def watch(self) -> None:
        while True:
            for path in ("/livez", SESSIONS):
                began = time.monotonic()
                response = await self._caller.get(path)
                self.slowest = max(self.slowest, time.monotonic() - began)
                self.answers[response.status_code] += 1
            await asyncio.sleep(0.02)


@asynccontextmanager
async def watching(caller: httpx.AsyncClient) -> AsyncIterator[Watcher]:
    """Fails when an answer is not 200, or there is none."""
    watcher = Watcher(caller)
    task = asyncio.create_task(watcher.watch())
    try:
        yield watcher
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
    assert set(watcher.answers) == {200}
