"""The schema: numbered forward-only SQL files, one transaction each, one migrator at a time.

`migrate` brings a database up to date; `require_current` is what a role calls before it works. `add_partitions`
makes the days ahead of `events` and `attempts`; `drop_partitions` ends the days that are too old.
"""

import logging
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from importlib import resources

import asyncpg

from relay.model import ids
from relay.model.errors import NotReady
from relay.store.pool import Connection

log = logging.getLogger(__name__)

_LOCK = 0x52454C4159  # "RELAY": the advisory lock of migrations and partitions
_OLDEST_SERVER = 140000
_PARTITIONED = (("events", "evt_"), ("attempts", "dlv_"))
_DAYS_AHEAD = 7
_LOCK_WAIT = "300ms"
"""For a table that everybody writes to; there are days enough to try it again."""


def migrations() -> list[tuple[int, str, str]]:
    """Every migration as (number, name, SQL), in order."""
    found = []
    for file in (resources.files("relay.store") / "migrations").iterdir():
        match = re.fullmatch(r"(\d{4})_\w+\.sql", file.name)
        if match:
            found.append((int(match[1]), file.name, file.read_text("utf-8")))
    return sorted(found)


_CREATE_LEDGER = """
    CREATE TABLE IF NOT EXISTS relay_migrations (
        number integer PRIMARY KEY, name text NOT NULL, applied_at timestamptz NOT NULL DEFAULT now())
"""


async def migrate(conn: Connection, *, now: datetime) -> list[str]:
    """Apply what is missing; answers the names applied. Raises NotReady on a server that is too old."""
    if await conn.fetchval("SELECT current_setting('server_version_num')::int") < _OLDEST_SERVER:
        raise NotReady("Relay needs PostgreSQL 14 or newer; point database.url at one.")
    await conn.execute("SELECT pg_advisory_lock($1)", _LOCK)
    try:
        await conn.execute(_CREATE_LEDGER)
        applied = [name async for name in _apply_missing(conn)]
        await add_partitions(conn, now=now)
    finally:
        await conn.execute("SELECT pg_advisory_unlock($1)", _LOCK)
    return applied


async def _apply_missing(conn: Connection):  # type: ignore[no-untyped-def]
    done = {row["number"] for row in await conn.fetch("SELECT number FROM relay_migrations")}
    for number, name, sql in migrations():
        if number in done:
            continue
        async with conn.transaction():
            await conn.execute(sql)
            await conn.execute("INSERT INTO relay_migrations (number, name) VALUES ($1, $2)", number, name)
        log.info("migration.applied", extra={"migration": name})
        yield name


async def require_current(conn: Connection) -> None:
    """Raise NotReady unless the schema is the one this version was written for."""
    latest = migrations()[-1][0]
    try:
        applied = await conn.fetchval("SELECT max(number) FROM relay_migrations") or 0
    except asyncpg.UndefinedTableError:
        applied = 0
    if applied < latest:
        raise NotReady(
            f"The database schema is at {applied}, this version needs {latest}: run `relay migrate`."
        )
    if applied > latest:
        raise NotReady(
            f"The database schema is at {applied}, newer than this version ({latest}): upgrade Relay."
        )


def _days(now: datetime) -> Iterator[datetime]:
    today = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    return (today + timedelta(days=offset) for offset in range(-1, _DAYS_AHEAD + 1))


async def add_partitions(conn: Connection, *, now: datetime) -> None:
    """Make yesterday's to next week's partitions where they are missing; what is busy now, the next time."""
    for table, prefix in _PARTITIONED:
        for day in _days(now):
            name = f"{table}_{day:%Y%m%d}"
            if await conn.fetchval("SELECT to_regclass($1)", name) is None:
                start, end = ids.floor(prefix, day), ids.floor(prefix, day + timedelta(days=1))
                if not await _change(
                    conn,
                    f"CREATE TABLE IF NOT EXISTS {name} PARTITION OF {table} FOR VALUES FROM ('{start}') TO ('{end}')",
                ):
                    break


async def _change(conn: Connection, sql: str) -> bool:
    """False where somebody reads the table for long (a backup): all who write to it would wait behind us."""
    try:
        async with conn.transaction():
            await conn.execute(f"SET LOCAL lock_timeout = '{_LOCK_WAIT}'")
            await conn.execute(sql)
    except asyncpg.LockNotAvailableError:
        log.warning("partition.busy", extra={"statement": sql.partition(" FOR ")[0]})
        return False
    return True


_LIST_PARTITIONS = """
    SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
    WHERE i.inhparent = $1::regclass ORDER BY c.relname
"""


async def drop_partitions(conn: Connection, *, before: datetime) -> list[str]:
    """Drop the days that ended before `before`, except those with something still owed."""
    dropped = []
    for table, prefix in _PARTITIONED:
        for row in await conn.fetch(_LIST_PARTITIONS, table):
            day = datetime.strptime(row["relname"][-8:], "%Y%m%d").replace(tzinfo=UTC)
            end = ids.floor(prefix, day + timedelta(days=1))
            if day + timedelta(days=1) > before or await _is_owed(conn, table, end):
                continue
            if not await _change(conn, f"DROP TABLE {row['relname']}"):
                break
            dropped.append(row["relname"])
    return dropped


async def _is_owed(conn: Connection, table: str, end: str) -> bool:
    column = "event_id" if table == "events" else "id"
    owed: bool = await conn.fetchval(f"SELECT EXISTS (SELECT FROM deliveries WHERE {column} < $1)", end)
    return owed
