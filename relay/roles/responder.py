"""The responder. Rules, plugins and agents come in a later version; until then the role only holds its place."""

import asyncio

from relay.roles.base import Base


async def run(base: Base, ready: asyncio.Event) -> None:
    ready.set()
    await base.stopping.wait()
