"""The inbox: from the journal into Postgres, once, whole, with everything that is owed."""

import secrets
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any, Literal

import asyncpg
import pytest

from relay.engines.engine import Acknowledged, Called, Edited, Reacted, Revoked
from relay.engines.journal_file import Writer
from relay.model.message import Party
from relay.store import inbound
from relay.store.inbound import Change
from relay.store.pool import Pool
from relay.vault import DataKey
from tests.accounts import AT, MARIA, MARIA_CHAT, add_session, received, record_of
from tests.desk import Account, Desk, sent
from tests.owing import add_endpoint

DATA_KEY = DataKey(b"k" * 32)


async def test_one_message_leaves_everything_of_it(desk: Desk, pool: Pool, account: Account) -> None:
    """A message, its contact, its chat, its event and the delivery owed, all from one entry."""
    async with pool.acquire() as conn:
        endpoint, _ = await add_endpoint(conn, tenant=(account[0], DATA_KEY))
    await desk.take(account, received("W1"))
    (message,) = await desk.messages(account)
    (event,) = await desk.events()
    (contact,) = await pool.fetch("SELECT * FROM whatsapp_contacts")
    (chat,) = await pool.fetch("SELECT * FROM whatsapp_chats")
    (delivery,) = await pool.fetch("SELECT * FROM deliveries")
    assert message.content == {"text": "Olá"}
    assert message.sender == Party(pn=MARIA.pn, lid=MARIA.lid, contact_id=contact["id"])
    assert event["type"] == "message.received"
    assert event["data"]["messageId"] == message.id
    assert event["data"]["from"] == {"pn": MARIA.pn, "lid": MARIA.lid, "contactId": contact["id"]}
    assert (chat["jid"], chat["unread"], chat["last_message_id"]) == (MARIA_CHAT, 1, message.id)
    assert delivery["endpoint_id"] == endpoint.id


async def test_mentions_are_kept(desk: Desk, account: Account) -> None:
    """Of each message its own, in a batch where others have none."""
    mentioned = [MARIA_CHAT, "5511999990002@s.whatsapp.net"]
    await desk.take(
        account, received("W1"), received("W2", mentions=mentioned), received("W3", mentions=[MARIA_CHAT])
    )
    assert [message.mentions for message in await desk.messages(account)] == [[], mentioned, [MARIA_CHAT]]


async def test_a_replay_doubles_nothing(
    desk: Desk, pool: Pool, url: str, tmp_path: Path, account: Account
) -> None:
    """The same journal read again, as after a kill before the commit was noted, changes nothing at all."""
    entries = [
        received("W1"),
        received("W2", reply_to="W1"),
        Edited(wa_id="W1", chat=MARIA_CHAT, sender=MARIA, text="Oi", at=AT),
        Reacted(wa_id="W2", chat=MARIA_CHAT, sender=MARIA, emoji="👍", at=AT),
        Revoked(wa_id="W2", chat=MARIA_CHAT, sender=MARIA, at=AT),
        Called(call_id="C1", sender=MARIA, video=False, at=AT),
    ]
    await desk.take(account, *entries)
    before = await _everything(pool)
    (tmp_path / "again").mkdir()
    again = Desk(pool, url, tmp_path / "again")
    await again.take(account, *entries)
    assert await _everything(pool) == before
    assert len(await desk.events()) == 6


async def _everything(pool: Pool) -> list[list[Any]]:
    tables = [
        "whatsapp_messages",
        "whatsapp_contacts",
        "whatsapp_chats",
        "events",
        "deliveries",
        "reply_tasks",
    ]
    return [await pool.fetch(f"SELECT * FROM {table} ORDER BY 1, 2") for table in tables]


async def test_a_name_is_session_chat_sender_and_id(desk: Desk, pool: Pool, account: Account) -> None:
    """The same WhatsApp id from another sender, in another chat, or of another session is another message."""
    async with pool.acquire() as conn:
        other = await add_session(conn, tenant_id=account[0])
    group = "120363000000000001@g.us"
    await desk.take(account, received("W1"), received("W1", chat=group))
    await desk.take(account, received("W1", chat=group, sender=Party(pn="5511999990002")))
    await desk.take(other, received("W1"))
    assert len(await desk.messages(account)) == 4


async def test_a_batch_that_fails_is_read_again(desk: Desk, pool: Pool, account: Account) -> None:
    """When the transaction breaks nothing is left of it, and nothing of the journal is passed over."""
    await pool.execute("ALTER TABLE events RENAME TO gone")
    desk.journal.append(record_of(account, received("W1")))
    with pytest.raises(asyncpg.UndefinedTableError):
        await desk.inbox.work()
    assert await pool.fetchval("SELECT count(*) FROM whatsapp_messages") == 0
    await pool.execute("ALTER TABLE gone RENAME TO events")
    await desk.inbox.work()
    assert await pool.fetchval("SELECT count(*) FROM whatsapp_messages") == 1


async def test_no_writer_is_left_over(desk: Desk, pool: Pool, account: Account) -> None:
    """Each engine process writes a little: whoever works until there is no more has stored what all of them wrote."""
    for number in range(3):
        writer = desk.journal.new_writer()
        Writer(desk.journal.folder, writer).append(record_of(account, received(f"W{number}")))
        desk.journal.watch(writer)
    while await desk.inbox.work():
        pass
    assert await pool.fetchval("SELECT count(*) FROM whatsapp_messages") == 3


async def test_an_entry_that_can_never_be_stored_holds_up_nobody(
    desk: Desk, pool: Pool, tmp_path: Path, account: Account
) -> None:
    """It is set aside in a file, and what came with it and after it is stored."""
    async with pool.acquire() as conn:
        other = await add_session(conn)
    desk.journal.append(record_of(account, received("W1")))
    desk.journal.append(record_of(account, received(secrets.token_hex(10_000))))
    desk.journal.append(record_of(other, received("W2")))
    while await desk.inbox.work():
        pass
    await desk.take(account, received("W3"))
    stored = [row["wa_id"] for row in await pool.fetch("SELECT wa_id FROM whatsapp_messages ORDER BY id")]
    assert stored == ["W1", "W2", "W3"]
    assert len((tmp_path / "refused.jsonl").read_text().splitlines()) == 1
    assert desk.journal.backlog_bytes == 0


async def test_a_contact_known_by_one_name_then_both_stays_one(
    desk: Desk, account: Account, pool: Pool
) -> None:
    """First by number, then by LID, then by both: the two rows become the older one, and its messages follow."""
    await desk.take(account, received("W1", sender=Party(pn="5511999990003"), name=None))
    await desk.take(account, received("W2", sender=Party(lid="777"), name=None))
    assert await pool.fetchval("SELECT count(*) FROM whatsapp_contacts") == 2
    await desk.take(account, received("W3", sender=Party(pn="5511999990003", lid="777"), name="Ana"))
    (contact,) = await pool.fetch("SELECT * FROM whatsapp_contacts")
    assert (contact["pn"], contact["lid"], contact["name"]) == ("5511999990003", "777", "Ana")
    assert {m.sender.contact_id for m in await desk.messages(account)} == {contact["id"]}


async def test_only_its_sender_edits_or_revokes_a_message(desk: Desk, account: Account) -> None:
    """A stranger's edit and revoke change nothing and make no event; the sender's do, once."""
    stranger = Party(pn="5511999990009")
    await desk.take(
        account,
        received("W1"),
        Edited(wa_id="W1", chat=MARIA_CHAT, sender=stranger, text="no", at=AT),
        Revoked(wa_id="W1", chat=MARIA_CHAT, sender=stranger, at=AT),
        Edited(wa_id="W1", chat=MARIA_CHAT, sender=MARIA, text="yes", at=AT),
    )
    (message,) = await desk.messages(account)
    assert message.content == {"text": "yes"}
    assert message.revoked_at is None
    await desk.take(account, Revoked(wa_id="W1", chat=MARIA_CHAT, sender=MARIA, at=AT))
    (message,) = await desk.messages(account)
    assert (message.content, message.revoked_at) == ({}, AT)
    assert len(await desk.events("message.edited")) == len(await desk.events("message.revoked")) == 1


async def test_receipts_only_lift(desk: Desk, pool: Pool, account: Account) -> None:
    """Read, then a late delivered: the status stays read; each move is one event and one line of history."""
    await sent(pool, account, "W1")
    for status in ("read", "delivered", "read"):
        await desk.take(account, Acknowledged(wa_ids=["W1"], chat=MARIA_CHAT, status=status, at=AT))
    (message,) = await desk.messages(account)
    assert message.status == "read"
    assert [line["status"] for line in message.history] == ["queued", "sending", "sent", "read"]
    assert [event["data"]["status"] for event in await desk.events("message.status")] == ["read"]


async def test_a_receipt_before_its_send_is_settled_waits(desk: Desk, pool: Pool, account: Account) -> None:
    """WhatsApp may report a message read before we have stored its id: the receipt is tried again with every look."""
    await desk.take(account, early("W1", "delivered"), early("W1", "read"))
    await sent(pool, account, "W1")
    await desk.inbox.work()
    (message,) = await desk.messages(account)
    assert [line["status"] for line in message.history] == ["queued", "sending", "sent", "delivered", "read"]
    assert [event["data"]["status"] for event in await desk.events()] == ["delivered", "read"]
    assert await pool.fetchval("SELECT count(*) FROM early_receipts") == 0


async def test_an_early_receipt_outlives_its_process(
    desk: Desk, pool: Pool, url: str, tmp_path: Path, account: Account
) -> None:
    """Another host lifts it; so does one that starts an hour after everybody died."""
    other = Desk(pool, url, tmp_path / "other")
    await other.inbox.work()
    await desk.take(account, early("W1", "read"))
    await sent(pool, account, "W1")
    await other.inbox.work()
    assert [message.status for message in await desk.messages(account)] == ["sent"]
    other.now += 1
    await other.inbox.work()
    assert [message.status for message in await desk.messages(account)] == ["read"]
    await desk.take(account, early("W2", "read"))
    await pool.execute("UPDATE early_receipts SET stored_at = now() - interval '1 hour'")
    await sent(pool, account, "W2")
    await Desk(pool, url, tmp_path / "late").inbox.work()
    assert [message.status for message in await desk.messages(account)] == ["read", "read"]


async def test_an_early_receipt_outlives_a_failed_batch(desk: Desk, pool: Pool, account: Account) -> None:
    """The database is away while a receipt waits for its message: it is still there afterwards."""
    await desk.take(account, early("W1", "read"))
    await pool.execute("ALTER TABLE events RENAME TO gone")
    desk.journal.append(record_of(account, received("W9")))
    with pytest.raises(asyncpg.UndefinedTableError):
        await desk.inbox.work()
    await pool.execute("ALTER TABLE gone RENAME TO events")
    await sent(pool, account, "W1")
    await desk.inbox.work()
    assert {message.status for message in await desk.messages(account)} == {"read", "received"}


def early(wa_id: str, status: Literal["delivered", "read"]) -> Acknowledged:
    return Acknowledged(wa_ids=[wa_id], chat=MARIA_CHAT, status=status, at=AT)


async def test_bots_are_asked_only_about_what_is_new(desk: Desk, pool: Pool) -> None:
    """A reply task for what is new, the owner's own words and what comes late; none of history, or without automation."""
    async with pool.acquire() as conn:
        on = await add_session(conn, automation=True)
        off = await add_session(conn)
    await desk.take(
        on,
        received("W1"),
        received("W2", from_me=True),
        received("W3", offline=True),
        received("W4", history=True),
        Reacted(wa_id="W1", chat=MARIA_CHAT, sender=MARIA, emoji="👍", at=AT),
    )
    await desk.take(off, received("W5"))
    ids = {message.wa_id: message.id for message in await desk.messages(on)}
    tasks = {row["message_id"]: row["offline"] for row in await pool.fetch("SELECT * FROM reply_tasks")}
    assert tasks == {ids["W1"]: False, ids["W2"]: False, ids["W3"]: True}


async def test_what_the_owner_writes_on_the_phone_is_ours(desk: Desk, pool: Pool, account: Account) -> None:
    """It is outgoing, marked as the phone's, belongs to the chat's contact, and reads the chat."""
    await desk.take(account, received("W1"), received("W2", from_me=True, sender=Party(pn="5511888880000")))
    mine = (await desk.messages(account))[1]
    assert (mine.direction, mine.origin, mine.status) == ("outgoing", "phone", "sent")
    chat = await pool.fetchrow("SELECT * FROM whatsapp_chats")
    assert chat is not None
    assert (chat["unread"], chat["contact_id"]) == (0, mine.sender.contact_id)
    assert (await desk.events("message.received"))[1]["data"]["fromMe"] is True


async def test_a_deleted_session_leaves_no_trace(desk: Desk, pool: Pool, account: Account) -> None:
    """What was journaled before a session was deleted is dropped, and what stands beside it is stored."""
    async with pool.acquire() as conn:
        gone = await add_session(conn, tenant_id=account[0])
        await conn.execute("DELETE FROM whatsapp_sessions WHERE id = $1", gone[1])
    desk.journal.append(record_of(gone, received("W1")))
    await desk.take(account, received("W2"))
    assert [message.wa_id for message in await desk.messages(account)] == ["W2"]


async def test_chat_moves_count_unread_over_batches(desk: Desk, pool: Pool, account: Account) -> None:
    """Unread grows by what arrives and ends when the owner answers; the last message is the latest."""
    await desk.take(account, received("W1"), received("W2", sent_at=AT + timedelta(seconds=1)))
    await desk.take(account, received("W3", sent_at=AT + timedelta(seconds=2)))
    chat = await pool.fetchrow("SELECT * FROM whatsapp_chats")
    assert chat is not None
    assert (chat["unread"], chat["last_message_at"]) == (3, AT + timedelta(seconds=2))
    await desk.take(account, received("W4"), received("W5", from_me=True), received("W6"))
    assert await pool.fetchval("SELECT unread FROM whatsapp_chats") == 1


async def test_a_send_that_is_settled_while_its_receipt_is_looked_for(
    desk: Desk, pool: Pool, account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the look for the message and the look whether it is known, it becomes known: the receipt still counts."""
    look = inbound._lift

    async def look_a_moment_too_early(conn: Any, receipts: Sequence[Change]) -> list[tuple[Any, Change]]:
        found = await look(conn, receipts)
        monkeypatch.setattr(inbound, "_lift", look)
        await sent(pool, account, "W1")
        return found

    monkeypatch.setattr(inbound, "_lift", look_a_moment_too_early)
    await desk.take(account, early("W1", "read"))
    (message,) = await desk.messages(account)
    assert message.status == "read"
