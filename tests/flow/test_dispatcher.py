"""The dispatcher from owed rows to real HTTP servers: signatures, retries, order, isolation, sharing, stopping."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from aiohttp import web
from standardwebhooks import Webhook
from svix.webhooks import Webhook as SvixWebhook

from relay.config import Config, Server, Webhooks
from relay.egress import AddressGuard
from relay.store.doorbell import Doorbell
from relay.store.pool import Connection, Pool
from relay.webhooks.dispatcher import Dispatcher
from tests.owing import VAULT, add_endpoint, add_events

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Sink:
    """A customer's server: keeps what it was sent and answers what the test says."""

    def __init__(self) -> None:
        self.received: list[tuple[dict[str, str], bytes]] = []
        self.url = ""
        self.answer: Handler | None = None

    async def handle(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        self.received.append((dict(request.headers), body))
        return await self.answer(request) if self.answer else web.Response(text="ok")

    @property
    def ids(self) -> list[str]:
        return [headers["webhook-id"] for headers, _ in self.received]


@asynccontextmanager
async def serve_sink() -> AsyncIterator[Sink]:
    sink = Sink()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", sink.handle)
    runner = web.AppRunner(app, shutdown_timeout=0)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    assert site._server is not None
    port = site._server.sockets[0].getsockname()[1]  # type: ignore[attr-defined]
    sink.url = f"http://127.0.0.1:{port}/hook"
    try:
        yield sink
    finally:
        await runner.cleanup()


@pytest.fixture
async def sink() -> AsyncIterator[Sink]:
    async with serve_sink() as sink:
        yield sink


@pytest.fixture
async def conn(pool: Pool) -> AsyncIterator[Connection]:
    async with pool.acquire() as conn:
        yield conn


@asynccontextmanager
async def dispatching(pool: Pool, **settings: object) -> AsyncIterator[Dispatcher]:
    config = Config(webhooks=Webhooks(**settings), server=Server(drain_seconds=10))  # type: ignore[arg-type]
    doorbell = Doorbell(pool, "", name="tests")
    guard = AddressGuard(allow_networks=("127.0.0.0/8",))
    async with Dispatcher(pool, VAULT, doorbell, guard, config) as dispatcher:
        yield dispatcher


async def deliver(dispatcher: Dispatcher) -> None:
    """Work until nothing is due, and record it."""
    while await dispatcher.work() or dispatcher._sending:
        await dispatcher.finish_sending()
        while await dispatcher.settle():
            pass


async def owed(conn: Connection) -> int:
    count: int = await conn.fetchval("SELECT count(*) FROM deliveries")
    return count


async def test_what_is_owed_is_delivered_signed_and_gone(pool: Pool, conn: Connection, sink: Sink) -> None:
    """Both reference libraries verify every webhook; the table is empty, the log has one attempt each."""
    endpoint, secret = await add_endpoint(
        conn, url=sink.url, headers={"X-Token": "t", "webhook-id": "forged"}
    )
    events = await add_events(conn, endpoint.tenant_id, 30)
    async with dispatching(pool) as dispatcher:
        await deliver(dispatcher)
    assert sorted(sink.ids) == events
    for headers, body in sink.received:
        assert Webhook(secret).verify(body, headers)["type"] == "message.received"
        SvixWebhook(secret).verify(body, headers)
        assert headers["X-Token"] == "t"
        assert headers["Content-Type"] == "application/json"
        assert headers["User-Agent"].startswith("Relay/")
    assert await owed(conn) == 0
    rows = await conn.fetch("SELECT * FROM attempts")
    assert {(row["number"], row["outcome"], row["final"]) for row in rows} == {(1, "succeeded", "succeeded")}
    assert len(rows) == 30
