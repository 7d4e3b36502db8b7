"""What every role of a process works with: built once, closed last."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from msgspec import Struct

from relay.config import Config
from relay.egress.guard import AddressGuard
from relay.model.errors import ConfigError
from relay.roles.plugins import ProcessPlugins
from relay.store import migrate
from relay.store.blobs import Blobs
from relay.store.doorbell import Doorbell
from relay.store.pool import Pool, open_pool
from relay.store.tally import Tally, open_tally
from relay.vault import Vault, open_vault


class Base(Struct, frozen=True, kw_only=True):
    """What every role works with."""

    config: Config
    pool: Pool
    vault: Vault
    doorbell: Doorbell
    guard: AddressGuard
    blobs: Blobs
    plugins: ProcessPlugins
    tally: Tally
    listen_fd: int | None
    """The API's socket, bound by a supervisor."""
    stopping: asyncio.Event


@asynccontextmanager
async def open_base(config: Config, *, name: str, listen_fd: int | None) -> AsyncIterator[Base]:
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
        doorbell = Doorbell(config.database.url, name=name)
        hearing = asyncio.create_task(doorbell.run(), name="doorbell")
        stack.callback(hearing.cancel)
        plugins = ProcessPlugins(config, pool)
        stack.callback(plugins.close)
        yield Base(
            config=config,
            pool=pool,
            vault=vault,
            doorbell=doorbell,
            guard=AddressGuard(
                allow_networks=config.webhooks.allow_networks,
                own_addresses=[(config.server.host, config.server.port)],
            ),
            blobs=Blobs(config.data_dir / "media", max_bytes=config.media.max_bytes),
            plugins=plugins,
            tally=await stack.enter_async_context(open_tally(pool)),
            listen_fd=listen_fd,
            stopping=asyncio.Event(),
        )
