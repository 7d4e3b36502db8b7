"""Agents at an OpenAI-compatible server: the real SDK, a model server on a real socket, a real Postgres."""

import logging
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from relay.egress.fetch import MAX_ANSWER_BYTES, http_client
from relay.egress.guard import AddressGuard
from relay.model.agent import OpenAiSettings
from relay.model.message import MessageType
from relay.plugin import Tool
from relay.replies.agents.chat_completion import complete, make_client, request_of
from relay.replies.agents.failure import CallFailed
from relay.replies.outcome import Planned
from relay.replies.situation import Situation
from relay.store.pool import Pool
from tests.accounts import MARIA_CHAT
from tests.agents_desk import AgentsDesk
from tests.model_server import (
    Behaviour,
    ModelServer,
    drop,
    hang,
    raw,
    serve_model,
    status,
    text,
    tool,
)

_STREAMED = pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])


@pytest.fixture
async def desk(pool: Pool, url: str, tmp_path: Path) -> AgentsDesk:
    return AgentsDesk(pool, url, tmp_path)


@pytest.fixture
async def model() -> AsyncIterator[ModelServer]:
    async with serve_model() as server:
        yield server


def roles(request: Any) -> list[tuple[str, Any]]:
    return [(message["role"], message["content"]) for message in request.body["messages"]]


@_STREAMED
async def test_a_question_is_answered(desk: AgentsDesk, model: ModelServer, stream: bool) -> None:
    """The model is told the prompt and the words; its answer is queued, and why is kept with it."""
    account = await desk.add_account()
    await desk.add_agent(account, baseUrl=model.url, prompt="You sell shoes.", secret="sk-1", stream=stream)
    asked = await desk.write(account, "Quanto custa?")
    model.will(text("Dez reais, à vista."))
    await desk.answer()
    assert await desk.said(account) == ["Dez reais, à vista."]
    [request] = model.received
    assert request.headers["Authorization"] == "Bearer sk-1"
    assert roles(request) == [("system", "You sell shoes."), ("user", "Quanto custa?")]
    [answer] = [message for message in await desk.messages(account) if message.origin == "bot"]
    assert answer.automation == {"ruleSet": "shop", "rule": "rest", "agent": "main", "messageId": asked}
    [call] = await desk.calls(account)
    assert (call.outcome, call.requests, call.prompt_tokens, call.completion_tokens) == (
        "answered",
        1,
        30,
        12,
    )
    assert (call.session_id, call.message_id) == (account[1], asked)
    assert await desk.turns_left() == 0


async def test_quick_messages_and_what_was_said_before(desk: AgentsDesk, model: ModelServer) -> None:
    """Several messages are one question; the history holds both sides, the newest that fit."""
    account = await desk.add_account()
    await desk.add_agent(account, baseUrl=model.url, historyMessages=3, prompt="{{ contact.name }} writes.")
    await desk.write(account, "Um")
    await desk.answer()
    await desk.write(account, "Dois")
    await desk.write(account, "Três")
    await desk.answer()
    await desk.write(account, "Quatro")
    await desk.answer()
    system = ("system", "Maria writes.")
    assert roles(model.received[1]) == [
        system,
        ("user", "Um"),
        ("assistant", "Olá!"),
        ("user", "Dois\nTrês"),
    ]
    assert roles(model.received[2]) == [
        system,
        ("user", "Dois"),
        ("user", "Três"),
        ("assistant", "Olá!"),
        ("user", "Quatro"),
    ]


async def test_a_long_history_is_cut_to_its_tokens(desk: AgentsDesk, model: ModelServer) -> None:
    """The oldest is left out first."""
    account = await desk.add_account()
    await desk.add_agent(account, baseUrl=model.url, historyTokens=40)
    await desk.write(account, "x" * 400)
    await desk.answer()
    await desk.write(account, "Oi?")
    await desk.answer()
    assert roles(model.received[1]) == [("assistant", "Olá!"), ("user", "Oi?")]


_HALF = raw(b'data: {"choices": [{"delta": {"content": "Ol"}}]}\n\n', content_type="text/event-stream")
_FAILURES: dict[str, tuple[list[Behaviour], str, int | None]] = {
    "wrong key": ([status(401)], "refused", 401),
    "no such model": ([status(404)], "refused", 404),
    "too many": ([status(429, retry_after="3600")], "throttled", 429),
    "down": ([status(500), status(502), status(503)], "failed", 503),
    "breaks off": ([drop(), drop(), drop()], "failed", None),
    "ends too early": ([_HALF, _HALF, _HALF], "failed", None),
    "no JSON": ([raw(b"{")], "nonsense", None),
    "a page": ([raw(b"<html>", content_type="text/html")], "nonsense", None),
    "another shape": ([raw(b'{"choices": [{"message": 5}]}')], "nonsense", None),
    "no choice": ([raw(b'{"choices": []}')], "nonsense", None),
    "nothing to say": ([text("")], "empty", None),
    "hangs": ([hang()], "timeout", None),
}


@pytest.mark.parametrize("failure", [name for name in _FAILURES if name != "ends too early"])
async def test_a_model_that_fails(desk: AgentsDesk, model: ModelServer, failure: str) -> None:
    """Each failure has its name in the log of calls, and the fallback is said instead."""
    behaviours, outcome, code = _FAILURES[failure]
    account = await desk.add_account()
    seconds = 1 if failure == "hangs" else 30
    await desk.add_agent(account, baseUrl=model.url, timeoutSeconds=seconds)
    await desk.write(account, fallback="Já volto.")
    model.will(*behaviours)
    await desk.answer()
    [call] = await desk.calls(account)
    assert (call.outcome, call.status_code) == (outcome, code)
    assert await desk.said(account) == ["Já volto."]
    assert await desk.turns_left() == 0


@pytest.mark.parametrize("failure", ["down", "breaks off", "ends too early", "wrong key", "nothing to say"])
async def test_a_streaming_model_that_fails(desk: AgentsDesk, model: ModelServer, failure: str) -> None:
    """As one that answers at once; half an answer is none."""
    behaviours, outcome, code = _FAILURES[failure]
    account = await desk.add_account()
    await desk.add_agent(account, baseUrl=model.url, stream=True)
    await desk.write(account, fallback="Já volto.")
    model.will(*behaviours)
    await desk.answer()
    [call] = await desk.calls(account)
    assert (call.outcome, call.status_code) == (outcome, code)
    assert await desk.said(account) == ["Já volto."]


@_STREAMED
async def test_an_answer_that_is_too_large(desk: AgentsDesk, model: ModelServer, stream: bool) -> None:
    """It is none, and asking again would bring no other."""
    account = await desk.add_account()
    await desk.add_agent(account, baseUrl=model.url, stream=stream)
    await desk.write(account, fallback="Já volto.")
    kind = "text/event-stream" if stream else "application/json"
    model.will(raw(b": " + b"x" * MAX_ANSWER_BYTES + b"\n\n", content_type=kind))
    await desk.answer()
    [call] = await desk.calls(account)
    assert (call.outcome, call.requests) == ("nonsense", 1)
    assert await desk.said(account) == ["Já volto."]


async def test_what_is_too_large_is_told(desk: AgentsDesk, model: ModelServer) -> None:
    """Whoever tries the agent reads why."""
    model.will(raw(b"x" * (MAX_ANSWER_BYTES + 1)))
    settings = OpenAiSettings(base_url=model.url, model="small")
    async with http_client(AddressGuard(allow_networks=["127.0.0.0/8"]), timeout_seconds=30) as http:
        client = make_client(settings, None, http)
        with pytest.raises(CallFailed, match=r"^The server's answer is larger than 8 MiB\.$"):
            await complete(client, request_of(settings, [{"role": "user", "content": "Oi"}], []))


async def test_whose_fallback_is_said(desk: AgentsDesk, model: ModelServer) -> None:
    """The rule's before the agent's; without either the bot says nothing."""
    account = await desk.add_account()
    await desk.add_agent(account, baseUrl=model.url, fallback="Do agente.", retries=0)
    model.will(status(500), status(500))
    await desk.write(account, fallback="Da regra.")
    await desk.answer()
    await desk.write(account)
    await desk.answer()
    assert await desk.said(account) == ["Da regra.", "Do agente."]
    other = await desk.add_account()
    await desk.add_agent(other, baseUrl=model.url, retries=0)
    model.will(status(500))
    await desk.write(other)
    await desk.answer()
    assert await desk.said(other) == []
    assert await desk.turns_left() == 0


async def test_another_try_waits_as_the_server_asks(desk: AgentsDesk, model: ModelServer) -> None:
    """Retry-After counts; without one, each wait is twice as long. What answers in the end is said."""
    account = await desk.add_account()
    await desk.add_agent(account, baseUrl=model.url, retries=3)
    await desk.write(account)
    model.will(status(429, retry_after="7"), status(500), drop(), text("Enfim."))
    await desk.answer()
    assert desk.slept == [7.0, 1.0, 2.0]
    assert await desk.said(account) == ["Enfim."]
    [call] = await desk.calls(account)
    assert (call.outcome, call.requests) == ("answered", 4)


async def test_no_one_waits_longer_than_there_is_time(desk: AgentsDesk, model: ModelServer) -> None:
    """A Retry-After beyond the agent's timeout ends it at once."""
    account = await desk.add_account()
    await desk.add_agent(account, baseUrl=model.url, timeoutSeconds=5)
    await desk.write(account)
    model.will(status(429, retry_after="6"))
    await desk.answer()
    assert (desk.slept, len(model.received)) == ([], 1)


# --- tools ----------------------------------------------------------------------------------------------------------


@_STREAMED
async def test_a_tool_is_used_and_its_answer_told(desk: AgentsDesk, model: ModelServer, stream: bool) -> None:
    """What a plugin's tool answers goes back to the model, which then speaks."""
    asked: list[dict[str, Any]] = []

    async def stock(arguments: dict[str, Any]) -> str:
        asked.append(arguments)
        return "3 left"

    schema = {"type": "object", "properties": {"size": {"type": "integer"}}}
    tools = [Tool(name="shop_stock", description="What is there.", parameters=schema, call=stock)]
    account = await desk.add_account()
    await desk.add_agent(account, baseUrl=model.url, stream=stream)
    await desk.write(account, "Tem 42?")
    model.will(tool("shop_stock", size=42), text("Tem três."))
    await desk.answer(plugins={"tools": lambda *asked_for: tools if asked_for == account else []})
    assert asked == [{"size": 42}]
    assert await desk.said(account) == ["Tem três."]
    first, second = model.received
    assert [one["function"]["name"] for one in first.body["tools"]] == ["handoff", "shop_stock"]
    assert second.body["messages"][-2]["tool_calls"][0]["function"]["name"] == "shop_stock"
    assert second.body["messages"][-1] == {
        "role": "tool",
        "tool_call_id": "call_shop_stock",
        "content": "3 left",
    }
    [call] = await desk.calls(account)
    assert (call.requests, call.prompt_tokens) == (2, 60)


async def test_a_model_cannot_go_round_in_circles(desk: AgentsDesk, model: ModelServer) -> None:
    """After five rounds it is offered no tools; what it makes up is told to be unknown."""
    account = await desk.add_account()
    await desk.add_agent(account, baseUrl=model.url)
    await desk.write(account)
    model.will(*[tool("nonexistent", raw="{") for _ in range(5)], text("Desisto."))
    await desk.answer()
    assert await desk.said(account) == ["Desisto."]
    assert len(model.received) == 6
    assert "tools" not in model.received[-1].body
    assert model.received[-1].body["messages"][-1]["content"] == "There is no such tool."


@_STREAMED
async def test_the_model_wants_a_person(desk: AgentsDesk, model: ModelServer, stream: bool) -> None:
    """Its goodbye is said, the bot keeps quiet from then on, and an event tells why."""
    account = await desk.add_account()
    await desk.add_agent(account, baseUrl=model.url, stream=stream)
    asked = await desk.write(account, "Quero reclamar")
    elsewhere = {"558855@g.us": {"flow": "order"}}
    await desk.pool.execute(
        "INSERT INTO bot_contacts (contact_id, session_id, tenant_id, flows) "
        "SELECT id, session_id, tenant_id, $1 FROM whatsapp_contacts",
        {MARIA_CHAT: {"flow": "menu"}, **elsewhere},
    )
    model.will(tool("handoff", saying="Vou chamar alguém.", reason="A complaint"))
    await desk.answer()
    assert await desk.said(account) == ["Vou chamar alguém."]
    [event] = await desk.events("automation.handoff")
    assert event["data"]["messageId"] == asked
    assert (event["data"]["agent"], event["data"]["note"]) == ("main", "A complaint")
    paused = await desk.pool.fetchrow("SELECT paused_reason, paused_until > now() AS holds FROM bot_chats")
    assert paused is not None
    assert (paused["paused_reason"], paused["holds"]) == ("handoff", True)
    # The flow of this chat is over, too.
    assert await desk.pool.fetchval("SELECT flows FROM bot_contacts") == elsewhere
    [call] = await desk.calls(account)
    assert call.outcome == "handoff"
    # Whatever still comes of an agent in this chat is not said.
    await desk.write(account, "Alô?")
    await desk.answer()
    assert await desk.said(account) == ["Vou chamar alguém."]
    assert await desk.turns_left() == 0


async def test_a_model_that_takes_no_tools(desk: AgentsDesk, model: ModelServer) -> None:
    """`tools: false` offers none."""
    account = await desk.add_account()
    await desk.add_agent(account, baseUrl=model.url, tools=False, temperature=0.2, maxTokens=50)
    await desk.write(account)
    await desk.answer()
    body = model.received[0].body
    assert "tools" not in body
    assert (body["model"], body["temperature"], body["max_tokens"]) == ("small", 0.2, 50)


# --- files ----------------------------------------------------------------------------------------------------------


async def send_file(desk: AgentsDesk, account: Any, kind: str, mimetype: str, **content: Any) -> None:
    """Maria sends a file that has been fetched already."""

    async def chunks() -> AsyncIterator[bytes]:
        yield b"bytes"

    stored = await desk.blobs.write(chunks())
    async with desk.pool.acquire() as conn:
        await desk.blobs.insert(conn, stored, tenant_id=account[0], mimetype=mimetype, file_name=None)
    given = {"mediaId": stored.id, "mediaStatus": "stored", "mimetype": mimetype, **content}
    message_id = await desk.write(account, type=MessageType(kind), content={})
    await desk.pool.execute("UPDATE whatsapp_messages SET content = $2 WHERE id = $1", message_id, given)


async def test_pictures_are_shown_to_a_model_that_sees(desk: AgentsDesk, model: ModelServer) -> None:
    """As a data URL beside the caption; a model that does not see reads that there is one."""
    account = await desk.add_account()
    agent_id = await desk.add_agent(account, baseUrl=model.url, vision=True, historyMessages=0)
    await send_file(desk, account, "image", "image/png", caption="Este aqui")
    await desk.answer()
    await desk.pool.execute("UPDATE agents SET settings = settings - 'vision' WHERE id = $1", agent_id)
    await send_file(desk, account, "image", "image/png", caption="Este aqui")
    await desk.answer()
    shown = {"type": "image_url", "image_url": {"url": "data:image/png;base64,Ynl0ZXM="}}
    words = {"type": "text", "text": "[image] Este aqui"}
    assert roles(model.received[0]) == [("user", [words, shown])]
    assert roles(model.received[1]) == [("user", "[image] Este aqui")]


async def test_voice_notes_become_words(desk: AgentsDesk, model: ModelServer) -> None:
    """Transcribed first, by the model named for it; both requests count, and later questions are told the words."""
    account = await desk.add_account()
    await desk.add_agent(account, baseUrl=model.url, transcribe=True, transcriptionModel="ear")
    await send_file(desk, account, "audio", "audio/ogg; codecs=opus", voice=True)
    await desk.answer()
    heard, asked = model.received
    assert heard.path == "/v1/audio/transcriptions"
    assert b"ear" in heard.body
    assert b"bytes" in heard.body
    assert roles(asked) == [("user", "Qual é o horário?")]
    [call] = await desk.calls(account)
    assert call.requests == 2
    await desk.write(account, "E aos sábados?")
    await desk.answer()
    assert roles(model.received[2])[0] == ("user", "Qual é o horário?")


async def test_a_file_on_its_way_is_waited_for(desk: AgentsDesk, model: ModelServer) -> None:
    """The question is put off while WhatsApp still has the picture, for twenty seconds at most."""
    account = await desk.add_account()
    await desk.add_agent(account, baseUrl=model.url, vision=True)
    pending = {"mediaId": "med_x", "mediaStatus": "pending"}
    message_id = await desk.write(account, type=MessageType.IMAGE, content={})
    await desk.pool.execute("UPDATE whatsapp_messages SET content = $2 WHERE id = $1", message_id, pending)
    await desk.answer()
    assert model.received == []
    assert await desk.turns_left() == 1
    await desk.pool.execute("UPDATE whatsapp_messages SET sent_at = now() - interval '21 seconds'")
    await desk.pool.execute("UPDATE agent_turns SET due_at = now()")
    await desk.answer()
    assert await desk.said(account) == ["Olá!"]


# --- words ----------------------------------------------------------------------------------------------------------


async def test_an_answer_is_split_and_typed(desk: AgentsDesk, model: ModelServer) -> None:
    """A message for each paragraph, with the time that typing takes; thoughts aloud are left out."""
    account = await desk.add_account()
    await desk.add_agent(account, baseUrl=model.url, maxMessages=2)
    await desk.write(account)
    model.will(text(f"<think>hm</think>Um.\n\nDois.\n\n{'x' * 600}"))
    await desk.answer()
    rows = await desk.pool.fetch(
        "SELECT content, typing_seconds FROM whatsapp_messages WHERE origin = 'bot' ORDER BY id"
    )
    assert [row["content"]["text"] for row in rows] == ["Um.\n\nDois.", "x" * 600]
    assert [round(row["typing_seconds"], 1) for row in rows] == [0.4, 6.0]


async def test_a_stop_word_ends_it(desk: AgentsDesk, model: ModelServer) -> None:
    """Nobody is asked and nothing is said, not even to what was written before it."""
    account = await desk.add_account()
    await desk.add_agent(account, baseUrl=model.url, stopWords=["parar", "stop"])
    await desk.write(account, "Uma pergunta", fallback="Já volto.")
    await desk.write(account, " PARAR ")
    await desk.answer()
    assert (model.received, await desk.said(account), await desk.turns_left()) == ([], [], 0)


async def test_an_agent_that_is_not_there(desk: AgentsDesk, model: ModelServer) -> None:
    """Switched off or unknown: the fallback of whoever handed to it, and no call."""
    account = await desk.add_account()
    await desk.write(account, fallback="Já volto.")
    await desk.answer()
    await desk.add_agent(account, baseUrl=model.url, enabled=False)
    await desk.write(account, fallback="Até já.")
    await desk.answer()
    assert (model.received, await desk.said(account)) == ([], ["Já volto.", "Até já."])


async def test_a_contact_who_is_ignored_is_not_asked_for(desk: AgentsDesk, model: ModelServer) -> None:
    """Who became it between the question and the call costs nothing."""
    account = await desk.add_account()
    await desk.add_agent(account, baseUrl=model.url)
    await desk.write(account, fallback="Já volto.")
    await desk.pool.execute(
        "INSERT INTO bot_contacts (contact_id, session_id, tenant_id, ignored) "
        "SELECT id, session_id, tenant_id, true FROM whatsapp_contacts"
    )
    await desk.answer()
    assert (model.received, await desk.said(account), await desk.turns_left()) == ([], [], 0)


async def test_a_session_without_automation_says_nothing(desk: AgentsDesk, model: ModelServer) -> None:
    """Switched off between the question and the call."""
    account = await desk.add_account()
    await desk.add_agent(account, baseUrl=model.url)
    await desk.write(account, fallback="Já volto.")
    await desk.pool.execute("UPDATE whatsapp_sessions SET automation = false")
    await desk.answer()
    assert (model.received, await desk.said(account), await desk.turns_left()) == ([], [], 0)


async def test_characters_that_cannot_be_stored(desk: AgentsDesk, model: ModelServer) -> None:
    """NUL and half a surrogate pair cost themselves only."""
    account = await desk.add_account()
    await desk.add_agent(account, baseUrl=model.url)
    await desk.write(account)
    body = rb'{"choices": [{"message": {"content": "a\u0000b\ud800c"}, "finish_reason": "stop"}]}'
    model.will(raw(body))
    await desk.answer()
    assert await desk.said(account) == ["ab?c"]


async def test_plugins_have_the_last_word(desk: AgentsDesk, model: ModelServer) -> None:
    """What an agent says goes by them as what rules say does; afterwards they hear what was said."""
    heard: list[tuple[str, list[str]]] = []

    async def edit(messages: Sequence[Planned], situation: Situation) -> list[Planned]:
        if situation.message.text == "Cale-se":
            return []
        return [structs.replace(one, content={"text": one.content["text"].upper()}) for one in messages]

    async def replied(situation: Situation, messages: Sequence[Planned]) -> None:
        heard.append((situation.message.text, [one.content["text"] for one in messages]))

    account = await desk.add_account()
    await desk.add_agent(account, baseUrl=model.url)
    for words in ("Oi", "Cale-se"):
        await desk.write(account, words)
        await desk.answer(plugins={"edit": edit, "replied": replied})
    assert await desk.said(account) == ["OLÁ!"]
    assert heard == [("Oi", ["OLÁ!"])]
    assert await desk.turns_left() == 0


# --- secrets --------------------------------------------------------------------------------------------------------


async def test_the_key_is_nowhere_in_clear(
    desk: AgentsDesk, model: ModelServer, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not in a row, not in a log line, whatever the server says; nothing of our environment goes out."""
    caplog.set_level(logging.DEBUG)
    monkeypatch.setenv("OPENAI_ORG_ID", "org-operator")
    monkeypatch.setenv("OPENAI_PROJECT_ID", "proj-operator")
    monkeypatch.setenv("OPENAI_CUSTOM_HEADERS", "X-Operator: operator-secret")
    account = await desk.add_account()
    await desk.add_agent(account, baseUrl=model.url, secret="sk-secret-of-acme", retries=1)
    for behaviour in (text("Certo."), status(500), status(401)):
        model.will(behaviour)
        await desk.write(account, "Meu CPF é segredo")
        await desk.answer()
    assert "operator" not in str([request.headers for request in model.received])
    for private in ("sk-secret", "CPF", "Certo."):
        assert private not in caplog.text, private
        assert all(private not in str(record.__dict__) for record in caplog.records), private
    tables = await desk.pool.fetch(
        "SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace"
    )
    for table in tables:
        rows = await desk.pool.fetch(f"SELECT t::text AS row FROM {table['relname']} t")
        assert all("sk-secret" not in row["row"] for row in rows), table["relname"]
        sealed = b"sk-secret".hex()
        assert all(sealed not in row["row"] for row in rows), table["relname"]


async def test_an_address_that_is_not_allowed(desk: AgentsDesk, model: ModelServer, pool: Pool) -> None:
    """A tenant's base URL is a stranger's word: the guard judges each connection."""
    account = await desk.add_account()
    await desk.add_agent(account, baseUrl="http://169.254.169.254/v1", retries=0)
    await desk.write(account, chat=MARIA_CHAT, fallback="Já volto.")
    await desk.answer()
    [call] = await desk.calls(account)
    assert (call.outcome, await desk.said(account)) == ("failed", ["Já volto."])


@pytest.mark.parametrize("tokens", [2**31, 2**63])
async def test_a_server_that_says_it_has_used_more_than_can_be(
    desk: AgentsDesk, model: ModelServer, tokens: int
) -> None:
    """Its answer is said all the same, at once, and the call is in the log."""
    account = await desk.add_account()
    await desk.add_agent(account, baseUrl=model.url)
    await desk.write(account, fallback="Já volto.")
    model.will(text("Olá!", usage={"prompt_tokens": tokens, "completion_tokens": tokens}))
    await desk.answer()
    assert await desk.said(account) == ["Olá!"]
    [call] = await desk.calls(account)
    assert call.outcome == "answered"
