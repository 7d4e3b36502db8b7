"""Agents over the API: what goes in, what never comes out, trying one, and what it has cost."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from relay.config import Agents, Config, Webhooks
from relay.store import tenants
from relay.store.pool import Pool
from tests.api_client import Api, serve_api
from tests.model_server import ModelServer, hang, raw, serve_model, status, text, tool

AGENTS = "/api/v1/agents"


@pytest.fixture
async def model() -> AsyncIterator[ModelServer]:
    async with serve_model() as server:
        yield server


@pytest.fixture
async def api(pool: Pool, url: str) -> AsyncIterator[Api]:
    """A company's caller, of a server that may reach this machine."""
    config = Config(webhooks=Webhooks(allow_networks=("127.0.0.0/8",)), agents=Agents(calls_per_day=4))
    async with serve_api(pool, url, config=config) as operator:
        yield await operator.as_tenant()
        await operator.services.aclose()


async def make(api: Api, **given: Any) -> dict[str, Any]:
    body: dict[str, Any] = {"name": "main", "kind": "openai", "settings": {"model": "small"}, **given}
    response = await api.post(AGENTS, json=body)
    assert response.status_code == 201, response.text
    made: dict[str, Any] = response.json()
    return made


async def test_an_agent_is_made_changed_and_removed(api: Api, pool: Pool) -> None:
    """Settings come back whole, defaults among them; each change raises the tenant's number of rules."""
    made = await make(api, settings={"model": "small", "prompt": "Hi {{ contact.name }}"}, apiKey="sk-1")
    assert made["secret"] is None
    assert made["hasApiKey"] is True
    assert (made["settings"]["model"], made["settings"]["timeoutSeconds"]) == ("small", 60)
    assert made["settings"]["baseUrl"] == "https://api.openai.com/v1"
    path = f"{AGENTS}/{made['id']}"
    patch = {"settings": {"temperature": 0.5, "prompt": None}, "enabled": False, "name": "other"}
    changed = (await api.patch(path, json=patch)).json()
    assert (changed["name"], changed["enabled"]) == ("other", False)
    assert (changed["settings"]["temperature"], changed["settings"]["prompt"]) == (0.5, "")
    assert changed["hasApiKey"] is True
    async with pool.acquire() as conn:
        stored = await conn.fetchval("SELECT settings FROM agents")
    assert stored == {"model": "small", "temperature": 0.5}
    assert (await api.patch(path, json={"apiKey": None})).json()["hasApiKey"] is False
    assert (await api.get(path)).json()["settings"] == changed["settings"]
    assert [agent["id"] for agent in (await api.get(AGENTS)).json()["agents"]] == [made["id"]]
    async with pool.acquire() as conn:
        before = await tenants.get_rules_version(conn, api.company_id)  # type: ignore[arg-type]
        assert (await api.delete(path)).status_code == 204
        assert await tenants.get_rules_version(conn, api.company_id) == before + 1  # type: ignore[arg-type]
    assert (await api.get(path)).status_code == 404
    assert (await api.delete(path)).status_code == 404


async def test_secrets_are_shown_once_or_never(api: Api) -> None:
    """An API key never; a signing secret when it is made."""
    made = await make(api, apiKey="sk-secret")
    engine = await make(api, name="engine", kind="http", settings={"url": "https://bot.example.com/in"})
    assert engine["secret"].startswith("whsec_")
    rotated = await api.post(f"{AGENTS}/{engine['id']}/rotate-secret", json={"overlapSeconds": 60})
    assert rotated.json()["secret"] not in (None, engine["secret"])
    shown = [
        await api.get(AGENTS),
        await api.get(f"{AGENTS}/{made['id']}"),
        await api.get(f"{AGENTS}/{engine['id']}"),
    ]
    for response in shown:
        assert "sk-secret" not in response.text
        assert "whsec_" not in response.text
    refused = await api.post(f"{AGENTS}/{made['id']}/rotate-secret")
    assert (refused.status_code, refused.json()["code"]) == (409, "agent_kind")


@pytest.mark.parametrize(
    ("given", "path"),
    [
        ({"settings": {}}, "settings.model"),
        ({"settings": {"model": "small", "modell": 1}}, "settings.modell"),
        ({"settings": {"model": "small", "temperature": 3}}, "settings.temperature"),
        ({"settings": {"model": "small", "baseUrl": "ftp://a/v1"}}, "settings.baseUrl"),
        ({"settings": {"model": "small", "baseUrl": "http://10.0.0.1/v1"}}, "settings.baseUrl"),
        ({"settings": {"model": "small", "prompt": "{% for %}"}}, "settings.prompt"),
        ({"settings": {"model": "small", "timezone": "Mars/Base"}}, "settings.timezone"),
        ({"settings": {"model": "small", "timezone": "../etc/passwd"}}, "settings.timezone"),
        ({"settings": {"model": "small", "stopWords": [""]}}, "settings.stopWords[0]"),
        ({"kind": "http", "settings": {"url": "http://10.0.0.1/in"}}, "settings.url"),
        ({"kind": "http", "settings": {"url": "https://a.example/"}, "apiKey": "x"}, "apiKey"),
        ({"name": "two words"}, "name"),
        ({"kind": "magic"}, "kind"),
    ],
)
async def test_what_is_wrong_is_named(api: Api, given: dict[str, Any], path: str) -> None:
    """400 with the field's path."""
    body = {"name": "main", "kind": "openai", "settings": {"model": "small"}, **given}
    response = await api.post(AGENTS, json=body)
    assert (response.status_code, response.json()["path"]) == (400, path)


async def test_a_change_is_checked_as_a_whole(api: Api) -> None:
    """A needed setting cannot be taken away, and what is refused changes nothing."""
    made = await make(api)
    response = await api.patch(f"{AGENTS}/{made['id']}", json={"settings": {"model": None}, "name": "x"})
    assert (response.status_code, response.json()["path"]) == (400, "settings.model")
    assert (await api.get(f"{AGENTS}/{made['id']}")).json()["name"] == "main"


async def test_a_name_is_one_agents(api: Api) -> None:
    """A second one of the same name, made or renamed, is refused; another company may have it."""
    await make(api)
    other = await make(api, name="other")
    again = await api.post(AGENTS, json={"name": "main", "kind": "openai", "settings": {"model": "small"}})
    renamed = await api.patch(f"{AGENTS}/{other['id']}", json={"name": "main"})
    for response in (again, renamed):
        assert (response.status_code, response.json()["code"]) == (409, "name_taken")


async def test_an_agent_is_tried(api: Api, model: ModelServer, pool: Pool) -> None:
    """The answer comes back and is not sent; it counts, and is logged, as any call."""
    settings = {
        "model": "small",
        "baseUrl": model.url,
        "prompt": "Be brief.",
        "pricePerMillionInput": 1,
        "pricePerMillionOutput": 1,
    }
    made = await make(api, settings=settings, apiKey="sk-1")
    model.will(text("Um.\n\nDois."))
    history = [{"role": "user", "text": "Oi"}, {"role": "assistant", "text": "Olá"}]
    tried = (await api.post(f"{AGENTS}/{made['id']}/try", json={"text": "E aí?", "history": history})).json()
    assert tried["outcome"] == "answered"
    assert [message["content"]["text"] for message in tried["messages"]] == ["Um.", "Dois."]
    assert tried["usage"] == {"requests": 1, "promptTokens": 30, "completionTokens": 12, "cost": 0.000042}
    told = [(one["role"], one["content"]) for one in model.received[0].body["messages"]]
    assert told == [("system", "Be brief."), ("user", "Oi"), ("assistant", "Olá"), ("user", "E aí?")]
    assert await pool.fetchval("SELECT count(*) FROM whatsapp_messages") == 0
    [call] = (await api.get(f"{AGENTS}/{made['id']}/calls")).json()["calls"]
    assert (call["outcome"], call["messageId"], call["usage"]) == ("answered", None, tried["usage"])
    usage = (await api.get(f"{AGENTS}/usage", params={"days": 1})).json()
    assert [(day["calls"], day["tokens"]) for day in usage["days"]] == [(1, 42)]
    assert usage["callsPerDay"] == 4


async def test_trying_says_what_went_wrong(api: Api, model: ModelServer) -> None:
    """Handoff, a refusal, nonsense, and a budget that is used up: each with a sentence."""
    made = await make(api, settings={"model": "small", "baseUrl": model.url})
    path = f"{AGENTS}/{made['id']}/try"
    model.will(tool("handoff", saying="Tchau.", reason="Asked for"), status(401), raw(b"no"), text(""))
    handed = (await api.post(path, json={"text": "Oi"})).json()
    assert (handed["outcome"], handed["handoff"], handed["note"]) == ("handoff", True, "Asked for")
    refused = (await api.post(path, json={"text": "Oi"})).json()
    assert (refused["outcome"], refused["statusCode"]) == ("refused", 401)
    assert refused["detail"] == "The server answered with status 401: some_code"
    assert (await api.post(path, json={"text": "Oi"})).json()["outcome"] == "nonsense"
    assert (await api.post(path, json={"text": "Oi"})).json()["outcome"] == "empty"
    spent = (await api.post(path, json={"text": "Oi"})).json()
    assert (spent["outcome"], spent["detail"]) == (
        "budget_exhausted",
        "The company's budget of the day is used up.",
    )


async def test_a_company_tries_a_few_at_once(api: Api, model: ModelServer) -> None:
    """One more than four is told to wait; another company is not."""
    made = await make(api, settings={"model": "small", "baseUrl": model.url})
    path = f"{AGENTS}/{made['id']}/try"
    go_on = asyncio.Event()
    model.will(*[hang(go_on) for _ in range(4)])
    other = await api.as_tenant("other")
    theirs = await make(other, settings={"model": "small", "baseUrl": model.url})
    async with asyncio.TaskGroup() as group:
        trials = [group.create_task(api.post(path, json={"text": "Oi"})) for _ in range(4)]
        async with asyncio.timeout(10):
            while len(model.received) < 4:
                await asyncio.sleep(0)
        refused = await api.post(path, json={"text": "Oi"})
        free = await other.post(f"{AGENTS}/{theirs['id']}/try", json={"text": "Oi"})
        go_on.set()
    assert (refused.status_code, refused.json()["code"]) == (429, "too_many_trials")
    assert free.json()["outcome"] == "answered"
    assert [trial.result().json()["outcome"] for trial in trials] == ["answered"] * 4


async def test_calls_are_paged(api: Api, model: ModelServer) -> None:
    """Newest first, to the last page."""
    made = await make(api, settings={"model": "small", "baseUrl": model.url})
    for _ in range(3):
        await api.post(f"{AGENTS}/{made['id']}/try", json={"text": "Oi"})
    first = (await api.get(f"{AGENTS}/{made['id']}/calls", params={"limit": 2})).json()
    rest = (
        await api.get(f"{AGENTS}/{made['id']}/calls", params={"limit": 2, "cursor": first["nextCursor"]})
    ).json()
    seen = [call["id"] for call in first["calls"] + rest["calls"]]
    assert (len(seen), seen, rest["nextCursor"]) == (3, sorted(seen, reverse=True), None)
