"""The responder's role told to stop in the middle of what takes long."""

import asyncio
import textwrap
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest
from aiohttp import web

from relay.config import Config
from relay.egress.guard import AddressGuard
from relay.model.message import Party
from relay.replies import slow_lane
from relay.replies.agents.turns import AgentTurns
from relay.roles import responder
from relay.roles.base import Base
from relay.roles.plugins import ProcessPlugins
from relay.store import rule_sets
from relay.store.pool import Pool
from relay.store.tally import Tally
from tests.accounts import received
from tests.agents_desk import AgentsDesk
from tests.desk import Account
from tests.model_server import hang, serve_model
from tests.owing import VAULT

_RUN_OUT = "UPDATE reply_tasks SET due_at = now() - interval '1 second'"
_IS_HELD = "SELECT due_at > now() FROM reply_tasks"


ORDER = received(
    "W-order",
    "pedido",
    chat="5511999990002@s.whatsapp.net",
    sender=Party(pn="5511999990002"),
    sent_at=datetime.now(UTC),
)
RULES = """
    version: 1
    rules:
      - {id: call, when: {keyword: pedido}, do: [{http: {url: "http://127.0.0.1:PORT/"}}, {reply: Pronto}]}
"""


async def put_rules(pool: Pool, account: Account, port: int) -> None:
    async with pool.acquire() as conn:
        source = textwrap.dedent(RULES).replace("PORT", str(port))
        await rule_sets.put_rule_set(conn, account[0], "shop", source, "")


@asynccontextmanager
async def serve_shop(called: asyncio.Event, go_on: asyncio.Event) -> AsyncIterator[int]:
    """A company's server that takes its time; its port."""

    async def answer(_: web.Request) -> web.Response:
        called.set()
        await go_on.wait()
        return web.json_response({})

    app = web.Application()
    app.router.add_route("*", "/", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


async def until_held(pool: Pool) -> None:
    async with asyncio.timeout(5):
        while not await pool.fetchval(_IS_HELD):
            pass


async def test_what_is_slow_is_kept_while_an_agent_is_waited_for(
    pool: Pool, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stop waits for an agent's call; nobody else takes the decision meanwhile that waits for a company's server."""
    monkeypatch.setattr(slow_lane, "_RENEW_SECONDS", 0.01)
    called, go_on, waiting = asyncio.Event(), asyncio.Event(), asyncio.Event()
    finish = AgentTurns.finish

    async def wait(turns: AgentTurns) -> None:
        waiting.set()
        await finish(turns)

    monkeypatch.setattr(AgentTurns, "finish", wait)

    desk = AgentsDesk(pool, url, tmp_path)
    monkeypatch.chdir(tmp_path)
    config = Config()
    stopping = asyncio.Event()
    base = Base(
        config=config,
        pool=pool,
        vault=VAULT,
        doorbell=desk.doorbell,
        guard=AddressGuard(allow_networks=["127.0.0.0/8"]),
        blobs=desk.blobs,
        plugins=ProcessPlugins(config, pool),
        tally=Tally(pool),
        listen_fd=None,
        stopping=stopping,
    )
    account = await desk.add_account()
    async with AsyncExitStack() as stack:
        port = await stack.enter_async_context(serve_shop(called, go_on))
        model = await stack.enter_async_context(serve_model())
        await desk.add_agent(account, baseUrl=model.url)
        model.will(hang(go_on))
        await put_rules(pool, account, port)
        await desk.write(account)
        await desk.take(account, ORDER)
        async with asyncio.timeout(30):
            running = asyncio.create_task(responder.run(base, asyncio.Event()))
            await called.wait()
            await model.hanging.wait()
            stopping.set()
            await waiting.wait()
            await pool.execute(_RUN_OUT)
            try:
                await until_held(pool)
            finally:
                go_on.set()
                await running
    assert await pool.fetchval("SELECT count(*) FROM reply_tasks") == 0
