"""Accounts that move from host to host: never on two at once, back soon, and the first message each way is read."""

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import httpx
import pytest

from tests.api_client import ALL_SCOPES, OPERATOR_KEY
from tests.flow.ledger import Sink, open_sink, when
from tests.flow.line import open_line
from tests.flow.serving import Program, free_port, program, shared
from tests.flow.whatsapp import SESSIONS, Phones, Shop, engine_pid, engine_pids, open_phones, stands

GONE_SECONDS = 30.0
"""From the end of a machine until its sessions are connected on another, with leases of 15 s."""


class Machines:
    """Hosts on one database, each with a data folder of its own, and an API with a dispatcher beside them."""

    def __init__(self, folder: Path, url: str, phones: Phones, stack: AsyncExitStack) -> None:
        self.phones = phones
        self.url = url
        self._folder = folder
        self._stack = stack
        self._count = 0

    async def start(self, *words: str, url: str = "", lease_seconds: float) -> Program:
        self._count += 1
        folder = self._folder / str(self._count)
        folder.mkdir()
        settings = {
            "database__pool_size": 4,
            "sessions__lease_seconds": lease_seconds,
            "host__proxy": self.phones.network.proxy_url,
        }
        environ = {**shared(url or self.url, folder, **settings), **self.phones.environ}
        command = ["run", *words, "--data-dir", str(folder / "data")]
        started = await self._stack.enter_async_context(program(folder, *command, environ=environ))
        await started.says("started")
        return started

    async def company(self) -> httpx.AsyncClient:
        """A company's caller of an API that has just been started."""
        port = free_port()
        await self.start("api", "dispatcher", "--port", str(port), lease_seconds=4)
        operator = client(port, OPERATOR_KEY)
        async with operator:
            company = (await operator.post("/api/v1/admin/tenants", json={"name": "Acme"})).json()[
                "companyId"
            ]
            body = {"companyId": company, "name": "test", "scopes": ALL_SCOPES}
            key = (await operator.post("/api/v1/admin/keys", json=body)).json()["key"]
        return await self._stack.enter_async_context(client(port, key))


def client(port: int, key: str) -> httpx.AsyncClient:
    return httpx.AsyncClient(
        base_url=f"http://127.0.0.1:{port}",
        headers={"Authorization": f"Bearer {key}"},
        timeout=10,
        trust_env=False,
    )


@asynccontextmanager
async def opened(folder: Path, url: str) -> AsyncIterator[tuple[Machines, Sink]]:
    async with open_phones() as phones, open_sink() as sink, AsyncExitStack() as stack:
        yield Machines(folder, url, phones, stack), sink


@pytest.fixture
async def machines_and_sink(url: str, tmp_path: Path) -> AsyncIterator[tuple[Machines, Sink]]:
    async with opened(tmp_path, url) as both:
        yield both


async def all_there(shop: Shop, url: str) -> None:
    """Everything that was said is stored and delivered, once."""
    await shop.settle(url)
    assert await shop.check() == 0


async def test_a_machine_that_is_gone(machines_and_sink: tuple[Machines, Sink]) -> None:
    """Kill -9 of all of it: another has its sessions from what was kept, old or new, and phones need not ask again."""
    machines, sink = machines_and_sink
    phones = machines.phones
    caller, first = await asyncio.gather(machines.company(), machines.start("host", lease_seconds=15))
    newest, older = [await phones.link(caller, sink) for _ in range(2)]
    maria, ana = phones.person("Maria"), phones.person("Ana")
    maria.asks_for_retry = ana.asks_for_retry = False
    team = phones.services.groups.create(maria.account, "Team", [ana.account, newest.phone, older.phone])

    async def talk(words: str) -> None:
        for shop in (newest, older):
            for somebody, to in ((maria, None), (ana, team)):
                text = f"{words} {shop.session} {somebody.name}"
                await shop.hears(somebody, text, to)
                if to:
                    # In both accounts' group: the other one hears it, too.
                    (newest if shop is older else older).said.append(text)
                await shop.tells(somebody, f"{text} too", to and team.jid)

    await talk("first")
    path = f"{SESSIONS}/{newest.session}"
    assert (await caller.post(f"{path}/disconnect")).json()["status"] == "disconnected"
    await caller.post(f"{path}/connect")
    await stands(caller, newest.session, "connected")
    before = {shop: await shop.connected_at() for shop in (newest, older)}
    began = time.monotonic()
    for pid in (first.process.pid, *engine_pids(first)):
        os.kill(pid, signal.SIGKILL)
    await machines.start("host", lease_seconds=15)
    for shop in (newest, older):
        await shop.connected_after(before[shop], seconds=GONE_SECONDS - (time.monotonic() - began))
    print(f"connected again {time.monotonic() - began:.1f} s after the machine was gone")
    await talk("moved")
    assert [len(somebody.lost) for somebody in (maria, ana)] == [0, 0]
    for shop in (newest, older):
        await shop.settle(machines.url)
        assert shop.device.replaced == 0


async def test_a_host_that_cannot_reach_the_database(machines_and_sink: tuple[Machines, Sink]) -> None:
    """Its engines are gone before another host may start them; what people wrote meanwhile is stored when it is back."""
    machines, sink = machines_and_sink
    phones = machines.phones
    async with open_line(machines.url) as line:
        caller, first = await asyncio.gather(
            machines.company(), machines.start("host", url=line.url, lease_seconds=4)
        )
        shop = await phones.link(caller, sink)
        maria = phones.person("Maria")
        await shop.hears(maria, "before")
        second = await machines.start("host", lease_seconds=4)
        before = await shop.connected_at()
        line.cut()
        began = time.monotonic()
        await shop.burst(maria, 20)
        await shop.phone.disconnected(within_seconds=4)
        left = time.monotonic() - began
        await shop.connected_after(before, seconds=10)
        print(f"left after {left:.1f} s, connected elsewhere after {time.monotonic() - began:.1f} s")
        assert engine_pid(second, shop.session)
        await shop.hears(maria, "after")
        line.mend()
        await all_there_in_any_order(shop, machines.url)
        assert await first.stop() == 0
    assert shop.device.replaced == 0


async def all_there_in_any_order(shop: Shop, url: str) -> None:
    """What waited in a journal comes behind what came after it."""

    async def stored() -> set[str]:
        return {one["content"]["text"] for one in await shop.traffic.list_all("inbound")}

    async with asyncio.timeout(20):
        while await stored() != set(shop.said):
            await asyncio.sleep(0.1)
    await shop.settle(url)
    assert len(await shop.traffic.list_all("inbound")) == len(shop.said) == shop.arrived


async def test_a_host_that_is_frozen(machines_and_sink: tuple[Machines, Sink]) -> None:
    """Its engine processes do not wait for it: they leave in time, and what they have written down is stored when it thaws."""
    machines, sink = machines_and_sink
    phones = machines.phones
    caller, first = await asyncio.gather(machines.company(), machines.start("host", lease_seconds=4))
    shop = await phones.link(caller, sink)
    maria = phones.person("Maria")
    await shop.hears(maria, "before")
    old = engine_pids(first)
    second = await machines.start("host", lease_seconds=4)
    before = await shop.connected_at()
    os.kill(first.process.pid, signal.SIGSTOP)
    began = time.monotonic()
    await shop.burst(maria, 20)
    await shop.phone.disconnected(within_seconds=4)
    left = time.monotonic() - began
    await shop.connected_after(before, seconds=10)
    print(f"left after {left:.1f} s, connected elsewhere after {time.monotonic() - began:.1f} s")
    assert engine_pid(second, shop.session)
    await when(lambda: not set(old) & set(engine_pids(first)), seconds=10, what="its processes have ended")
    await shop.hears(maria, "after")
    os.kill(first.process.pid, signal.SIGCONT)
    await all_there_in_any_order(shop, machines.url)
    assert shop.device.replaced == 0
    assert await first.stop() == 0


async def test_a_host_that_is_stopped_hands_over_at_once(machines_and_sink: tuple[Machines, Sink]) -> None:
    """SIGTERM in the middle of a burst: the other host has the session before any lease is over, nothing is lost."""
    machines, sink = machines_and_sink
    phones = machines.phones
    caller, first = await asyncio.gather(machines.company(), machines.start("host", lease_seconds=15))
    shop = await phones.link(caller, sink)
    await machines.start("host", lease_seconds=15)
    before = await shop.connected_at()
    maria = phones.person("Maria")
    saying = asyncio.create_task(shop.burst(maria, 1000))
    await when(lambda: shop.arrived > 100, seconds=20, what="messages are flowing")
    began = time.monotonic()
    stopping = asyncio.create_task(first.stop())
    await shop.connected_after(before, seconds=10)
    print(f"handed over in {time.monotonic() - began:.1f} s")
    assert await stopping == 0
    await saying
    await all_there(shop, machines.url)
