"""The schema: made once whoever comes first, refused when it is not this version's, and strict about states."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import asyncpg
import pytest

from relay.model.delivery import Outcome
from relay.model.errors import NotReady
from relay.model.message import MessageStatus, Origin
from relay.model.session import SessionStatus
from relay.store import migrate
from relay.store.pool import Pool, connect
from tests.accounts import add_session
from tests.conftest import database_url

NOW = datetime.now(UTC)


@pytest.fixture
async def empty_url(postgres_url: str) -> AsyncIterator[str]:
    """A database with nothing in it."""
    admin = await connect(postgres_url, name="tests")
    await admin.execute("CREATE DATABASE relay_empty")
    yield database_url(postgres_url, "relay_empty")
    await admin.execute("DROP DATABASE relay_empty WITH (FORCE)")
    await admin.close()


async def test_several_at_once_migrate_once(empty_url: str) -> None:
    """Five processes start together: one applies, four wait and find it done; a later start has nothing to do."""

    async def start() -> list[str]:
        conn = await connect(empty_url, name="tests")
        try:
            return await migrate.migrate(conn, now=NOW)
        finally:
            await conn.close()

    applied = await asyncio.gather(*[start() for _ in range(5)])
    every = [name for _number, name, _sql in migrate.migrations()]
    assert sorted(applied, key=len) == [[], [], [], [], every]
    assert await start() == []


async def test_a_role_refuses_what_is_not_its_schema(empty_url: str) -> None:
    """An empty database and one of a newer version each give a sentence that says what to do."""
    conn = await connect(empty_url, name="tests")
    with pytest.raises(NotReady, match="relay migrate"):
        await migrate.require_current(conn)
    await migrate.migrate(conn, now=NOW)
    await migrate.require_current(conn)
    await conn.execute("INSERT INTO relay_migrations (number, name) VALUES (9999, 'later')")
    with pytest.raises(NotReady, match="upgrade Relay"):
        await migrate.require_current(conn)
    await conn.close()


async def test_a_migration_that_fails_leaves_nothing(empty_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its transaction is undone, those before it stay, and the next try goes on there."""
    conn = await connect(empty_url, name="tests")
    good = migrate.migrations()
    bad = (9000, "9000_bad.sql", "CREATE TABLE half (id int); SELECT 1 / 0")
    monkeypatch.setattr(migrate, "migrations", lambda: [*good, bad])
    with pytest.raises(asyncpg.DivisionByZeroError):
        await migrate.migrate(conn, now=NOW)
    assert await conn.fetchval("SELECT to_regclass('half')") is None
    assert await conn.fetchval("SELECT max(number) FROM relay_migrations") == good[-1][0]
    monkeypatch.setattr(migrate, "migrations", lambda: good)
    assert await migrate.migrate(conn, now=NOW) == []
    await conn.close()


def test_migrations_are_numbered_without_a_gap() -> None:
    numbers = [number for number, _name, _sql in migrate.migrations()]
    assert numbers == list(range(1, len(numbers) + 1))


@pytest.mark.parametrize(
    ("table", "column", "states"),
    [
        ("whatsapp_sessions", "status", SessionStatus),
        ("whatsapp_messages", "status", MessageStatus),
        ("whatsapp_messages", "origin", Origin),
        ("attempts", "outcome", Outcome),
    ],
)
async def test_the_schema_knows_every_state_and_no_other(
    pool: Pool, table: str, column: str, states: type[SessionStatus | MessageStatus | Origin | Outcome]
) -> None:
    """The CHECK of a column lists exactly the values of its enum."""
    check = await pool.fetchval(
        "SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conrelid = $1::text::regclass AND conname = $2",
        table,
        f"{table}_{column}_check",
    )
    assert sorted(check.split("'")[1::2]) == sorted(states)


async def test_a_state_of_nobodys_is_refused(pool: Pool) -> None:
    """Also by hand."""
    async with pool.acquire() as conn:
        _tenant, session_id = await add_session(conn)
        with pytest.raises(asyncpg.CheckViolationError):
            await conn.execute("UPDATE whatsapp_sessions SET status = 'happy' WHERE id = $1", session_id)
