"""Counters for the `limits` package in our own Postgres: they survive a restart, and every process counts alike.

Hits that come together are counted together, in one statement: the sender asks for hundreds of messages at once.
"""

import asyncio
import time
from collections.abc import Sequence
from typing import Any

import asyncpg
from limits.aio.storage import Storage

from relay.model.errors import NotSupported
from relay.store.pool import Connection, Pool

# An expired counter starts again from this hit. It does not wait for the disk: should Postgres itself crash, the
# last moments were not counted, and nothing worse.
_INCREMENT = """
    INSERT INTO rate_counters AS c (key, count, expires_at)
    SELECT h.key, h.amount, now() + make_interval(secs => h.seconds)
    FROM set_config('synchronous_commit', 'off', true),
         unnest($1::text[], $2::bigint[], $3::float8[]) AS h (key, amount, seconds)
    ORDER BY h.key
    ON CONFLICT (key) DO UPDATE
       SET count = CASE WHEN c.expires_at <= now() THEN excluded.count ELSE c.count + excluded.count END,
           expires_at = CASE WHEN c.expires_at <= now() THEN excluded.expires_at ELSE c.expires_at END
    RETURNING key, count
"""
_GET = "SELECT count FROM rate_counters WHERE key = $1 AND expires_at > now()"
_EXPIRY = "SELECT extract(epoch FROM expires_at)::float8 FROM rate_counters WHERE key = $1"
_LIST = "SELECT key, count FROM rate_counters WHERE key = ANY($1) AND expires_at > now()"
_CLEAR = "DELETE FROM rate_counters WHERE key = $1"
_DELETE_EXPIRED = "DELETE FROM rate_counters WHERE expires_at < now()"


class PostgresStorage(Storage):
    """Fixed windows, each from its first hit."""

    STORAGE_SCHEME = ["async+relay"]  # noqa: RUF012 - the base class declares it so

    def __init__(self, pool: Pool) -> None:
        super().__init__()
        self._pool = pool
        self._hits: list[tuple[str, int, int, asyncio.Future[int]]] = []
        self._counting: asyncio.Task[None] | None = None

    @property
    def base_exceptions(self) -> type[Exception]:
        return asyncpg.PostgresError

    async def incr(self, key: str, expiry: int, amount: int = 1) -> int:
        counted: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._hits.append((key, expiry, amount, counted))
        if self._counting is None:
            self._counting = asyncio.create_task(self._count(), name="rate_counters")
        return await counted

    async def _count(self) -> None:
        try:
            while self._hits:
                hits, self._hits = self._hits, []
                try:
                    counts = await self._add(hits)
                except Exception as error:  # noqa: BLE001 - it is raised to each of those who wait
                    for *_, counted in hits:
                        if not counted.done():
                            counted.set_exception(error)
                    continue
                for (*_, counted), count in zip(hits, counts, strict=True):
                    if not counted.done():
                        counted.set_result(count)
        finally:
            self._counting = None

    async def _add(self, hits: list[tuple[str, int, int, asyncio.Future[int]]]) -> list[int]:
        """What each hit saw: those of one key one after the other, as they came."""
        sums: dict[str, tuple[int, int]] = {}
        for key, expiry, amount, _ in hits:
            sums[key] = (sums.get(key, (0, 0))[0] + amount, expiry)
        rows = await self._pool.fetch(
            _INCREMENT,
            list(sums),
            [amount for amount, _ in sums.values()],
            [float(s) for _, s in sums.values()],
        )
        seen = {row["key"]: row["count"] - sums[row["key"]][0] for row in rows}
        counts = []
        for key, _, amount, _ in hits:
            seen[key] += amount
            counts.append(seen[key])
        return counts

    async def get(self, key: str) -> int:
        return await self._pool.fetchval(_GET, key) or 0

    async def get_expiry(self, key: str) -> float:
        return await self._pool.fetchval(_EXPIRY, key) or time.time()

    async def check(self) -> bool:
        return bool(await self._pool.fetchval("SELECT true"))

    async def reset(self) -> int | None:
        """Not offered: it would lift the budgets of every tenant at once."""
        raise NotSupported("Counters are cleared one by one.")

    async def clear(self, key: str) -> None:
        await self._pool.execute(_CLEAR, key)


async def list_counts(conn: Connection, keys: Sequence[str]) -> dict[str, int]:
    """What runs, of these; what has expired or was never counted is left out."""
    return {row["key"]: row["count"] for row in await conn.fetch(_LIST, keys)}


async def delete_expired(conn: Any) -> None:
    await conn.execute(_DELETE_EXPIRED)
