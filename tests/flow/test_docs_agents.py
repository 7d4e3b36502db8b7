"""docs/agents.md does what it says: its agents are made and answer, its tables are complete."""

import json
import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
import yaml
from msgspec import structs

from relay.api.waiting import wait_for
from relay.config import Config
from relay.model.agent import CallOutcome, HttpSettings, OpenAiSettings, Settings
from relay.store.pool import Pool
from tests.agents_desk import AgentsDesk
from tests.api_client import Api, serve_api
from tests.model_server import raw, serve_model

PAGE = (Path(__file__).parents[2] / "docs" / "agents.md").read_text()
LOCAL = Config(webhooks=msgspec.convert({"allow_networks": ["127.0.0.1/32"]}, type(Config().webhooks)))


def section(heading: str) -> str:
    return PAGE.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]


def blocks(heading: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", section(heading), re.DOTALL | re.MULTILINE)


def example(heading: str, number: int = 0) -> dict[str, Any]:
    shown: dict[str, Any] = json.loads(blocks(heading, "json")[number])
    return shown


async def test_the_first_example_is_accepted(api: Api) -> None:
    """As it stands, prompt and all; the key needs no more than ASCII."""
    body = example("A model of OpenAI's")
    tenant = await api.as_tenant()
    made = await tenant.post("/api/v1/agents", json={**body, "apiKey": "sk-1"})
    assert made.status_code == 201, made.text
    session = await tenant.post(
        "/api/v1/whatsapp/sessions", json={"name": "Loja", "engine": "sandbox", "connect": False}
    )
    patch = re.search(r"PATCH /api/v1/whatsapp/sessions/\{id\} +(\{.*\})", PAGE)
    assert patch is not None
    changed = await tenant.patch(
        f"/api/v1/whatsapp/sessions/{session.json()['sessionId']}", json=json.loads(patch[1])
    )
    assert changed.json()["bot"]["agent"] == body["name"]


async def test_a_local_model_needs_what_the_page_says(pool: Pool, url: str) -> None:
    """Refused without the operator's setting, and asked with it."""
    body = example("A model on your own machine")
    setting = yaml.safe_load(blocks("A model on your own machine", "yaml")[0])
    async with serve_api(pool, url) as operator:
        tenant = await operator.as_tenant()
        refused = await tenant.post("/api/v1/agents", json=body)
        assert (refused.status_code, refused.json()["path"]) == (400, "settings.baseUrl")
    config = msgspec.convert(setting, Config)
    async with serve_model() as model, serve_api(pool, url, config=config) as operator:
        tenant = await operator.as_tenant()
        body["settings"]["baseUrl"] = model.url
        made = (await tenant.post("/api/v1/agents", json=body)).json()
        tried = await tenant.post(f"/api/v1/agents/{made['id']}/try", json={"text": "Oi"})
        assert tried.json()["outcome"] == "answered"
        assert "tools" not in model.received[0].body
        await operator.services.aclose()


@contextmanager
def running(script: str, secret: str) -> Iterator[str]:
    """The page's agent as a program of its own; its address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process = subprocess.Popen(
        [sys.executable, "-c", script.replace("9000", str(port))],
        env={**os.environ, "AGENT_SECRET": secret},
        stderr=subprocess.DEVNULL,
    )
    try:
        yield f"http://127.0.0.1:{port}/"
    finally:
        process.kill()
        process.wait()


async def listening(address: str, api: Api) -> None:
    async def look() -> bool | None:
        try:
            async with httpx.AsyncClient() as client:
                return bool((await client.get(address)).status_code)
        except httpx.HTTPError:
            return None

    assert await wait_for(api.services.doorbell, "events", look, seconds=20)


async def test_an_agent_of_ones_own(pool: Pool, url: str) -> None:
    """The page's program answers a question that is signed with its secret, and no other."""
    [script] = blocks("A server of your own", "python")
    async with serve_api(pool, url, config=LOCAL) as operator:
        tenant = await operator.as_tenant()
        body = example("A server of your own")
        made = (await tenant.post("/api/v1/agents", json=body)).json()
        path = f"/api/v1/agents/{made['id']}"
        with running(script, made["secret"]) as address:
            await listening(address, operator)
            await tenant.patch(path, json={"settings": {"url": address}})
            tried = (await tenant.post(f"{path}/try", json={"text": "Oi"})).json()
            assert [one["content"]["text"] for one in tried["messages"]] == ["You said: Oi"]
            await tenant.post(f"{path}/rotate-secret", json={"overlapSeconds": 0})
            forged = (await tenant.post(f"{path}/try", json={"text": "Oi"})).json()
            assert (forged["outcome"], forged["statusCode"]) == ("refused", 401)
        await operator.services.aclose()


async def test_what_a_server_is_sent(pool: Pool, url: str, tmp_path: Path) -> None:
    """The page's example has the fields that are sent, one by one."""
    desk = AgentsDesk(pool, url, tmp_path)
    async with serve_model() as server:
        account = await desk.add_account()
        await desk.add_agent(account, kind="http", secret="whsec_" + "A" * 44, url=server.url)
        server.will(raw(b'{"reply": "Oi"}'), raw(b"{}"))
        for _ in range(2):
            await desk.write(account)
            await desk.answer()
    shown, sent = example("A server of your own", 1), server.received[1].body
    assert list(shown) == list(sent)
    for part in ("contact", "message"):
        assert list(shown[part]) == list(sent[part])
    assert list(shown["history"][0]) == list(sent["history"][0])


def first_column(text: str) -> list[str]:
    cells = re.findall(r"^\| (.*?) \|", text, re.MULTILINE)
    return [word for cell in cells for word in re.findall(r"`([^`]+)`", cell)]


def test_every_outcome_is_told_of() -> None:
    """None is left out, none is invented."""
    assert sorted(first_column(section("When it fails"))) == sorted(CallOutcome)


@pytest.mark.parametrize(
    ("settings", "place"),
    [(Settings, 0), (OpenAiSettings, 1), (HttpSettings, 2)],
)
def test_every_setting_is_told_of_with_its_default(settings: type[Settings], place: int) -> None:
    """Each in the part of its kind."""
    parts = re.split(r"^Of the kind .*?(?:besides:|: )", section("Settings"), flags=re.MULTILINE)
    common = {one.encode_name for one in structs.fields(Settings)}
    expected = {
        one.encode_name: one.default if one.default_factory is msgspec.NODEFAULT else one.default_factory()
        for one in structs.fields(settings)
        if place == 0 or one.encode_name not in common
    }
    if place == 2:
        assert re.findall(r"`(\w+)`", parts[2]) == list(expected)
        return
    rows = re.findall(r"^\| (`.*?) \|(.*?)\|", parts[place], re.MULTILINE)
    told = {name: default.strip() for names, default in rows for name in re.findall(r"`(\w+)`", names)}
    assert list(told) == list(expected)
    for name, default in told.items():
        wanted = expected[name]
        if wanted is msgspec.NODEFAULT:
            assert default == ""
        elif wanted == "":
            assert default == "empty"
        else:
            assert yaml.safe_load(default.strip("`")) == wanted, name
