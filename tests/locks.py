"""Who waits for whom in a test's own database, and whom writers meet there: those who remove."""

import asyncio
from typing import Any

from relay.store import sessions, tenants
from relay.store.pool import Pool
from tests.desk import Account

_COUNT_WAITING = """
    SELECT count(*) FROM pg_stat_activity
    WHERE datname = current_database() AND cardinality(pg_blocking_pids(pid)) > 0
"""


async def waits(pool: Pool, task: "asyncio.Task[Any]", *, count: int = 1) -> bool:
    """Look until so many wait for others' locks (True), or the task has ended without (False)."""
    while await pool.fetchval(_COUNT_WAITING) < count:
        if task.done():
            return False
    return True


async def until_one_waits(pool: Pool, task: "asyncio.Task[Any]") -> None:
    """For a lock that somebody else holds in this database."""
    assert await waits(pool, task), "it did not wait"


async def remove_session(pool: Pool, account: Account) -> None:
    async with pool.acquire() as conn, conn.transaction():
        await sessions.delete_session(conn, *account)


async def remove_tenant(pool: Pool, account: Account) -> None:
    async with pool.acquire() as conn, conn.transaction():
        await tenants.delete_tenant(conn, account[0])
