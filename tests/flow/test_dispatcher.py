"""The dispatcher from owed rows to real HTTP servers: signatures, retries, order, isolation, sharing, stopping."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
from aiohttp import web
from standardwebhooks import Webhook
from svix.webhooks import Webhook as SvixWebhook

from relay.config import Config, Server, Webhooks
from relay.egress.guard import AddressGuard
from relay.model.endpoint import EndpointStatus
from relay.store import delivery_log, endpoints
from relay.store.doorbell import Doorbell
from relay.store.pool import Connection, Pool, open_pool
from relay.webhooks.dispatcher import Dispatcher, FilterBody
from relay.webhooks.payload_filter import PayloadFilter
from tests.owing import VAULT, add_endpoint, add_events, add_tenant
from tests.plugin_samples import Shelf

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
async def dispatching(
    pool: Pool,
    *,
    allow: tuple[str, ...] = ("127.0.0.0/8",),
    drain_seconds: float = 10,
    filter_body: FilterBody | None = None,
    **settings: Any,
) -> AsyncIterator[Dispatcher]:
    config = Config(webhooks=Webhooks(**settings), server=Server(drain_seconds=drain_seconds))
    guard = AddressGuard(allow_networks=allow)
    doorbell = Doorbell("", name="tests")
    async with Dispatcher(pool, VAULT, doorbell, guard, config, filter_body=filter_body) as dispatcher:
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


async def make_due(conn: Connection) -> None:
    """As if the time until the next attempt, or the lease of a dead dispatcher, were over."""
    await conn.execute("UPDATE deliveries SET due_at = now() - interval '1 second'")


def answering(*statuses: int, **headers: str) -> Handler:
    """Answer with each of `statuses` in turn, then with the last one."""
    left = list(statuses)

    async def answer(_: web.Request) -> web.StreamResponse:
        return web.Response(status=left.pop(0) if len(left) > 1 else left[0], headers=headers, text="sorry\0")

    return answer


async def test_what_is_owed_is_delivered_signed_and_gone(pool: Pool, conn: Connection, sink: Sink) -> None:
    """Both reference libraries verify every webhook; the table is empty, the log has one attempt each."""
    endpoint, secret = await add_endpoint(
        conn, url=sink.url, headers={"X-Token": "t", "webhook-id": "forged", "content-type": "text/plain"}
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


async def test_a_failed_one_comes_again_under_the_same_name(pool: Pool, conn: Connection, sink: Sink) -> None:
    """One webhook-id over all attempts, each in its time, and all of them in the log."""
    endpoint, _ = await add_endpoint(conn, url=sink.url)
    [event] = await add_events(conn, endpoint.tenant_id)
    sink.answer = answering(500, 302, 204, location="http://127.0.0.1:1/")
    async with dispatching(pool) as dispatcher:
        for wait in (5, 300):
            await deliver(dispatcher)
            # From the attempt's end, which is when it was written down.
            due_in = await conn.fetchval(
                "SELECT extract(epoch FROM due_at - (SELECT max(at) FROM attempts))::float FROM deliveries"
            )
            assert due_in == pytest.approx(wait, rel=0.201)
            await make_due(conn)
        await deliver(dispatcher)
    assert sink.ids == [event] * 3
    rows = await conn.fetch(
        "SELECT number, outcome, status_code, response, final FROM attempts ORDER BY number"
    )
    assert [tuple(row) for row in rows] == [
        (1, "rejected", 500, "sorry\ufffd", None),
        (2, "rejected", 302, "sorry\ufffd", None),
        (3, "succeeded", 204, "", "succeeded"),
    ]


async def test_the_end_of_the_schedule_is_visible(pool: Pool, conn: Connection, sink: Sink) -> None:
    """Exhausted, never silently dropped; a redelivery starts afresh."""
    endpoint, _ = await add_endpoint(conn, url=sink.url)
    await add_events(conn, endpoint.tenant_id)
    sink.answer = answering(500)
    async with dispatching(pool, schedule_seconds=(0, 0)) as dispatcher:
        await deliver(dispatcher)
        [ended] = await delivery_log.list_deliveries(conn, endpoint.tenant_id, limit=10)
        assert (ended.status, ended.attempts) == ("exhausted", 2)
        await delivery_log.redeliver(conn, endpoint.tenant_id, ended.id)
        sink.answer = answering(500, 200)
        await deliver(dispatcher)
    [ended] = await delivery_log.list_deliveries(conn, endpoint.tenant_id, limit=10)
    assert (ended.status, ended.attempts) == ("succeeded", 4)


async def test_gone_disables_the_endpoint_and_tells_the_others(
    pool: Pool, conn: Connection, sink: Sink
) -> None:
    """410: what is owed is kept, and goes out when the endpoint is enabled again."""
    tenant = await add_tenant(conn)
    endpoint, _ = await add_endpoint(conn, url=sink.url, tenant=tenant, events=["message.received"])
    async with serve_sink() as watch, dispatching(pool) as dispatcher:
        await add_endpoint(conn, url=watch.url, tenant=tenant, events=["endpoint.disabled"])
        [event] = await add_events(conn, tenant[0])
        sink.answer = answering(410, 200)
        await deliver(dispatcher)
        await deliver(dispatcher)
        stands = await endpoints.get_endpoint(conn, tenant[0], endpoint.id)
        assert (stands.status, stands.disabled_reason) == ("disabled", "gone")
        [(_, body)] = watch.received
        assert msgspec.json.decode(body)["data"] == {"endpointId": endpoint.id, "reason": "gone"}
        await make_due(conn)
        await deliver(dispatcher)
        assert (sink.ids, await owed(conn)) == ([event], 1)
        await endpoints.update_endpoint(
            conn, tenant[1], tenant[0], endpoint.id, status=EndpointStatus.ENABLED
        )
        await deliver(dispatcher)
    assert (sink.ids, await owed(conn)) == ([event, event], 0)


async def test_days_of_nothing_but_failure_disable_it(pool: Pool, conn: Connection, sink: Sink) -> None:
    """After five days; a failure among successes does not."""
    endpoint, _ = await add_endpoint(conn, url=sink.url)
    await add_events(conn, endpoint.tenant_id)
    sink.answer = answering(500)
    async with dispatching(pool) as dispatcher:
        for days, status in ((4, "enabled"), (6, "disabled")):
            await conn.execute(
                "UPDATE endpoints SET failing_since = now() - $1::int * interval '1 day'", days
            )
            await make_due(conn)
            await deliver(dispatcher)
            stands = await endpoints.get_endpoint(conn, endpoint.tenant_id, endpoint.id)
            assert (stands.status, stands.disabled_reason) == (status, "failing" if days > 5 else None)
    assert await conn.fetchval("SELECT count(*) FROM deliveries WHERE event_type = 'message.received'") == 1


async def test_the_guard_stands_before_every_connection(pool: Pool, conn: Connection, sink: Sink) -> None:
    """Loopback is refused unless the configuration names it; the tenant reads what a dead address would say."""
    endpoint, _ = await add_endpoint(conn, url=sink.url)
    await add_events(conn, endpoint.tenant_id)
    async with dispatching(pool, allow=()) as dispatcher:
        await deliver(dispatcher)
    assert sink.received == []
    [attempt] = (await endpoints.statistics(conn, endpoint.tenant_id, endpoint.id)).last_attempts
    assert (attempt.outcome, attempt.response) == ("blocked", "the address could not be reached")


async def test_a_chats_order_holds_through_failures(pool: Pool, conn: Connection, sink: Sink) -> None:
    """`order: chat`: every third POST fails, and still each chat arrives in order."""
    endpoint, _ = await add_endpoint(conn, url=sink.url, order="chat")
    count = 0

    async def answer(_: web.Request) -> web.StreamResponse:
        nonlocal count
        count += 1
        return web.Response(status=500 if count % 3 == 0 else 200)

    sink.answer = answer
    events = await add_events(conn, endpoint.tenant_id, 40, chats=("a", "b", "c", "d"))
    async with dispatching(pool, schedule_seconds=(0,) * 10) as dispatcher:
        for _ in range(100):
            await deliver(dispatcher)
            if not await owed(conn):
                break
    assert len(sink.ids) > len(events)
    for chat in range(4):
        expected = events[chat::4]
        first_seen = list(dict.fromkeys(name for name in sink.ids if name in expected))
        assert first_seen == expected
    assert await owed(conn) == 0


async def test_two_dispatchers_share_the_work(url: str, pool: Pool, conn: Connection, sink: Sink) -> None:
    """Rung by a doorbell, side by side on one database: nothing doubled, nothing left."""
    endpoint, _ = await add_endpoint(conn, url=sink.url)
    stopping = asyncio.Event()
    async with (
        open_pool(url, size=8, name="other") as other,
        dispatching(pool, concurrency=8, concurrency_per_endpoint=8) as one,
        dispatching(other, concurrency=8, concurrency_per_endpoint=8) as two,
        asyncio.timeout(30),
        asyncio.TaskGroup() as group,
    ):
        group.create_task(one.run(stopping))
        group.create_task(two.run(stopping))
        events = await add_events(conn, endpoint.tenant_id, 300)
        one._doorbell.ring("deliveries")
        two._doorbell.ring("deliveries")
        while await owed(conn):
            await asyncio.sleep(0.01)
        stopping.set()
    assert sorted(sink.ids) == events


async def test_a_hanging_neighbour_delays_nobody(pool: Pool, conn: Connection, sink: Sink) -> None:
    """With more owed to a hanging endpoint than there are slots, another's are all delivered meanwhile."""
    released = asyncio.Event()
    healthy, _ = await add_endpoint(conn, url=sink.url)
    async with serve_sink() as hanging:
        dead, _ = await add_endpoint(conn, url=hanging.url)

        async def hang(_: web.Request) -> web.StreamResponse:
            await released.wait()
            return web.Response()

        hanging.answer = hang
        await add_events(conn, dead.tenant_id, 100)
        async with dispatching(pool, concurrency=16, concurrency_per_endpoint=16) as dispatcher:
            await dispatcher.work()
            events = await add_events(conn, healthy.tenant_id, 50)
            try:
                async with asyncio.timeout(15):
                    while len(sink.received) < 50 or dispatcher._lanes.in_flight > 8:
                        await dispatcher.work()
                        await dispatcher.settle()
                assert dispatcher._lanes.in_flight == len(hanging.received) == 8
            finally:
                released.set()
            await dispatcher.finish_sending()
    assert sorted(sink.ids) == events


async def test_what_a_dead_dispatcher_sent_is_sent_again(pool: Pool, conn: Connection, sink: Sink) -> None:
    """Killed between POST and settle: a second POST under the same name, one end in the log."""
    endpoint, _ = await add_endpoint(conn, url=sink.url)
    [event] = await add_events(conn, endpoint.tenant_id)
    async with dispatching(pool) as dead, dispatching(pool) as living:
        await dead.work()
        await dead.finish_sending()
        await make_due(conn)
        await living.work()
        await living.finish_sending()
        await dead.settle()
        assert await owed(conn) == 1
        await living.settle()
    assert sink.ids == [event, event]
    rows = await conn.fetch("SELECT number, final FROM attempts")
    assert [tuple(row) for row in rows] == [(2, "succeeded")]


async def test_stopping_gives_back_what_is_in_flight(pool: Pool, conn: Connection, sink: Sink) -> None:
    """What does not finish in time is due at once for somebody else, with no attempt used up."""
    arrived, released = asyncio.Event(), asyncio.Event()

    async def hang(_: web.Request) -> web.StreamResponse:
        arrived.set()
        await released.wait()
        return web.Response()

    sink.answer = hang
    endpoint, _ = await add_endpoint(conn, url=sink.url)
    await add_events(conn, endpoint.tenant_id)
    async with dispatching(pool, drain_seconds=0.01) as dispatcher:
        stopping = asyncio.Event()
        running = asyncio.create_task(dispatcher.run(stopping))
        async with asyncio.timeout(15):
            await arrived.wait()
            stopping.set()
            await running
    released.set()
    [row] = await conn.fetch("SELECT attempt, claim, due_at <= now() AS due FROM deliveries")
    assert tuple(row) == (0, None, True)


async def test_changes_of_an_endpoint_show_within_a_second(pool: Pool, conn: Connection, sink: Sink) -> None:
    """A new URL and a new secret are used without a restart."""
    tenant = await add_tenant(conn)
    endpoint, old = await add_endpoint(conn, url="http://127.0.0.1:1/", tenant=tenant)
    await add_events(conn, tenant[0])
    async with dispatching(pool) as dispatcher:
        await deliver(dispatcher)
        await endpoints.update_endpoint(conn, tenant[1], tenant[0], endpoint.id, url=sink.url)
        new = await endpoints.rotate_secret(conn, tenant[1], tenant[0], endpoint.id)
        now = dispatcher._targets._clock()
        dispatcher._targets._clock = lambda: now + 1
        await make_due(conn)
        await deliver(dispatcher)
    [(headers, body)] = sink.received
    for secret in (old, new):
        Webhook(secret).verify(body, headers)


async def test_a_vanished_event_ends_as_cancelled(pool: Pool, conn: Connection, sink: Sink) -> None:
    """Removed with its session, it has nothing to send; the log says so."""
    endpoint, _ = await add_endpoint(conn, url=sink.url)
    await add_events(conn, endpoint.tenant_id)
    await conn.execute("DELETE FROM events")
    async with dispatching(pool) as dispatcher:
        await deliver(dispatcher)
    [ended] = await delivery_log.list_deliveries(conn, endpoint.tenant_id, limit=10)
    assert (ended.status, sink.received) == ("cancelled", [])


async def test_a_secret_that_does_not_open_costs_its_own_endpoint_only(
    pool: Pool, conn: Connection, sink: Sink
) -> None:
    """Its events stay owed, unattempted, and the others' go out."""
    broken, _ = await add_endpoint(conn, url=sink.url)
    sound, _ = await add_endpoint(conn, url=sink.url)
    await conn.execute("UPDATE endpoints SET secret = 'x' WHERE id = $1", broken.id)
    await add_events(conn, broken.tenant_id, 2)
    events = await add_events(conn, sound.tenant_id, 2)
    async with dispatching(pool) as dispatcher:
        await deliver(dispatcher)
    assert sorted(sink.ids) == events
    rows = await conn.fetch("SELECT attempt, claim, due_at <= now() FROM deliveries")
    assert [tuple(row) for row in rows] == [(0, None, True)] * 2


async def test_a_row_that_the_database_refuses_holds_up_no_other(
    pool: Pool, conn: Connection, sink: Sink
) -> None:
    """The rest of its batch settles; it stays owed, and its lease runs out."""
    endpoint, _ = await add_endpoint(conn, url=sink.url)
    await conn.execute("ALTER TABLE attempts ADD CHECK (event_type <> 'call.received')")
    await add_events(conn, endpoint.tenant_id, 5)
    await add_events(conn, endpoint.tenant_id, 1, type="call.received")
    await add_events(conn, endpoint.tenant_id, 5)
    async with dispatching(pool) as dispatcher:
        await deliver(dispatcher)
    assert await owed(conn) == 1
    assert await conn.fetchval("SELECT count(*) FROM attempts") == 10


# --- what plugins change -----------------------------------------------------------------------------------------


FILTERS = """
    @hook
    async def webhook_payload(event, context):
        if event.data["number"] == 0:
            return None
        return {"number": event.data["number"] * 10, "of": [event.type, event.endpoint_id, context.tenant_id]}
"""


async def test_a_plugin_changes_what_is_sent(
    pool: Pool, conn: Connection, sink: Sink, tmp_path: Path
) -> None:
    """The changed data is what is signed; the log of events, and other companies' webhooks, stay as they are."""
    endpoint, secret = await add_endpoint(conn, url=sink.url, headers={"X-Whose": "first"})
    other, other_secret = await add_endpoint(conn, url=sink.url, headers={"X-Whose": "second"})
    for one in (endpoint, other):
        await add_events(conn, one.tenant_id, 2)
    stored = await conn.fetch("SELECT body FROM events ORDER BY id")
    shelf = Shelf(tmp_path)
    shelf.write("tidy", FILTERS)
    shelf.write("second", "@hook\ndef webhook_payload(event):\n    event.data.clear()")
    caller = shelf.load(tenants={"tidy": (endpoint.tenant_id,)})
    async with dispatching(pool, filter_body=PayloadFilter(caller).apply) as dispatcher:
        await deliver(dispatcher)
    data = []
    for headers, body in sink.received:
        sent = msgspec.json.decode(body)["data"]
        Webhook(secret if headers["X-Whose"] == "first" else other_secret).verify(body, headers)
        data.append((headers["X-Whose"], sent))
    of = ["message.received", endpoint.id, endpoint.tenant_id]
    assert sorted(data, key=str) == [
        ("first", {"number": 0}),
        ("first", {"number": 10, "of": of}),
        ("second", {"number": 0}),
        ("second", {"number": 1}),
    ]
    assert await conn.fetch("SELECT body FROM events ORDER BY id") == stored


async def test_a_filter_that_fails_lets_nothing_out(
    pool: Pool, conn: Connection, sink: Sink, tmp_path: Path
) -> None:
    """The attempt is `blocked` with a sentence and tried again by the schedule; then it goes out filtered."""
    endpoint, _ = await add_endpoint(conn, url=sink.url)
    await add_events(conn, endpoint.tenant_id)
    shelf = Shelf(tmp_path)
    shelf.write(
        "tidy", "broken = [1]\n@hook\ndef webhook_payload(event): return {'n': 1 // (1 - len(broken))}"
    )
    caller = shelf.load()
    async with dispatching(pool, filter_body=PayloadFilter(caller).apply) as dispatcher:
        await deliver(dispatcher)
        assert (sink.received, await owed(conn)) == ([], 1)
        caller.loaded.plugins[0].module.broken.clear()
        await make_due(conn)
        await deliver(dispatcher)
    [(_, body)] = sink.received
    assert msgspec.json.decode(body)["data"] == {"n": 1}
    rows = await conn.fetch("SELECT outcome, response FROM attempts ORDER BY number")
    assert [row["outcome"] for row in rows] == ["blocked", "succeeded"]
    assert rows[0]["response"] == "A plugin that changes what is sent has failed, so nothing was sent."


async def test_a_date_of_no_calendar_in_retry_after_holds_no_slot(
    pool: Pool, conn: Connection, sink: Sink
) -> None:
    """What one endpoint says cannot take away the slots of all the others: the attempt is recorded, the slot free again."""
    endpoint, _ = await add_endpoint(conn, url=sink.url)
    await add_events(conn, endpoint.tenant_id, 3)
    sink.answer = answering(503, **{"Retry-After": "Mon, 01 Jan 99999999999999999999 00:00:00 GMT"})
    async with dispatching(pool, concurrency=3) as dispatcher:
        await deliver(dispatcher)
        assert dispatcher._lanes.in_flight == 0
        sink.answer = None
        other, _ = await add_endpoint(conn, url=sink.url)
        [event] = await add_events(conn, other.tenant_id)
        await deliver(dispatcher)
    assert sink.ids[-1] == event
    assert await conn.fetchval("SELECT count(*) FROM attempts WHERE outcome = 'rejected'") == 3
