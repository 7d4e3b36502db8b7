"""The composition root: builds what the named roles need, runs them in this process, stops them in order.

config, vault, pool, doorbell ──► api | host | dispatcher | responder ──► `ready` on standard output
                                      │
SIGTERM, SIGINT, the supervisor gone ─┴─► readiness off, stop claiming, drain, release, close
"""

import asyncio
import logging
import signal
import socket
import sys
from collections.abc import AsyncIterator, Collection
from contextlib import AsyncExitStack, asynccontextmanager, nullcontext

import uvicorn
from msgspec import Struct

from relay.api.app import create_app
from relay.api.services import Services
from relay.config import Config, Role
from relay.egress.guard import AddressGuard
from relay.engines.sandbox_network import SandboxNetwork
from relay.host.host import Host
from relay.host.journal import take_slot
from relay.janitor import Janitor
from relay.listening import bind, find_operator_key
from relay.logs import say
from relay.loops import Bell, Loop, run_until
from relay.model.errors import ConfigError, RelayError
from relay.store import migrate
from relay.store.blobs import Blobs
from relay.store.doorbell import Doorbell
from relay.store.pool import Pool, open_pool
from relay.vault import Vault, open_vault
from relay.webhooks.dispatcher import Dispatcher

log = logging.getLogger(__name__)

_SANDBOX_POLL_SECONDS = 1.0
_SANDBOX_TICK_SECONDS = 0.25


class Base(Struct, frozen=True, kw_only=True):
    """What every role works with."""

    config: Config
    pool: Pool
    vault: Vault
    doorbell: Doorbell
    guard: AddressGuard
    stopping: asyncio.Event


@asynccontextmanager
async def open_base(config: Config, *, name: str) -> AsyncIterator[Base]:
    """Pool, doorbell and keys, checked. Raises ConfigError and NotReady."""
    if not config.database.url:
        raise ConfigError(
            "database.url: `relay run` needs it; only `relay serve` starts the embedded database."
        )
    vault = open_vault(config.master_key_file)
    async with AsyncExitStack() as stack:
        pool = await stack.enter_async_context(
            open_pool(config.database.url, size=config.database.pool_size, name=name)
        )
        async with pool.acquire() as conn:
            await migrate.require_current(conn)
        doorbell = Doorbell(pool, config.database.url, name=name)
        hearing = asyncio.create_task(doorbell.run(), name="doorbell")
        stack.callback(hearing.cancel)
        yield Base(
            config=config,
            pool=pool,
            vault=vault,
            doorbell=doorbell,
            guard=AddressGuard(
                allow_networks=config.webhooks.allow_networks,
                own_addresses=[(config.server.host, config.server.port)],
            ),
            stopping=asyncio.Event(),
        )


async def run_roles(
    config: Config, roles: Collection[Role], *, listen_fd: int | None, supervised: bool
) -> None:
    """Run `roles` until told to stop. `listen_fd`: the API's socket, bound by a supervisor. Raises RelayError."""
    async with open_base(config, name="+".join(sorted(roles))) as base:
        _stop_on_signals(base.stopping)
        if supervised:
            await _stop_with_parent(base.stopping)
        try:
            await _run_together(base, sorted(set(roles)), listen_fd)
        except BaseExceptionGroup as group:
            refused, broken = group.split(RelayError)
            if refused is None or broken is not None:
                raise
            # A role that cannot start says why in one sentence.
            raise _first(refused) from None


async def _run_together(base: Base, roles: list[Role], listen_fd: int | None) -> None:
    async with asyncio.TaskGroup() as group:
        for role in roles:
            ready = asyncio.Event()
            match role:
                case "api":
                    group.create_task(_run_api(base, listen_fd, ready), name="api")
                case "host":
                    group.create_task(_run_host(base, ready), name="host")
                case "dispatcher":
                    group.create_task(_run_dispatcher(base, ready), name="dispatcher")
                case "responder":
                    ready.set()
            await ready.wait()
        say(f"started {' '.join(roles)}")
        await base.stopping.wait()


def _first(group: BaseExceptionGroup[RelayError]) -> RelayError:
    error: RelayError | BaseExceptionGroup[RelayError] = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def _stop_on_signals(stopping: asyncio.Event) -> None:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)


async def _stop_with_parent(stopping: asyncio.Event) -> None:
    """Standard input is a pipe that the supervisor holds: it ends when the supervisor does, however it dies."""

    class Watch(asyncio.Protocol):
        def connection_lost(self, exc: Exception | None) -> None:
            stopping.set()

    await asyncio.get_running_loop().connect_read_pipe(Watch, sys.stdin)


# --- api -------------------------------------------------------------------------------------------------------------


class _Server(uvicorn.Server):
    """uvicorn without its own signal handlers: the process has one set, for all roles."""

    def capture_signals(self) -> nullcontext[None]:  # type: ignore[override]
        return nullcontext()


async def _run_api(base: Base, listen_fd: int | None, ready: asyncio.Event) -> None:
    config = base.config
    listening = bind(config) if listen_fd is None else socket.socket(fileno=listen_fd)
    services = Services(
        config=config,
        pool=base.pool,
        vault=base.vault,
        doorbell=base.doorbell,
        guard=base.guard,
        blobs=Blobs(config.data_dir / "media", max_bytes=config.media.max_bytes),
        operator_key=find_operator_key(config),
        draining=base.stopping,
    )
    server = _Server(
        uvicorn.Config(
            create_app(services),
            http="httptools",
            loop="none",
            lifespan="on",
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=int(config.server.drain_seconds),
        )
    )
    async with asyncio.TaskGroup() as group:
        group.create_task(server.serve([listening]))
        while not server.started and not server.should_exit:  # noqa: ASYNC110 - uvicorn has no event for it
            await asyncio.sleep(0.01)
        ready.set()
        await base.stopping.wait()
        server.should_exit = True
    await services.aclose()


# --- host ------------------------------------------------------------------------------------------------------------


async def _run_host(base: Base, ready: asyncio.Event) -> None:
    config = base.config
    slot = take_slot(config.data_dir / "journal")
    network = SandboxNetwork(base.pool, config.sandbox)
    engines = {"sandbox": network.engine} if config.sandbox.enabled else {}
    host = Host(
        pool=base.pool, vault=base.vault, doorbell=base.doorbell, config=config, slot=slot, engines=engines
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


# --- dispatcher ------------------------------------------------------------------------------------------------------


async def _run_dispatcher(base: Base, ready: asyncio.Event) -> None:
    janitor = Janitor(
        base.pool, Blobs(base.config.data_dir / "media", max_bytes=base.config.media.max_bytes), base.config
    )
    async with (
        Dispatcher(base.pool, base.vault, base.doorbell, base.guard, base.config) as dispatcher,
        asyncio.TaskGroup() as group,
    ):
        group.create_task(run_until([janitor.loop()], base.stopping), name="janitor")
        ready.set()
        await dispatcher.run(base.stopping)
