"""The host: sessions and their engines, and the journal that is emptied after the engines have stopped."""

import asyncio
import tempfile
from functools import partial
from pathlib import Path

from relay.egress.names import SystemResolver
from relay.engines import live_files
from relay.engines.processes import EngineProcesses
from relay.engines.remote_engine import RemoteEngine
from relay.engines.sandbox_network import SandboxNetwork
from relay.engines.transcode import Transcoder
from relay.host.host import Host, MakeEngine
from relay.host.journal import Journal, take_slot
from relay.loops import Bell, Loop, run_until
from relay.roles.base import Base
from relay.store import sessions

_SANDBOX_POLL_SECONDS = 1.0
_SANDBOX_TICK_SECONDS = 0.25
_LOOKS_IN_A_LEASE = 10


async def run(base: Base, ready: asyncio.Event) -> None:
    config = base.config
    slot = take_slot(config.data_dir / "journal")
    journal = Journal(slot.path)
    live_folder = live_files.open_folder(config.data_dir)
    await _sweep(base, live_folder)
    network = SandboxNetwork(base.pool, config.sandbox)
    with tempfile.TemporaryDirectory(prefix="relay-media-") as scratch:
        engines: dict[str, MakeEngine] = {"sandbox": network.engine} if config.sandbox.enabled else {}
        host = Host(
            pool=base.pool,
            vault=base.vault,
            doorbell=base.doorbell,
            blobs=base.blobs,
            config=config,
            slot=slot,
            journal=journal,
            guard=base.guard,
            resolve=SystemResolver(),
            engines=engines,
            count=base.tally.count,
        )
        processes = EngineProcesses(
            journal=journal,
            journaled=host.journaled,
            live_folder=live_folder,
            transcoder=Transcoder(Path(scratch)),
            capacity=config.host.sessions_per_process,
            lease_lasts_seconds=host.lease_lasts_seconds,
        )
        engines["neonize"] = partial(RemoteEngine, processes)
        await host.recover()
        ready.set()
        bell = base.doorbell.bell("sandbox", network.bell)
        look_seconds = config.sessions.lease_seconds / _LOOKS_IN_A_LEASE
        beside = [
            Loop("sandbox.network", network.work, poll_seconds=_SANDBOX_POLL_SECONDS, bell=bell),
            Loop("sandbox.tick", network.tick, poll_seconds=_SANDBOX_TICK_SECONDS, bell=Bell()),
            Loop("host.engines", processes.work, poll_seconds=look_seconds, bell=Bell()),
        ]
        engines_gone = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            group.create_task(run_until([*host.inbox_loops(), *beside], engines_gone))
            await run_until(host.loops(), base.stopping)
            await host.stop()
            await processes.close()
            while await host.inbox.work():
                # What they wrote down at the last.
                pass
            engines_gone.set()
        host.close()


async def _sweep(base: Base, live_folder: Path) -> None:
    """Sessions that were deleted while another host ran them left their files here."""
    async with base.pool.acquire() as conn:
        known = await sessions.list_existing(conn, live_files.list_sessions(live_folder))
    live_files.sweep(live_folder, known)
