"""The connection pool: JSON as msgspec sees it, the schema checked by whoever opens it."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Any, TypeAlias

import asyncpg
import msgspec
from asyncpg.pool import PoolConnectionProxy

from relay.logs import mask
from relay.model.errors import NotReady

if TYPE_CHECKING:
    Connection: TypeAlias = asyncpg.Connection[Any] | PoolConnectionProxy[Any]
    Pool: TypeAlias = asyncpg.Pool[Any]
else:
    # asyncpg's classes are generic in its stubs only.
    Connection = asyncpg.Connection | PoolConnectionProxy
    Pool = asyncpg.Pool

# Nobody there, a wrong URL, name or password, too many there already.
_UNREACHABLE = (OSError, ValueError, asyncpg.PostgresError, asyncpg.InterfaceError)

# What asyncpg and the system raise when Postgres is gone, starting, full or silent; a connection that is cut in the
# middle of something may break asyncpg's own order (InternalClientError). Anything else is a fault of ours.
DATABASE_AWAY = (
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,
    asyncpg.InsufficientResourcesError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    OSError,
    TimeoutError,
)

# What it will never take, however often it is asked.
REFUSED = (asyncpg.DataError, asyncpg.IntegrityConstraintViolationError, asyncpg.ProgramLimitExceededError)

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode


async def _set_up(conn: Any) -> None:
    # jsonb's binary form is a version byte, 1, before the text.
    await conn.set_type_codec(
        "jsonb",
        schema="pg_catalog",
        encoder=lambda value: b"\x01" + _encode(value),
        decoder=lambda data: _decode(data[1:]),
        format="binary",
    )


@contextmanager
def reaching() -> Iterator[None]:
    """For whoever starts and connects: what is in the way is one sentence. Raises NotReady."""
    try:
        yield
    except _UNREACHABLE as error:
        raise NotReady(
            f"database.url: the database cannot be reached ({mask(str(error)) or type(error).__name__}). "
            "See that PostgreSQL runs there, and that host, name and password are right."
        ) from None


@asynccontextmanager
async def open_pool(url: str, *, size: int, name: str) -> AsyncIterator[Pool]:
    """A pool of at most `size` connections that show as `relay NAME` in pg_stat_activity. Raises NotReady."""
    with reaching():
        pool = await _create_pool(url, size=size, name=name)
    try:
        yield pool
    finally:
        await pool.close()


async def _create_pool(url: str, *, size: int, name: str) -> Pool:
    return await asyncpg.create_pool(
        url,
        min_size=1,
        max_size=size,
        init=_set_up,
        command_timeout=60,
        # A queue's table is empty now and holds 200,000 rows a second later: a plan that was cached for the empty
        # one reads the whole of the full one. Making a plan takes a fraction of a millisecond.
        server_settings={
            "application_name": f"relay {name}",
            "jit": "off",
            "plan_cache_mode": "force_custom_plan",
        },
    )


async def connect(url: str, *, name: str) -> Connection:
    """One connection outside a pool, for migrations and LISTEN."""
    conn = await asyncpg.connect(url, server_settings={"application_name": f"relay {name}"})
    await _set_up(conn)
    return conn
