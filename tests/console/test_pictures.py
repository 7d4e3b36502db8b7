"""Every page with a company's everyday life on it: opened, checked, and drawn for the docs.

RELAY_SHOTS=1 puts the pictures into docs/images/, each language in both themes. Without it everything is opened and
checked in two of these four looks.
"""

import json
import os
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Route, expect

from tests.api_client import OPERATOR_KEY
from tests.console.browser import IMAGES, LOCALES, Desk, Language, Theme
from tests.console.conftest import OpenDesk
from tests.console.shop import Shop
from tests.console.story import TALES, Stage, open_story
from tests.flow.serving import Relay
from tests.flow.whatsapp import SESSIONS, Phones, open_phones
from tests.model_server import ModelServer, serve_model, text

pytestmark = pytest.mark.asyncio(loop_scope="module")

PAGES = LOCALES.parent / "js/pages.js"
ROOT = Path(__file__).parents[2]
SLOW_MS = 30_000
LOOKS: list[tuple[Language, Theme]] = [("pt-BR", "light"), ("en", "dark")]
if os.environ.get("RELAY_SHOTS") == "1":
    LOOKS += [("pt-BR", "dark"), ("en", "light")]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def phones(browser: Browser) -> AsyncIterator[Phones]:
    async with open_phones() as phones:
        yield phones


@pytest.fixture(scope="module")
def settings(phones: Phones) -> Mapping[str, Any]:
    """What fails waits for a person."""
    return {**phones.settings, "webhooks__schedule_seconds": [0, 3600]}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def model() -> AsyncIterator[ModelServer]:
    async with serve_model() as server:
        yield server


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stages(relay: Relay, phones: Phones, model: ModelServer) -> AsyncIterator[Mapping[Language, Stage]]:
    shop = Shop()
    async with shop.open():
        yield {
            language: await open_story(relay, phones, shop, model, tale) for language, tale in TALES.items()
        }


async def has_words(desk: Desk, words: str) -> None:
    await expect(desk.page.get_by_text(words).first).to_be_visible()


async def done(desk: Desk, picture: str) -> None:
    """It looks as it will."""
    await expect(desk.page.locator(".spinner:visible, .toast:visible")).to_have_count(0)
    await desk.check()
    await desk.shoot(picture)


async def show_start(desk: Desk, stage: Stage) -> None:
    await desk.go("start")
    await expect(desk.page.locator(".count.connected .figure")).to_have_text("2")
    await done(desk, "overview")


async def show_sessions(desk: Desk, stage: Stage) -> None:
    async with desk.relay.client(stage.key) as company:
        await company.post(f"{SESSIONS}/{stage.waiting}/connect")
    await desk.go("sessions")
    row = desk.page.get_by_role("row").filter(has_text=stage.tale.deliveries)
    await expect(desk.button("sessions.showQr", within=row)).to_be_visible(timeout=SLOW_MS)
    await done(desk, "sessions")
    await desk.button("sessions.showQr", within=row).click()
    qr = desk.dialog().get_by_role("img", name=desk.words("sessions.connect.qrAlt"))
    await expect(qr).to_be_visible()
    await done(desk, "qr")


async def show_conversations(desk: Desk, stage: Stage) -> None:
    await desk.go("conversations")
    chats = desk.page.get_by_role("list", name=desk.words("conversations.chats"))
    await chats.get_by_role("link", name=re.compile(stage.tale.customer)).click()
    await has_words(desk, stage.tale.promise)
    await expect(desk.page.locator(".bubble").filter(has_text="❤️")).to_be_visible()
    await done(desk, "conversations")


async def show_webhooks(desk: Desk, stage: Stage) -> None:
    await desk.page.route("**/api/v1/webhooks/**", lambda route: _show_public_addresses(route, stage))
    await desk.go("webhooks")
    await has_words(desk, desk.words("webhooks.health.failing"))
    await done(desk, "webhooks")
    await desk.page.get_by_role("link", name=stage.tale.endpoints[1], exact=True).click()
    await has_words(desk, desk.words("webhooks.failing.text"))
    await expect(desk.button("webhooks.delivery.open").first).to_be_visible()
    await done(desk, "webhook")
    await desk.button("webhooks.delivery.open").last.click()
    await expect(desk.dialog().get_by_role("listitem").nth(1)).to_be_visible()
    await done(desk, "webhook-delivery")


async def _show_public_addresses(route: Route, stage: Stage) -> None:
    """The test's endpoints listen on loopback; in a picture they are where a company's own are."""
    if "stream" in route.request.headers.get("accept", ""):
        await route.continue_()
        return
    answer = await route.fetch()
    body = await answer.text()
    for loopback, public in stage.addresses.items():
        body = body.replace(json.dumps(loopback)[1:-1], public)
    await route.fulfill(response=answer, body=body)


async def show_bots(desk: Desk, stage: Stage) -> None:
    await desk.go("bots")
    await has_words(desk, stage.tale.rules_name)
    await desk.go("bots", "rules", stage.tale.rules_name)
    await has_words(desk, desk.words("bots.check.good"))
    await _ask(desk, stage.tale.talk[0][0])
    await _ask(desk, stage.tale.talk[1][0])
    await done(desk, "bots")
    await desk.go("bots", "agents", stage.agent)
    await _ask(desk, stage.tale.agent_asked)
    await has_words(desk, stage.tale.agent_answer)
    await done(desk, "agent")


async def _ask(desk: Desk, words: str) -> None:
    await desk.field("bots.sim.message").fill(words)
    answered = await desk.page.locator(".bot-why").count()
    await desk.button("bots.sim.send").click()
    await expect(desk.page.locator(".bot-why")).to_have_count(answered + 1)


async def show_health(desk: Desk, stage: Stage) -> None:
    await desk.page.set_viewport_size({"width": 1280, "height": 1360})
    await desk.go("health")
    await expect(desk.page.get_by_role("figure").last.locator("svg")).to_be_visible()
    await done(desk, "health")
    await desk.page.set_viewport_size({"width": 1280, "height": 800})


async def show_keys(desk: Desk, stage: Stage) -> None:
    await desk.go("keys")
    for name, _ in stage.tale.keys:
        await has_words(desk, name)
    await done(desk, "keys")


async def show_companies(desk: Desk, stage: Stage) -> None:
    await desk.go("companies")
    row = desk.page.get_by_role("row").filter(has_text=stage.tale.others[0])
    await expect(row).to_be_visible()
    await done(desk, "companies")


SHOW: Mapping[str, Callable[[Desk, Stage], Awaitable[None]]] = {
    "start": show_start,
    "sessions": show_sessions,
    "conversations": show_conversations,
    "webhooks": show_webhooks,
    "bots": show_bots,
    "health": show_health,
    "keys": show_keys,
    "companies": show_companies,
}
OPERATORS = {"companies"}


def pages() -> list[str]:
    """Every page that the console has."""
    return re.findall(r"name: '(\w+)'", Path(PAGES).read_text())


async def test_pictures_and_docs_agree() -> None:
    """Each picture that the docs show is there, and each that is there is shown."""
    texts = [path.read_text() for path in (ROOT / "README.md", *ROOT.glob("docs/*.md"))]
    shown = {name for text in texts for name in re.findall(r"images/([\w-]+\.png)", text)}
    assert shown == {path.name for path in IMAGES.glob("*.png")}


@pytest.mark.parametrize(("language", "theme"), LOOKS)
async def test_every_page(
    open_desk: OpenDesk,
    stages: Mapping[Language, Stage],
    model: ModelServer,
    language: Language,
    theme: Theme,
) -> None:
    """A company's day: each page shows what there is, nothing is wrong with it, and its picture is taken."""
    stage = stages[language]
    model.will(text(stage.tale.agent_answer))
    newcomer = await open_desk(language=language, theme=theme)
    await newcomer.page.goto(newcomer.relay.url)
    await expect(newcomer.field("shell.signIn.key")).to_be_visible()
    await done(newcomer, "sign-in")
    await newcomer.sign_in(stage.newcomer_key)
    await expect(newcomer.button("start.session.button")).to_be_visible()
    await done(newcomer, "first-steps")
    desk = await open_desk(language=language, theme=theme)
    await desk.sign_in(stage.key)
    operator = await open_desk(language=language, theme=theme)
    await operator.sign_in(OPERATOR_KEY)
    for name in pages():
        await SHOW[name](operator if name in OPERATORS else desk, stage)
