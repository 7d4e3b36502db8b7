"""Which master key wraps, and wrapping anew what another one wrapped: tenants' data keys and sessions' keys.

    a new key: in the file ─► named here ─► every row wrapped by it, some at a time ─► the old one out of the file

Whoever wraps reads the name and holds it until the commit; naming another waits for that. So, once a key is named,
no row comes by another, on any machine.
"""

from collections import Counter
from contextlib import suppress

from msgspec import Struct

from relay.store.pool import Connection
from relay.vault import SealBroken, Vault, head_of

_LOCK = 0x52454C4159_4B  # "RELAYK": the advisory lock of rotations
_AT_ONCE = 100

_NAMED = "SELECT key_id FROM master_key FOR SHARE"
_NAME_FIRST = "INSERT INTO master_key (key_id) VALUES ($1) ON CONFLICT DO NOTHING"


async def get_wrapping_key(conn: Connection, vault: Vault) -> bytes:
    """The id of the key that wraps, until the transaction ends; a new database names the newest of `vault`."""
    named: bytes | None = await conn.fetchval(_NAMED)
    if named is None:
        await conn.execute(_NAME_FIRST, vault.newest)
        named = await conn.fetchval(_NAMED)
    assert named is not None  # noqa: S101 - it is never deleted
    return named


_NAME = "UPDATE master_key SET key_id = $1"


async def name_wrapping_key(conn: Connection, key_id: bytes) -> None:
    """From the commit on, `key_id` wraps; waits for whoever is wrapping with the one before."""
    await conn.execute(_NAME, key_id)


async def lock_rotation(conn: Connection) -> None:
    """No other rotation until `conn` is closed. Raises asyncpg.LockNotAvailableError, as every later wait of it."""
    await conn.execute("SET lock_timeout = '10s'")
    await conn.execute("SELECT pg_advisory_lock($1)", _LOCK)


class Place(Struct, frozen=True, kw_only=True):
    """A column of wrapped keys."""

    table: str
    id: str
    column: str
    identity: str

    def identity_of(self, row_id: str) -> str:
        return self.identity.format(row_id)


PLACES = (
    Place(table="tenants", id="id", column="data_key", identity="tenant/{}/data_key"),
    Place(table="whatsapp_session_keys", id="session_id", column="wrapped", identity="session/{}/key"),
)


class Batch(Struct, frozen=True, kw_only=True):
    last: str
    """The id that the next batch comes after."""
    rewrapped: int
    broken: list[str]
    """The ids of what no key of the ring opens."""


_LIST_OTHERS = """
    SELECT {id} AS id, {column} AS wrapped FROM {table}
    WHERE {id} > $2 AND substr({column}, 1, 9) <> $1 ORDER BY {id} LIMIT $3
"""
# Whoever changed or deleted the row meanwhile is not undone.
_SWAP = """
    UPDATE {table} SET {column} = fresh.wrapped
    FROM unnest($1::text[], $2::bytea[], $3::bytea[]) AS fresh (id, old, wrapped)
    WHERE {table}.{id} = fresh.id AND {table}.{column} = fresh.old
"""


async def rewrap_batch(
    conn: Connection, vault: Vault, place: Place, *, key_id: bytes, after: str
) -> Batch | None:
    """Wrap some of what another key wrapped by `key_id`; None when there is nothing after `after`."""
    rows = await conn.fetch(_sql(_LIST_OTHERS, place), head_of(key_id), after, _AT_ONCE)
    if not rows:
        return None
    fresh: dict[str, bytes] = {}
    for row in rows:
        with suppress(SealBroken):
            identity = place.identity_of(row["id"])
            fresh[row["id"]] = vault.rewrap(row["wrapped"], identity=identity, key_id=key_id)
    old = [row["wrapped"] for row in rows if row["id"] in fresh]
    done: str = await conn.execute(_sql(_SWAP, place), list(fresh), old, list(fresh.values()))
    return Batch(
        last=rows[-1]["id"],
        rewrapped=int(done.split()[1]),
        broken=[row["id"] for row in rows if row["id"] not in fresh],
    )


_HEADS = """
    SELECT head, count(*) FROM (
        SELECT CASE WHEN substr({column}, 1, 1) = '\\x02' THEN substr({column}, 2, 8) ELSE '' END AS head FROM {table}
    ) AS heads GROUP BY head
"""


async def count_by_key(conn: Connection) -> Counter[bytes]:
    """How many keys each master key wraps, by its id; `b""` for those of before keys had ids."""
    counts: Counter[bytes] = Counter()
    for place in PLACES:
        for row in await conn.fetch(_sql(_HEADS, place)):
            counts[row["head"]] += row["count"]
    return counts


def _sql(text: str, place: Place) -> str:
    return text.format(table=place.table, id=place.id, column=place.column)
