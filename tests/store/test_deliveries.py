"""The queue of what is owed, on a real Postgres: lanes, leases, fencing, order, and the plans of its queries."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import pytest

from relay.model import ids
from relay.model.delivery import DeliveryStatus, Outcome
from relay.model.endpoint import Endpoint
from relay.model.errors import Conflict, NotFound
from relay.model.event import Event
from relay.model.ids import EndpointId, TenantId
from relay.store import attempts, deliveries, delivery_log, endpoints
from relay.store.deliveries import Claimed, Result
from relay.store.kept import KeptConnection
from relay.store.pool import Connection, Pool
from relay.vault import DataKey
from tests.locks import waits
from tests.owing import add_endpoint, add_events, add_tenant

DAY = 86400.0


@pytest.fixture
async def conn(pool: Pool) -> AsyncIterator[Connection]:
    async with pool.acquire() as conn:
        yield conn


@pytest.fixture
async def other(pool: Pool) -> AsyncIterator[Connection]:
    """Another dispatcher's connection, which must never wait for the first."""
    async with pool.acquire() as conn:
        await conn.execute("SET lock_timeout = '2s'")
        yield conn


async def claim(conn: Connection, endpoint: Endpoint, slots: int = 100) -> list[Claimed]:
    take = deliveries.claim_heads if endpoint.order == "chat" else deliveries.claim_deliveries
    taken = await take(conn, {endpoint.id: slots}, claim=ids.new_claim(), lease_seconds=60)
    return sorted(taken, key=lambda delivery: delivery.id)


async def settle(conn: Connection, claimed: Sequence[Claimed], **given: Any) -> list[Any]:
    given.setdefault("outcome", Outcome.SUCCEEDED if given.get("final") is SUCCEEDED else Outcome.REJECTED)
    results = [Result(delivery=delivery, **given) for delivery in claimed]
    return await deliveries.settle(conn, results, patience_seconds=5 * DAY)


SUCCEEDED, EXHAUSTED, CANCELLED = DeliveryStatus.SUCCEEDED, DeliveryStatus.EXHAUSTED, DeliveryStatus.CANCELLED


async def expire_leases(conn: Connection) -> None:
    await conn.execute("UPDATE deliveries SET due_at = now() - interval '1 second' WHERE claim IS NOT NULL")


async def test_a_claim_takes_as_many_as_a_lane_has_slots_the_oldest_first(conn: Connection) -> None:
    """Each lane gets its own share, whatever is owed to the others."""
    tenant = await add_tenant(conn)
    one, _ = await add_endpoint(conn, tenant=tenant)
    two, _ = await add_endpoint(conn, tenant=tenant)
    events = await add_events(conn, tenant[0], 10)
    taken = await deliveries.claim_deliveries(
        conn, {one.id: 3, two.id: 1}, claim=ids.new_claim(), lease_seconds=60
    )
    assert sorted(c.event_id for c in taken if c.endpoint_id == one.id) == events[:3]
    assert [c.event_id for c in taken if c.endpoint_id == two.id] == events[:1]
    assert {(c.attempt, c.tries) for c in taken} == {(1, 1)}


async def test_two_claimers_share_without_waiting_or_doubling(conn: Connection, other: Connection) -> None:
    """While the first one's transaction is open the second takes the rest (red without SKIP LOCKED)."""
    endpoint, _ = await add_endpoint(conn)
    events = await add_events(conn, endpoint.tenant_id, 10)
    async with conn.transaction():
        first = await claim(conn, endpoint, 6)
        second = await claim(other, endpoint, 6)
    assert sorted(c.event_id for c in first + second) == events


async def test_a_lease_that_is_over_is_simply_due_again(conn: Connection) -> None:
    """What a dead dispatcher held is claimed again, as the next attempt."""
    endpoint, _ = await add_endpoint(conn)
    await add_events(conn, endpoint.tenant_id, 2)
    await claim(conn, endpoint)
    assert await claim(conn, endpoint) == []
    await expire_leases(conn)
    assert [c.attempt for c in await claim(conn, endpoint)] == [2, 2]


async def test_a_stale_claim_changes_nothing(conn: Connection) -> None:
    """Whoever lost its lease can neither settle nor release (red without the fence)."""
    endpoint, _ = await add_endpoint(conn)
    await add_events(conn, endpoint.tenant_id, 1)
    stale = await claim(conn, endpoint)
    await expire_leases(conn)
    [holder] = await claim(conn, endpoint)
    before = await conn.fetchrow("SELECT * FROM deliveries")
    await settle(conn, stale, final=SUCCEEDED)
    await settle(conn, stale, delay_seconds=5.0)
    await deliveries.release(conn, stale)
    assert await conn.fetchrow("SELECT * FROM deliveries") == before
    assert await attempts.list_attempts(conn, endpoint.tenant_id, holder.id) == []
    stands = await endpoints.get_endpoint(conn, endpoint.tenant_id, endpoint.id)
    assert (stands.succeeded, stands.failed) == (0, 0)
    await settle(conn, [holder], final=SUCCEEDED)
    assert await conn.fetchval("SELECT count(*) FROM deliveries") == 0


async def test_settling_records_attempts_and_counts_them(conn: Connection) -> None:
    """Ended ones leave the table, the others wait; the log and the endpoint's counters agree."""
    endpoint, _ = await add_endpoint(conn)
    await add_events(conn, endpoint.tenant_id, 3)
    taken = await claim(conn, endpoint)
    await settle(conn, taken[:1], final=EXHAUSTED, status_code=500, response="no", duration_seconds=0.5)
    stands = await endpoints.get_endpoint(conn, endpoint.tenant_id, endpoint.id)
    assert (stands.succeeded, stands.failed, stands.failing_since is None) == (0, 1, False)
    await settle(conn, taken[1:2], delay_seconds=300.0)
    await settle(conn, taken[2:], final=SUCCEEDED, status_code=200)
    stands = await endpoints.get_endpoint(conn, endpoint.tenant_id, endpoint.id)
    assert (stands.succeeded, stands.failed, stands.failing_since) == (1, 2, None)
    [kept] = await conn.fetch("SELECT id, claim, due_at - now() AS wait FROM deliveries")
    assert (kept["id"], kept["claim"]) == (taken[1].id, None)
    assert timedelta(seconds=290) < kept["wait"] < timedelta(seconds=300)
    [attempt] = await attempts.list_attempts(conn, endpoint.tenant_id, taken[0].id)
    assert (attempt.number, attempt.outcome, attempt.status_code) == (1, Outcome.REJECTED, 500)
    assert (attempt.response, attempt.final) == ("no", EXHAUSTED)
    figures = await endpoints.statistics(conn, endpoint.tenant_id, endpoint.id)
    assert {attempt.delivery_id for attempt in figures.last_attempts} == {c.id for c in taken}


async def test_settling_names_who_has_failed_for_too_long(conn: Connection) -> None:
    """Days of nothing but failure, and only while the endpoint is enabled."""
    endpoint, _ = await add_endpoint(conn)
    await add_events(conn, endpoint.tenant_id, 3)
    taken = await claim(conn, endpoint)
    assert await settle(conn, taken[:1], delay_seconds=5.0) == []
    await conn.execute("UPDATE endpoints SET failing_since = now() - interval '5 days 1 minute'")
    assert await settle(conn, taken[1:2], delay_seconds=5.0) == [(endpoint.id, endpoint.tenant_id)]
    await endpoints.disable_endpoint(conn, endpoint.tenant_id, endpoint.id, reason="failing")
    assert await settle(conn, taken[2:], delay_seconds=5.0) == []


async def test_what_is_released_is_due_and_has_used_up_no_attempt(conn: Connection) -> None:
    """A stopping dispatcher gives back what it has not sent."""
    endpoint, _ = await add_endpoint(conn)
    await add_events(conn, endpoint.tenant_id, 2)
    await deliveries.release(conn, await claim(conn, endpoint))
    assert [c.attempt for c in await claim(conn, endpoint)] == [1, 1]


async def test_lanes_are_the_enabled_endpoints_with_something_due(conn: Connection) -> None:
    """Disabled, waiting and paid-up endpoints cost nothing; a removed one is named so that its rows end."""
    tenant = await add_tenant(conn)
    due, _ = await add_endpoint(conn, tenant=tenant, events=["call.received"])
    ordered, _ = await add_endpoint(conn, tenant=tenant, events=["call.received"], order="chat")
    disabled, _ = await add_endpoint(conn, tenant=tenant, events=["call.received"])
    waiting, _ = await add_endpoint(conn, tenant=tenant, events=["session.qr"])
    await add_endpoint(conn, tenant=tenant, events=["session.status"])
    await add_events(conn, tenant[0], 3, type="call.received")
    await add_events(conn, tenant[0], 1, type="session.qr")
    await endpoints.disable_endpoint(conn, tenant[0], disabled.id, reason="requested")
    await claim(conn, waiting)
    assert await deliveries.list_due_lanes(conn) == {due.id: "none", ordered.id: "chat"}
    assert await claim(conn, disabled) == []
    await conn.execute("DELETE FROM endpoints WHERE id = $1", due.id)
    assert await deliveries.list_due_lanes(conn) == {due.id: None, ordered.id: "chat"}
    await deliveries.cancel_orphans(conn, [due.id, ordered.id])
    assert await deliveries.list_due_lanes(conn) == {ordered.id: "chat"}
    assert await conn.fetchval("SELECT count(*) FROM attempts WHERE final = 'cancelled'") == 3


async def test_of_each_chat_only_the_oldest_is_claimed(conn: Connection) -> None:
    """With `order: chat` the next one waits until the one before has ended; other chats do not wait."""
    endpoint, _ = await add_endpoint(conn, order="chat")
    events = await add_events(conn, endpoint.tenant_id, 6, chats=("a", "b", None))
    first = await claim(conn, endpoint)
    assert [c.event_id for c in first] == [events[0], events[1], events[2], events[5]]
    assert await claim(conn, endpoint) == []
    await settle(conn, first, final=SUCCEEDED)
    second = await claim(conn, endpoint)
    assert [c.event_id for c in second] == [events[3], events[4]]


async def test_a_failing_head_parks_its_chat_and_no_other(conn: Connection) -> None:
    """The chat goes on when its head has ended, whichever way."""
    endpoint, _ = await add_endpoint(conn, order="chat")
    events = await add_events(conn, endpoint.tenant_id, 6, chats=("a", "b"))
    first = await claim(conn, endpoint)
    await settle(conn, [c for c in first if c.chat == "a"], delay_seconds=300.0)
    await settle(conn, [c for c in first if c.chat == "b"], final=SUCCEEDED)
    second = await claim(conn, endpoint)
    assert [c.event_id for c in second] == [events[3]]
    assert await claim(conn, endpoint) == []
    [head] = [c for c in first if c.chat == "a"]
    await delivery_log.cancel(conn, endpoint.tenant_id, head.id)
    assert [c.event_id for c in await claim(conn, endpoint)] == [events[2]]


async def test_many_followers_do_not_hide_another_chat(conn: Connection) -> None:
    """A chat with more waiting than a claim looks at is passed over after a few claims."""
    endpoint, _ = await add_endpoint(conn, order="chat")
    await add_events(conn, endpoint.tenant_id, 50, chats=("busy",))
    [quiet] = await add_events(conn, endpoint.tenant_id, 1, chats=("quiet",))
    taken = [c.event_id for _ in range(10) for c in await claim(conn, endpoint, 2)]
    assert quiet in taken
    assert len(taken) == 2


async def test_a_follower_with_its_own_schedule_is_not_woken_early(conn: Connection) -> None:
    """A redelivered older one goes first; what was already waiting keeps its own time."""
    endpoint, _ = await add_endpoint(conn, order="chat")
    await add_events(conn, endpoint.tenant_id, 2, chats=("a",))
    older = await claim(conn, endpoint)
    await settle(conn, older, final=SUCCEEDED)
    newer = await claim(conn, endpoint)
    await settle(conn, newer, delay_seconds=300.0)
    await delivery_log.redeliver(conn, endpoint.tenant_id, older[0].id)
    [again] = await claim(conn, endpoint)
    assert (again.id, again.attempt, again.tries) == (older[0].id, 2, 1)
    await settle(conn, [again], final=SUCCEEDED)
    assert await claim(conn, endpoint) == []


async def test_the_list_shows_owed_and_ended_in_one_order(conn: Connection) -> None:
    """Newest first over both tables, paged, filtered, and never another tenant's."""
    tenant = await add_tenant(conn)
    endpoint, _ = await add_endpoint(conn, tenant=tenant)
    events = await add_events(conn, tenant[0], 6)
    await add_events(conn, (await add_tenant(conn))[0], 1)
    taken = await claim(conn, endpoint, 4)
    await settle(conn, taken[0:1], final=SUCCEEDED)
    await settle(conn, taken[1:2], final=EXHAUSTED)
    await delivery_log.cancel(conn, tenant[0], taken[2].id)
    await settle(conn, taken[3:4], delay_seconds=60.0)

    async def found(**given: Any) -> list[tuple[str, str, int]]:
        rows = await delivery_log.list_deliveries(conn, tenant[0], **{"limit": 10} | given)
        return [(row.event_id, row.status, row.attempts) for row in rows]

    everything = [
        (events[5], "pending", 0),
        (events[4], "pending", 0),
        (events[3], "pending", 1),
        (events[2], "cancelled", 1),
        (events[1], "exhausted", 1),
        (events[0], "succeeded", 1),
    ]
    assert await found() == everything
    first = await delivery_log.list_deliveries(conn, tenant[0], limit=4)
    assert await found(before=first[-1].id) == everything[4:]
    assert await found(status=EXHAUSTED) == everything[4:5]
    assert await found(status=DeliveryStatus.PENDING) == everything[:3]
    assert await found(event_type="session.qr") == []
    assert await found(endpoint_id=ids.new_endpoint_id()) == []
    assert await found(since=ids.made_at(events[4])) == everything[:2]
    assert await found(until=ids.made_at(events[4])) == everything[2:]
    with pytest.raises(NotFound, match="no such"):
        await delivery_log.get_delivery(conn, (await add_tenant(conn))[0], first[0].id)
    assert await delivery_log.get_delivery(conn, tenant[0], first[0].id) == first[0]


async def test_redelivery_revives_the_same_delivery(conn: Connection) -> None:
    """Same id, attempts go on counting, a fresh schedule, and no other end but the new one."""
    endpoint, _ = await add_endpoint(conn)
    tenant_id = endpoint.tenant_id
    await add_events(conn, tenant_id, 1)
    [once] = await claim(conn, endpoint)
    await settle(conn, [once], final=EXHAUSTED)
    again = await delivery_log.redeliver(conn, tenant_id, once.id)
    assert (again.id, again.status, again.attempts) == (once.id, "pending", 1)
    assert [attempt.final for attempt in await attempts.list_attempts(conn, tenant_id, once.id)] == [None]
    [twice] = await claim(conn, endpoint)
    assert (twice.attempt, twice.tries) == (2, 1)
    await settle(conn, [twice], final=SUCCEEDED)
    log = await attempts.list_attempts(conn, tenant_id, once.id)
    assert [(attempt.number, attempt.final) for attempt in log] == [(1, None), (2, SUCCEEDED)]
    with pytest.raises(NotFound, match="no such"):
        await delivery_log.redeliver(conn, (await add_tenant(conn))[0], once.id)


async def test_redelivery_hastens_what_is_owed_and_refuses_what_is_gone(conn: Connection) -> None:
    """A waiting one is due at once; without its event there is nothing to send."""
    endpoint, _ = await add_endpoint(conn)
    await add_events(conn, endpoint.tenant_id, 1)
    taken = await claim(conn, endpoint)
    assert (await delivery_log.redeliver(conn, endpoint.tenant_id, taken[0].id)).next_attempt_at is None
    await settle(conn, taken, delay_seconds=DAY)
    await delivery_log.redeliver(conn, endpoint.tenant_id, taken[0].id)
    [hastened] = await claim(conn, endpoint)
    assert (hastened.attempt, hastened.tries) == (2, 1)
    await settle(conn, [hastened], final=SUCCEEDED)
    await conn.execute("DELETE FROM events")
    with pytest.raises(Conflict, match="its event or its endpoint is gone"):
        await delivery_log.redeliver(conn, endpoint.tenant_id, taken[0].id)


async def test_replay_owes_the_range_again_under_the_same_names(conn: Connection) -> None:
    """Ended and never-owed events come back once, owed ones are left alone, the filter holds."""
    tenant = await add_tenant(conn)
    endpoint, _ = await add_endpoint(conn, tenant=tenant)
    events = await add_events(conn, tenant[0], 4)
    taken = await claim(conn, endpoint, 2)
    await settle(conn, taken, final=SUCCEEDED)
    names = {c.id for c in taken} | {row["id"] for row in await conn.fetch("SELECT id FROM deliveries")}
    since, until = ids.made_at(events[0]) - timedelta(hours=3), datetime.now(UTC) + timedelta(minutes=1)

    async def replay(target: EndpointId, **given: Any) -> int:
        return await delivery_log.replay(conn, tenant[0], target, **{"since": since, "until": until} | given)

    assert await replay(endpoint.id, event_types=["call.*"]) == 0
    assert await replay(endpoint.id, until=ids.made_at(events[1])) == 1
    assert await replay(endpoint.id) == 1
    assert await replay(endpoint.id) == 0
    again = await claim(conn, endpoint)
    assert {c.id for c in again} == names
    assert sorted((c.attempt, c.tries) for c in again) == [(1, 1), (1, 1), (2, 1), (2, 1)]
    late, _ = await add_endpoint(conn, tenant=tenant, events=["message.*"])
    assert await replay(late.id) == 4
    with pytest.raises(NotFound, match="no such"):
        await delivery_log.replay(conn, (await add_tenant(conn))[0], late.id, since=since, until=until)


async def test_cancelling_ends_what_is_owed_once(conn: Connection) -> None:
    """The end is recorded; a second time is a conflict; a stranger finds nothing."""
    endpoint, _ = await add_endpoint(conn)
    await add_events(conn, endpoint.tenant_id, 1)
    [taken] = await claim(conn, endpoint)
    with pytest.raises(NotFound, match="no such"):
        await delivery_log.cancel(conn, (await add_tenant(conn))[0], taken.id)
    ended = await delivery_log.cancel(conn, endpoint.tenant_id, taken.id)
    assert (ended.status, ended.attempts) == (CANCELLED, 1)
    with pytest.raises(Conflict, match="has ended already: cancelled"):
        await delivery_log.cancel(conn, endpoint.tenant_id, taken.id)
    await settle(conn, [taken], final=SUCCEEDED)
    assert await delivery_log.get_delivery(conn, endpoint.tenant_id, taken.id) == ended


async def test_a_test_event_is_owed_to_one_endpoint(conn: Connection) -> None:
    """Whatever the endpoints' filters say; under the name that the outbox would give."""
    tenant = await add_tenant(conn)
    endpoint, _ = await add_endpoint(conn, tenant=tenant, events=["call.received"])
    await add_endpoint(conn, tenant=tenant)
    event = Event(id=ids.new_event_id(), tenant_id=tenant[0], type="webhook.test", body="{}")
    delivery_id = await delivery_log.owe_event(conn, event, endpoint.id)
    assert [c.id for c in await claim(conn, endpoint)] == [delivery_id]
    assert await conn.fetchval("SELECT count(*) FROM deliveries") == 1
    stranger = Event(
        id=ids.new_event_id(), tenant_id=(await add_tenant(conn))[0], type="webhook.test", body="{}"
    )
    with pytest.raises(NotFound, match="no such"):
        await delivery_log.owe_event(conn, stranger, endpoint.id)
    assert await conn.fetchval("SELECT count(*) FROM events") == 1


BACKLOG = """
    INSERT INTO deliveries (id, tenant_id, endpoint_id, event_id, event_type, chat, due_at)
    SELECT $3 || lpad(i::text, 14, '0'), $1, $2, $4 || lpad(i::text, 14, '0'), 'message.received',
           CASE WHEN $5 THEN 'chat ' || i % 1000 END, now() - interval '1 hour'
    FROM generate_series(1, 200000) i
"""


@pytest.mark.parametrize("state", ["filled", "analysed", "churned"])
async def test_no_query_of_the_queue_reads_the_table(conn: Connection, state: str) -> None:
    """With 200,000 owed to dead endpoints each step reads a few pages a row, whatever the statistics say."""
    tenant = await add_tenant(conn)
    dead, _ = await add_endpoint(conn, tenant=tenant, events=["call.received"])
    live, _ = await add_endpoint(conn, tenant=tenant, events=["message.received"])
    ordered, _ = await add_endpoint(conn, tenant=tenant, events=["session.qr"], order="chat")
    await conn.execute("SET plan_cache_mode = force_custom_plan")
    # The worst that statistics can say: an empty table.
    await conn.execute("VACUUM ANALYZE deliveries")
    await fill(conn, dead, tenant, state)
    await add_events(conn, tenant[0], 64)
    lanes = [[dead.id, live.id], [32, 32]]
    assert await pages(conn, deliveries._LANES, "") < 50
    assert await pages(conn, deliveries._CLAIM, *lanes, "clm", 60.0) < 64 * 20
    assert await pages(conn, deliveries._CLAIM_HEADS, [ordered.id], [64], "clm", 60.0) < 50
    taken = await claim(conn, live)
    names, claims = [c.id for c in taken], [c.claim for c in taken]
    many = len(taken)
    outcomes = [["rejected"] * many, [500] * many, [0.1] * many, ["no"] * many]
    delays = [[5.0] * many, 5 * DAY]
    assert many == 64
    ending = [["exhausted"] * many, *delays, names, []]
    keeping = [[None] * many, *delays, [], names]
    assert await pages(conn, deliveries._SETTLE, names, claims, *outcomes, *ending) < many * 30
    assert await pages(conn, deliveries._SETTLE, names, claims, *outcomes, *keeping) < many * 30
    assert await pages(conn, deliveries._RELEASE, names, claims) < many * 20
    assert await pages(conn, deliveries._WAKE, [ordered.id], ["chat 1"]) < 50


async def test_no_query_of_the_order_reads_the_table(conn: Connection) -> None:
    """200,000 waiting in a thousand chats of one endpoint."""
    tenant = await add_tenant(conn)
    ordered, _ = await add_endpoint(conn, tenant=tenant, order="chat")
    await conn.execute("SET plan_cache_mode = force_custom_plan")
    await conn.execute("VACUUM ANALYZE deliveries")
    await fill(conn, ordered, tenant, "filled")
    assert await pages(conn, deliveries._CLAIM_HEADS, [ordered.id], [64], "clm", 60.0) < 256 * 40
    assert await pages(conn, deliveries._WAKE, [ordered.id], ["chat 1"]) < 50


@pytest.fixture
async def kept(pool: Pool) -> AsyncIterator[KeptConnection]:
    kept = KeptConnection(pool)
    yield kept
    await kept.close()


async def test_a_loops_connection_caches_no_plan(kept: KeptConnection) -> None:
    """A plan made for the empty table would read all of the full one."""
    for _ in range(8):
        async with kept.use() as conn:
            await deliveries.list_due_lanes(conn)
    async with kept.use() as conn:
        made = await conn.fetch("SELECT statement, generic_plans, custom_plans FROM pg_prepared_statements")
    assert [(row[1], row[2]) for row in made if row[0] == deliveries._LANES] == [(0, 8)]


async def test_a_loops_connection_is_replaced_after_an_error(kept: KeptConnection) -> None:
    """The next step starts on a sound one."""
    with pytest.raises((asyncpg.PostgresError, asyncpg.InterfaceError), match=r"terminat|closed"):
        async with kept.use() as conn:
            await conn.execute("SELECT pg_terminate_backend(pg_backend_pid())")
    async with kept.use() as conn:
        assert await conn.fetchval("SELECT 1") == 1


async def fill(conn: Connection, endpoint: Endpoint, tenant: tuple[TenantId, DataKey], state: str) -> None:
    now = datetime.now(UTC) - timedelta(minutes=1)
    given = (tenant[0], endpoint.id, ids.floor("dlv_", now), ids.floor("evt_", now), endpoint.order == "chat")
    await conn.execute(BACKLOG, *given)
    if state == "churned":
        await conn.execute("UPDATE deliveries SET due_at = due_at + interval '1 minute'")
        await conn.execute("DELETE FROM deliveries")
        await conn.execute(BACKLOG, *given)
    if state != "filled":
        await conn.execute("VACUUM ANALYZE deliveries")


async def pages(conn: Connection, sql: str, *args: Any) -> int:
    """How many pages a statement touches; it is rolled back."""
    transaction = conn.transaction()
    await transaction.start()
    explained = await conn.fetchval(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {sql}", *args)
    await transaction.rollback()
    plan = json.loads(explained)[0]["Plan"]
    return int(plan["Shared Hit Blocks"] + plan["Shared Read Blocks"])


async def test_what_ends_while_it_is_replayed_goes_on_counting(
    pool: Pool, conn: Connection, other: Connection
) -> None:
    """A replay that began before a delivery ended owes it again as its next attempt, and it is in one list only."""
    endpoint, _ = await add_endpoint(conn)
    await add_events(conn, endpoint.tenant_id)
    claimed = await claim(conn, endpoint)
    since, until = datetime.now(UTC) - timedelta(hours=1), datetime.now(UTC) + timedelta(seconds=1)
    async with conn.transaction():
        await settle(conn, claimed, final=SUCCEEDED)
        replaying = asyncio.create_task(
            delivery_log.replay(other, endpoint.tenant_id, endpoint.id, since=since, until=until)
        )
        assert await waits(pool, replaying)
    assert await replaying == 1
    [owed] = await delivery_log.list_deliveries(conn, endpoint.tenant_id, limit=10)
    assert (owed.status, owed.attempts) == (DeliveryStatus.PENDING, 1)
    [again] = await claim(conn, endpoint)
    assert (again.attempt, again.tries) == (2, 1)
    await settle(conn, [again], final=SUCCEEDED)
    [ended] = await delivery_log.list_deliveries(conn, endpoint.tenant_id, limit=10)
    assert (ended.status, ended.attempts) == (SUCCEEDED, 2)
