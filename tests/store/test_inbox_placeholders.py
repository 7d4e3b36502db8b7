"""Messages that cannot be read yet: a placeholder that nobody is told of, filled in when the text comes."""

from typing import Any

from relay.engines.engine import Edited, Received, Revoked, Undecryptable
from relay.model.message import MessageType, Party
from relay.store.pool import Pool
from tests.accounts import AT, MARIA, MARIA_CHAT, add_session, received
from tests.desk import Account, Desk


def unreadable(wa_id: str, **given: Any) -> Undecryptable:
    fields: dict[str, Any] = {"chat": MARIA_CHAT, "sender": MARIA, "sent_at": AT, "name": "Maria"}
    return Undecryptable(wa_id=wa_id, **fields | given)


async def test_nobody_is_told_of_a_placeholder(desk: Desk, pool: Pool) -> None:
    """It is stored and moves its chat; no event, no reply task, however often it comes."""
    async with pool.acquire() as conn:
        account = await add_session(conn, automation=True)
    await desk.take(account, unreadable("W1"), unreadable("W1"))
    (message,) = await desk.messages(account)
    assert (message.type, message.content) == (MessageType.UNSUPPORTED, {"undecryptable": True})
    assert await pool.fetchval("SELECT unread FROM whatsapp_chats") == 1
    assert await desk.events() == []
    assert await pool.fetchval("SELECT count(*) FROM reply_tasks") == 0


async def test_the_text_takes_its_place_once(desk: Desk, pool: Pool) -> None:
    """Same message, one event, one reply task, unread once; a duplicate after that changes nothing."""
    async with pool.acquire() as conn:
        account = await add_session(conn, automation=True)
    await desk.take(account, unreadable("W1", name=None))
    (placeholder,) = await desk.messages(account)
    text = received("W1", "Oi", reply_to="W0", mentions=["5511999990002@s.whatsapp.net"])
    await desk.take(account, text)
    after = await _everything(pool)
    (message,) = await desk.messages(account)
    assert message.id == placeholder.id
    assert (message.type, message.content, message.reply_to) == (MessageType.TEXT, {"text": "Oi"}, "W0")
    assert (message.sender_name, message.mentions) == ("Maria", ["5511999990002@s.whatsapp.net"])
    (event,) = await desk.events()
    assert (event["type"], event["data"]["messageId"]) == ("message.received", message.id)
    assert event["data"]["content"] == {"text": "Oi"}
    assert await pool.fetchval("SELECT message_id FROM reply_tasks") == message.id
    assert await pool.fetchval("SELECT unread FROM whatsapp_chats") == 1
    await desk.take(account, text, unreadable("W1"), received("W1", "another"))
    assert await _everything(pool) == after


async def _everything(pool: Pool) -> list[list[Any]]:
    tables = ["whatsapp_messages", "whatsapp_contacts", "whatsapp_chats", "events", "reply_tasks"]
    return [await pool.fetch(f"SELECT * FROM {table} ORDER BY 1, 2") for table in tables]


async def test_both_in_one_batch(desk: Desk, account: Account) -> None:
    """In either order there is one message, one event, with the text."""
    await desk.take(account, unreadable("W1"), received("W1", "a"), received("W2", "b"), unreadable("W2"))
    assert [message.content for message in await desk.messages(account)] == [{"text": "a"}, {"text": "b"}]
    assert [event["data"]["content"]["text"] for event in await desk.events()] == ["a", "b"]


async def test_only_its_own_text_takes_its_place(desk: Desk, account: Account) -> None:
    """The same id from another sender of the group, or in another chat, is another message."""
    group, other = "120363000000000001@g.us", Party(pn="5511999990002")
    await desk.take(account, unreadable("W1", chat=group))
    await desk.take(account, received("W1", chat=group, sender=other), received("W1"))
    first, *others = await desk.messages(account)
    assert first.type == MessageType.UNSUPPORTED
    assert [message.type for message in others] == [MessageType.TEXT, MessageType.TEXT]


async def test_what_stays_unreadable_may_still_say_what_it_is(desk: Desk, account: Account) -> None:
    """A kind that Relay does not know takes the place too, and is told of."""
    kind: Received = received("W1", type=MessageType.UNSUPPORTED, content={"kind": "view_once"})
    await desk.take(account, unreadable("W1"), kind)
    assert [event["data"]["content"] for event in await desk.events()] == [{"kind": "view_once"}]


async def test_a_bot_is_told_what_had_waited(desk: Desk, pool: Pool) -> None:
    """A text that takes its placeholder's place is looked at; one that had waited at WhatsApp is marked so."""
    async with pool.acquire() as conn:
        account = await add_session(conn, automation=True)
    await desk.take(account, unreadable("W1"), unreadable("W2"))
    await desk.take(account, received("W1", offline=True), received("W2"))
    asked = await pool.fetch(
        "SELECT wa_id, offline FROM reply_tasks t JOIN whatsapp_messages m ON m.id = t.message_id ORDER BY wa_id"
    )
    assert [tuple(row) for row in asked] == [("W1", True), ("W2", False)]


async def test_a_revoked_placeholder_stays_empty(desk: Desk, account: Account) -> None:
    """Taken back before it could be read: its text is not told any more. An edit of what nobody read waits for nothing."""
    await desk.take(
        account,
        unreadable("W1"),
        Revoked(wa_id="W1", chat=MARIA_CHAT, sender=MARIA, at=AT),
        unreadable("W2"),
        Edited(wa_id="W2", chat=MARIA_CHAT, sender=MARIA, text="new", at=AT),
    )
    await desk.take(account, received("W1"))
    first, second = await desk.messages(account)
    assert (first.content, second.content) == ({}, {"undecryptable": True})
    assert await desk.events("message.received", "message.edited") == []
