"""The host: sessions and their engines, and the journal that is emptied after the engines have stopped."""

import asyncio

from relay.engines.sandbox_network import SandboxNetwork
from relay.host.host import Host
from relay.host.journal import take_slot
from relay.loops import Bell, Loop, run_until
from relay.roles.base import Base

_SANDBOX_POLL_SECONDS = 1.0
_SANDBOX_TICK_SECONDS = 0.25


async def run(base: Base, ready: asyncio.Event) -> None:
    config = base.config
    slot = take_slot(config.data_dir / "journal")
    network = SandboxNetwork(base.pool, config.sandbox)
    engines = {"sandbox": network.engine} if config.sandbox.enabled else {}
    host = Host(
        pool=base.pool,
        vault=base.vault,
        doorbell=base.doorbell,
        blobs=base.blobs,
        config=config,
        slot=slot,
        engines=engines,
    )
    await host.recover()
    ready.set()
    bell = base.doorbell.bell("sandbox", network.bell)
    phones = [
        Loop("sandbox.network", network.work, poll_seconds=_SANDBOX_POLL_SECONDS, bell=bell),
        Loop("sandbox.tick", network.tick, poll_seconds=_SANDBOX_TICK_SECONDS, bell=Bell()),
    ]
    engines_gone = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        group.create_task(run_until([*host.inbox_loops(), *phones], engines_gone))
        await run_until(host.loops(), base.stopping)
        await host.stop()
        engines_gone.set()
    host.close()
