"""The dispatcher, and beside it the janitor."""

import asyncio

from relay.janitor import Janitor
from relay.loops import run_until
from relay.roles.base import Base
from relay.webhooks.dispatcher import Dispatcher
from relay.webhooks.payload_filter import PayloadFilter


async def run(base: Base, ready: asyncio.Event) -> None:
    janitor = Janitor(base.pool, base.blobs, base.config)
    caller = base.plugins.load()
    filter_body = PayloadFilter(caller).apply if "webhook_payload" in caller.loaded.hooks else None
    async with (
        Dispatcher(
            base.pool,
            base.vault,
            base.doorbell,
            base.guard,
            base.config,
            filter_body=filter_body,
            count=base.tally.count,
        ) as dispatcher,
        asyncio.TaskGroup() as group,
    ):
        group.create_task(run_until([janitor.loop()], base.stopping), name="janitor")
        ready.set()
        await dispatcher.run(base.stopping)
