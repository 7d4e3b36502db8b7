"""A contact's removal, while others write of it: whoever came first has finished, and nothing is left of either."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from relay.api.accept import Acceptor
from relay.config import Config
from relay.engines.engine import Acknowledged
from relay.host.inbox_transaction import Transaction
from relay.janitor import Janitor
from relay.model.errors import NotFound
from relay.model.ids import ContactId
from relay.model.message import Party
from relay.replies.events import automation_event
from relay.store import (
    contact_removal,
    facts,
    inbound,
    outbox,
    outgoing,
    reply_tasks,
    session_locks,
    tenants,
)
from relay.store.blobs import Blobs
from relay.store.idempotency import Answer, Place
from relay.store.inbound import Change
from relay.store.pool import Connection, Pool
from relay.vault import DataKey
from tests.accounts import AT, MARIA, MARIA_CHAT, add_session, received, record_of
from tests.desk import Account, Desk, accepted, queued, sent
from tests.locks import remove_session, remove_tenant, waits
from tests.owing import VAULT, add_endpoint

Write = Callable[[Connection, Account], Awaitable[None]]


def delivered(wa_id: str) -> Acknowledged:
    return Acknowledged(wa_ids=[wa_id], chat=MARIA_CHAT, status="delivered", at=AT)


async def remove(pool: Pool, account: Account) -> None:
    contact_id = await pool.fetchval("SELECT id FROM whatsapp_contacts WHERE pn = $1", MARIA.pn)
    async with pool.acquire() as conn:
        async with conn.transaction():
            hidden = await contact_removal.hide_contact(conn, account[0], contact_id)
        async with conn.transaction():
            await contact_removal.delete_contact(conn, hidden, at=AT)


# --- whoever writes ---------------------------------------------------------------------------------------------------


async def a_message_arrives(conn: Connection, account: Account) -> None:
    await Transaction(conn, VAULT).store([record_of(account, received("W2"))])


async def a_receipt_arrives(conn: Connection, account: Account) -> None:
    await Transaction(conn, VAULT).store([record_of(account, delivered("S1"))])


async def a_message_is_edited(conn: Connection, account: Account) -> None:
    """By the API, which holds nothing but the message."""
    change = Change(session_id=account[1], chat=MARIA_CHAT, wa_id="S1", sender="me", at=AT, value="Boa tarde")
    rows = await inbound.edit_messages(conn, [change])
    await outbox.insert_events(conn, [facts.message_edited(row) for row in rows])
    assert rows


async def a_message_is_cancelled(conn: Connection, account: Account) -> None:
    """One that was not sent yet, and so is nobody's."""
    message_id = await conn.fetchval("SELECT id FROM whatsapp_messages WHERE status = 'queued'")
    row = await outgoing.cancel_message(conn, account[0], message_id)
    await outbox.insert_events(conn, [facts.message_status(row, AT)])


async def a_bot_answers(conn: Connection, account: Account) -> None:
    task = await conn.fetchval("SELECT message_id FROM reply_tasks")
    [row] = await reply_tasks.lock_tasks(conn, [task], claim="c")
    await outgoing.insert_accepted(conn, [accepted(account, origin="bot")])
    event = automation_event(
        "automation.matched",
        at=AT,
        tenant_id=account[0],
        session_id=account[1],
        chat=MARIA_CHAT,
        contact_id=ContactId(str(row.contact_id)),
        data={},
    )
    await outbox.insert_events(conn, [event])
    await reply_tasks.delete_tasks(conn, [task], claim="c")


# --- and what is left -------------------------------------------------------------------------------------------------

_LEFT = {
    "messages": "SELECT count(*) FROM whatsapp_messages WHERE chat = $1",
    "events": "SELECT count(*) FROM events WHERE strpos(chat || body, $1) > 0",
    "deliveries": "SELECT count(*) FROM deliveries WHERE event_id NOT IN (SELECT id FROM events) AND $1 <> ''",
    "chats": "SELECT count(*) FROM whatsapp_chats WHERE jid = $1",
    "contacts": "SELECT count(*) FROM whatsapp_contacts WHERE pn || '@s.whatsapp.net' = $1",
    "hidden": "SELECT count(*) FROM whatsapp_contacts WHERE pn IS NULL AND lid IS NULL AND $1 <> ''",
    "reply tasks": "SELECT count(*) FROM reply_tasks WHERE chat = $1",
    "receipts": "SELECT count(*) FROM early_receipts WHERE chat = $1",
}


async def left(pool: Pool) -> dict[str, int]:
    counted = {name: await pool.fetchval(sql, MARIA_CHAT) for name, sql in _LEFT.items()}
    return {name: count for name, count in counted.items() if count}


@pytest.fixture
async def account(pool: Pool, desk: Desk) -> Account:
    """Maria has written, was answered, and is to be written to; an endpoint hears of it all."""
    async with pool.acquire() as conn:
        account = await add_session(conn, automation=True)
        await add_endpoint(conn, tenant=(account[0], DataKey(b"k" * 32)))
    await desk.take(account, received("W1"))
    await sent(pool, account, "S1")
    await pool.execute("UPDATE whatsapp_messages SET contact_id = (SELECT id FROM whatsapp_contacts)")
    await queued(pool, account)
    await pool.execute("UPDATE reply_tasks SET claim = 'c'")
    return account


async def test_everything_of_a_contact_goes(desk: Desk, pool: Pool, account: Account) -> None:
    """Messages, events, what is owed of them, the chat, the contact; another contact's stay."""
    other = Party(pn="5511999990004")
    await desk.take(
        account, received("W4", sender=other, chat="5511999990004@s.whatsapp.net"), delivered("W9")
    )
    await remove(pool, account)
    assert await left(pool) == {}
    for table in ("whatsapp_contacts", "whatsapp_chats", "whatsapp_messages"):
        assert await pool.fetchval(f"SELECT count(*) FROM {table}") == 1, table
    told = [row["type"] for row in await pool.fetch("SELECT type FROM events ORDER BY id")]
    owed = [row["event_type"] for row in await pool.fetch("SELECT event_type FROM deliveries ORDER BY id")]
    assert told == owed == ["message.received", "contact.deleted"]


@pytest.mark.parametrize(
    "write",
    [a_message_arrives, a_receipt_arrives, a_message_is_edited, a_message_is_cancelled, a_bot_answers],
)
@pytest.mark.parametrize("take_away", [remove, remove_session, remove_tenant])
async def test_whoever_is_writing_is_waited_for(
    pool: Pool, account: Account, write: Write, take_away: Callable[[Pool, Account], Awaitable[None]]
) -> None:
    """What somebody is writing when the contact, the session or the company goes is gone with it."""
    async with pool.acquire() as conn:
        async with conn.transaction():
            await write(conn, account)
            removal = asyncio.ensure_future(take_away(pool, account))
            await waits(pool, removal)
        await removal
    assert await left(pool) == {}


async def test_whoever_writes_anew_is_somebody_new(desk: Desk, pool: Pool, account: Account) -> None:
    """Between the two steps of a removal Maria writes again: that is kept, and all that was before is gone."""
    before: Any = await pool.fetchrow("SELECT * FROM whatsapp_contacts")
    async with pool.acquire() as conn:
        hidden = await contact_removal.hide_contact(conn, account[0], before["id"])
        await desk.take(account, received("W2"))
        await contact_removal.delete_contact(conn, hidden, at=AT)
    [message] = await desk.messages(account)
    [contact] = await pool.fetch("SELECT * FROM whatsapp_contacts")
    [chat] = await pool.fetch("SELECT * FROM whatsapp_chats")
    assert (message.wa_id, message.sender.contact_id) == ("W2", contact["id"])
    assert contact["id"] != before["id"]
    assert chat["contact_id"] == contact["id"]
    [event] = await desk.events("message.received")
    assert event["data"]["messageId"] == message.id


async def test_a_removal_that_broke_off_is_done_again(desk: Desk, pool: Pool, account: Account) -> None:
    """The server died between the two steps: who asks again, or the janitor, ends it, and it is told once."""
    contact_id = await pool.fetchval("SELECT id FROM whatsapp_contacts")
    async with pool.acquire() as conn:
        await contact_removal.hide_contact(conn, account[0], contact_id)
        hidden = await contact_removal.hide_contact(conn, account[0], contact_id)
        assert await contact_removal.delete_contact(conn, hidden, at=AT)
        assert await contact_removal.delete_contact(conn, hidden, at=AT) is None
    assert await left(pool) == {}
    assert len(await desk.events("contact.deleted")) == 1


async def test_the_janitor_ends_a_removal(desk: Desk, pool: Pool, account: Account, tmp_path: Path) -> None:
    """What a crash has left hidden is gone within the hour, and told."""
    contact_id = await pool.fetchval("SELECT id FROM whatsapp_contacts")
    async with pool.acquire() as conn:
        await contact_removal.hide_contact(conn, account[0], contact_id)
    await Janitor(pool, Blobs(tmp_path, max_bytes=1000), Config()).work()
    assert await left(pool) == {}
    assert len(await desk.events("contact.deleted")) == 1


async def test_a_send_with_a_key_and_a_company_that_goes(desk: Desk, pool: Pool, account: Account) -> None:
    """Neither locks the other out: the one waits for the other, and both end as they should."""
    acceptor = Acceptor(pool, desk.doorbell)
    answer = Answer(
        place=Place(tenant_id=account[0], route="POST /send", key="k"),
        body_hash=b"h",
        status_code=202,
        body=b"{}",
    )
    async with pool.acquire() as conn:
        async with conn.transaction():
            await session_locks.seize_sessions(conn, account[0])
            sending = asyncio.create_task(acceptor.accept(accepted(account), answer))
            assert await waits(pool, sending)
            await tenants.delete_tenant(conn, account[0])
        with pytest.raises(NotFound):
            await sending
