"""What a host reads of the queue of sends: the message that each is about, and no more pages than it must."""

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest

from relay.model.ids import MessageId, SessionId, TenantId, new_message_id
from relay.model.message import TARGETED_TYPES
from relay.store import outgoing
from relay.store.outgoing import Accepted
from relay.store.pool import Connection, Pool
from tests.accounts import AT, MARIA_CHAT, add_session
from tests.store.test_deliveries import pages

Account = tuple[TenantId, SessionId]


@pytest.fixture
async def conn(pool: Pool) -> AsyncIterator[Connection]:
    async with pool.acquire() as conn:
        yield conn


async def queue(conn: Connection, account: Account, **given: Any) -> MessageId:
    fields: dict[str, Any] = {
        "id": new_message_id(),
        "tenant_id": account[0],
        "session_id": account[1],
        "chat": MARIA_CHAT,
        "origin": "api",
        "type": "text",
        "content": {"text": "hello"},
        "reply_to": None,
        "mentions": [],
        "budgeted": False,
        "at": AT,
    }
    await outgoing.insert_accepted(conn, [Accepted(**(fields | given))])
    return MessageId(given.get("id", fields["id"]))


_SAID = """
    INSERT INTO whatsapp_messages (id, tenant_id, session_id, chat, direction, origin, sender, type, content,
                                   status, wa_id, sent_at)
    SELECT 'msg_' || lpad(n::text, 26, '0'), $1, $2, '5511' || n % 100 || '@s.whatsapp.net', 'inbound', 'contact',
           $3, 'poll', '{"question": "?", "options": ["a", "b"]}', 'received', 'W' || n, now()
    FROM generate_series(1, $4) AS n
"""
_MARIA = "5511999990001@s.whatsapp.net"
_FIRST = MessageId("msg_" + "1".rjust(26, "0"))


async def test_each_comes_with_what_it_is_about(conn: Connection) -> None:
    """A reply's message by `replyTo`, a reaction's and a vote's by their content; nobody else's, and none removed."""
    account, stranger = await add_session(conn), await add_session(conn)
    await conn.execute(_SAID, *account, _MARIA, 1)
    about = {"messageId": _FIRST}
    kinds: list[dict[str, Any]] = [
        {},
        {"reply_to": _FIRST},
        {"type": "reaction", "content": {**about, "emoji": "👍"}},
        {"type": "poll_vote", "content": {**about, "options": ["a"]}, "reply_to": "msg_other"},
        {"reply_to": "msg_gone"},
    ]
    for place, given in enumerate(kinds):
        await queue(conn, account, chat=f"551199999000{place}@s.whatsapp.net", **given)
    await queue(conn, stranger, reply_to=_FIRST)

    ready = await outgoing.list_ready(conn, {account[1]: 8})
    found = [message.about and (message.about.wa_id, message.about.sender) for message in ready]
    assert found == [None, ("W1", _MARIA), ("W1", _MARIA), ("W1", _MARIA), None]
    poll = ready[3].about
    assert poll is not None
    assert (poll.type, poll.content["options"]) == ("poll", ["a", "b"])
    assert [message.about for message in await outgoing.list_ready(conn, {stranger[1]: 8})] == [None]


async def test_a_look_at_the_queue_does_not_read_the_table(conn: Connection) -> None:
    """With 50,000 messages said, and statistics of none, eight that answer others cost a few pages each."""
    account = await add_session(conn)
    await conn.execute("SET plan_cache_mode = force_custom_plan")
    await conn.execute("VACUUM ANALYZE whatsapp_messages")
    await conn.execute(_SAID, *account, _MARIA, 50_000)
    for place in range(8):
        about = MessageId(f"msg_{place + 1:026d}")
        given: dict[str, Any] = {"reply_to": about}
        if place % 2:
            given = {"type": "reaction", "content": {"messageId": about}}
        await queue(conn, account, chat=f"551199999000{place}@s.whatsapp.net", **given)
    asked = [[account[1]], [8], list(TARGETED_TYPES)]
    assert await pages(conn, outgoing._LIST_READY, *asked) < 8 * 30
    await conn.execute("ANALYZE whatsapp_messages")
    assert await pages(conn, outgoing._LIST_READY, *asked) < 8 * 30


async def test_an_answer_is_queued_once(conn: Connection) -> None:
    """Answer number 0 to a message is there once, however often it is inserted; what has no number is not held back."""
    account = await add_session(conn)
    answer: dict[str, Any] = {"origin": "bot", "answers": _FIRST, "automation": {"rule": "hours"}}
    first = await queue(conn, account, **answer, answer_number=0, typing_seconds=2)
    await queue(conn, account, **answer, answer_number=0)
    second = await queue(conn, account, **answer, answer_number=1)
    plain = [await queue(conn, account) for _ in range(2)]
    rows = await conn.fetch("SELECT * FROM whatsapp_messages ORDER BY id")
    assert [row["id"] for row in rows] == [first, second, *plain]
    told = {name: rows[0][name] for name in ("origin", "automation", "answers", "answer_number")}
    assert told == {**answer, "answer_number": 0}
    assert rows[0]["typing_seconds"] == 2


async def test_a_message_waits_for_its_time_and_for_its_chat(conn: Connection) -> None:
    """It is due when it says, or when what is queued before it in the chat is, whichever is later."""
    account = await add_session(conn)
    late, later = AT + timedelta(minutes=5), AT + timedelta(minutes=9)
    for due_at in (late, None, AT, later, None):
        await queue(conn, account, due_at=due_at)
    await queue(conn, account, chat="5511999990002@s.whatsapp.net")
    due = [row["due_at"] for row in await conn.fetch("SELECT due_at FROM whatsapp_messages ORDER BY id")]
    assert due == [late, late, late, later, later, None]


async def test_a_persons_message_is_told_to_the_bot(conn: Connection) -> None:
    """A reply task for it where automation is on; none for the API's own, for a bot's, or with automation off."""
    on, off = await add_session(conn, automation=True), await add_session(conn)
    person = await queue(conn, on, origin="person")
    for account, origin in ((on, "api"), (on, "bot"), (off, "person")):
        await queue(conn, account, origin=origin)
    tasks = await conn.fetch("SELECT message_id, tenant_id, session_id, chat FROM reply_tasks")
    assert [tuple(task) for task in tasks] == [(person, *on, MARIA_CHAT)]
