"""Sending: in order, within budgets, told honestly, never twice."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from relay.host import sender
from relay.host.budget import Budget
from relay.model.errors import EngineError
from relay.model.ids import new_message_id
from relay.model.session import SessionLimits, SessionStatus
from relay.store import outgoing, sessions
from relay.store.pool import Pool
from tests.accounts import AT, MARIA_CHAT, add_session
from tests.engines.sandbox_phones import SandboxPhones
from tests.hosting import Account, Hosting

ANA_CHAT = "5511999990002@s.whatsapp.net"
PLENTY: dict[str, Any] = {
    "per_minute": 1000,
    "per_day": 1000,
    "new_contacts_per_day": 1000,
    "replies_per_minute": 1000,
}

PLENTY_ON_THE_WIRE = {
    "perMinute": 1000,
    "perDay": 1000,
    "newContactsPerDay": 1000,
    "repliesPerMinute": 1000,
}


async def linked(hosting: Hosting, **limits: Any) -> Account:
    async with hosting.pool.acquire() as conn:
        account = await add_session(conn, **(PLENTY | limits))
    await hosting.link(account)
    return account


async def test_a_message_goes_all_its_way(hosting: Hosting) -> None:
    """Queued, sending, sent, delivered, read: each step in its history, each told once from `sent` on."""
    account = await linked(hosting)
    messages = await hosting.queue(account, "Bom dia")
    await hosting.settled(messages, "sent")
    await hosting.phones.advance(1)
    await hosting.settled(messages, "delivered")
    await hosting.phones.advance(2)
    await hosting.settled(messages, "read")
    history = await hosting.pool.fetchval("SELECT history FROM whatsapp_messages WHERE id = $1", messages[0])
    assert [step["status"] for step in history] == ["queued", "sending", "sent", "delivered", "read"]
    told = [event["status"] for event in await hosting.events("message.status")]
    assert told == ["sent", "delivered", "read"]
    contact = await hosting.pool.fetchrow("SELECT * FROM whatsapp_contacts")
    assert contact is not None
    assert contact["pn"] == "5511999990001"


async def test_order_is_kept_in_each_chat(hosting: Hosting) -> None:
    """A chat's next message goes out after the one before it; another chat does not wait."""
    account = await linked(hosting)
    maria = await hosting.queue(account, *[f"m{n}" for n in range(8)])
    ana = await hosting.queue(account, *[f"a{n}" for n in range(8)], chat=ANA_CHAT)
    await hosting.settled(maria + ana, *["sent"] * 16)
    sent = await hosting.outbox(account)
    assert [text for text in sent if text[0] == "m"] == [f"m{n}" for n in range(8)]
    assert [text for text in sent if text[0] == "a"] == [f"a{n}" for n in range(8)]
    assert sent.index("a0") < sent.index("m7")


async def test_what_whatsapp_refuses_has_failed_and_the_next_goes(hosting: Hosting) -> None:
    account = await linked(hosting)
    await hosting.fault(account, "reject", count=1)
    await hosting.turn()
    messages = await hosting.queue(account, "one", "two")
    await hosting.settled(messages, "failed", "sent")
    (failed, _sent) = await hosting.events("message.status")
    assert (failed["messageId"], failed["error"]) == (messages[0], "send_rejected")


async def test_what_is_about_nothing_is_not_sent(hosting: Hosting) -> None:
    """A reaction and a vote whose message is gone fail by name, and nobody gets them; an answer goes without it."""
    account = await linked(hosting)
    reaction, vote = [
        (await hosting.queue(account, "", type=kind, content={"messageId": "msg_gone"}, chat=chat))[0]
        for kind, chat in (("reaction", MARIA_CHAT), ("poll_vote", ANA_CHAT))
    ]
    answer = await hosting.queue(account, "yes", reply_to="msg_gone", chat=MARIA_CHAT)
    await hosting.settled([reaction, vote, *answer], "failed", "failed", "sent")
    told = {event["messageId"]: event["error"] for event in await hosting.events("message.status")}
    assert told == {reaction: "target_missing", vote: "target_missing", answer[0]: None}
    assert await hosting.outbox(account) == ["yes"]


async def test_a_queue_waits_for_its_session(hosting: Hosting) -> None:
    """Sends accepted while the session is down go out when it is back."""
    account = await linked(hosting)
    await hosting.fault(account, "drop")
    await hosting.reaches(account, "connecting", "reconnecting")
    messages = await hosting.queue(account, "later")
    for _ in range(5):
        await hosting.turn()
    assert await hosting.statuses(messages) == ["queued"]
    await hosting.pass_time(8)
    await hosting.settled(messages, "sent")


async def test_a_restricted_account_holds_its_sends(hosting: Hosting) -> None:
    """A temporary ban stops everything until it ends, however often that would be tried; then sends go out."""
    account = await linked(hosting)
    await hosting.fault(account, "ban", seconds=600)
    session = await hosting.reaches(account, "connecting", "temporary_ban")
    assert session.banned_until is not None
    messages = await hosting.queue(account, "later")
    await hosting.pass_time(560)
    assert await hosting.statuses(messages) == ["queued"]
    await hosting.pass_time(60)
    assert (await hosting.reaches(account, "connected")).banned_until is None
    await hosting.settled(messages, "read")


async def test_a_send_that_finds_no_connection_waits(hosting: Hosting) -> None:
    """The connection goes between the claim and the send: the message is queued again, and goes out later."""
    account = await linked(hosting)
    messages = await hosting.queue(account, "wait for me")
    await hosting.host.sender.work()
    hosting.host._held[account[1]].session.status = SessionStatus.CONNECTING
    await hosting.settled(messages, "queued")
    hosting.host._held[account[1]].session.status = SessionStatus.CONNECTED
    await hosting.settled(messages, "sent")
    assert await hosting.outbox(account) == ["wait for me"]


async def test_a_host_that_dies_in_the_middle_leaves_unknown(
    pool: Pool, url: str, tmp_path: Path, phones: SandboxPhones
) -> None:
    """Killed after the claim: the next holder says `unknown`, sends the rest, and sends nothing twice."""
    first = Hosting(pool, url, tmp_path, phones)
    account = await linked(first)
    messages = await first.queue(account, "in the middle", "after")
    # The engine has taken the message; nobody has stored how it ended.
    await first.host.sender.work()
    while not await first.outbox(account):
        await asyncio.sleep(0.005)
    first.die()
    phones.crash()
    second = Hosting(pool, url, tmp_path, phones)
    await second.host.recover()
    await second.settled(messages, "unknown", "sent")
    assert await second.outbox(account) == ["in the middle", "after"]
    told = {event["messageId"]: event["status"] for event in await second.events("message.status")}
    assert told[messages[0]] == "unknown"
    await second.stop()


async def test_a_claim_whose_answer_is_lost_is_taken_back(
    hosting: Hosting, pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The database stores the claim and dies before it says so: the message is not stuck, and goes out once."""
    account = await linked(hosting)
    messages = await hosting.queue(account, "lost and found")
    claim = outgoing.claim_messages

    async def claim_and_die(*args: Any, **kwargs: Any) -> Any:
        await claim(*args, **kwargs)
        raise ConnectionResetError

    monkeypatch.setattr(outgoing, "claim_messages", claim_and_die)
    with pytest.raises(ConnectionResetError):
        await hosting.host.sender.work()
    monkeypatch.undo()
    assert await hosting.statuses(messages) == ["sending"]
    await hosting.settled(messages, "sent")
    assert await hosting.outbox(account) == ["lost and found"]


async def test_a_stale_settlement_changes_nothing(hosting: Hosting, pool: Pool) -> None:
    """A send that ends after another holder took over does not touch the row: its term is old."""
    account = await linked(hosting)
    messages = await hosting.queue(account, "slow")
    await hosting.host.sender.work()
    while not await hosting.outbox(account):
        await asyncio.sleep(0.005)
    await pool.execute("UPDATE whatsapp_messages SET status = 'unknown', term = NULL")
    await asyncio.sleep(0)
    for _ in range(5):
        await hosting.turn()
    assert await hosting.statuses(messages) == ["unknown"]
    assert await hosting.events("message.status") == []


async def test_budgets_postpone_and_survive_a_restart(hosting: Hosting, pool: Pool, url: str) -> None:
    """Two a minute: the third waits, also for a host that has just started; replies are counted apart."""
    account = await linked(hosting, per_minute=2)
    await hosting.settled(await hosting.queue(account, "1", "2"), "sent", "sent")
    third = await hosting.queue(account, "3")
    for _ in range(5):
        await hosting.turn()
    assert await hosting.statuses(third) == ["queued"]
    due_at = await pool.fetchval("SELECT due_at - now() FROM whatsapp_messages WHERE id = $1", third[0])
    assert timedelta(0) < due_at <= timedelta(minutes=1)
    fresh = Budget(pool)
    limits = SessionLimits(per_minute=2)
    now = hosting.host.sender.now()
    assert await fresh.take(account[1], limits, is_reply=False, is_first=False, now=now) is not None
    assert await fresh.take(account[1], limits, is_reply=True, is_first=False, now=now) is None


async def test_what_the_minute_refuses_does_not_use_up_the_day(hosting: Hosting, pool: Pool) -> None:
    """However often a message is tried in a full minute, only those that went out are counted for the day."""
    account = await linked(hosting, per_minute=2, per_day=50)
    chats = [f"55119777{number:05d}@s.whatsapp.net" for number in range(12)]
    messages = [(await hosting.queue(account, "hello", chat=chat))[0] for chat in chats]

    async def two_sent() -> bool:
        return (await hosting.statuses(messages)).count("sent") == 2

    await hosting.until(two_sent)
    for _ in range(5):
        await pool.execute("UPDATE whatsapp_messages SET due_at = now() WHERE due_at IS NOT NULL")
        await hosting.turn()
    counted = await pool.fetch(
        "SELECT key, count FROM rate_counters WHERE key LIKE '%/day%' OR key LIKE '%/new%'"
    )
    assert [row["count"] for row in counted] == [2, 2]


async def test_first_messages_to_strangers_have_their_own_budget(hosting: Hosting) -> None:
    """One new contact a day: a second stranger waits, the first one can be written to again."""
    account = await linked(hosting, new_contacts_per_day=1)
    await hosting.settled(await hosting.queue(account, "hello"), "sent")
    stranger = await hosting.queue(account, "hello", chat=ANA_CHAT)
    known = await hosting.queue(account, "again")
    await hosting.settled(known + stranger, "sent", "queued")


async def test_a_reply_does_not_wait_for_the_budget_of_the_others(hosting: Hosting) -> None:
    """Somebody who wrote within the day is answered though the minute is used up."""
    account = await linked(hosting, per_minute=1)
    await hosting.settled(await hosting.queue(account, "cold", chat=ANA_CHAT), "sent")
    await hosting.say(account, "Tem vaga?")

    async def arrived() -> bool:
        return bool(await hosting.pool.fetchval("SELECT count(*) FROM whatsapp_chats WHERE unread > 0"))

    await hosting.until(arrived)
    await hosting.settled(await hosting.queue(account, "Tem sim", chat=MARIA_CHAT), "sent")


async def test_what_waits_for_tomorrow_does_not_stand_in_the_way(hosting: Hosting) -> None:
    """A campaign of hundreds has used up its day: who writes is answered at once, and the rest goes when it may."""
    account = await linked(hosting, per_day=1)
    await hosting.settled(await hosting.queue(account, "hello", chat=ANA_CHAT), "sent")
    campaign = []
    for number in range(60):
        campaign += await hosting.queue(
            account, "offer", "offer again", chat=f"55119888{number:05d}@s.whatsapp.net"
        )
    for _ in range(20):
        await hosting.turn()
    campaign += await hosting.queue(account, *["and again"] * 110, chat="5511988800000@s.whatsapp.net")
    await hosting.say(account, "Tem vaga?")

    async def arrived() -> bool:
        return bool(await hosting.pool.fetchval("SELECT count(*) FROM whatsapp_chats WHERE unread > 0"))

    await hosting.until(arrived)
    await hosting.settled(await hosting.queue(account, "Tem sim", chat=MARIA_CHAT), "sent")
    assert set(await hosting.statuses(campaign)) == {"queued"}
    await hosting.pool.execute(
        "UPDATE whatsapp_sessions SET limits = $1, request = request + 1", PLENTY_ON_THE_WIRE
    )
    await hosting.pool.execute("UPDATE whatsapp_messages SET due_at = now() WHERE due_at IS NOT NULL")
    await hosting.settled(campaign, *["sent"] * len(campaign))
    first = [text for text in await hosting.outbox(account) if text.startswith("offer")]
    assert first.count("offer") == first.count("offer again") == 60


async def test_a_message_of_a_deleted_session_is_not_taken(hosting: Hosting, pool: Pool) -> None:
    account = await linked(hosting)
    await pool.execute("DELETE FROM whatsapp_sessions WHERE id = $1", account[1])
    await hosting.queue(account, "too late")
    assert await pool.fetchval("SELECT count(*) FROM whatsapp_messages") == 0


async def test_a_session_that_is_deleted_in_the_middle_of_a_send(hosting: Hosting, pool: Pool) -> None:
    """It leaves no trace, and what others were sending is settled."""
    gone, account = await linked(hosting), await linked(hosting)
    await hosting.queue(gone, "to a stranger")
    [message] = await hosting.queue(account, "to another")
    sender = hosting.host.sender
    await sender.work()
    await asyncio.wait([task for _, task in sender._in_flight.values()])
    async with pool.acquire() as conn, conn.transaction():
        await sessions.delete_session(conn, *gone)
    await sender.settle()
    assert await hosting.statuses([message]) == ["sent"]
    assert await pool.fetchval("SELECT count(*) FROM whatsapp_contacts WHERE session_id = $1", gone[1]) == 0


async def test_a_settlement_that_a_crash_undid_is_told_again(
    hosting: Hosting, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A database that dies may forget the last moment: a message that went out is not left in `sending`, nor sent twice."""
    account = await linked(hosting)
    messages = await hosting.queue(account, "Bom dia")
    await hosting.settled(messages, "sent")
    wa_id = "SELECT wa_id FROM whatsapp_messages WHERE id = $1"
    named = await hosting.pool.fetchval(wa_id, messages[0])
    await hosting.pool.execute("UPDATE whatsapp_messages SET status = 'sending', wa_id = NULL")

    async def away(*_: Any) -> None:
        raise ConnectionRefusedError

    with monkeypatch.context() as outage:
        outage.setattr(outgoing, "list_ready", away)
        await hosting.queue(account, "Tudo bem?")
        with pytest.raises(ConnectionRefusedError):
            await hosting.host.sender.work()
    await hosting.settled(messages, "sent")
    assert await hosting.pool.fetchval(wa_id, messages[0]) == named


async def away(*_: Any, **__: Any) -> Any:
    raise ConnectionRefusedError


@pytest.mark.parametrize("when", ["before the claim", "during the claim"])
async def test_what_is_told_again_does_not_undo_a_later_send(
    hosting: Hosting, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    """A send found no connection; the database is away for a moment, and the message goes out meanwhile: once."""
    account = await linked(hosting)
    messages = await hosting.queue(account, "once")
    sender, session = hosting.host.sender, hosting.host._held[account[1]].session
    await sender.work()
    session.status = SessionStatus.CONNECTING
    await hosting.settled(messages, "queued")
    session.status = SessionStatus.CONNECTED

    async def outage() -> None:
        # Something has to be settled for the database to be missed.
        sender._settlements.append(lost)
        sender._in_flight[lost.id] = next(sent for _, _, sent in sender._lately)
        with monkeypatch.context() as patch:
            patch.setattr(outgoing, "settle_messages", away)
            with pytest.raises(ConnectionRefusedError):
                await sender.settle()

    lost = outgoing.Settlement(id=new_message_id(), term=0, status="unknown", at=AT)
    claim = outgoing.claim_messages

    async def claim_in_an_outage(*args: Any, **given: Any) -> Any:
        claimed = await claim(*args, **given)
        await outage()
        return claimed

    if when == "before the claim":
        await outage()
        await sender.work()
    else:
        with monkeypatch.context() as patch:
            patch.setattr(outgoing, "claim_messages", claim_in_an_outage)
            await sender.work()
    await sender.settle()
    await hosting.settled(messages, "sent")
    for _ in range(5):
        await hosting.turn()
    assert await hosting.outbox(account) == ["once"]
    assert sender._settlements == []


async def test_of_what_is_told_again_the_last_word_counts(
    hosting: Hosting, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Queued again, then sent, within moments; the database forgets the second, and hears of that, not of the first."""
    account = await linked(hosting)
    messages = await hosting.queue(account, "once")
    session = hosting.host._held[account[1]].session
    await hosting.host.sender.work()
    session.status = SessionStatus.CONNECTING
    await hosting.settled(messages, "queued")
    session.status = SessionStatus.CONNECTED
    await hosting.settled(messages, "sent")
    await hosting.pool.execute("UPDATE whatsapp_messages SET status = 'sending', wa_id = NULL")
    with monkeypatch.context() as outage:
        outage.setattr(outgoing, "list_ready", away)
        with pytest.raises(ConnectionRefusedError):
            await hosting.host.sender.work()
    await hosting.settled(messages, "sent")
    assert await hosting.outbox(account) == ["once"]


async def test_a_settlement_that_is_refused_holds_up_no_other(hosting: Hosting) -> None:
    """WhatsApp has echoed what it was sent before that was settled: under that name there is a message already."""
    account, other = await linked(hosting), await linked(hosting)
    [echoed] = await hosting.queue(account, "echoed")
    [message] = await hosting.queue(other, "to another")
    sender = hosting.host.sender
    await sender.work()
    await asyncio.wait([task for _, task in sender._in_flight.values()])
    wa_id = next(one.wa_id for one in sender._settlements if one.id == echoed)
    assert wa_id is not None
    await hosting.say(account, "echoed", fromMe=True, waId=wa_id)
    while await hosting.phones.network.work() or await hosting.host.inbox.work():
        pass
    await sender.settle()
    assert await hosting.statuses([echoed, message]) == ["sent", "sent"]


async def test_a_file_that_cannot_be_looked_up_just_now(
    hosting: Hosting, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The database is away between the claim and the send: nothing has gone out for sure, and it goes out later."""
    account = await linked(hosting)
    blobs = hosting.host.sender._blobs
    stored = await blobs.write(chunks(b"a file"))
    async with hosting.pool.acquire() as conn:
        await blobs.insert(conn, stored, tenant_id=account[0], mimetype="text/plain", file_name="a.txt")
    find, outages = blobs.find, [ConnectionRefusedError()]

    async def find_at_last(*args: Any) -> Any:
        if outages:
            raise outages.pop()
        return await find(*args)

    monkeypatch.setattr(blobs, "find", find_at_last)
    messages = await hosting.queue(
        account, "", type="document", content={"mediaId": stored.id, "text": "the file"}
    )
    await hosting.settled(messages, "sent")
    assert await hosting.outbox(account) == ["the file"]


async def chunks(*given: bytes) -> AsyncIterator[bytes]:
    for chunk in given:
        yield chunk


async def test_typing_that_whatsapp_refuses_keeps_nothing_from_going_out(
    hosting: Hosting, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At a person's pace somebody types first: a courtesy, without which the message goes all the same."""
    account = await linked(hosting, pace=True)
    engine = hosting.host._held[account[1]].session.engine
    assert engine is not None

    async def refuse(*_: Any, **__: Any) -> None:
        raise EngineError("WhatsApp has refused it.")

    monkeypatch.setattr(engine, "set_typing", refuse)
    monkeypatch.setattr(sender, "_typing_seconds", lambda _: 0)
    messages = await hosting.queue(account, "Bom dia")
    await hosting.settled(messages, "sent")
    assert await hosting.outbox(account) == ["Bom dia"]
