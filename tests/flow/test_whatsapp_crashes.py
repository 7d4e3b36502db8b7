"""kill -9 while people write: what Relay has seen is delivered once, what the engine itself has lost is counted."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import pytest_asyncio

from tests.flow.ledger import open_sink, when
from tests.flow.serving import Relay, make_tenant, serving
from tests.flow.whatsapp import (
    SESSIONS,
    Phones,
    Shop,
    engine_pid,
    engine_pids,
    is_journal_empty,
    open_phones,
    watching,
)

pytestmark = pytest.mark.asyncio(loop_scope="module")

BURST = 2000
CONNECTED_SECONDS = 10.0
# What waits between the library's socket and the journal, at most; usually none or one is lost.
MOST_LOST = 101


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def phones() -> AsyncIterator[Phones]:
    async with open_phones() as phones:
        yield phones


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def relay(phones: Phones, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Relay]:
    folder: Path = tmp_path_factory.mktemp("whatsapp")
    async with serving(folder, **phones.settings) as relay:
        yield relay


@asynccontextmanager
async def shop_of(relay: Relay, phones: Phones) -> AsyncIterator[Shop]:
    await relay.is_complete()
    async with open_sink() as sink, await make_tenant(relay) as caller:
        yield await phones.link(caller, sink)


async def in_the_middle(shop: Shop) -> None:
    """Some of the burst has come all the way."""
    at = shop.arrived + BURST // 8
    await when(lambda: shop.arrived > at, seconds=20, what="messages are flowing")


async def all_there(shop: Shop, relay: Relay) -> int:
    """When all that will come has come; answers how many are lost."""
    await shop.settle(relay.database_url())
    assert is_journal_empty(relay.errors.parent / "data")
    return await shop.check()


async def test_an_engine_process_that_is_killed(relay: Relay, phones: Phones) -> None:
    """Twice in a burst of 2,000: back within 10 s with all its sessions, and the API never noticed."""
    async with shop_of(relay, phones) as shop, watching(shop.caller) as watcher:
        beside = await phones.link(shop.caller, shop.traffic.sink)
        maria = phones.person("Maria")
        for _ in range(2):
            before = await shop.connected_at(), await beside.connected_at()
            saying = asyncio.create_task(shop.burst(maria, BURST))
            await in_the_middle(shop)
            lost_before = len(shop.said)
            os.kill(engine_pid(relay, shop.session), signal.SIGKILL)
            seconds = await shop.connected_after(before[0], seconds=CONNECTED_SECONDS)
            await beside.connected_after(before[1], seconds=CONNECTED_SECONDS)
            await saying
            lost = await all_there(shop, relay)
            print(
                f"engine killed: lost {lost} of {lost_before} so far, connected again after {seconds:.1f} s"
            )
            assert lost <= MOST_LOST
        await beside.hears(maria, "and you?")
    print(f"slowest answer of the API: {watcher.slowest * 1000:.0f} ms of {watcher.answers.total()}")


async def test_a_host_that_is_killed(relay: Relay, phones: Phones) -> None:
    """Its engine processes leave WhatsApp and write down what was coming; the next host reads that, and nothing is lost."""
    async with shop_of(relay, phones) as shop, watching(shop.caller) as watcher:
        maria = phones.person("Maria")
        before = await shop.connected_at()
        saying = asyncio.create_task(shop.burst(maria, BURST))
        await in_the_middle(shop)
        old = engine_pids(relay)
        relay.kill("host")
        seconds = await shop.connected_after(before, seconds=CONNECTED_SECONDS)
        await saying
        lost = await all_there(shop, relay)
        print(f"host killed: lost {lost} of {BURST}, connected again after {seconds:.1f} s")
        assert lost == 0
        assert not set(old) & set(engine_pids(relay))
    print(f"slowest answer of the API: {watcher.slowest * 1000:.0f} ms of {watcher.answers.total()}")


async def test_an_engine_process_that_hangs(relay: Relay, phones: Phones) -> None:
    """One that is frozen while its host dies is killed by nobody, and yet never works beside the next one."""
    async with shop_of(relay, phones) as shop:
        before = await shop.connected_at()
        old = engine_pids(relay)
        pid = engine_pid(relay, shop.session)
        os.kill(pid, signal.SIGSTOP)
        relay.kill("host")
        try:
            await when(
                lambda: not set(engine_pids(relay)) <= set(old), seconds=10, what="the next one starts"
            )
        finally:
            os.kill(pid, signal.SIGCONT)
        await shop.connected_after(before, seconds=CONNECTED_SECONDS)
        await shop.hears(phones.person("Maria"), "which one are you?")
        assert shop.device.replaced == 0


async def test_a_new_proxy_is_used_at_once(relay: Relay, phones: Phones) -> None:
    """The session starts anew with the tenant's own, where it has one, and goes back to the operator's."""
    async with shop_of(relay, phones) as shop:
        for proxy in (phones.network.proxy_url, None):
            before = await shop.connected_at()
            body = {"proxy": proxy}
            assert (await shop.caller.patch(f"{SESSIONS}/{shop.session}", json=body)).status_code == 200
            await shop.connected_after(before, seconds=CONNECTED_SECONDS)
        await shop.hears(phones.person("Maria"), "by another way?")
        assert shop.device.replaced == 0


async def test_a_clean_stop_loses_nothing(phones: Phones, tmp_path: Path) -> None:
    """SIGTERM in the middle of the burst: after the next start all of it is there, once and in order."""
    async with open_sink() as sink:
        async with serving(tmp_path, **phones.settings) as relay:
            caller = await make_tenant(relay)
            shop = await phones.link(caller, sink)
            saying = asyncio.create_task(shop.burst(phones.person("Maria"), BURST))
            await in_the_middle(shop)
            assert await relay.stop() == 0
            assert not engine_pids(relay)
            assert not list(tmp_path.glob("data/journal/*/segment-*"))
        await saying
        await caller.aclose()
        key = caller.headers["Authorization"].split()[1]
        async with serving(tmp_path, **phones.settings) as relay, relay.client(key) as caller:
            shop.traffic.caller = shop.caller = caller
            await shop.connected_after("never", seconds=CONNECTED_SECONDS)
            assert await all_there(shop, relay) == 0
