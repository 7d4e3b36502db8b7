"""The console as people use it: Chromium without a window, in front of a running `relay serve`.

    relay        the server, one for the module; its settings are the module's fixture `settings`, where it has one
    company      a company of its own for each test: its key, and a client with it
    open_desk    await open_desk(language="en", theme="dark", width=360) → Desk (browser.py)
    shop         a company's server that takes webhooks, one for the test
    desk         one in Portuguese and one in English, not signed in yet: the test runs in both, or in modules of
                 `BY_TURNS` in one of them, by turns; RELAY_LANGUAGES=both runs these in both, too

Modules say `pytestmark = pytest.mark.asyncio(loop_scope="module")`. Without a Chromium they are left out, loudly.
"""

import os
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any

import httpx
import pytest
import pytest_asyncio
from msgspec import Struct
from playwright.async_api import Browser, async_playwright

from tests.console.browser import Desk, Language, find_chromium
from tests.console.shop import Shop
from tests.flow.serving import Relay, make_tenant, serving

OpenDesk = Callable[..., Awaitable[Desk]]
LANGUAGES: list[Language] = ["pt-BR", "en"]
BY_TURNS = {
    "test_bot_agents",
    "test_codes",
    "test_companies",
    "test_conversation_search",
    "test_conversations",
    "test_conversations_menu",
    "test_health",
    "test_keys",
    "test_many",
    "test_shell",
    "test_webhooks",
}
IN_BOTH = {
    "test_a_failing_delivery_is_shown_mended_and_sent_again",
    "test_a_person_answers_and_the_bot_keeps_quiet",
    "test_what_a_customer_writes_appears_by_itself",
}
"""Of theirs; all else that is in both is the way of a company from nothing to a bot that answers."""


class Company(Struct, frozen=True, kw_only=True):
    name: str
    key: str
    client: httpx.AsyncClient


@pytest.fixture(scope="module")
def settings() -> Mapping[str, Any]:
    """What a module's server has that others have not, as webhooks__timeout_seconds."""
    return {}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser() -> AsyncIterator[Browser]:
    path = find_chromium()
    if path is None:
        pytest.skip("NO CHROMIUM: the console was not tried. Install one (Debian: apt install chromium).")
    async with async_playwright() as playwright:
        # Its sandbox wants a user of its own, which builds in containers do not have.
        found = await playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield found
        await found.close()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def relay(
    browser: Browser, settings: Mapping[str, Any], tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Relay]:
    async with serving(tmp_path_factory.mktemp("console"), **settings) as relay:
        yield relay


@pytest_asyncio.fixture(loop_scope="module")
async def company(relay: Relay) -> AsyncIterator[Company]:
    async with await make_tenant(relay, "Padaria Sol") as client:
        key = client.headers["Authorization"].removeprefix("Bearer ")
        yield Company(name="Padaria Sol", key=key, client=client)


@pytest_asyncio.fixture(loop_scope="module")
async def shop() -> AsyncIterator[Shop]:
    shop = Shop()
    async with shop.open():
        yield shop


@pytest_asyncio.fixture(loop_scope="module")
async def open_desk(browser: Browser, relay: Relay) -> AsyncIterator[OpenDesk]:
    desks: list[Desk] = []

    async def open_one(**wishes: Any) -> Desk:
        desks.append(await Desk.open(browser, relay, **wishes))
        return desks[-1]

    yield open_one
    for desk in desks:
        await desk.close()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """The languages of `desk`: both, or one of them by the test's name."""
    if "desk" in metafunc.fixturenames:
        name = metafunc.module.__name__.rpartition(".")[2]
        test = metafunc.function.__name__
        is_short = name in BY_TURNS and test not in IN_BOTH and os.environ.get("RELAY_LANGUAGES") != "both"
        turn = zlib.crc32(test.encode()) % 2
        metafunc.parametrize("desk", [LANGUAGES[turn]] if is_short else LANGUAGES, indirect=True)


@pytest_asyncio.fixture(loop_scope="module")
async def desk(request: pytest.FixtureRequest, open_desk: OpenDesk) -> Desk:
    language: Language = request.param
    return await open_desk(language=language)
