"""The janitor: what is too old goes, by the shorter of a tenant's wish and the server's; what is owed stays."""

import asyncio
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from relay.config import Config, Retention
from relay.janitor import Janitor
from relay.model import ids
from relay.model import tenant as model
from relay.store import migrate, tenants
from relay.store.blobs import Blobs
from relay.store.pool import Pool
from tests.accounts import add_session
from tests.locks import waits

TODAY = datetime.now(UTC)


@pytest.fixture
def blobs(tmp_path: Path) -> Blobs:
    return Blobs(tmp_path, max_bytes=1000)


def janitor(pool: Pool, blobs: Blobs, *, now: datetime = TODAY, **retention: int) -> Janitor:
    return Janitor(pool, blobs, Config(retention=Retention(**retention)), now=lambda: now)


def old(prefix: str, days: float) -> str:
    """An id made that many days ago."""
    return ids.floor(prefix, TODAY - timedelta(days=days)).ljust(len(prefix) + 26, "0")


async def add_messages(pool: Pool, account: tuple[Any, Any], *days: float, status: str = "sent") -> None:
    await pool.executemany(
        "INSERT INTO whatsapp_messages (id, tenant_id, session_id, chat, direction, origin, sender, type, content,"
        " status, sent_at) VALUES ($1, $2, $3, 'c', 'outgoing', 'api', 'me', 'text', '{}', $4, now())",
        [(old("msg_", day)[:-8] + account[1][-8:], *account, status) for day in days],
    )


async def count(pool: Pool, table: str) -> int:
    found: int = await pool.fetchval(f"SELECT count(*) FROM {table}")
    return found


async def test_messages_go_by_the_shorter_wish(pool: Pool, blobs: Blobs) -> None:
    """One tenant keeps what the server keeps, one asked for less, and nobody gets more; what is queued stays."""
    async with pool.acquire() as conn:
        plain, short, greedy = [await add_session(conn) for _ in range(3)]
        for account, days in ((short, 5), (greedy, 500)):
            retention = model.Retention(message_days=days)
            await tenants.update_tenant(conn, account[0], name=None, retention=retention)
    for account in (plain, short, greedy):
        await add_messages(pool, account, 1, 8, 40)
    await add_messages(pool, plain, 60, status="queued")
    await janitor(pool, blobs, message_days=30).work()
    rows = await pool.fetch("SELECT tenant_id, count(*) FROM whatsapp_messages GROUP BY 1")
    assert {row["tenant_id"]: row["count"] for row in rows} == {plain[0]: 3, short[0]: 1, greedy[0]: 2}


async def test_media_go_with_their_files(pool: Pool, blobs: Blobs) -> None:
    async with pool.acquire() as conn:
        tenant_id, _session = await add_session(conn)
    for media_id in (old("med_", 1), old("med_", 100)):
        blobs.path(media_id).parent.mkdir(parents=True, exist_ok=True)
        blobs.path(media_id).write_bytes(b"x")
        await pool.execute(
            "INSERT INTO media (id, tenant_id, sha256, mimetype, size_bytes) VALUES ($1, $2, '', 'x/y', 1)",
            media_id,
            tenant_id,
        )
    await janitor(pool, blobs, media_days=90).work()
    assert await count(pool, "media") == 1
    assert (blobs.path(old("med_", 1)).exists(), blobs.path(old("med_", 100)).exists()) == (True, False)


async def test_a_file_that_no_row_knows_is_swept(pool: Pool, blobs: Blobs) -> None:
    """What somebody was writing when the process died goes after a day; what is being written now stays."""
    for media_id, age_days in ((old("med_", 3), 3), (old("med_", 0), 0)):
        path = blobs.path(media_id).with_suffix(".part")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"half")
        at = (TODAY - timedelta(days=age_days)).timestamp()
        os.utime(path, (at, at))
    await janitor(pool, blobs).work()
    left = [path.stem for path in blobs.path(old("med_", 0)).parent.parent.glob("*/*")]
    assert left == [old("med_", 0)]


async def test_days_are_made_ahead_and_dropped_behind(pool: Pool, blobs: Blobs) -> None:
    """A month later the old days are gone, except one that is still owed, and the next days are there."""
    async with pool.acquire() as conn:
        tenant_id, _session = await add_session(conn)
    owed, done = old("evt_", 0), old("evt_", -1)
    for event_id in (owed, done):
        await pool.execute(
            "INSERT INTO events (id, tenant_id, type, body) VALUES ($1, $2, 'message.received', '{}')",
            event_id,
            tenant_id,
        )
    await pool.execute(
        "INSERT INTO deliveries (id, tenant_id, endpoint_id, event_id, event_type) VALUES ($1, $2, 'ep_1', $3, 'x')",
        owed.replace("evt_", "dlv_"),
        tenant_id,
        owed,
    )
    later = TODAY + timedelta(days=60)
    await janitor(pool, blobs, now=later, event_days=30).work()
    assert [row["id"] for row in await pool.fetch("SELECT id FROM events")] == [owed]
    soon = ids.floor("evt_", later + timedelta(days=3)).ljust(30, "0")
    await pool.execute(
        "INSERT INTO events (id, tenant_id, type, body) VALUES ($1, $2, 'x', '{}')", soon, tenant_id
    )


async def test_a_tenant_may_keep_events_for_fewer_days(pool: Pool, blobs: Blobs) -> None:
    """Its older events go, but for what is still owed; another tenant's stay."""
    async with pool.acquire() as conn:
        short, plain = [await add_session(conn) for _ in range(2)]
        await tenants.update_tenant(conn, short[0], name=None, retention=model.Retention(event_days=1))
        await migrate.add_partitions(conn, now=TODAY - timedelta(days=3))
    for number, (tenant_id, _session) in enumerate((short, short, plain)):
        event_id = old("evt_", 2 + number / 100)
        await pool.execute(
            "INSERT INTO events (id, tenant_id, type, body) VALUES ($1, $2, 'x', '{}')", event_id, tenant_id
        )
        if number == 0:
            await pool.execute(
                "INSERT INTO deliveries (id, tenant_id, endpoint_id, event_id, event_type)"
                " VALUES ('dlv_1', $1, 'ep_1', $2, 'x')",
                tenant_id,
                event_id,
            )
    await janitor(pool, blobs).work()
    rows = await pool.fetch("SELECT tenant_id FROM events ORDER BY id")
    assert sorted(row["tenant_id"] for row in rows) == sorted([short[0], plain[0]])


async def test_one_janitor_at_a_time(pool: Pool, blobs: Blobs) -> None:
    """While another process sweeps, this one does nothing."""
    async with pool.acquire() as conn:
        account = await add_session(conn)
    await add_messages(pool, account, 100)
    async with pool.acquire() as other, other.transaction():
        await other.execute("SELECT pg_advisory_xact_lock($1)", 0x4A414E49544F52)
        await janitor(pool, blobs, message_days=30).work()
        assert await count(pool, "whatsapp_messages") == 1
    await janitor(pool, blobs, message_days=30).work()
    assert await count(pool, "whatsapp_messages") == 0


async def test_what_a_message_had_promised_goes_with_it(pool: Pool, blobs: Blobs) -> None:
    """Old messages take their unfetched files along; receipts of nobody's message go after a day."""
    async with pool.acquire() as conn:
        account = await add_session(conn)
    await add_messages(pool, account, 1, 40)
    await pool.execute(
        "INSERT INTO media_fetches (media_id, tenant_id, session_id, message_id, kind, reference, history)"
        " SELECT 'med_' || id, tenant_id, session_id, id, 'image', 'x', false FROM whatsapp_messages"
    )
    await pool.execute(
        "INSERT INTO early_receipts (session_id, chat, wa_id, status, at, stored_at)"
        " SELECT $1, 'c', h::text, 'read', now(), now() - h * interval '1 hour' FROM unnest(ARRAY[1, 23, 25]) AS h",
        account[1],
    )
    await janitor(pool, blobs, message_days=30).work()
    assert await count(pool, "media_fetches") == 1
    assert await count(pool, "early_receipts") == 2


async def test_who_reads_for_long_holds_up_the_days_and_nobody_else(pool: Pool, blobs: Blobs) -> None:
    """A backup that reads the events: the day is dropped later, and what happens meanwhile is written."""
    async with pool.acquire() as conn:
        tenant_id, _session = await add_session(conn)
    insert = "INSERT INTO events (id, tenant_id, type, body) VALUES ($1, $2, 'message.received', '{}')"
    await pool.execute(insert, old("evt_", 0), tenant_id)
    at_work = janitor(pool, blobs, now=TODAY + timedelta(days=60), event_days=30)
    async with pool.acquire() as backup, pool.acquire() as writer:
        await writer.execute("SET lock_timeout = '5s'")
        async with backup.transaction():
            await backup.fetchval("SELECT count(*) FROM events")
            working = asyncio.create_task(at_work.work())
            assert await waits(pool, working)
            await writer.execute(insert, old("evt_", -1), tenant_id)
            await working
        assert await writer.fetchval("SELECT to_regclass($1) IS NOT NULL", f"events_{TODAY:%Y%m%d}")
        await writer.execute("RESET lock_timeout")
    await at_work.work()
    assert await pool.fetchval("SELECT to_regclass($1) IS NULL", f"events_{TODAY:%Y%m%d}")


async def test_a_file_that_is_finished_while_the_folder_is_swept(
    pool: Pool, blobs: Blobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody renames it between the look into the folder and the look at the file: the round goes on."""
    part = blobs.path(old("med_", 0)).with_suffix(".part")
    part.parent.mkdir(parents=True, exist_ok=True)
    part.write_bytes(b"half")
    glob = Path.glob

    def rename_then(self: Path, pattern: str) -> Any:
        found = list(glob(self, pattern))
        part.rename(part.with_suffix(""))
        return iter(found)

    monkeypatch.setattr(Path, "glob", rename_then)
    await janitor(pool, blobs).work()
    assert part.with_suffix("").exists()
