"""Agents that are the tenant's own automation: a signed POST to a real server, and what it may answer."""

import base64
import hashlib
import hmac
import json
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from relay.model.agent import CallOutcome
from relay.replies.agents.failure import CallFailed
from relay.replies.agents.http_agent import ANSWER_BYTES_MOST, read_answer
from relay.store import agents, tenants
from relay.store.pool import Pool
from tests.accounts import MARIA_CHAT
from tests.agents_desk import AgentsDesk
from tests.model_server import ModelServer, Received, hang, raw, serve_model, status
from tests.owing import VAULT

PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
SECRET = "whsec_" + base64.b64encode(b"s" * 32).decode()


@pytest.fixture
async def desk(pool: Pool, url: str, tmp_path: Path) -> AgentsDesk:
    return AgentsDesk(pool, url, tmp_path)


@pytest.fixture
async def server() -> AsyncIterator[ModelServer]:
    async with serve_model() as server:
        yield server


async def add_engine(desk: AgentsDesk, server: ModelServer, **settings: Any) -> tuple[Any, str]:
    """An account and its agent's id."""
    account = await desk.add_account()
    return account, await desk.add_agent(account, kind="http", secret=SECRET, url=server.url, **settings)


def signatures(request: Received, *secrets: str) -> list[str]:
    """As a receiver computes them, from the specification alone."""
    body = json.dumps(request.body, separators=(",", ":"), ensure_ascii=False)
    content = f"{request.headers['webhook-id']}.{request.headers['webhook-timestamp']}.{body}".encode()
    keys = [base64.b64decode(secret.removeprefix("whsec_")) for secret in secrets]
    return [
        "v1," + base64.b64encode(hmac.new(key, content, hashlib.sha256).digest()).decode() for key in keys
    ]


async def test_the_tenants_server_is_told_all(desk: AgentsDesk, server: ModelServer) -> None:
    """Who wrote what, where and after what; its reply is queued."""
    account, _agent_id = await add_engine(desk, server)
    server.will(raw(b'{"reply": "Bom dia!"}'), raw(b'{"reply": "Claro."}'))
    await desk.write(account, "Oi")
    await desk.answer()
    asked = await desk.write(account, "Tem 42?")
    await desk.answer()
    assert await desk.said(account) == ["Bom dia!", "Claro."]
    body = server.received[1].body
    assert (body["sessionId"], body["chat"], body["from"]) == (account[1], MARIA_CHAT, "5511999990001")
    assert (body["text"], body["message"]["id"], body["message"]["type"]) == ("Tem 42?", asked, "text")
    assert body["contact"]["name"] == "Maria"
    assert [(line["role"], line["text"]) for line in body["history"]] == [
        ("user", "Oi"),
        ("assistant", "Bom dia!"),
    ]
    assert body["timestamp"].endswith("Z")


async def test_calls_are_signed_as_webhooks_are(pool: Pool, desk: AgentsDesk, server: ModelServer) -> None:
    """With the agent's own secret; while it is being rotated, with both."""
    account, agent_id = await add_engine(desk, server)
    server.will(raw(b"{}"), raw(b"{}"))
    await desk.write(account)
    turn_id = await pool.fetchval("SELECT id FROM agent_turns")
    await desk.answer()
    async with pool.acquire() as conn:
        key = await tenants.get_data_key(conn, VAULT, account[0])
        newer = await agents.rotate_secret(conn, key, account[0], agent_id, overlap=timedelta(hours=1))
    await desk.write(account)
    await desk.answer()
    first, second = server.received
    assert first.headers["webhook-id"] == turn_id
    assert signatures(first, SECRET) == first.headers["webhook-signature"].split()
    assert signatures(second, newer, SECRET) == second.headers["webhook-signature"].split()


@pytest.mark.parametrize("body", [b"", b"{}", b'{"messages": []}', b'{"reply": ""}', b'{"reply": null}'])
async def test_it_may_have_nothing_to_say(desk: AgentsDesk, server: ModelServer, body: bytes) -> None:
    """Then nothing is said, not even the fallback: it is the tenant's own decision."""
    account, _agent_id = await add_engine(desk, server)
    await desk.write(account, fallback="Já volto.")
    server.will(raw(body, code=200 if body else 204))
    await desk.answer()
    [call] = await desk.calls(account)
    assert (call.outcome, await desk.said(account)) == ("empty", [])


async def test_every_message_of_its_own_list_is_said(desk: AgentsDesk, server: ModelServer) -> None:
    """`maxMessages` bounds what a reply is split into, not what the server has put into messages itself."""
    account, _agent_id = await add_engine(desk, server, maxMessages=2)
    await desk.write(account)
    server.will(raw(json.dumps({"reply": "a\n\nb\n\nc", "messages": list("123456")}).encode()))
    await desk.answer()
    assert await desk.said(account) == ["a\n\nb", "c", *"123456"]


async def test_it_hands_over_to_a_person(desk: AgentsDesk, server: ModelServer) -> None:
    """Its words first, then the bot keeps quiet."""
    account, _agent_id = await add_engine(desk, server)
    await desk.write(account)
    server.will(raw('{"reply": "Um momento…", "handoff": {"note": "VIP"}}'.encode()))
    await desk.answer()
    assert await desk.said(account) == ["Um momento…"]
    [event] = await desk.events("automation.handoff")
    assert event["data"]["note"] == "VIP"


async def test_a_picture_by_its_address_is_fetched_first(desk: AgentsDesk, server: ModelServer) -> None:
    """As one that a rule sends; one that cannot be had leaves its caption."""
    account, _agent_id = await add_engine(desk, server)
    await desk.write(account)
    there, gone = f"{server.url}/x.png", f"{server.url}/gone"
    pictures = [
        {"type": "image", "content": {"url": there, "caption": "Este"}},
        {"type": "image", "content": {"url": gone, "caption": "E este"}},
    ]
    server.will(raw(json.dumps({"messages": pictures}).encode()))
    server.will(raw(PNG, content_type="image/png"), status(404))
    await desk.answer()
    picture, words = [one for one in await desk.messages(account) if one.origin == "bot"]
    assert (picture.content["caption"], picture.content["mimetype"]) == ("Este", "image/png")
    assert "url" not in picture.content
    assert words.content == {"text": "E este"}


@pytest.mark.parametrize(
    ("behaviour", "outcome"),
    [
        (raw(b"oi"), "nonsense"),
        (raw(b'{"repyl": "Oi"}'), "nonsense"),
        (raw(b'{"reply": "' + b"x" * ANSWER_BYTES_MOST + b'"}'), "nonsense"),
        (status(401), "refused"),
        (status(302), "refused"),
        (status(500), "failed"),
        (status(429), "throttled"),
        (hang(), "timeout"),
    ],
    ids=["no JSON", "unknown field", "too large", "401", "redirect", "500", "429", "hang"],
)
async def test_a_server_that_fails(
    desk: AgentsDesk, server: ModelServer, behaviour: Any, outcome: str
) -> None:
    """The fallback is said, and of the answer nothing."""
    seconds = 1 if outcome == "timeout" else 30
    account, _agent_id = await add_engine(desk, server, retries=0, timeoutSeconds=seconds)
    await desk.write(account, fallback="Já volto.")
    server.will(behaviour)
    await desk.answer()
    [call] = await desk.calls(account)
    assert (call.outcome, await desk.said(account)) == (outcome, ["Já volto."])


def test_messages_of_every_type() -> None:
    """As the API takes them, or as words alone."""
    answer = {
        "messages": [
            "Oi",
            {"type": "text", "content": "Tudo bem?"},
            {"type": "image", "content": {"url": "https://a.example/x.png", "caption": "Isto"}},
            {"type": "document", "content": {"mediaId": "med_1", "fileName": "a.pdf"}},
            {"type": "location", "content": {"latitude": -23.5, "longitude": -46.6}},
            {"type": "poll", "content": {"question": "?", "options": ["a", "b"]}},
        ]
    }
    speech = read_answer(json.dumps(answer).encode(), most_messages=4)
    assert [(one.type, one.content) for one in speech.messages] == [
        ("text", {"text": "Oi"}),
        ("text", {"text": "Tudo bem?"}),
        ("image", {"url": "https://a.example/x.png", "caption": "Isto"}),
        ("document", {"mediaId": "med_1", "fileName": "a.pdf"}),
        ("location", {"latitude": -23.5, "longitude": -46.6}),
        ("poll", {"question": "?", "options": ["a", "b"]}),
    ]


@pytest.mark.parametrize(
    "answer",
    [
        [],
        {"messages": [{"type": "reaction", "content": {"emoji": "x"}}]},
        {"messages": [{"type": "image", "content": {"caption": "no file"}}]},
        {"messages": [{"type": "image", "content": {"url": "https://a/x", "mediaId": "med_1"}}]},
        {"messages": [{"type": "text", "content": {"text": ""}}]},
        {"messages": [{"type": "poll", "content": {"question": "?", "options": ["a"]}}]},
        {"messages": ["x"] * 21},
        {"reply": 5},
        {"reply": "a\x00b"},
        {"handoff": "yes"},
    ],
)
def test_what_is_not_as_agreed_is_nonsense(answer: Any) -> None:
    """To the last field: what is half understood is not said."""
    with pytest.raises(CallFailed) as failed:
        read_answer(json.dumps(answer).encode(), most_messages=4)
    assert failed.value.outcome is CallOutcome.NONSENSE


def test_an_answer_nested_too_deeply() -> None:
    """It is read to no depth."""
    with pytest.raises(CallFailed):
        read_answer(b'{"messages": ' + b"[" * 100_000, most_messages=4)
