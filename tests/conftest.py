"""A real Postgres for the whole run, and a database of its own for each test.

`RELAY_TEST_DATABASE_URL` names a server to use (its user must be allowed to create databases); without it the
embedded one is started in a temporary folder. A migrated template is copied for each test, in about 20 ms.
"""

import asyncio
import os
import secrets
import tempfile
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import pytest

from relay.store import migrate
from relay.store.embedded import EmbeddedPostgres
from relay.store.pool import Pool, connect, open_pool

pytest_plugins = ["relay.plugin.testing"]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """What was left out is said aloud, once: a run without a browser is not a whole one."""
    skipped = terminalreporter.stats.get("skipped", [])
    left_out = [report for report in skipped if "tests/console/" in report.nodeid]
    if left_out:
        terminalreporter.section("LEFT OUT", red=True, bold=True)
        terminalreporter.line(f"{len(left_out)} tests of the console: no Chromium was found on this machine.")
        terminalreporter.line("Install one for a whole run (on Debian and Ubuntu: apt install chromium).")


def database_url(server: str, name: str) -> str:
    """`server` with another database."""
    return urlunsplit(urlsplit(server)._replace(path=f"/{name}"))


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """A server's URL."""
    given = os.environ.get("RELAY_TEST_DATABASE_URL")
    if given:
        yield given
        return
    with tempfile.TemporaryDirectory(prefix="relay-test-") as folder, asyncio.Runner() as runner:
        # Tests may lose their database with the power; the product's may not.
        postgres = EmbeddedPostgres(Path(folder), settings={"fsync": "off", "synchronous_commit": "off"})
        yield runner.run(postgres.start())
        runner.run(postgres.stop())


@pytest.fixture(scope="session")
def template_database(postgres_url: str) -> str:
    """The name of a migrated database to copy."""

    async def create() -> str:
        name = f"relay_template_{secrets.token_hex(4)}"
        admin = await connect(postgres_url, name="tests")
        await admin.execute(f"CREATE DATABASE {name}")
        await admin.close()
        conn = await connect(database_url(postgres_url, name), name="tests")
        await migrate.migrate(conn, now=datetime.now(UTC))
        await conn.close()
        return name

    return asyncio.run(create())


@pytest.fixture
async def url(postgres_url: str, template_database: str) -> AsyncIterator[str]:
    """A fresh, migrated database for one test."""
    name = f"relay_test_{secrets.token_hex(6)}"
    admin = await connect(postgres_url, name="tests")
    await admin.execute(f"CREATE DATABASE {name} TEMPLATE {template_database} STRATEGY file_copy")
    yield database_url(postgres_url, name)
    await admin.execute(f"DROP DATABASE {name} WITH (FORCE)")
    await admin.close()


@pytest.fixture
async def pool(url: str) -> AsyncIterator[Pool]:
    async with open_pool(url, size=8, name="tests") as pool:
        yield pool
