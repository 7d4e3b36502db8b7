"""LID and phone number: one person is one contact and one chat, whichever name WhatsApp uses today."""

from pathlib import Path
from typing import Any

import pytest

from relay.engines.engine import Acknowledged, Edited, Reacted, Revoked, Undecryptable
from relay.model.message import Party
from relay.store import contacts
from relay.store.contacts import Meeting
from relay.store.pool import Pool
from tests.accounts import AT, MARIA, MARIA_CHAT, add_session, received
from tests.desk import Account, Desk, queued, sent

LID = Party(lid=MARIA.lid)
LID_CHAT = f"{MARIA.lid}@lid"
GROUP = "120363000000000001@g.us"


def by_lid(wa_id: str, text: str = "Olá", **given: Any) -> Any:
    return received(wa_id, text, **{"chat": LID_CHAT, "sender": LID} | given)


async def chats(pool: Pool) -> dict[str, int]:
    return {row["jid"]: row["unread"] for row in await pool.fetch("SELECT jid, unread FROM whatsapp_chats")}


async def test_a_chat_by_lid_becomes_the_number_s(desk: Desk, pool: Pool, account: Account) -> None:
    """Messages, senders, the chat with its unread, what is queued, reply tasks: all follow when the number is learned."""
    await pool.execute("UPDATE whatsapp_sessions SET automation = true")
    await desk.take(account, by_lid("W1"), by_lid("W2"), by_lid("G1", chat=GROUP))
    waiting = await queued(pool, account, chat=LID_CHAT)
    out = await sent(pool, account, "W3", chat=LID_CHAT)
    await desk.take(account, received("W4"))
    rows = await pool.fetch("SELECT id, wa_id, chat, sender, sender_pn, contact_id FROM whatsapp_messages")
    named = {row["wa_id"] or row["id"]: (row["chat"], row["sender"]) for row in rows}
    assert named == {
        "W1": (MARIA_CHAT, MARIA_CHAT),
        "W2": (MARIA_CHAT, MARIA_CHAT),
        "G1": (GROUP, MARIA_CHAT),
        waiting: (MARIA_CHAT, "me"),
        "W3": (MARIA_CHAT, "me"),
        "W4": (MARIA_CHAT, MARIA_CHAT),
    }
    assert {row["sender_pn"] for row in rows if row["sender"] != "me"} == {MARIA.pn}
    assert len({row["contact_id"] for row in rows if row["id"] not in {waiting, out}}) == 1
    assert await chats(pool) == {MARIA_CHAT: 3, GROUP: 1}
    assert {row["chat"] for row in await pool.fetch("SELECT chat FROM reply_tasks")} == {MARIA_CHAT, GROUP}
    assert await pool.fetchval("SELECT count(*) FROM whatsapp_contacts") == 1


async def test_two_chats_become_one(desk: Desk, pool: Pool, account: Account) -> None:
    """Met by number and by LID apart, then by both: the chats are merged and their unread summed."""
    await desk.take(account, received("W1", sender=Party(pn=MARIA.pn)), by_lid("W2"), by_lid("W3"))
    assert await chats(pool) == {MARIA_CHAT: 1, LID_CHAT: 2}
    await desk.take(account, by_lid("W4", sender=MARIA))
    assert await chats(pool) == {MARIA_CHAT: 4}
    last = await pool.fetchval("SELECT last_message_id FROM whatsapp_chats")
    assert last == (await desk.messages(account))[-1].id
    assert {message.chat for message in await desk.messages(account)} == {MARIA_CHAT}


async def test_a_message_told_under_both_names_is_one(desk: Desk, account: Account, tmp_path: Path) -> None:
    """Under the number, under the LID, and again once both are known: one row is left, and the batch is stored."""
    await desk.take(account, received("W1", sender=Party(pn=MARIA.pn)), by_lid("W1"))
    await desk.take(account, by_lid("G1", chat=GROUP), received("G1", chat=GROUP, sender=Party(pn=MARIA.pn)))
    await desk.take(account, received("W1"), received("W2"))
    assert [message.wa_id for message in await desk.messages(account)] == ["W1", "G1", "W2"]
    assert list(tmp_path.rglob("refused.jsonl")) == []
    before = len(await desk.events())
    await desk.take(account, by_lid("W1"), by_lid("W2"), by_lid("G1", chat=GROUP))
    assert len(await desk.events()) == before


async def test_in_one_batch_whichever_comes_first(desk: Desk, pool: Pool, account: Account) -> None:
    """The number is learned by the second entry of a batch: the first goes by it too."""
    await desk.take(account, by_lid("W1"), received("W2"), by_lid("W3", from_me=True))
    assert {message.chat for message in await desk.messages(account)} == {MARIA_CHAT}
    assert {message.sender.pn for message in await desk.messages(account) if message.origin == "contact"} == {
        MARIA.pn
    }


async def test_changes_find_what_they_are_about(desk: Desk, pool: Pool, account: Account) -> None:
    """Edits, revokes, reactions, receipts and texts of placeholders by LID, while the rows go by number."""
    await desk.take(account, received("W1"), received("W2"))
    await sent(pool, account, "W3")
    await desk.take(
        account,
        Edited(wa_id="W1", chat=LID_CHAT, sender=LID, text="new", at=AT),
        Revoked(wa_id="W2", chat=LID_CHAT, sender=LID, at=AT),
        Reacted(wa_id="W1", chat=LID_CHAT, sender=LID, emoji="👍", at=AT),
        Acknowledged(wa_ids=["W3"], chat=LID_CHAT, status="read", at=AT),
        Undecryptable(wa_id="W4", chat=MARIA_CHAT, sender=MARIA, sent_at=AT),
        by_lid("W4", "text"),
    )
    found = {message.wa_id: message for message in await desk.messages(account)}
    assert found["W1"].content == {"text": "new"}
    assert found["W2"].revoked_at == AT
    assert found["W3"].status == "read"
    assert found["W4"].content == {"text": "text"}
    assert {message.chat for message in found.values()} == {MARIA_CHAT}
    assert await pool.fetchval("SELECT count(*) FROM early_receipts") == 0


async def test_changes_by_number_find_what_went_by_lid(desk: Desk, pool: Pool, account: Account) -> None:
    """The other way round: rows by LID, then a word by number and LID, then receipts and edits by number."""
    await desk.take(account, by_lid("W1"))
    await sent(pool, account, "W2", chat=LID_CHAT)
    await desk.take(account, Acknowledged(wa_ids=["W2"], chat=MARIA_CHAT, status="delivered", at=AT))
    await desk.take(
        account, received("W3"), Edited(wa_id="W1", chat=MARIA_CHAT, sender=MARIA, text="new", at=AT)
    )
    await desk.inbox.work()
    found = {message.wa_id: message for message in await desk.messages(account)}
    assert found["W1"].content == {"text": "new"}
    assert found["W2"].status == "delivered"


async def test_what_is_sent_by_lid_ends_in_the_number_s_chat(
    desk: Desk, pool: Pool, account: Account
) -> None:
    """A send that names the LID of a contact whose number is known is found by its receipts."""
    await desk.take(account, received("W1"))
    await sent(pool, account, "W2", chat=LID_CHAT)
    await desk.take(account, Acknowledged(wa_ids=["W2"], chat=LID_CHAT, status="read", at=AT))
    (_, message) = await desk.messages(account)
    assert (message.chat, message.status) == (MARIA_CHAT, "read")


async def test_what_went_to_another_spelling_is_in_its_chat(desk: Desk, pool: Pool, account: Account) -> None:
    """A send to a Brazilian number with its ninth digit ends in the chat that WhatsApp has without it."""
    await desk.take(account, received("W1"))
    await sent(pool, account, "W2", chat="55011999990001@s.whatsapp.net", went_to=MARIA_CHAT)
    await desk.take(account, Acknowledged(wa_ids=["W2"], chat=MARIA_CHAT, status="read", at=AT))
    (first, second) = await desk.messages(account)
    assert (second.chat, second.status) == (MARIA_CHAT, "read")
    assert (
        await pool.fetchval("SELECT contact_id FROM whatsapp_messages WHERE wa_id = 'W2'")
        == first.sender.contact_id
    )


@pytest.mark.parametrize("of", ["another session", "another tenant"])
async def test_a_name_is_known_to_its_own_session_only(
    desk: Desk, pool: Pool, account: Account, of: str
) -> None:
    """What one session has learned moves nothing of another's."""
    async with pool.acquire() as conn:
        other = await add_session(conn, tenant_id=account[0] if of == "another session" else None)
    await desk.take(other, by_lid("W1"))
    await desk.take(account, received("W1"))
    (message,) = [m for m in await desk.messages(other) if m.session_id == other[1]]
    assert message.chat == LID_CHAT


async def test_learning_a_number_is_no_walk_through_everything(pool: Pool, account: Account) -> None:
    """A session with many messages: what goes by one LID is found by indexes alone."""
    await pool.execute(
        """
        INSERT INTO whatsapp_messages (id, tenant_id, session_id, chat, direction, origin, sender, type, content, status,
                                       wa_id, sent_at)
        SELECT 'msg_' || n, $1, $2, n % 300 || '@g.us', 'inbound', 'contact',
               n % 500 || CASE WHEN n % 2 = 0 THEN '@lid' ELSE '@s.whatsapp.net' END,
               'text', '{}', 'received', 'W' || n, now() FROM generate_series(1, 20000) AS n
        """,
        *account,
    )
    await pool.execute("ANALYZE whatsapp_messages")
    async with pool.acquire() as conn, conn.transaction():
        before = await conn.fetchval("SELECT pg_stat_get_xact_tuples_returned('whatsapp_messages'::regclass)")
        met = Meeting(session_id=account[1], tenant_id=account[0], pn="5511999990042", lid="42")
        await contacts.resolve(conn, [met])
        after = await conn.fetchval("SELECT pg_stat_get_xact_tuples_returned('whatsapp_messages'::regclass)")
        moved = await conn.fetchval(
            "SELECT count(*) FROM whatsapp_messages WHERE sender = '5511999990042@s.whatsapp.net'"
        )
    assert moved == 40
    # What a walk from the first row to the last has returned.
    assert after == before


_BOT_KNOWS = """
    WITH state AS (
        INSERT INTO bot_contacts (contact_id, session_id, tenant_id, ignored, tags, vars, flows, fired)
        SELECT id, session_id, tenant_id, $2, $3, $4, $5, $6 FROM whatsapp_contacts WHERE id = $1
    ), noted AS (
        INSERT INTO plugin_values (tenant_id, plugin, key, contact_id, value)
        SELECT tenant_id, 'optout', id, id, 'true' FROM whatsapp_contacts WHERE id = $1
    ), asked AS (
        INSERT INTO agent_turns (id, tenant_id, session_id, chat, contact_id, agent, message_ids, cause, due_at)
        SELECT 'trn_' || id, tenant_id, session_id, $7, id, 'main', ARRAY['msg_' || $7], '{}', now()
        FROM whatsapp_contacts WHERE id = $1
    ), shadow AS (
        INSERT INTO shadow_decisions (id, tenant_id, session_id, chat, contact_id, message_id, cause, messages)
        SELECT 'shd_' || id, tenant_id, session_id, $7, id, 'msg_1', '{}', '[]' FROM whatsapp_contacts WHERE id = $1
    )
    INSERT INTO bot_chats (session_id, chat, tenant_id, paused_until, paused_reason, said)
    SELECT session_id, $7, tenant_id, $8, $9, $10 FROM whatsapp_contacts WHERE id = $1
"""


async def know(pool: Pool, contact_id: str, chat: str, **given: Any) -> None:
    """A bot has dealt with the contact in `chat`."""
    state: dict[str, Any] = {
        "ignored": False,
        "tags": [],
        "vars": {},
        "flows": {chat: {"flow": chat}},
        "fired": {},
        "chat": chat,
        "until": None,
        "reason": None,
        "said": [],
    }
    await pool.execute(_BOT_KNOWS, contact_id, *(state | given).values())


async def test_what_a_bot_knows_follows_the_number(desk: Desk, pool: Pool, account: Account) -> None:
    """Pause, answers, flow, question and shadow decisions of a chat by LID go by the number once it is learned."""
    await desk.take(account, by_lid("W1"))
    maria = await pool.fetchval("SELECT id FROM whatsapp_contacts")
    await know(pool, maria, LID_CHAT, tags=["vip"], until=AT, reason="person", said=[[1, "a"]])
    await desk.take(account, received("W2"))
    chat = await pool.fetchrow("SELECT chat, paused_until, paused_reason, said FROM bot_chats")
    assert tuple(chat or ()) == (MARIA_CHAT, AT, "person", [[1, "a"]])
    known = await pool.fetchrow("SELECT contact_id, tags, flows FROM bot_contacts")
    assert tuple(known or ()) == (maria, ["vip"], {MARIA_CHAT: {"flow": LID_CHAT}})
    assert await pool.fetchval("SELECT chat FROM agent_turns") == MARIA_CHAT
    assert await pool.fetchval("SELECT chat FROM shadow_decisions") == MARIA_CHAT


async def test_a_pause_of_a_chat_without_messages_follows_too(
    desk: Desk, pool: Pool, account: Account
) -> None:
    """Somebody who was met in a group only has no chat yet, but the bot was told to keep quiet there."""
    await desk.take(account, by_lid("W1", chat=GROUP))
    await pool.execute(
        "INSERT INTO bot_chats (session_id, chat, tenant_id) VALUES ($2, $3, $1)", *account, LID_CHAT
    )
    await desk.take(account, received("W2", chat=GROUP))
    assert await pool.fetchval("SELECT chat FROM bot_chats") == MARIA_CHAT


async def test_what_a_bot_knows_of_two_is_known_of_the_one(desk: Desk, pool: Pool, account: Account) -> None:
    """Met by number and by LID apart, with a history each: the survivor has both, an opt-out first of all."""
    await desk.take(account, received("W1", sender=Party(pn=MARIA.pn)), by_lid("W2"))
    rows = await pool.fetch("SELECT id FROM whatsapp_contacts ORDER BY id")
    first, second = [row["id"] for row in rows]
    late = AT.replace(hour=5)
    await know(
        pool,
        first,
        MARIA_CHAT,
        tags=["a", "b"],
        vars={"x": 1, "y": 1},
        until=AT,
        reason="rule",
        said=[[1, "a"]],
    )
    await know(
        pool,
        second,
        LID_CHAT,
        ignored=True,
        tags=["b", "c"],
        vars={"y": 2, "z": 2},
        fired={"s/r": [1, 2]},
        until=late,
        reason="person",
        said=[[2, "b"]],
    )
    await desk.take(account, by_lid("W4", sender=MARIA))
    known = dict((await pool.fetch("SELECT * FROM bot_contacts"))[0])
    assert known == {
        "contact_id": first,
        "session_id": account[1],
        "tenant_id": account[0],
        "ignored": True,
        "tags": ["a", "b", "c"],
        "vars": {"x": 1, "y": 1, "z": 2},
        "flows": {MARIA_CHAT: {"flow": MARIA_CHAT}},
        "fired": {"s/r": [1, 2]},
    }
    [chat] = await pool.fetch("SELECT chat, paused_until, paused_reason, said FROM bot_chats")
    assert tuple(chat) == (MARIA_CHAT, late, "person", [[2, "b"], [1, "a"]])
    [turn] = await pool.fetch("SELECT chat, contact_id, message_ids FROM agent_turns")
    assert tuple(turn) == (MARIA_CHAT, first, [f"msg_{MARIA_CHAT}", f"msg_{LID_CHAT}"])
    for table in ("plugin_values", "shadow_decisions"):
        assert [row["contact_id"] for row in await pool.fetch(f"SELECT contact_id FROM {table}")] == [
            first
        ] * 2
    assert {row["chat"] for row in await pool.fetch("SELECT chat FROM shadow_decisions")} == {MARIA_CHAT}
