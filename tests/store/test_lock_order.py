"""Whoever deletes a session, and whoever writes of it just then: one waits for the other, and neither in a circle."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from relay.host.ledger import LeaseLost, Ledger
from relay.model.session import SessionStatus
from relay.store import sessions
from relay.store.doorbell import Doorbell
from relay.store.pool import Pool
from relay.store.sessions import Request, StatusChange
from tests.desk import Account, sent
from tests.locks import remove_session, remove_tenant, until_one_waits, waits
from tests.owing import VAULT

Write = Callable[[Ledger, Request], Awaitable[None]]


async def a_status(ledger: Ledger, request: Request) -> None:
    change = StatusChange(status=SessionStatus.CONNECTING, reason="starting")
    await ledger.write(request, change, banned_until=None, tell=True)


async def an_auth_state(ledger: Ledger, request: Request) -> None:
    await ledger.save_auth(request, b"a state")


async def a_logout(ledger: Ledger, request: Request) -> None:
    await ledger.erase_auth(request)


@pytest.mark.parametrize("remove", [remove_session, remove_tenant])
@pytest.mark.parametrize("write", [a_status, an_auth_state, a_logout])
async def test_a_session_is_deleted_while_its_host_writes(
    pool: Pool, url: str, account: Account, write: Write, remove: Callable[[Pool, Account], Awaitable[None]]
) -> None:
    """The host learns that it is gone; the deletion is not what fails."""
    message_id = await sent(pool, account, "S1")
    ledger = Ledger(pool, VAULT, Doorbell(url, name="tests"), term=1, is_ours=lambda: True)
    async with pool.acquire() as conn:
        [request] = await sessions.list_requests(conn, {account[1]: -1})
        await ledger.save_auth(request, b"an older state")
        async with conn.transaction():
            # Somebody marks a message, so that the deletion is in its middle for a while.
            await conn.execute("SELECT FROM whatsapp_messages WHERE id = $1 FOR UPDATE", message_id)
            removing: asyncio.Task[Any] = asyncio.create_task(remove(pool, account))  # type: ignore[arg-type]
            await until_one_waits(pool, removing)
            writing: asyncio.Task[Any] = asyncio.create_task(write(ledger, request))  # type: ignore[arg-type]
            await waits(pool, writing, count=2)
    async with asyncio.timeout(20):
        outcomes = await asyncio.gather(removing, writing, return_exceptions=True)
    assert [type(one) for one in outcomes] == [type(None), LeaseLost]
    assert await pool.fetchval("SELECT count(*) FROM events") == 0
