"""A file that is fetched while its message is being removed."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest

from relay.model.ids import MediaId, TenantId, new_media_id
from relay.store import contact_removal, media_fetches
from relay.store.media_fetches import Fetch, NewFetch
from relay.store.pool import Connection, Pool
from tests.accounts import AT, MARIA, received
from tests.desk import Account, Desk
from tests.locks import waits

Outcome = Callable[[Connection, Fetch], Awaitable[Any]]


async def it_is_there(conn: Connection, fetch: Fetch) -> Any:
    return await media_fetches.finish(conn, fetch, claim="c", told={"mediaStatus": "stored"})


async def it_never_will_be(conn: Connection, fetch: Fetch) -> Any:
    return await media_fetches.fail(conn, fetch, claim="c", error="media_gone")


async def promised(desk: Desk, account: Account) -> Fetch:
    """A message of Maria's, and its file, claimed."""
    await desk.take(account, received("W1"))
    (message,) = await desk.messages(account)
    media_id: MediaId = new_media_id()
    await desk.pool.execute(
        "UPDATE whatsapp_messages SET content = content || $2 WHERE id = $1",
        message.id,
        {"mediaId": media_id},
    )
    new = NewFetch(
        media_id=media_id,
        tenant_id=TenantId(account[0]),
        session_id=account[1],
        message_id=message.id,
        kind="image",
        reference=b"sealed",
        history=False,
    )
    async with desk.pool.acquire() as conn:
        await media_fetches.insert_fetches(conn, [new])
        [fetch] = await media_fetches.claim_fetches(
            conn, {account[1]: 1}, limit=1, claim="c", lasts=timedelta(seconds=600)
        )
    return fetch


class Paused:
    """A connection that waits after its first statement."""

    def __init__(self, conn: Connection, goes_on: asyncio.Event) -> None:
        self._conn = conn
        self._goes_on = goes_on
        self.has_begun = asyncio.Event()

    async def execute(self, *args: Any) -> str:
        done: str = await self._conn.execute(*args)
        self.has_begun.set()
        await self._goes_on.wait()
        return done

    async def fetchrow(self, *args: Any) -> Any:
        return await self._conn.fetchrow(*args)


@pytest.mark.parametrize("outcome", [it_is_there, it_never_will_be])
async def test_a_contact_is_removed_just_when_its_file_has_come(
    desk: Desk, pool: Pool, account: Account, outcome: Outcome
) -> None:
    """Whoever came first has finished: neither the removal nor the fetch fails."""
    fetch = await promised(desk, account)
    contact_id = await pool.fetchval("SELECT id FROM whatsapp_contacts WHERE pn = $1", MARIA.pn)
    goes_on = asyncio.Event()

    async def end_fetch(paused: Paused) -> None:
        await outcome(paused, fetch)  # type: ignore[arg-type]

    async def remove() -> None:
        async with pool.acquire() as conn:
            async with conn.transaction():
                hidden = await contact_removal.hide_contact(conn, account[0], contact_id)
            async with conn.transaction():
                await contact_removal.delete_contact(conn, hidden, at=AT)

    async with pool.acquire() as conn, asyncio.timeout(20):
        transaction = conn.transaction()
        await transaction.start()
        paused = Paused(conn, goes_on)
        ending = asyncio.create_task(end_fetch(paused))
        await paused.has_begun.wait()
        removing: asyncio.Task[Any] = asyncio.create_task(remove())
        assert await waits(pool, removing)
        goes_on.set()
        broken = [one for one in await asyncio.gather(ending, return_exceptions=True) if one]
        await (transaction.rollback() if broken else transaction.commit())
        broken += [one for one in await asyncio.gather(removing, return_exceptions=True) if one]
    assert broken == []
    assert await pool.fetchval("SELECT count(*) FROM media_fetches") == 0
