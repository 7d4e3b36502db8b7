"""The tenant's events: streamed over a real socket and pulled as a list, in the order of their commits."""

import asyncio
import socket
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
import uvicorn

from relay.api.events import stream_events
from relay.model import ids
from relay.model.errors import Unauthenticated
from relay.model.event import Event, body_of
from relay.model.ids import EventId, SessionId, TenantId
from relay.store import events, migrate, outbox
from relay.store.events import BEGINNING, Filter, Position
from relay.store.pool import Connection, Pool
from tests.api_client import OPERATOR_KEY, Api, serve_api
from tests.owing import add_events

EVENTS = "/api/v1/events"
JSON = {"Accept": "application/json"}


@pytest.fixture
async def api(pool: Pool, url: str) -> AsyncIterator[Api]:
    async with serve_api(pool, url) as operator:
        yield await operator.as_tenant("Acme", "messages:read")


async def happen(api: Api, count: int = 1, **given: Any) -> list[EventId]:
    """Events of the caller's company, and the bell."""
    made = await add_events(api.services.pool, TenantId(api.company_id), count, **given)  # type: ignore[arg-type]
    api.services.doorbell.ring("events")
    return made


async def pull(api: Api, **params: str) -> dict[str, Any]:
    response = await api.get(EVENTS, params=params, headers=JSON)
    assert response.status_code == 200, response.text
    page: dict[str, Any] = response.json()
    return page


def ids_of(page: dict[str, Any]) -> list[str]:
    return [event["id"] for event in page["events"]]


@asynccontextmanager
async def serving(api: Api) -> AsyncIterator[str]:
    """The app on a real socket; a stream cannot be read through the in-process transport."""
    server = uvicorn.Server(
        uvicorn.Config(
            api.app, lifespan="off", log_config=None, access_log=False, timeout_graceful_shutdown=1
        )
    )
    listening = socket.create_server(("127.0.0.1", 0))
    port = listening.getsockname()[1]
    async with asyncio.TaskGroup() as group:
        group.create_task(server.serve([listening]))
        try:
            yield f"http://127.0.0.1:{port}{EVENTS}"
        finally:
            server.should_exit = True


class Stream:
    """An open stream, read event by event."""

    def __init__(self, response: httpx.Response) -> None:
        self._lines = response.aiter_lines()

    async def next(self) -> dict[str, str]:
        """The next event's fields; comments are passed over."""
        fields: dict[str, str] = {}
        async with asyncio.timeout(10):
            async for line in self._lines:
                if not line and "data" in fields:
                    return fields
                name, _, value = line.partition(": ")
                if name in {"id", "event", "data"}:
                    fields[name] = value
        raise EOFError

    async def next_ids(self, count: int) -> list[str]:
        return [(await self.next())["id"] for _ in range(count)]


@asynccontextmanager
async def listening(api: Api, **given: Any) -> AsyncIterator[Stream]:
    """A stream of the caller's, once it is listening."""
    headers = {"Authorization": api.headers["authorization"], "Accept": "text/event-stream"}
    headers |= given.pop("headers", {})
    async with (
        serving(api) as address,
        httpx.AsyncClient() as client,
        client.stream("GET", address, headers=headers, params=given) as response,
    ):
        assert response.status_code == 200
        assert response.headers["content-type"].startswith("text/event-stream")
        yield Stream(response)


async def test_what_happens_is_streamed_as_it_is_delivered(api: Api, pool: Pool) -> None:
    """From now on, in order, each with its id, its type and the very body of its webhook."""
    await happen(api, 3)
    async with listening(api) as stream:
        made = await happen(api, 2)
        for event_id in made:
            body = await pool.fetchval("SELECT body FROM events WHERE id = $1", event_id)
            assert await stream.next() == {"id": event_id, "event": "message.received", "data": body}


async def test_a_reader_that_comes_back_misses_nothing(api: Api) -> None:
    """From the header, and from the address; the header wins, since a browser leaves the address as it was."""
    made = await happen(api, 250)
    async with listening(api, headers={"Last-Event-ID": made[2]}, lastEventId=made[200]) as stream:
        assert await stream.next_ids(247) == made[3:]
    async with listening(api, lastEventId=made[200]) as stream:
        assert await stream.next_ids(49) == made[201:]


async def test_what_commits_late_is_not_missed(api: Api, pool: Pool) -> None:
    """An event whose id is older, committed after a newer one was committed, comes in the stream and in the list."""
    [first] = await happen(api)
    tenant_id = TenantId(api.company_id)
    async with listening(api, lastEventId=first) as stream:
        async with pool.acquire() as slow:
            transaction = slow.transaction()
            await transaction.start()
            [late] = await add_events(slow, tenant_id)
            [early] = await happen(api)
            assert late < early
            page = await pull(api, cursor=first)
            # Held back: a reader that had taken it would go on behind the late one.
            assert (ids_of(page), page["nextCursor"]) == ([], first)
            await transaction.commit()
        api.services.doorbell.ring("events")
        assert await stream.next_ids(2) == [late, early]
    assert ids_of(await pull(api, cursor=first)) == [late, early]
    assert ids_of(await pull(api, cursor=late)) == [early]


async def test_what_commits_late_below_a_position_found_by_time_is_not_missed(api: Api, pool: Pool) -> None:
    """A start by time lies below what still runs, whose events may be the older ones."""
    since = datetime.now(UTC)
    async with pool.acquire() as slow, pool.acquire() as conn:
        transaction = slow.transaction()
        await transaction.start()
        [late] = await add_events(slow, TenantId(api.company_id))
        [early] = await happen(api)
        position = await events.find_position_at(conn, TenantId(api.company_id), since)
        await transaction.commit()
        found = await events.list_after(conn, TenantId(api.company_id), position, wanted=Filter(), limit=10)
    assert [event.id for event in found.events] == [late, early]


async def test_a_stream_is_filtered_by_type_and_session(api: Api) -> None:
    """The same filters as an endpoint's; several types by commas."""
    await happen(api, type="message.received")
    async with listening(api, types="call.*, session.status") as stream:
        await happen(api, type="message.status")
        calls = await happen(api, type="call.received")
        await happen(api, 3)
        statuses = await happen(api, type="session.status")
        assert await stream.next_ids(2) == calls + statuses
    response = await api.get(EVENTS, params={"sessionId": "ses_unknown"}, headers=JSON)
    assert response.status_code == 404


async def test_pulling_page_by_page_shows_everything_once(api: Api) -> None:
    """Oldest first; the cursor stays good when there is nothing more, and what comes later follows it."""
    made = await happen(api, 5)
    seen: list[str] = []
    page = await pull(api, limit="2")
    while True:
        seen += ids_of(page)
        if not page["hasMore"]:
            break
        page = await pull(api, limit="2", cursor=page["nextCursor"])
    assert seen == made
    cursor = page["nextCursor"]
    assert (await pull(api, cursor=cursor)) == {"events": [], "nextCursor": cursor, "hasMore": False}
    later = await happen(api)
    assert ids_of(await pull(api, cursor=cursor)) == later


async def test_a_filtered_cursor_moves_past_what_the_filter_leaves_out(api: Api) -> None:
    """So that a rare type does not make every pull read the whole log."""
    made = await happen(api, 30)
    page = await pull(api, types="call.received")
    assert page == {"events": [], "nextCursor": made[-1], "hasMore": False}
    calls = await happen(api, 2, type="call.received")
    page = await pull(api, types="call.received", cursor=page["nextCursor"], limit="1")
    assert (ids_of(page), page["hasMore"]) == (calls[:1], True)


async def test_an_event_reads_the_same_in_a_list_and_alone(api: Api, pool: Pool) -> None:
    """Id, type, time, session and data."""
    [event_id] = await happen(api)
    [listed] = (await pull(api))["events"]
    assert listed["id"] == event_id
    assert (listed["type"], listed["data"], listed["sessionId"]) == ("message.received", {"number": 0}, None)
    assert (await api.get(f"{EVENTS}/{event_id}")).json() == listed


async def test_a_list_starts_at_a_time(api: Api) -> None:
    """`since` takes what was made then or after; without it the list starts at the oldest kept."""
    made = await happen(api, 4)
    assert ids_of(await pull(api)) == made
    assert ids_of(await pull(api, since=ids.made_at(made[2]).isoformat())) == made[2:]
    assert ids_of(await pull(api, since="1969-01-01T00:00:00Z")) == made
    later = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    assert await pull(api, since=later) == {"events": [], "nextCursor": None, "hasMore": False}


async def test_an_id_that_is_no_longer_kept_resumes_at_the_oldest_kept(api: Api, pool: Pool) -> None:
    """Its partition is dropped; its reader goes on with what there is."""
    now = datetime.now(UTC)
    yesterday = now - timedelta(days=1)
    old = EventId(ids.floor("evt_", yesterday) + "00000000000000")
    body = body_of("message.received", yesterday, {})
    async with pool.acquire() as conn:
        await outbox.insert_events(
            conn, [Event(id=old, tenant_id=TenantId(api.company_id), type="message.received", body=body)]
        )
        kept = await happen(api, 2)
        assert ids_of(await pull(api, cursor=old)) == kept
        today = now.replace(hour=0, minute=0, second=0, microsecond=0)
        assert await migrate.drop_partitions(conn, before=today)
    assert (await api.get(f"{EVENTS}/{old}")).status_code == 404
    assert ids_of(await pull(api, cursor=old)) == kept


@pytest.mark.parametrize(
    ("params", "path"),
    [
        ({"cursor": "evt_nonsense"}, "cursor"),
        ({"cursor": "ses_" + "0" * 26}, "cursor"),
        ({"types": "nonsense"}, "types[0]"),
        ({"since": "soon"}, "since"),
        ({"limit": "1000"}, "limit"),
    ],
)
async def test_a_wrong_parameter_is_named(api: Api, params: dict[str, str], path: str) -> None:
    """The same for the stream and for the list."""
    for accept in ("application/json", "text/event-stream"):
        response = await api.get(EVENTS, params=params, headers={"Accept": accept})
        assert (response.status_code, response.json()["path"]) == (400, path)


async def test_a_company_sees_its_own_events_only(api: Api) -> None:
    """In the list, in the stream and by id; another's id as a cursor gives nothing away."""
    theirs = await happen(api, 2)
    other = await api.with_key(OPERATOR_KEY).as_tenant("Other", "messages:read")
    assert (await pull(other))["events"] == []
    assert (await pull(other, cursor=theirs[0]))["events"] == []
    assert (await other.get(f"{EVENTS}/{theirs[0]}")).status_code == 404
    async with listening(other) as stream:
        await happen(api)
        own = await happen(other)
        assert await stream.next_ids(1) == own
    assert (await api.with_key(OPERATOR_KEY).get(EVENTS, headers=JSON)).json()["code"] == "company_required"


async def test_a_key_needs_one_of_two_scopes(api: Api) -> None:
    """`messages:read` or `webhooks` open the log; others do not."""
    operator = api.with_key(OPERATOR_KEY)
    hooks = await operator.as_tenant("Hooks", "webhooks")
    sender = await operator.as_tenant("Sender", "messages:send", "sessions")
    assert (await hooks.get(EVENTS, headers=JSON)).status_code == 200
    for path in (EVENTS, f"{EVENTS}/evt_{'0' * 26}"):
        assert (await sender.get(path, headers=JSON)).json()["code"] == "scope_missing"


async def test_a_reader_that_goes_leaves_nothing_behind(api: Api) -> None:
    """No bell and no connection of the pool, neither while it listens nor after."""
    doorbell, pool = api.services.doorbell, api.services.pool
    async with asyncio.timeout(10):
        async with listening(api) as stream:
            await happen(api)
            await stream.next()
            assert len(doorbell._bells["events"]) == 1
            while pool.get_idle_size() < pool.get_size():
                await asyncio.sleep(0.01)
        while doorbell._bells["events"] or len(doorbell._bells["keys"]) > 1:
            await asyncio.sleep(0.01)


async def test_a_stream_ends_when_the_server_stops(api: Api) -> None:
    """A stop does not wait for readers: they come back, to another process."""
    async with listening(api) as stream:
        api.services.draining.set()
        api.services.doorbell.ring("events")
        with pytest.raises(EOFError):
            await stream.next()


async def test_a_revoked_key_ends_its_stream(api: Api) -> None:
    """The key is looked at again with every heartbeat."""
    allowed = True

    async def still_allowed() -> None:
        if not allowed:
            raise Unauthenticated("The API key is unknown or revoked.")

    stream = stream_events(
        api.services,
        TenantId(api.company_id),
        BEGINNING,
        Filter(),
        still_allowed=still_allowed,
        heartbeat_seconds=0.001,
    )
    assert b"listening" in await anext(stream)
    assert await anext(stream) == b": heartbeat\n\n"
    allowed = False
    assert [chunk async for chunk in stream] == []


async def test_a_stream_ends_when_its_key_is_revoked(api: Api) -> None:
    """At once, long before the next heartbeat; another's goes on."""
    operator = api.with_key(OPERATOR_KEY)
    body = {"companyId": api.company_id, "name": "k", "scopes": ["messages:read"]}
    made = (await operator.post("/api/v1/admin/keys", json=body)).json()
    async with listening(api) as other, listening(api.with_key(made["key"])) as stream:
        event_ids = await happen(api)
        assert await stream.next_ids(1) == await other.next_ids(1) == event_ids
        assert (await operator.delete(f"/api/v1/admin/keys/{made['id']}")).is_success
        with pytest.raises(EOFError):
            await stream.next()
        event_ids = await happen(api)
        assert await other.next_ids(1) == event_ids


def open_stream(api: Api, position: Position) -> AsyncGenerator[bytes, None]:
    """A stream without a socket: it goes on when its next chunk is asked for, and not before."""

    async def still_allowed() -> None:
        pass

    return stream_events(
        api.services, TenantId(api.company_id), position, Filter(), still_allowed=still_allowed
    )


async def read_ids(stream: AsyncGenerator[bytes, None], count: int) -> list[str]:
    read: list[str] = []
    async with asyncio.timeout(20):
        while len(read) < count:
            chunk = (await anext(stream)).decode()
            read += [line.removeprefix("id: ") for line in chunk.splitlines() if line.startswith("id: ")]
    return read


async def read_to(stream: AsyncGenerator[bytes, None], last: str) -> list[str]:
    """The ids that come, with all that its chunks hold, until the last one is there."""
    read: list[str] = []
    while last not in read:
        read += await read_ids(stream, 1)
    return read


async def test_readers_who_come_in_the_middle_get_each_event_once_and_in_order(api: Api, pool: Pool) -> None:
    """Twenty of them, while transactions overlap and commit out of turn; each from where it was."""
    [first] = await happen(api)
    end = ids.new_event_id()
    async with pool.acquire() as conn:
        position = await events.find_position(conn, TenantId(api.company_id), first)

    async def write(number: int) -> None:
        async with pool.acquire() as conn, conn.transaction():
            await add_events(conn, TenantId(api.company_id), 1 + number % 3)
            # Some are done before those that began before them.
            for _ in range(number * 7 % 5):
                await conn.execute("SELECT pg_sleep(0.002)")
        api.services.doorbell.ring("events")

    reading = []
    for number in range(60):
        if number % 3 == 0:
            reading.append(asyncio.create_task(read_to(open_stream(api, position), end)))
        await asyncio.gather(*(write(number * 4 + one) for one in range(4)))
    body = body_of("call.received", datetime.now(UTC), {})
    async with pool.acquire() as conn:
        await outbox.insert_events(
            conn, [Event(id=end, tenant_id=TenantId(api.company_id), type="call.received", body=body)]
        )
    api.services.doorbell.ring("events")
    rows = await pool.fetch("SELECT id FROM events WHERE id <> $1 ORDER BY xid, id", first)
    expected = [row["id"] for row in rows]
    for read in await asyncio.gather(*reading):
        assert read == expected


async def test_a_reader_that_is_too_slow_reads_on_from_where_it_was(api: Api) -> None:
    """More happens than is held for a stream: it comes all the same, in order, and what comes after it too."""
    [first] = await happen(api)
    async with api.services.pool.acquire() as conn:
        position = await events.find_position(conn, TenantId(api.company_id), first)
    slow, quick = open_stream(api, position), open_stream(api, position)
    for stream in (slow, quick):
        assert b"listening" in await anext(stream)
    made = await happen(api, 300)
    assert await read_ids(slow, 300) == await read_ids(quick, 300) == made
    for _ in range(4):
        more = await happen(api, 500)
        # The quick one has them, so the slow one was told of them.
        assert await read_ids(quick, 500) == more
        made += more
    made += await happen(api, 5)
    assert await read_ids(slow, 2005) == made[300:]
    for stream in (slow, quick):
        await stream.aclose()


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"types": ("call.received",)},
        {"types": ("call.*", "message.status")},
        {"types": ("message.*",), "session_id": "ses_a"},
        {"session_id": "ses_b"},
        {"since": "second"},
    ],
)
async def test_what_is_told_is_filtered_as_what_is_read(api: Api, given: dict[str, Any]) -> None:
    """The database filters what a stream reads by itself, we what it is told: the same events either way."""
    made = [
        *await happen(api, type="message.received", session_id=SessionId("ses_a")),
        *await happen(api, type="message.status", session_id=SessionId("ses_b")),
        *await happen(api, type="call.received"),
    ]
    if "since" in given:
        given = {"since": ids.made_at(made[1])}
    wanted = Filter(**given)
    async with api.services.pool.acquire() as conn:
        every, read = [
            await events.list_after(conn, TenantId(api.company_id), BEGINNING, wanted=one, limit=10)
            for one in (Filter(), wanted)
        ]
    assert [event.id for event in every.events] == made
    assert [event for event in every.events if wanted.takes(event)] == read.events
    assert read.events


async def test_news_are_read_through_the_index(api: Api, pool: Pool) -> None:
    """One look for all that listen, a step into the newest partitions for each."""
    async with pool.acquire() as conn:
        await add_events(conn, TenantId(api.company_id), 2000)
        await conn.execute("ANALYZE events")
        now = datetime.now(UTC)
        bounds = ids.floor("evt_", now - timedelta(minutes=1)), ids.floor("evt_", now + timedelta(minutes=1))
        rows = await conn.fetch(
            f"EXPLAIN (COSTS OFF) {events._LIST_NEWS}", [api.company_id], ["0"], [""], *bounds, 200
        )
    plan = "\n".join(row[0] for row in rows)
    assert "Seq Scan on events" not in plan, plan
    assert "Index Cond: ((tenant_id = listened.tenant_id)" in plan, plan


async def test_a_page_is_read_through_the_index(api: Api, pool: Pool) -> None:
    """However much a tenant's log holds: no sort and no sequential scan of its partitions."""
    async with pool.acquire() as conn:
        await add_events(conn, TenantId(api.company_id), 2000)
        await conn.execute("ANALYZE events")
        assert "->  Sort" not in (plan := await _plan(conn, api.company_id)), plan
        assert "Seq Scan on events" not in plan


async def _plan(conn: Connection, tenant_id: str) -> str:
    rows = await conn.fetch(
        f"EXPLAIN (COSTS OFF) {events._LIST_AFTER}", tenant_id, "0", "", [], None, "", 100
    )
    return "\n".join(row[0] for row in rows)
