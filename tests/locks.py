"""Who waits for whom in a test's own database."""

import asyncio
from typing import Any

from relay.store.pool import Pool

_COUNT_WAITING = """
    SELECT count(*) FROM pg_stat_activity
    WHERE datname = current_database() AND cardinality(pg_blocking_pids(pid)) > 0
"""


async def waits(pool: Pool, task: "asyncio.Task[Any]") -> bool:
    """Look until somebody waits for another's lock (True), or the task has ended without (False)."""
    while not await pool.fetchval(_COUNT_WAITING):
        if task.done():
            return False
    return True


async def until_one_waits(pool: Pool, task: "asyncio.Task[Any]") -> None:
    """For a lock that somebody else holds in this database."""
    assert await waits(pool, task), "it did not wait"
