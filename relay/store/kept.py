"""A connection that a loop keeps from one step to the next, whose commits do not wait for the disk.

Should Postgres itself crash, the last half second of claims and settles may be undone: what they were about is due
again and sent once more, under the same name.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from relay.store.pool import Connection, Pool

_SETTINGS = "SET synchronous_commit = off"


class KeptConnection:
    """Taken from the pool at the first use, and again after an error; for one user at a time."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._conn: Connection | None = None

    @asynccontextmanager
    async def use(self) -> AsyncIterator[Connection]:
        try:
            if self._conn is None:
                self._conn = await self._pool.acquire()
                await self._conn.execute(_SETTINGS)
            yield self._conn
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        """Give it back to the pool, which resets it."""
        conn, self._conn = self._conn, None
        if conn is not None:
            await self._pool.release(conn)  # type: ignore[arg-type]
