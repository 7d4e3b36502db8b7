"""Agents in the console: made, tried against a model that answers over HTTP, changed and removed."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import expect

from tests.console.browser import Desk
from tests.console.conftest import Company, OpenDesk
from tests.model_server import ModelServer, serve_model, status, text, tool

pytestmark = pytest.mark.asyncio(loop_scope="module")

AGENTS = "/api/v1/agents"


@pytest_asyncio.fixture(loop_scope="module")
async def model() -> AsyncIterator[ModelServer]:
    async with serve_model() as server:
        yield server


async def the_agent(company: Company) -> dict[str, Any]:
    (agent,) = (await company.client.get(AGENTS)).json()["agents"]
    return dict(agent)


async def add_agent(company: Company, model: ModelServer, **settings: Any) -> str:
    body = {
        "name": "main",
        "kind": "openai",
        "settings": {"model": "small", "baseUrl": model.url, **settings},
    }
    made = await company.client.post(AGENTS, json=body)
    assert made.status_code == 201, made.text
    return str(made.json()["id"])


async def ask(desk: Desk, words: str) -> None:
    await desk.field("bots.sim.message").fill(words)
    answered = await desk.page.locator(".bot-why").count()
    await desk.button("bots.sim.send").click()
    await expect(desk.page.locator(".bot-why")).to_have_count(answered + 1)


async def test_an_agent_is_made_and_tried(desk: Desk, company: Company, model: ModelServer) -> None:
    """Made with a key that is never shown again; it answers, remembers what was said, and its calls are counted."""
    await desk.sign_in(company.key)
    await desk.go("bots", "agents")
    await expect(desk.page.get_by_text(desk.words("bots.agents.empty.title"))).to_be_visible()
    await desk.button("bots.agents.new").first.click()
    await desk.check()
    dialog = desk.dialog()
    await desk.field("bots.name", within=dialog).fill("main")
    await dialog.locator("[name='settings.prompt']").and_(dialog.locator(":enabled")).fill("Be brief.")
    await desk.field("bots.agent.model", within=dialog).fill("small")
    await desk.field("bots.agent.baseUrl", within=dialog).fill("http://169.254.169.254/")
    await desk.field("bots.agent.apiKey", within=dialog).fill("sk-very-secret")
    await desk.button("bots.agents.create").click()
    refused = desk.field("bots.agent.baseUrl", within=dialog)
    await expect(refused).to_have_attribute("aria-invalid", "true")
    await refused.fill(model.url)
    await desk.button("bots.agents.create").click()
    await expect(desk.page.get_by_role("heading", name="main", exact=True)).to_be_visible()
    model.will(text("Abrimos às 9."), text("Até as 18."))
    await ask(desk, "Que horas abrem?")
    await ask(desk, "E fecham?")
    await expect(desk.page.get_by_role("log").get_by_text("Até as 18.")).to_be_visible()
    told = [(one["role"], one["content"]) for one in model.received[-1].body["messages"]]
    assert told == [
        ("system", "Be brief."),
        ("user", "Que horas abrem?"),
        ("assistant", "Abrimos às 9."),
        ("user", "E fecham?"),
    ]
    assert model.received[-1].headers["Authorization"] == "Bearer sk-very-secret"
    calls = desk.page.get_by_role("region", name=desk.words("bots.calls"))
    await expect(calls.get_by_text(desk.words("bots.outcome.answered.short"))).to_have_count(2)
    await desk.check()
    await expect(desk.page.get_by_text(desk.words("bots.usage.dayCalls.other", count=2))).to_be_visible()
    await desk.page.reload()
    await expect(desk.page.get_by_text(desk.words("bots.usage.dayCalls.other", count=2))).to_be_visible()
    await desk.button("bots.agent.edit").click()
    await expect(desk.dialog().get_by_text(desk.words("bots.agent.apiKey.kept"))).to_be_visible()
    assert "sk-very-secret" not in await desk.page.content()


async def test_an_agent_that_fails_says_why(desk: Desk, company: Company, model: ModelServer) -> None:
    """A refused key, and one that wants a person."""
    agent = await add_agent(company, model)
    await desk.sign_in(company.key)
    await desk.go("bots", "agents", agent)
    model.will(status(401), tool("handoff", saying="One moment.", reason="A complaint."))
    await ask(desk, "Hello?")
    log = desk.page.get_by_role("log")
    await expect(log.get_by_text(desk.words("bots.outcome.refused"))).to_be_visible()
    await ask(desk, "I complain!")
    await expect(log.get_by_text("One moment.")).to_be_visible()
    await expect(log.get_by_text(desk.words("bots.sim.handoff"))).to_contain_text("A complaint.")
    await desk.check()


async def test_settings_are_changed_and_the_key_stays(
    desk: Desk, company: Company, model: ModelServer
) -> None:
    """What is emptied is the default again; a key that is not typed anew stays; off is said in the list."""
    agent = await add_agent(company, model, fallback="Later.", maxTokens=50, stopWords=["stop"])
    await company.client.patch(f"{AGENTS}/{agent}", json={"apiKey": "sk-kept"})
    await desk.sign_in(company.key)
    await desk.go("bots", "agents")
    await desk.button("bots.agent.editOf", name="main").click()
    dialog = desk.dialog()
    await desk.field("bots.agent.enabled", within=dialog).uncheck()
    await desk.field("bots.agent.fallback", within=dialog).fill("")
    await dialog.get_by_text(desk.words("bots.agent.more")).click()
    await desk.check()
    await desk.field("bots.agent.maxTokens", within=dialog).fill("")
    await desk.field("bots.agent.temperature", within=dialog).fill("0.3")
    await desk.field("bots.agent.stopWords", within=dialog).fill("stop, quiet")
    await desk.field("bots.agent.vision", within=dialog).check()
    await desk.button("common.save").click()
    await expect(dialog).to_have_count(0)
    await expect(desk.page.get_by_role("row").filter(has_text="main")).to_contain_text(
        desk.words("common.off")
    )
    changed = await the_agent(company)
    settings = changed["settings"]
    assert (changed["enabled"], changed["hasApiKey"]) == (False, True)
    assert (settings["fallback"], settings["maxTokens"], settings["temperature"]) == (None, 1024, 0.3)
    assert (settings["stopWords"], settings["vision"], settings["model"]) == (
        ["stop", "quiet"],
        True,
        "small",
    )


async def test_a_programs_secret_is_shown_once(desk: Desk, company: Company) -> None:
    """A program of one's own: its secret on making it and on a new one, and never else; then it is removed."""
    await desk.sign_in(company.key)
    await desk.go("bots", "agents")
    await desk.button("bots.agents.new").first.click()
    dialog = desk.dialog()
    await dialog.get_by_role("radio", name=desk.words("bots.agent.kind.http")).check()
    await desk.field("bots.name", within=dialog).fill("engine")
    await desk.field("bots.agent.url", within=dialog).fill("http://127.0.0.1:9/agent")
    await desk.check()
    await desk.button("bots.agents.create").click()
    secret = desk.dialog().get_by_text("whsec_")
    await expect(secret).to_be_visible()
    await desk.check()
    first = await secret.inner_text()
    await desk.button("bots.secret.done").click()
    await expect(desk.page.get_by_role("heading", name="engine", exact=True)).to_be_visible()
    await expect(desk.page.get_by_text("whsec_")).to_have_count(0)
    await desk.button("bots.secret.rotate").click()
    await desk.button("bots.secret.rotate", within=desk.dialog()).click()
    await expect(secret).to_be_visible()
    assert await secret.inner_text() != first
    await desk.button("bots.secret.done").click()
    await desk.button("bots.delete").click()
    await desk.button("bots.delete", within=desk.dialog()).click()
    await expect(desk.page.get_by_text(desk.words("bots.agents.empty.title"))).to_be_visible()


async def test_on_a_phones_screen(open_desk: OpenDesk, company: Company, model: ModelServer) -> None:
    """360 px wide nothing sticks out."""
    agent = await add_agent(company, model)
    desk = await open_desk(width=360, height=640)
    await desk.sign_in(company.key)
    await desk.go("bots", "agents")
    await desk.check()
    await desk.go("bots", "agents", agent)
    await ask(desk, "Oi")
    await desk.check()
