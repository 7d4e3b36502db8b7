"""Chats and their bot through the API: how it stands in one, keeping it quiet, what that takes back."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from relay.model.ids import MessageId, SessionId, TenantId, new_message_id
from relay.replies import answers, responder
from relay.store import outbox, outgoing
from relay.store.outgoing import Accepted
from relay.store.pool import Pool
from tests.accounts import AT, MARIA_CHAT
from tests.api_client import Api, serve_api
from tests.bot import Bot
from tests.locks import waits
from tests.serving import make_session

WHATSAPP = "/api/v1/whatsapp"
AUTOMATION = f"{WHATSAPP}/chats/automation"
MARIA = "+55 11 99999-0001"
PEDRO_CHAT = "5511999990002@s.whatsapp.net"
NOW = datetime(2026, 1, 2, 12, tzinfo=UTC)

Caller = tuple[Api, str]
Silence = Callable[[Caller], Coroutine[Any, Any, None]]


@pytest.fixture
async def alone(pool: Pool, url: str) -> AsyncIterator[Caller]:
    """A caller with a session that nobody runs and whose bot pauses for a minute; it is noon."""
    async with serve_api(pool, url, now=lambda: NOW) as operator:
        api = await operator.as_tenant()
        session_id = await make_session(
            api, connect=False, automation=True, bot={"agent": "main", "pauseSeconds": 60}
        )
        yield api, session_id


async def queue(pool: Pool, caller: Caller, **given: Any) -> MessageId:
    """A message of the bot's that waits to be sent."""
    fields: dict[str, Any] = {
        "id": new_message_id(),
        "tenant_id": TenantId(caller[0].company_id),
        "session_id": SessionId(caller[1]),
        "chat": MARIA_CHAT,
        "origin": "bot",
        "type": "text",
        "content": {"text": "Olá!"},
        "reply_to": None,
        "mentions": [],
        "budgeted": False,
        "at": AT,
    }
    async with pool.acquire() as conn:
        await outgoing.insert_accepted(conn, [Accepted(**(fields | given))])
    return MessageId(given.get("id", fields["id"]))


_MEET = """
    WITH met AS (INSERT INTO whatsapp_contacts (id, tenant_id, session_id, pn, lid, name)
                 VALUES ('ctc_maria', $1, $2, '5511999990001', '90001', 'Maria') RETURNING id),
    said AS (INSERT INTO whatsapp_chats (session_id, jid, tenant_id, contact_id, last_message_id)
             SELECT $2, $3, $1, id, 'msg_1' FROM met),
    knows AS (INSERT INTO bot_contacts (contact_id, session_id, tenant_id, flows) SELECT id, $2, $1, $4 FROM met),
    spoke AS (INSERT INTO bot_chats (session_id, chat, tenant_id, said) VALUES ($2, $3, $1, $5))
    INSERT INTO agent_turns (id, tenant_id, session_id, chat, contact_id, agent, message_ids, cause, due_at)
    SELECT 'trn_1', $1, $2, $3, id, 'main', '{msg_1}', '{}', now() FROM met
"""


async def meet(pool: Pool, caller: Caller, *, flow_ends_at: datetime = NOW + timedelta(minutes=5)) -> None:
    """Maria is in a flow, the bot has answered her, and an agent is thinking."""
    flow = {
        "set": "shop",
        "flow": "menu",
        "step": "choice",
        "tries": 0,
        "expires_at": flow_ends_at.isoformat(),
    }
    noon = NOW.timestamp()
    # Two messages of one answer, another answer, and one that is long ago.
    said = [[noon - 7200, "a"], [noon - 60, "b"], [noon - 60, "c"], [noon - 30, "d"]]
    await pool.execute(_MEET, caller[0].company_id, caller[1], MARIA_CHAT, {MARIA_CHAT: flow}, said)


async def told(pool: Pool) -> list[dict[str, Any]]:
    """The events, oldest first."""
    rows = await pool.fetch("SELECT type, contact_id, body FROM events ORDER BY id")
    return [
        {"event": row["type"], "contact": row["contact_id"], **msgspec.json.decode(row["body"])["data"]}
        for row in rows
    ]


async def read(caller: Caller, chat: str = MARIA_CHAT) -> dict[str, Any]:
    answer = await caller[0].get(AUTOMATION, params={"sessionId": caller[1], "chat": chat})
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def change(caller: Caller, action: str, chat: str = MARIA_CHAT, **given: Any) -> dict[str, Any]:
    body = {"sessionId": caller[1], "chat": chat, "action": action, **given}
    answer = await caller[0].post(AUTOMATION, json=body)
    assert answer.status_code == 200, answer.text
    changed: dict[str, Any] = answer.json()
    return changed


async def test_how_the_bot_stands_in_a_chat(alone: Caller, pool: Pool) -> None:
    """Flow, agent and answers of the last hour; a chat that the bot was never in has none of it."""
    await meet(pool, alone)
    assert await read(alone, MARIA) == {
        "sessionId": alone[1],
        "chat": MARIA_CHAT,
        "pausedUntil": None,
        "pausedReason": None,
        "flow": "menu",
        "step": "choice",
        "agent": "main",
        "repliesLastHour": 2,
    }
    empty = {"pausedUntil": None, "pausedReason": None, "flow": None, "step": None, "agent": None}
    assert await read(alone, PEDRO_CHAT) == {
        "sessionId": alone[1],
        "chat": PEDRO_CHAT,
        **empty,
        "repliesLastHour": 0,
    }


async def test_a_flow_that_is_over_is_not_shown(alone: Caller, pool: Pool) -> None:
    """It stands in its row until somebody looks, but the contact is in it no more."""
    await meet(pool, alone, flow_ends_at=NOW)
    assert (await read(alone))["flow"] is None


async def test_pausing_takes_back_what_the_bot_was_about_to_say(alone: Caller, pool: Pool) -> None:
    """Its queued answers in this chat are cancelled, the agent's turn and the flow are gone; other chats and people are left alone."""
    await meet(pool, alone)
    answer = await queue(pool, alone)
    others = [await queue(pool, alone, chat=PEDRO_CHAT)]
    others += [await queue(pool, alone, origin=origin) for origin in ("api", "person")]

    until = (NOW + timedelta(seconds=60)).isoformat().replace("+00:00", "Z")
    changed = await change(alone, "pause", MARIA)
    assert (changed["pausedUntil"], changed["pausedReason"], changed["agent"]) == (until, "request", None)
    assert await read(alone) == changed
    assert (changed["flow"], changed["step"]) == (None, None)
    status = {
        row["id"]: (row["status"], row["error"])
        for row in await pool.fetch("SELECT * FROM whatsapp_messages")
    }
    assert status == {answer: ("failed", "cancelled"), **dict.fromkeys(others, ("queued", None))}
    assert await pool.fetchval("SELECT count(*) FROM agent_turns") == 0
    paused, cancelled = await told(pool)
    assert paused == {
        "event": "automation.paused",
        "contact": "ctc_maria",
        "sessionId": alone[1],
        "chat": MARIA_CHAT,
        "chatType": "private",
        "contactId": "ctc_maria",
        **dict.fromkeys(("messageId", "ruleSet", "rule", "agent")),
        "reason": "request",
        "until": until,
    }
    assert (cancelled["event"], cancelled["messageId"], cancelled["error"]) == (
        "message.status",
        answer,
        "cancelled",
    )


async def test_switching_the_bot_off_takes_back_what_it_was_about_to_say(alone: Caller, pool: Pool) -> None:
    """In every chat of the session, and of no other; what people have queued goes on. Settings beside it change nothing."""
    api, session_id = alone
    other = await make_session(api, connect=False, automation=True)
    answers = [await queue(pool, alone, chat=chat) for chat in (MARIA_CHAT, PEDRO_CHAT)]
    kept = [await queue(pool, alone, origin="api"), await queue(pool, (api, other))]

    async def patch(**changes: Any) -> dict[MessageId, str]:
        answer = await api.patch(f"{WHATSAPP}/sessions/{session_id}", json=changes)
        assert answer.status_code == 200, answer.text
        rows = await pool.fetch("SELECT id, status FROM whatsapp_messages")
        return {row["id"]: row["status"] for row in rows}

    assert set((await patch(name="shop", automation=True)).values()) == {"queued"}
    expected = dict.fromkeys(answers, "failed") | dict.fromkeys(kept, "queued")
    assert await patch(automation=False) == expected
    events = [(event["event"], event["messageId"], event["error"]) for event in await told(pool)]
    assert sorted(events) == [("message.status", one, "cancelled") for one in sorted(answers)]


async def test_resuming(alone: Caller, pool: Pool) -> None:
    """It ends a pause and says so; where the bot may speak anyway nothing is said."""
    await change(alone, "resume")
    await change(alone, "pause", seconds=7200)
    resumed = await change(alone, "resume")
    assert (resumed["pausedUntil"], resumed["pausedReason"]) == (None, None)
    await change(alone, "resume")
    assert [event["event"] for event in await told(pool)] == ["automation.paused", "automation.resumed"]


async def test_a_pause_ends_by_itself(alone: Caller, pool: Pool) -> None:
    """What is over is not shown, and there is nothing to resume."""
    await change(alone, "pause", seconds=1)
    await pool.execute("UPDATE bot_chats SET paused_until = $1", NOW)
    assert (await read(alone))["pausedUntil"] is None
    await change(alone, "resume")
    assert [event["event"] for event in await told(pool)] == ["automation.paused"]


async def test_a_lid_whose_number_is_known_is_the_numbers_chat(alone: Caller, pool: Pool) -> None:
    """The bot looks for the chat under the number; one that has no number known stays as it is."""
    await meet(pool, alone)
    assert (await change(alone, "pause", "90001@lid"))["chat"] == MARIA_CHAT
    assert (await read(alone))["pausedReason"] == "request"
    assert (await read(alone, "90002@lid"))["chat"] == "90002@lid"


async def test_the_list_of_chats_says_where_the_bot_is_paused(alone: Caller, pool: Pool) -> None:
    """`automation` while it is, and null otherwise."""
    await meet(pool, alone)

    async def shown() -> Any:
        [chat] = (await alone[0].get(f"{WHATSAPP}/chats")).json()["chats"]
        return chat["automation"]

    assert await shown() is None
    # The list goes by the database's clock.
    await pool.execute("UPDATE bot_chats SET paused_until = now() - interval '1 s'")
    assert await shown() is None
    until = await pool.fetchval("UPDATE bot_chats SET paused_until = '2100-01-01' RETURNING paused_until")
    assert await shown() == {"pausedUntil": until.isoformat().replace("+00:00", "Z")}


@pytest.mark.parametrize(
    ("given", "path"),
    [
        ({"action": "stop"}, "action"),
        ({"action": "pause", "seconds": 0}, "seconds"),
        ({"action": "pause", "seconds": 2_592_001}, "seconds"),
        ({"action": "resume", "seconds": 1}, "seconds"),
        ({"action": "pause", "chat": "nobody"}, "chat"),
    ],
)
async def test_what_cannot_be_asked(alone: Caller, given: dict[str, Any], path: str) -> None:
    """400, with the field."""
    body = {"sessionId": alone[1], "chat": MARIA_CHAT, **given}
    refused = await alone[0].post(AUTOMATION, json=body)
    assert (refused.status_code, refused.json()["path"]) == (400, path), refused.text


async def test_a_message_says_why_the_bot_said_it(alone: Caller, pool: Pool) -> None:
    """In the list and alone; what people say has no such reason."""
    api, _session_id = alone
    cause = {"ruleSet": "shop", "version": 3, "rule": "hours", "messageId": "msg_1"}
    bots = await queue(pool, alone, automation=cause)
    mine = await queue(pool, alone, origin="api")
    listed = (await api.get(f"{WHATSAPP}/messages")).json()["messages"]
    assert {message["id"]: message["automation"] for message in listed} == {bots: cause, mine: None}
    message = (await api.get(f"{WHATSAPP}/messages/{bots}")).json()
    assert (message["origin"], message["automation"]) == ("bot", cause)


RULES = """
    version: 1
    rules:
      - {id: hello, when: {keyword: oi}, do: [{reply: "Olá!"}]}
"""


@pytest.fixture
async def bot(alone: Caller, pool: Pool, url: str, tmp_path: Path) -> AsyncIterator[Bot]:
    """The bot of that session; Maria has said `oi`, which it knows an answer to."""
    bot = Bot(pool, url, tmp_path, (TenantId(alone[0].company_id), SessionId(alone[1])))
    await bot.obeys(RULES)
    await bot.hears("oi")
    yield bot
    await bot.close()


async def switch_off(caller: Caller) -> None:
    answer = await caller[0].patch(f"{WHATSAPP}/sessions/{caller[1]}", json={"automation": False})
    assert answer.status_code == 200, answer.text


async def pause(caller: Caller) -> None:
    await change(caller, "pause", seconds=7200)


@pytest.mark.parametrize("silence", [pause, switch_off])
@pytest.mark.parametrize("written", [False, True])
async def test_a_bot_that_is_silenced_while_it_answers_says_nothing(
    alone: Caller,
    bot: Bot,
    monkeypatch: pytest.MonkeyPatch,
    silence: Silence,
    written: bool,
) -> None:
    """Its decision has been made, or is written and not yet committed: whoever silences it waits, and takes it back."""
    write = answers.write
    silencing: list[asyncio.Task[None]] = []

    async def at_this_moment(conn: Any, answered: Any) -> Any:
        rung = await write(conn, answered) if written else None
        silencing.append(asyncio.create_task(silence(alone)))
        await waits(bot.pool, silencing[0])
        return rung or await write(conn, answered)

    with monkeypatch.context() as patch:
        patch.setattr(responder, "write", at_this_moment)
        await bot.work()
    await silencing[0]
    assert await bot.said() == []


@pytest.mark.parametrize("silence", [pause, switch_off])
async def test_a_bot_that_waits_for_whoever_silences_it_says_nothing(
    alone: Caller,
    bot: Bot,
    monkeypatch: pytest.MonkeyPatch,
    silence: Silence,
) -> None:
    """What it decides on is looked at when the session is its own, and not before."""
    insert = outbox.insert_events
    working: list[asyncio.Task[None]] = []

    async def at_this_moment(conn: Any, events: Any) -> bool:
        working.append(asyncio.create_task(bot.work()))
        await waits(bot.pool, working[0])
        return await insert(conn, events)

    with monkeypatch.context() as patch:
        patch.setattr(outbox, "insert_events", at_this_moment)
        await silence(alone)
    await working[0]
    assert await bot.said() == []
