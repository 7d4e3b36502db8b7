"""The responder: rules and plugins decide what is answered, agents are asked, plugins hear of what happened."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import httpx

from relay.egress.fetch import http_client
from relay.loops import Bell, Loop, run_until
from relay.replies import http_action
from relay.replies.agents.turns import AgentTurns
from relay.replies.library import Library
from relay.replies.outcome import HttpCall, Need, Planned
from relay.replies.outgoing_files import OutgoingFiles
from relay.replies.plugin_host import PluginHost
from relay.replies.reading.rule_files import RuleFiles
from relay.replies.responder import LEASE_SECONDS, Responder
from relay.replies.situation import Situation
from relay.replies.slow_lane import SlowLane
from relay.roles.base import Base

_LOOK_SECONDS = 2.0
"""How often the operator's files are looked at."""


class _Outside:
    """What decisions need from outside: HTTP, and plugins."""

    def __init__(self, client: httpx.AsyncClient, plugins: PluginHost) -> None:
        self._client = client
        self._plugins = plugins

    async def answer(self, need: Need, situation: Situation) -> Any:
        if isinstance(need, HttpCall):
            return await http_action.call(self._client, need)
        return await self._plugins.answer(need, situation)

    async def replied(self, situation: Situation, messages: Sequence[Planned]) -> None:
        await self._plugins.replied(situation, messages)


@asynccontextmanager
async def _running(loop: Loop) -> AsyncIterator[None]:
    """The loop runs for as long as the block lasts."""
    running = asyncio.create_task(loop.run(), name=loop.name)
    try:
        yield
    finally:
        loop.stop()
        await running


async def run(base: Base, ready: asyncio.Event) -> None:
    config = base.config
    async with AsyncExitStack() as stack:
        plugins = await stack.enter_async_context(PluginHost(base.pool, base.plugins.load()))
        client = http_client(base.guard, timeout_seconds=30, max_answer_bytes=http_action.MAX_ANSWER_BYTES)
        stack.push_async_callback(client.aclose)
        media_seconds = config.media.fetch_timeout_seconds
        fetcher = http_client(base.guard, timeout_seconds=media_seconds, max_answer_bytes=None)
        stack.push_async_callback(fetcher.aclose)
        files = RuleFiles(config.rules_folder)
        await asyncio.to_thread(files.look)
        library = Library(files, plugins.abilities_for)
        slow = SlowLane(
            base.pool,
            base.doorbell,
            _Outside(client, plugins),
            OutgoingFiles(base.pool, base.blobs, fetcher, config.media),
            lease_seconds=LEASE_SECONDS,
            count=base.tally.count,
        )
        stack.push_async_callback(slow.close)
        # Until the last: what it has under way is its own while agents are waited for.
        await stack.enter_async_context(_running(slow.loop))
        responder = Responder(base.pool, base.doorbell, library, slow)
        stack.push_async_callback(responder.close)
        agents = await stack.enter_async_context(
            AgentTurns(
                base.pool,
                base.vault,
                base.doorbell,
                guard=base.guard,
                blobs=base.blobs,
                config=config,
                tools=plugins.tools,
                edit=plugins.edit,
                replied=plugins.replied,
                count=base.tally.count,
            )
        )
        looking = Loop("rules.files", library.look, poll_seconds=_LOOK_SECONDS, bell=Bell())
        ready.set()
        await run_until([responder.loop, looking, *agents.loops(), *plugins.loops()], base.stopping)
