"""Rates: counted in memory, added to minutes, each tenant's own; and what an outage or a deletion does to them."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import asyncpg
import pytest

from relay.engines.engine import Undecryptable
from relay.host.inbox import Inbox
from relay.model.ids import TenantId
from relay.store import rates, tenants
from relay.store.pool import Connection, Pool, open_pool
from relay.store.rates import Minute
from relay.store.tally import Tally
from tests.accounts import AT, MARIA, MARIA_CHAT, add_session, received
from tests.desk import Desk
from tests.owing import VAULT, add_tenant

NOW = datetime(2026, 3, 1, 12, 0, 30, tzinfo=UTC)


class Clock:
    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> float:
        return self.now.timestamp()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def tally(pool: Pool, clock: Clock) -> Tally:
    return Tally(pool, now=clock)


async def two_tenants(pool: Pool) -> tuple[TenantId, TenantId]:
    async with pool.acquire() as conn:
        return (await add_tenant(conn))[0], (await add_tenant(conn))[0]


async def minutes(pool: Pool, tenant_id: TenantId | None, count: int, *, now: datetime = NOW) -> list[Minute]:
    async with pool.acquire() as conn:
        return await rates.list_minutes(conn, tenant_id, minutes=count, now=now)


async def test_minutes_are_a_tenants_own_and_without_gaps(pool: Pool, tally: Tally, clock: Clock) -> None:
    """Oldest first, the one that runs last, zeros where nothing was; the operator's are everybody's together."""
    ours, theirs = await two_tenants(pool)
    tally.count(ours, "received", 3)
    tally.count(ours, "received")
    tally.count(theirs, "received", 100)
    clock.now += timedelta(minutes=2)
    tally.count(ours, "sent")
    await tally.flush()
    found = await minutes(pool, ours, 4, now=clock.now)
    assert [minute.at.minute for minute in found] == [59, 0, 1, 2]
    assert [minute.received for minute in found] == [0, 4, 0, 0]
    assert [minute.sent for minute in found] == [0, 0, 0, 1]
    assert [m.received for m in await minutes(pool, theirs, 4, now=clock.now)] == [0, 100, 0, 0]
    assert [m.received for m in await minutes(pool, None, 4, now=clock.now)] == [0, 104, 0, 0]
    assert [m.sent for m in await minutes(pool, None, 1, now=clock.now)] == [1]


async def test_processes_add_up_and_nothing_is_added_twice(pool: Pool, tally: Tally, clock: Clock) -> None:
    """Two tallies add to the same minute; a flush without news changes nothing, and asks nothing."""
    ours, _ = await two_tenants(pool)
    other = Tally(pool, now=clock)
    for one in (tally, other):
        one.count(ours, "delivered", 2)
        one.count(ours, "undelivered")
        await one.flush()
        await one.flush()
    (found,) = await minutes(pool, ours, 1)
    assert (found.delivered, found.undelivered, found.failed, found.answered) == (4, 2, 0, 0)


async def test_an_outage_costs_nothing(url: str, pool: Pool, clock: Clock) -> None:
    """What could not be added is added with the next flush, in the minute in which it happened."""
    ours, _ = await two_tenants(pool)
    async with open_pool(url, size=1, name="tests") as away:
        tally = Tally(away, now=clock)
        tally.count(ours, "answered", 5)
        await pool.execute("ALTER TABLE rates RENAME TO hidden")
        with pytest.raises(asyncpg.UndefinedTableError):
            await tally.flush()
        await pool.execute("ALTER TABLE hidden RENAME TO rates")
        clock.now += timedelta(minutes=1)
        tally.count(ours, "answered")
        await tally.flush()
    assert [minute.answered for minute in await minutes(pool, ours, 2, now=clock.now)] == [5, 1]


async def test_a_deleted_tenant_is_left_out(pool: Pool, tally: Tally) -> None:
    """Its minutes go with it, and what is still in hand of it does not keep the others' from being added."""
    gone, stays = await two_tenants(pool)
    tally.count(gone, "sent")
    await tally.flush()
    tally.count(gone, "sent")
    tally.count(stays, "sent")
    async with pool.acquire() as conn, conn.transaction():
        await tenants.delete_tenant(conn, gone)
    await tally.flush()
    assert await pool.fetchval("SELECT array_agg(tenant_id) FROM rates") == [stays]


async def test_a_day_is_kept(pool: Pool, tally: Tally, clock: Clock) -> None:
    """A minute of 24 hours ago can still be asked for; one of 25 hours ago is removed."""
    ours, _ = await two_tenants(pool)
    for hours in (26, 24, 0):
        clock.now = NOW - timedelta(hours=hours)
        tally.count(ours, "received")
    await tally.flush()
    async with pool.acquire() as conn:
        await rates.delete_old(conn, now=NOW)
    assert await pool.fetchval("SELECT count(*) FROM rates") == 2
    day = await minutes(pool, ours, 1440, now=NOW - timedelta(minutes=1))
    assert (len(day), day[0].received) == (1440, 1)


async def test_a_chart_is_read_by_its_index(pool: Pool) -> None:
    """A company's hour does not read what others have."""
    ours, theirs = await two_tenants(pool)
    await pool.execute(
        """
        INSERT INTO rates (tenant_id, minute, received)
        SELECT $1, date_trunc('minute', $2::timestamptz) - n * interval '1 minute', 1 FROM generate_series(0, 5000) n
        """,
        theirs,
        NOW,
    )
    await pool.execute("ANALYZE rates")
    async with pool.acquire() as conn:
        plan = await _plan(conn, ours)
    assert "rates_pkey" in plan
    assert "Seq Scan on rates" not in plan


async def _plan(conn: Connection, tenant_id: TenantId) -> str:
    rows = await conn.fetch(f"EXPLAIN {rates._LIST}", tenant_id, NOW - timedelta(hours=1), NOW)
    return "\n".join(row[0] for row in rows)


async def test_what_arrives_is_counted_once(pool: Pool, url: str, tmp_path: Path, tally: Tally) -> None:
    """Not what came before, what the owner wrote, what is old, nor what cannot be read yet; that when it can."""
    async with pool.acquire() as conn:
        account = await add_session(conn)
    desk = Desk(pool, url, tmp_path / "desk")
    desk.inbox = Inbox(pool, VAULT, desk.doorbell, desk.journal, batch=3, count=tally.count)
    unreadable = Undecryptable(wa_id="W9", chat=MARIA_CHAT, sender=MARIA, sent_at=AT, name="Maria")
    await desk.take(account, received("W1"), received("W1"), received("W2"), received("W1"))
    await desk.take(account, received("W3", from_me=True), received("W4", history=True), unreadable)
    await tally.flush()
    assert await pool.fetchval("SELECT sum(received) FROM rates") == 2
    await desk.take(account, received("W9"), received("W9"))
    await tally.flush()
    assert await pool.fetchval("SELECT sum(received) FROM rates") == 3
