"""Who is signed in at the console: found by the hash of a cookie's text. Ring `keys` after the commit of a deletion."""

from datetime import datetime

from msgspec import Struct

from relay.model.ids import KeyId
from relay.store.pool import Connection


class ConsoleSession(Struct, frozen=True, kw_only=True):
    key_id: KeyId | None
    """The key that signed in; None for the operator's of the environment."""
    operator_proof: bytes | None
    created_at: datetime
    expires_at: datetime


_INSERT = """
    INSERT INTO console_sessions (hash, key_id, operator_proof, created_at, expires_at) VALUES ($1, $2, $3, $4, $5)
"""


async def insert_session(conn: Connection, hash_: bytes, session: ConsoleSession) -> None:
    await conn.execute(
        _INSERT, hash_, session.key_id, session.operator_proof, session.created_at, session.expires_at
    )


_FIND = "SELECT key_id, operator_proof, created_at, expires_at FROM console_sessions WHERE hash = $1"


async def find_session(conn: Connection, hash_: bytes) -> ConsoleSession | None:
    """Expired ones too: the caller judges. Without a tenant, for the key that it leads to tells the tenant."""
    row = await conn.fetchrow(_FIND, hash_)
    return None if row is None else ConsoleSession(**row)


_RENEW = "UPDATE console_sessions SET expires_at = $2 WHERE hash = $1"


async def renew_session(conn: Connection, hash_: bytes, *, expires_at: datetime) -> None:
    await conn.execute(_RENEW, hash_, expires_at)


_DELETE = "DELETE FROM console_sessions WHERE hash = $1"


async def delete_session(conn: Connection, hash_: bytes) -> None:
    await conn.execute(_DELETE, hash_)


_DELETE_EXPIRED = "DELETE FROM console_sessions WHERE expires_at <= $1"


async def delete_expired(conn: Connection, *, now: datetime) -> None:
    await conn.execute(_DELETE_EXPIRED, now)
