"""The first visit: from nothing to a bot that answers."""

import time

import pytest
from playwright.async_api import expect

from tests.console.browser import Desk, Language, Theme
from tests.console.conftest import Company, OpenDesk
from tests.flow.serving import link

pytestmark = pytest.mark.asyncio(loop_scope="module")

TALK = {
    "pt-BR": (("oi", "Maria!"), ("Que horas vocês abrem?", "das 9h às 18h")),
    "en": (("hi", "Maria!"), ("When do you open?", "from 9 am to 6 pm")),
}


@pytest.mark.parametrize(("language", "theme"), [("pt-BR", "light"), ("en", "dark")])
async def test_three_steps_to_a_bot_that_answers(
    open_desk: OpenDesk, company: Company, language: Language, theme: Theme
) -> None:
    """Four presses and two messages, in the person's language, far within two minutes."""
    desk = await open_desk(language=language, theme=theme, height=1100)
    started = time.monotonic()
    await desk.sign_in(company.key)
    await desk.check()
    await desk.button("start.session.button").click()
    await desk.button("start.phone.button").click()
    await desk.check()
    await desk.button("start.bot.button").click()
    chat = desk.page.get_by_role("log")
    for said, answer in TALK[language]:
        await desk.field("start.try.label").fill(said)
        await desk.page.keyboard.press("Enter")
        await expect(chat.get_by_text(answer)).to_be_visible()
    assert time.monotonic() - started < 120
    await desk.check()
    await desk.page.reload()
    await expect(desk.page.get_by_text(desk.words("start.count.connected"), exact=True)).to_be_visible()
    await desk.check()


async def test_what_is_there_is_not_asked_for_again(desk: Desk, company: Company) -> None:
    """Somebody has linked a sandbox before: the steps go on from there; unanswered words are said to be so."""
    await link(company.client, name="Vitrine")
    await desk.sign_in(company.key)
    await expect(desk.page.get_by_text(desk.words("start.session.have", name="Vitrine"))).to_be_visible()
    await desk.button("start.bot.button").click()
    await desk.field("start.try.label").fill("xyzzy")
    await desk.page.keyboard.press("Enter")
    await expect(desk.page.get_by_text(desk.words("start.try.silent"))).to_be_visible(timeout=15_000)


async def test_a_key_that_may_not_change_rules_is_told(open_desk: OpenDesk, company: Company) -> None:
    """The third step says what is missing in place of a button that fails."""
    await link(company.client, name="Vitrine")
    body = {"name": "k", "scopes": ["sessions"]}
    made = (await company.client.post("/api/v1/admin/keys", json=body)).json()
    desk = await open_desk()
    await desk.sign_in(made["key"])
    await expect(desk.page.get_by_text(desk.words("start.bot.noScope"))).to_be_visible()
    await desk.check()


async def test_at_a_glance(desk: Desk, company: Company) -> None:
    """With a bot that answers, the start page counts sessions, live, and keeps the first steps within reach."""
    await link(company.client, name="Vitrine", automation=True)
    await desk.sign_in(company.key)
    await expect(desk.page.locator(".count.connected .figure")).to_have_text("1")
    await desk.check()
    await company.client.post("/api/v1/whatsapp/sessions", json={"name": "B", "engine": "sandbox"})
    await expect(desk.page.locator(".count.connecting .figure")).to_have_text("1")
    await desk.page.get_by_role("link", name=desk.words("start.again")).click()
    await expect(desk.button("start.bot.button")).to_be_visible()


async def test_a_companys_own_rules_stay_as_they_are(open_desk: OpenDesk, company: Company) -> None:
    """Rules of the first steps' name are there already, in either language: they are switched on, not replaced."""
    session = await link(company.client, name="Vitrine")
    own = "version: 1\nrules: [{id: oi, when: {keyword: oi}, do: [{reply: Somos a Sol.}]}]\n"
    assert (await company.client.put("/api/v1/rules/oi", content=own)).status_code == 201
    desk = await open_desk(language="en")
    await desk.sign_in(company.key)
    await expect(desk.page.get_by_text(desk.words("start.bot.kept", name="oi"))).to_be_visible()
    await desk.button("start.bot.button").click()
    await expect(desk.page.get_by_role("log")).to_be_visible()
    rule_sets = (await company.client.get("/api/v1/rules")).json()["ruleSets"]
    assert [(one["name"], one["version"]) for one in rule_sets] == [("oi", 1)]
    assert (await company.client.get(f"/api/v1/whatsapp/sessions/{session}")).json()["automation"] is True


async def test_a_glance_without_events(open_desk: OpenDesk, company: Company) -> None:
    """A key that may not read events still sees what is disconnected, made and deleted elsewhere."""
    session = await link(company.client, name="Vitrine", automation=True)
    other = await link(company.client, name="Balcão")
    made = await company.client.post("/api/v1/admin/keys", json={"name": "k", "scopes": ["sessions"]})
    desk = await open_desk()
    await desk.sign_in(made.json()["key"])
    connected = desk.page.locator(".count.connected .figure")
    await expect(connected).to_have_text("2")
    await company.client.post(f"/api/v1/whatsapp/sessions/{session}/disconnect")
    await company.client.delete(f"/api/v1/whatsapp/sessions/{other}")
    await expect(connected).to_have_text("0")
    await expect(desk.page.locator(".count.disconnected .figure")).to_have_text("1")


async def test_what_a_glance_missed_is_fetched(open_desk: OpenDesk, company: Company) -> None:
    """With events too: nothing tells of a deletion, and the page looks for itself now and then."""
    await link(company.client, name="Vitrine", automation=True)
    other = await link(company.client, name="Balcão")
    desk = await open_desk()
    await desk.page.clock.install()
    await desk.sign_in(company.key)
    await expect(desk.page.locator(".live.on")).to_be_visible()
    await company.client.delete(f"/api/v1/whatsapp/sessions/{other}")
    await desk.page.clock.fast_forward(20_000)
    await expect(desk.page.locator(".count.connected .figure")).to_have_text("1")
    await expect(desk.page.locator(".count.disconnected .figure")).to_have_text("0")


async def test_a_key_that_only_sends_is_told(desk: Desk, company: Company) -> None:
    """There is no page for it to choose: it says what the key is for, and whom to ask for more."""
    body = {"name": "k", "scopes": ["messages:send"]}
    made = (await company.client.post("/api/v1/admin/keys", json=body)).json()
    await desk.sign_in(made["key"])
    await expect(desk.page.get_by_text(desk.words("start.noPages.text"))).to_be_visible()
    await desk.check()
