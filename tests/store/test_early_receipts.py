"""Receipts that came too early, looked at while their session is being deleted."""

import asyncio
from typing import Any

from relay.host.inbox_transaction import Transaction
from relay.store import early_receipts
from relay.store.inbound import Change
from relay.store.pool import Pool
from tests.accounts import AT, MARIA_CHAT
from tests.desk import Account, sent
from tests.locks import remove_session, until_one_waits, waits
from tests.owing import VAULT


async def test_a_look_and_a_deletion_do_not_wait_in_a_circle(pool: Pool, account: Account) -> None:
    """The deletion has the session and wants the receipts; whoever looks has the receipts and wants the session."""
    message_id = await sent(pool, account, "S1")
    early = Change(session_id=account[1], chat=MARIA_CHAT, wa_id="S1", sender="me", at=AT, value="read")

    async def look() -> None:
        async with pool.acquire() as conn, conn.transaction():
            await Transaction(conn, VAULT).lift_early(all_ages=False)

    async with pool.acquire() as conn:
        await early_receipts.insert_early(conn, [early])
        async with conn.transaction():
            # Somebody marks a message, so that the deletion is in its middle for a while.
            await conn.execute("SELECT FROM whatsapp_messages WHERE id = $1 FOR UPDATE", message_id)
            removing: asyncio.Task[Any] = asyncio.create_task(remove_session(pool, account))
            await until_one_waits(pool, removing)
            looking: asyncio.Task[Any] = asyncio.create_task(look())
            await waits(pool, looking, count=2)
    async with asyncio.timeout(20):
        outcomes = await asyncio.gather(removing, looking, return_exceptions=True)
    assert [one for one in outcomes if one is not None] == []
    assert await pool.fetchval("SELECT count(*) FROM events") == 0
