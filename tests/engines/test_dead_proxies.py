"""Accounts whose proxy has died share an engine process with others: they wait and stop at nobody's expense."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from msgspec import structs

from relay.engines.engine import Connected, Disconnected, Engine
from relay.engines.engine_process import take_lock
from relay.model.errors import Conflict
from tests.engines.machines import SECONDS, Ear, Machine, Shop, World, open_world
from tests.phone_network.watch import Watch


@pytest.fixture
async def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[World]:
    async with open_world(tmp_path, monkeypatch) as world:
        yield world


class Proxy:
    """Passes everything on to the network's own until it dies: it still takes connections, and says no more."""

    def __init__(self, network_url: str) -> None:
        self.scheme = "http"
        self.port = 0
        self.unanswered = 0
        self.last_words = b""
        self._network_url = network_url
        self._is_dead = False
        self._alive: list[asyncio.StreamWriter] = []
        self._watch = Watch()

    @property
    def url(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.port}"

    def die(self, *, last_words: bytes = b"") -> None:
        """What it says before it falls silent, to each that comes."""
        self._is_dead, self.last_words = True, last_words
        for writer in self._alive:
            writer.close()

    async def is_dialled(self) -> None:
        """Somebody has come, and gets no answer."""
        await self._watch.until(lambda: self.unanswered, "a dial of the dead proxy")

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            if self._is_dead:
                await reader.read(65536)
                writer.write(self.last_words)
                self.unanswered += 1
                self._watch.changed()
                await reader.read()
            else:
                await self._pass_on(reader, writer)
        writer.close()

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        network = urlsplit(self._network_url)
        far_reader, far_writer = await asyncio.open_connection(network.hostname, network.port)
        self._alive += [writer, far_writer]
        await asyncio.gather(_pass_on(reader, far_writer), _pass_on(far_reader, writer))


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError):
        while chunk := await reader.read(65536):
            writer.write(chunk)
    writer.close()


@asynccontextmanager
async def open_proxy(world: World) -> AsyncIterator[Proxy]:
    proxy = Proxy(world.network.proxy_url)
    server = await asyncio.start_server(proxy.serve, "127.0.0.1", 0)
    proxy.port = server.sockets[0].getsockname()[1]
    try:
        yield proxy
    finally:
        server.close()


def again(machine: Machine, shop: Shop, proxy: Proxy | None = None) -> tuple[Engine, Ear]:
    """Its next engine, which goes on from the file on this machine; through this proxy."""
    url = shop.account.proxy if proxy is None else proxy.url
    ear = Ear()
    return machine.engine(structs.replace(shop.account, term=1, auth_term=1, proxy=url), ear), ear


def is_held(lock: Path) -> bool:
    try:
        os.close(take_lock(lock, patience_seconds=0))
    except Conflict:
        return True
    return False


async def held(lock: Path) -> None:
    """Return once a start has come that far."""
    async with asyncio.timeout(SECONDS):
        while not is_held(lock):
            await asyncio.sleep(0.01)


async def test_a_start_that_waits_for_another_can_be_stopped(world: World) -> None:
    """One account's start hangs, the next one waits: when its stop returns, its file is free and it never connects."""
    machine = world.machine("a")
    one, two, other = [await world.link(machine) for _ in range(3)]
    pids = machine.processes.pids
    await one.engine.stop()
    await two.engine.stop()
    lock = machine.live / f"{two.account.session_id}.lock"
    async with open_proxy(world) as proxy:
        proxy.die()
        hanging, _ = again(machine, one, proxy)
        starting = asyncio.create_task(hanging.start())
        await proxy.is_dialled()
        waiting, ear = again(machine, two)
        following = asyncio.create_task(waiting.start())
        await held(lock)
        following.cancel()
        await waiting.stop()
        assert not starting.done(), "the other one still has its turn"
        assert not is_held(lock)
        await hanging.stop()
        await starting
    await other.engine.stop()
    await other.resume(machine, term=1, auth=None, auth_term=1)
    assert ear.names == []
    assert not two.device.is_connected
    assert machine.processes.pids == pids
    two = await two.resume(machine, term=1, auth=None, auth_term=1)
    assert two.device.replaced == 0


@pytest.mark.parametrize(("scheme", "last_words"), [("http", b""), ("socks5", b"\x05\x00")])
async def test_a_start_that_hangs_is_stopped_at_nobodys_expense(
    world: World, scheme: str, last_words: bytes
) -> None:
    """Its proxy says nothing, or no more than a greeting: the start is over, and the others in the process go on."""
    machine = world.machine("a")
    one, other = [await world.link(machine) for _ in range(2)]
    pids = machine.processes.pids
    await one.engine.stop()
    async with open_proxy(world) as proxy:
        proxy.scheme = scheme
        proxy.die(last_words=last_words)
        hanging, ear = again(machine, one, proxy)
        await hanging.start()
        await hanging.stop()
    assert ear.names == []
    assert machine.processes.pids == pids
    await other.hears(world.person("Maria"), "and you?")
    one = await one.resume(machine, term=1, auth=None, auth_term=1)
    assert machine.processes.pids == pids
    assert one.device.replaced == other.device.replaced == 0


async def test_an_account_whose_proxy_dies_is_stopped_at_nobodys_expense(world: World) -> None:
    """The library dials anew and gets no answer: the account stops all the same, and the others in the process go on."""
    machine = world.machine("a")
    one, other = [await world.link(machine) for _ in range(2)]
    pids = machine.processes.pids
    await one.engine.stop()
    async with open_proxy(world) as proxy:
        engine, ear = again(machine, one, proxy)
        await engine.start()
        await ear.says(Connected)
        proxy.die()
        await ear.says(Disconnected)
        await proxy.is_dialled()
        await engine.stop()
    assert ear.names == ["Connected", "Disconnected"]
    assert machine.processes.pids == pids
    await other.hears(world.person("Maria"), "and you?")
    one = await one.resume(machine, term=1, auth=None, auth_term=1)
    await one.hears(world.person("Ana"), "back?")
    assert machine.processes.pids == pids
