"""The dispatcher, and beside it the janitor."""

import asyncio

from relay.janitor import Janitor
from relay.loops import run_until
from relay.roles.base import Base
from relay.webhooks.dispatcher import Dispatcher


async def run(base: Base, ready: asyncio.Event) -> None:
    janitor = Janitor(base.pool, base.blobs, base.config)
    async with (
        Dispatcher(base.pool, base.vault, base.doorbell, base.guard, base.config) as dispatcher,
        asyncio.TaskGroup() as group,
    ):
        group.create_task(run_until([janitor.loop()], base.stopping), name="janitor")
        ready.set()
        await dispatcher.run(base.stopping)
