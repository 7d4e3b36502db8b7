"""A company with 500 sessions, 500 chats and 10,000 messages: the page holds a part of them, and finds each.

What is counted here is elements, not time: how long the browser takes is measured by `python -m bench console`.
"""

import asyncio
import re
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from playwright.async_api import Locator, expect

from tests.console.browser import Desk
from tests.console.conftest import Company, OpenDesk
from tests.flow.ledger import WIDE_LIMITS
from tests.flow.serving import link, until

pytestmark = pytest.mark.asyncio(loop_scope="module")

API = "/api/v1/whatsapp"
SESSIONS, CHATS, MESSAGES = 500, 500, 10_000
CHATS_SHOWN = 100
PAGE = 50
"""Sessions that have rows before one asks for more."""
ELEMENTS = 4_000
"""Of the whole page with a list of PAGE rows."""
BUBBLES = 160
_AT_ONCE = 16
_SCROLL_SECONDS = 60.0
_MARK = "rows => rows.forEach((row) => { row.isOld = true; })"
_FRESH = "rows => rows.filter((row) => !row.isOld).map((row) => row.querySelector('strong').textContent)"


@pytest.fixture(scope="module")
def settings() -> Mapping[str, Any]:
    return {"host__sessions_per_process": SESSIONS + 10}


async def fill(company: Company, path: str, bodies: Sequence[Mapping[str, Any]]) -> None:
    """Post them all, some at a time."""
    gate = asyncio.Semaphore(_AT_ONCE)

    async def post(body: Mapping[str, Any]) -> None:
        async with gate:
            answer = await company.client.post(path, json=body)
            assert answer.is_success, answer.text

    await asyncio.gather(*(post(body) for body in bodies))


async def count_elements(desk: Desk) -> int:
    return int(await desk.page.evaluate("document.querySelectorAll('*').length"))


def rows(desk: Desk) -> Locator:
    return desk.page.locator("tbody tr")


async def test_five_hundred_sessions(open_desk: OpenDesk, company: Company) -> None:
    """A hundred have rows, more come when asked for; each is found by its name; what happens to one changes its row alone."""
    names = [f"Loja {number:03}" for number in range(SESSIONS)]
    made = [{"name": name, "engine": "sandbox", "connect": False} for name in names]
    await fill(company, f"{API}/sessions", made)
    desk = await open_desk()
    await desk.sign_in(company.key)
    await desk.go("sessions")
    all_of_them = desk.words("sessions.shown.other", count=SESSIONS)
    await expect(desk.page.get_by_text(all_of_them)).to_be_visible()
    await expect(rows(desk)).to_have_count(PAGE)
    assert await count_elements(desk) <= ELEMENTS
    await desk.check()

    name = await rows(desk).nth(40).locator(".session-name").inner_text()
    await rows(desk).evaluate_all(_MARK)
    found = (await company.client.get(f"{API}/sessions", params={"limit": 100})).json()["sessions"]
    (wanted,) = [session["id"] for session in found if session["name"] == name]
    await company.client.post(f"{API}/sessions/{wanted}/connect")
    waiting = desk.words("sessions.status.waiting")
    await expect(rows(desk).filter(has_text=name).get_by_text(waiting)).to_be_visible()
    assert await rows(desk).evaluate_all(_FRESH) == [name]

    await desk.field("sessions.filter").select_option("connecting")
    await expect(rows(desk)).to_have_count(1)
    await desk.field("sessions.filter").select_option("")
    found = (await company.client.get(f"{API}/sessions", params={"limit": 200})).json()["sessions"]
    unseen = min(set(names) - {session["name"] for session in found})
    await expect(rows(desk).filter(has_text=unseen)).to_have_count(0)
    await desk.page.get_by_role("searchbox").fill(unseen.lower())
    await expect(rows(desk)).to_have_count(1)
    await expect(rows(desk)).to_contain_text(unseen)
    await desk.page.get_by_role("searchbox").fill("")
    await expect(rows(desk)).to_have_count(PAGE)
    await desk.button("common.more").click()
    await expect(rows(desk)).to_have_count(2 * PAGE)


async def test_five_hundred_chats(open_desk: OpenDesk, company: Company) -> None:
    """A page of chats at first, all when one scrolls; a message moves its chat alone; a long chat goes back as far as it began."""
    session = await link(company.client, name="Loja", limits=WIDE_LIMITS)
    inbound = f"{API}/sessions/{session}/sandbox/inbound"
    each = 10
    people = [
        {"from": f"+55119{number:08}", "name": f"Cliente {number:03}", "text": "oi", "count": each}
        for number in range(CHATS - 1)
    ]
    await fill(company, inbound, people)
    maria = {"from": "+5511988887777", "name": "Maria Souza"}
    many = MESSAGES - each * (CHATS - 1)
    await fill(company, inbound, [{**maria, "text": "número", "count": many}])

    async def all_there() -> bool:
        newest = (await company.client.get(f"{API}/chats", params={"limit": 1})).json()["chats"]
        return bool(newest and newest[0]["unread"] == many)

    await until(all_there, seconds=90, what="10,000 messages")
    desk = await open_desk()
    await desk.sign_in(company.key)
    await desk.go("conversations")
    chats = desk.page.locator(".chats li")
    await expect(chats.first).to_contain_text("Maria Souza")
    assert await chats.count() <= CHATS_SHOWN
    assert await count_elements(desk) <= ELEMENTS
    await scroll_to_the_last(desk, CHATS)
    await expect(chats).to_have_count(CHATS)

    await chats.evaluate_all(_MARK)
    await company.client.post(inbound, json={"from": "+5511900000250", "text": "Ainda tem?"})
    await expect(chats.first).to_contain_text("Ainda tem?")
    await expect(chats).to_have_count(CHATS)
    # The element itself has moved: whoever stands on it with the keyboard stays there.
    assert await chats.evaluate_all(_FRESH) == []

    await desk.page.get_by_role("searchbox").fill("cliente 007")
    await expect(chats).to_have_count(1)
    await desk.page.get_by_role("searchbox").fill("maria")
    await chats.get_by_role("link", name=re.compile("Maria Souza")).click()
    newest = desk.page.locator(".bubble").get_by_text(f"número {many}", exact=True)
    await expect(newest).to_be_visible()
    assert await desk.page.locator(".bubble").count() <= BUBBLES
    for _ in range(5):
        await scroll_back(desk)
        assert await desk.page.locator(".bubble").count() <= BUBBLES
    await desk.check()


async def scroll_to_the_last(desk: Desk, count: int) -> None:
    """As one does who looks for somebody from long ago."""
    async with asyncio.timeout(_SCROLL_SECONDS):
        await desk.page.locator(".chat-list-content").evaluate(
            """(list, count) => new Promise((done) => {
              const down = () => {
                list.scrollTop = list.scrollHeight;
                if (list.querySelectorAll('li').length >= count) done(); else requestAnimationFrame(down);
              };
              down();
            })""",
            count,
        )


async def scroll_back(desk: Desk) -> None:
    """Up, until messages are there that are older than all before."""
    log = desk.page.locator(".log")
    before = await first_number(desk)
    async with asyncio.timeout(_SCROLL_SECONDS):
        await log.evaluate(
            """(log, before) => new Promise((done) => {
              const up = () => {
                const first = Number(/número (\\d+)/.exec(log.querySelector('.bubble').innerText)[1]);
                if (first < before) done(); else { log.scrollTop = 0; requestAnimationFrame(up); }
              };
              up();
            })""",
            before,
        )
    assert await first_number(desk) < before


async def first_number(desk: Desk) -> int:
    words = await desk.page.locator(".bubble").first.inner_text()
    found = re.search(r"número (\d+)", words)
    assert found
    return int(found[1])
