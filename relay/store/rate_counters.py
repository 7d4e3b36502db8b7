"""Counters for the `limits` package in our own Postgres: they survive a restart, and every process counts alike."""

import time
from typing import Any

import asyncpg
from limits.aio.storage import Storage

from relay.store.pool import Pool

# An expired counter starts again from this hit. It does not wait for the disk: should Postgres itself crash, the
# last moments were not counted, and nothing worse.
_INCREMENT = """
    INSERT INTO rate_counters AS c (key, count, expires_at)
    SELECT $1, $2, now() + make_interval(secs => $3) FROM set_config('synchronous_commit', 'off', true)
    ON CONFLICT (key) DO UPDATE
       SET count = CASE WHEN c.expires_at <= now() THEN excluded.count ELSE c.count + excluded.count END,
           expires_at = CASE WHEN c.expires_at <= now() THEN excluded.expires_at ELSE c.expires_at END
    RETURNING count
"""
_GET = "SELECT count FROM rate_counters WHERE key = $1 AND expires_at > now()"
_EXPIRY = "SELECT extract(epoch FROM expires_at)::float8 FROM rate_counters WHERE key = $1"
_CLEAR = "DELETE FROM rate_counters WHERE key = $1"
_DELETE_EXPIRED = "DELETE FROM rate_counters WHERE expires_at < now()"


class PostgresStorage(Storage):
    """Fixed windows, each from its first hit."""

    STORAGE_SCHEME = ["async+relay"]  # noqa: RUF012 - the base class declares it so

    def __init__(self, pool: Pool) -> None:
        super().__init__()
        self._pool = pool

    @property
    def base_exceptions(self) -> type[Exception]:
        return asyncpg.PostgresError

    async def incr(self, key: str, expiry: int, amount: int = 1) -> int:
        count: int = await self._pool.fetchval(_INCREMENT, key, amount, float(expiry))
        return count

    async def get(self, key: str) -> int:
        return await self._pool.fetchval(_GET, key) or 0

    async def get_expiry(self, key: str) -> float:
        return await self._pool.fetchval(_EXPIRY, key) or time.time()

    async def check(self) -> bool:
        return bool(await self._pool.fetchval("SELECT true"))

    async def reset(self) -> int | None:
        """Not offered: it would lift the budgets of every tenant at once."""
        raise NotImplementedError

    async def clear(self, key: str) -> None:
        await self._pool.execute(_CLEAR, key)


async def delete_expired(conn: Any) -> None:
    await conn.execute(_DELETE_EXPIRED)
