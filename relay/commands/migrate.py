"""`relay migrate`: brings a database's schema up to date, the embedded one too while no server runs on it."""

import argparse
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime

from relay.commands.options import Commands, Options
from relay.config import Config
from relay.logs import say
from relay.model.errors import NotReady


def add_parser(commands: Commands, options: Options) -> None:
    parser = commands.add_parser(
        "migrate", parents=[options.settings], help="bring the database's schema up to date"
    )
    parser.set_defaults(run=_migrate)


async def _migrate(_arguments: argparse.Namespace, config: Config) -> None:
    from relay.store import migrate, pool  # noqa: PLC0415 - other commands need no database

    async with _open_url(config) as url:
        with pool.reaching():
            conn = await pool.connect(url, name="migrate")
        try:
            applied = await migrate.migrate(conn, now=datetime.now(UTC))
        finally:
            await conn.close()
    for name in applied or ["nothing to do"]:
        say(name)


@asynccontextmanager
async def _open_url(config: Config) -> AsyncIterator[str]:
    """The database's URL; the embedded one runs for as long as the block. Raises NotReady."""
    if config.database.url:
        yield config.database.url
        return
    from relay.store.embedded import EmbeddedPostgres  # noqa: PLC0415 - as above
    from relay.store.embedded_running import find_running  # noqa: PLC0415 - as above

    if find_running(config.data_dir) is not None:
        raise NotReady(
            f"A Relay runs on {config.data_dir}, and it migrated its database when it started. To bring it up to "
            "another version, stop it and start that version; `relay migrate` is for when it is stopped."
        )
    async with EmbeddedPostgres(config.data_dir) as postgres:
        yield postgres.url
