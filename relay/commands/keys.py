"""`relay keys`: the master key, which is in the key file and wraps what seals every secret. API keys are `relay key`.

key file + database of this machine (the embedded one whether or not a server runs on it) ──► rotation
"""

import argparse
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from relay.commands.options import Commands, Options
from relay.commands.output import note, say_json, say_table
from relay.config import Config
from relay.logs import say
from relay.model.errors import NotReady, RelayError
from relay.vault import key_id_of, name_of, read_ring

if TYPE_CHECKING:
    from relay.commands.rotation import Rotated
    from relay.store.pool import Connection

_COLUMNS = {"MASTER KEY": "id", "STATE": "state", "WRAPS": "wraps"}
_UNNAMED = "(before keys had ids)"
_BROKEN_SHOWN = 10


class NotCopied(RelayError):
    """Other machines may not have the new key."""

    code = "not_copied"


def add_parser(commands: Commands, options: Options) -> None:
    group = commands.add_parser(
        "keys",
        help="the master key that seals all secrets at rest: list, rotate (API keys: relay key)",
        description="The master key, which seals all secrets at rest. For API keys, see `relay key`.",
    )
    actions = group.add_subparsers(required=True, metavar="ACTION")

    listing = actions.add_parser(
        "list",
        parents=[options.settings, options.json],
        help="the master keys in the key file, and what each one wraps",
    )
    listing.set_defaults(run=_list)

    rotate = actions.add_parser(
        "rotate",
        parents=[options.settings],
        help="replace the master key while everything runs",
        description="Replace the master key while everything runs: a new one is put into the key file, what the old "
        "one wrapped is wrapped by it, and the old one is dropped from the file. Run again after an "
        "interruption, it goes on where it was.",
    )
    how = rotate.add_mutually_exclusive_group()
    how.add_argument(
        "--prepare",
        action="store_true",
        help="only put the new key into the file, to be copied to the other machines before it is used",
    )
    how.add_argument(
        "--one-machine",
        action="store_true",
        help="with database.url set: every process of this Relay reads this very key file",
    )
    rotate.set_defaults(run=_rotate)


async def _list(arguments: argparse.Namespace, config: Config) -> None:
    from relay.commands import rotation  # noqa: PLC0415 - other commands need no database
    from relay.store.master_keys import count_by_key  # noqa: PLC0415 - as above

    keys = read_ring(config.master_key_file)
    async with _connect(config) as conn:
        named = await rotation.find_named(conn, keys)
        counts = await count_by_key(conn)
    ids = [key_id_of(key) for key in keys]
    rows = [{"id": name_of(one), "state": _state(one, named, ids), "wraps": counts[one]} for one in ids]
    for one in sorted(({named} | set(counts)) - set(ids)):
        name, state = (name_of(one), "missing") if one else (_UNNAMED, "in use")
        rows.append({"id": name, "state": state, "wraps": counts[one]})
    if arguments.json:
        say_json(rows)
    else:
        say_table(rows, _COLUMNS)


def _state(key_id: bytes, named: bytes, ids: list[bytes]) -> str:
    if key_id == named:
        return "wraps"
    return "waiting" if named not in ids or ids.index(key_id) < ids.index(named) else "old"


async def _rotate(arguments: argparse.Namespace, config: Config) -> int:
    from relay.commands import rotation  # noqa: PLC0415 - other commands need no database

    path, is_shared = config.master_key_file, bool(config.database.url)
    async with _connect(config) as conn:
        if arguments.prepare:
            _say_waiting(await rotation.prepare(conn, path), path)
            return 0
        ring = await rotation.read(conn, path)
        if is_shared and not (arguments.one_machine or ring.waiting or ring.old):
            raise NotCopied(
                "database.url is set, so other machines may share this database, and each needs the new key before "
                f"it is used. Run `relay keys rotate --prepare`, copy {path} to each of them, then run this again. If "
                "every process of this Relay reads this very file, say --one-machine."
            )
        done = await rotation.rotate(conn, path)
    _say_rotated(done, path, is_shared=is_shared and not arguments.one_machine)
    return 0 if done.dropped and not done.broken else 1


def _say_waiting(key_id: bytes, path: Path) -> None:
    say(f"{name_of(key_id)} waits in {path}; nothing uses it yet.")
    note(f"Copy {path} to every machine of this Relay (0600), then run `relay keys rotate` here.")


def _say_rotated(done: "Rotated", path: Path, *, is_shared: bool) -> None:
    if not done.began:
        note("A rotation was under way: it went on, and no other key was made.")
    say(f"{name_of(done.key_id)} wraps all new keys; wrapped anew: {done.rewrapped}.")
    if done.broken:
        shown = ", ".join(done.broken[:_BROKEN_SHOWN]) + (" …" if len(done.broken) > _BROKEN_SHOWN else "")
        note(
            f"No key in {path} opens the keys of: {shown}. Their rows are damaged, or came from another Relay."
        )
    if not done.dropped:
        note(
            f"The old keys stay in {path}: something is still wrapped by another key. `relay keys list` shows it."
        )
        return
    say(f"Dropped from {path}: {', '.join(map(name_of, done.dropped))}.")
    note(
        f"Back {path} up now. Backups of the database from before open with the key file of before only: keep that as "
        "long as them, and destroy it with them."
    )
    if is_shared:
        note(f"Copy {path} to the other machines once more, so that the old key is gone there too.")


@asynccontextmanager
async def _connect(config: Config) -> "AsyncIterator[Connection]":
    """The database, and no other rotation on it. Raises NotReady, ConfigError."""
    import asyncpg  # noqa: PLC0415 - other commands need no database

    from relay.store import migrate, pool  # noqa: PLC0415 - as above
    from relay.store.master_keys import lock_rotation  # noqa: PLC0415 - as above

    read_ring(config.master_key_file)
    async with _open_url(config) as url:
        with pool.reaching():
            conn = await pool.connect(url, name="keys")
        try:
            await migrate.require_current(conn)
            await lock_rotation(conn)
            yield conn
        except asyncpg.LockNotAvailableError:
            raise NotReady(
                "Another `relay keys`, or something long in the database, stands in the way. All that is sealed opens: "
                "run this again when it has ended."
            ) from None
        except pool.DATABASE_AWAY:
            raise NotReady(
                "The database went away. All that is sealed opens: run this again when it is back."
            ) from None
        finally:
            await conn.close()


@asynccontextmanager
async def _open_url(config: Config) -> AsyncIterator[str]:
    """The database's URL; the embedded one is started for the block where no server runs on it."""
    if config.database.url:
        yield config.database.url
        return
    from relay.store.embedded import EmbeddedPostgres  # noqa: PLC0415 - other commands need no database
    from relay.store.embedded_running import find_running  # noqa: PLC0415 - as above

    running = find_running(config.data_dir)
    if running is None:
        async with EmbeddedPostgres(config.data_dir) as postgres:
            yield postgres.url
    elif running.url is None:
        raise NotReady("PostgreSQL runs, and its socket or password is not to be found: see `relay doctor`.")
    else:
        yield running.url
