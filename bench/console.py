"""The console in a real browser with 500 sessions, 500 chats and 10,000 messages, measured by the browser itself.

Chromium ──► relay serve: first paint          the list of sessions, five times with an empty cache
    │                     sessions change      all 500 lose their connection and come back
    └─ PerformanceObserver, Performance.getMetrics
                          messages arrive      200 a second, over all chats; one of them is open

An update is a frame in which the page's content changed. Its time is all that the main thread did meanwhile: reading
events, asking the API, changing elements, layout and painting.
"""

import asyncio
import itertools
import statistics
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from msgspec import Struct
from playwright.async_api import Browser, Page, StorageState, async_playwright

from bench.figures import say, show
from bench.plan import Plan
from bench.product import Product, open_product
from bench.wire import BenchError
from tests.console.browser import find_chromium

_SESSIONS, _CHATS, _MESSAGES = 500, 500, 10_000
_LOADS = 5
_RATE = 200.0
_STEP_SECONDS = 0.01
_AT_ONCE = 16
_PATIENCE_SECONDS = 90.0
_SETTLE_SECONDS = 3.0
_LONG_TASK_MS = 50.0
"""What the browser calls long, and tells of, begins here."""

_WATCH = """
    window.seen = { changes: 0, longest: 0, listAt: null };
    new PerformanceObserver((list) => {
      for (const { duration } of list.getEntries()) seen.longest = Math.max(seen.longest, duration);
    }).observe({ type: 'longtask' });
    let dirty = false;
    new MutationObserver(() => {
      if (!seen.listAt && document.querySelector('tbody tr')) {
        seen.listAt = -1;
        requestAnimationFrame(() => setTimeout(() => { seen.listAt = performance.now(); }));
      }
      if (dirty) return;
      dirty = true;
      requestAnimationFrame(() => { dirty = false; seen.changes += 1; });
    }).observe(document, { childList: true, subtree: true, characterData: true });
"""
_FIRST_PAINT = "performance.getEntriesByName('first-contentful-paint')[0].startTime"


class Updates(Struct, frozen=True, kw_only=True):
    """What the page's main thread did while something happened."""

    count: int
    mean_ms: float
    longest_ms: float
    busy: float
    """The share of the time."""


async def measure(plan: Plan) -> None:
    settings = {"RELAY__HOST__SESSIONS_PER_PROCESS": str(_SESSIONS + 10)}
    async with open_product(**settings) as product, _open_browser() as browser:
        sessions = await product.link_sessions(_SESSIONS)
        visitor = await _sign_in(browser, product)
        await _fill_chats(product, sessions[0])
        await _measure_paint(browser, product, visitor)
        changed, written = [], []
        for _ in range(plan.runs):
            changed.append(await _measure_sessions(browser, product, visitor, sessions))
            written.append(await _measure_messages(browser, product, visitor, sessions[0], plan))
        _show("sessions", changed, f"{_SESSIONS} sessions lose their connection and come back")
        _show("messages", written, f"{_RATE:.0f} messages/s over {_CHATS} chats, one of them open")


@asynccontextmanager
async def _open_browser() -> AsyncIterator[Browser]:
    path = find_chromium()
    if path is None:
        raise BenchError("There is no Chromium here. Install one (Debian: apt install chromium).")
    async with async_playwright() as playwright:
        # Its sandbox wants a user of its own, which containers do not have.
        browser = await playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        await browser.close()


def _address(product: Product) -> str:
    host, port = product.api.where
    return f"http://{host}:{port}"


async def _sign_in(browser: Browser, product: Product) -> StorageState:
    """What a browser keeps of somebody who is signed in."""
    page = await browser.new_page()
    await page.goto(_address(product))
    await page.locator("form input").first.fill(product.api._key)
    await page.locator("form button[type=submit]").click()
    await page.locator(".shell main h1").first.wait_for(state="attached")
    kept = await page.context.storage_state()
    await page.close()
    return kept


@asynccontextmanager
async def _open_page(
    browser: Browser, product: Product, visitor: StorageState, where: str, ready: str
) -> AsyncIterator[Page]:
    """A page that is there once `ready` is, with nothing in its cache."""
    context = await browser.new_context(
        storage_state=visitor, locale="pt-BR", viewport={"width": 1280, "height": 800}
    )
    page = await context.new_page()
    await page.add_init_script(_WATCH)
    await page.goto(f"{_address(product)}/#/{where}")
    await page.locator(ready).first.wait_for()
    try:
        yield page
    finally:
        await context.close()


async def _fill_chats(product: Product, session_id: str) -> None:
    gate = asyncio.Semaphore(_AT_ONCE)

    async def write(number: int) -> None:
        async with gate:
            await product.let_write(session_id, _phone(number), count=_MESSAGES // _CHATS)

    await asyncio.gather(*(write(number) for number in range(_CHATS)))
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while await _count_unread(product) < _MESSAGES:
        if time.monotonic() > deadline:
            raise BenchError("The messages did not arrive.")
        await asyncio.sleep(0.25)


async def _count_unread(product: Product) -> int:
    """Over all pages of the list of chats."""
    unread: int = 0
    cursor = ""
    while True:
        found = await product.api.call("GET", f"/api/v1/whatsapp/chats?limit=200{cursor}")
        unread += sum(chat["unread"] for chat in found["chats"])
        if not found["nextCursor"]:
            return unread
        cursor = f"&cursor={found['nextCursor']}"


def _phone(number: int) -> str:
    return f"+55119{70_000_000 + number % _CHATS}"


async def _measure_paint(browser: Browser, product: Product, visitor: StorageState) -> None:
    paints, lists = [], []
    for _ in range(_LOADS):
        async with _open_page(browser, product, visitor, "sessions", "tbody tr") as page:
            await page.wait_for_function("seen.listAt > 0")
            paints.append(await page.evaluate(_FIRST_PAINT))
            lists.append(await page.evaluate("seen.listAt"))
    note = f"since the navigation began, {_SESSIONS} sessions, nothing in the cache, {_LOADS} loads"
    show("console.first-paint", paints, "ms", target="<= 1000", note=f"first content; {note}")
    show("console.list-painted", lists, "ms", target="<= 1000", note=f"the sessions; {note}")


async def _measure_sessions(
    browser: Browser, product: Product, visitor: StorageState, sessions: list[str]
) -> Updates:
    async def change_all() -> None:
        gate = asyncio.Semaphore(_AT_ONCE)

        async def drop(session_id: str) -> None:
            async with gate:
                path = f"/api/v1/whatsapp/sessions/{session_id}/sandbox/fault"
                await product.api.call("POST", path, {"kind": "drop"})

        await asyncio.gather(*(drop(session_id) for session_id in sessions))
        await asyncio.sleep(_SETTLE_SECONDS)

    async with _open_page(browser, product, visitor, "sessions", "tbody tr") as page:
        return await _watch(product, page, change_all)


async def _measure_messages(
    browser: Browser, product: Product, visitor: StorageState, session_id: str, plan: Plan
) -> Updates:
    async def write() -> None:
        each = max(1, round(_RATE * _STEP_SECONDS))
        started, writing = time.monotonic(), []
        for number in itertools.takewhile(
            lambda number: number * each / _RATE < plan.seconds, itertools.count()
        ):
            await asyncio.sleep(max(0.0, started + number * each / _RATE - time.monotonic()))
            writing.append(asyncio.create_task(product.let_write(session_id, _phone(number), count=each)))
        await asyncio.gather(*writing)

    async with _open_page(browser, product, visitor, "conversations", ".chats li a") as page:
        await page.locator(".chats li a").first.click()
        await page.locator(".bubble").first.wait_for()
        return await _watch(product, page, write)


async def _watch(product: Product, page: Page, work: Callable[[], Awaitable[None]]) -> Updates:
    # Those kept from before may be closed by the server just now.
    product.api.close()
    await page.evaluate("Object.assign(seen, { changes: 0, longest: 0 })")
    devtools = await page.context.new_cdp_session(page)
    await devtools.send("Performance.enable")
    before, started = await _read_busy_seconds(devtools), time.monotonic()
    await work()
    busy, seconds = await _read_busy_seconds(devtools) - before, time.monotonic() - started
    seen = await page.evaluate("seen")
    found = Updates(
        count=seen["changes"],
        mean_ms=busy * 1e3 / max(1, seen["changes"]),
        longest_ms=max(_LONG_TASK_MS, seen["longest"]),
        busy=busy / seconds,
    )
    say(f"{found.count} updates, {found.mean_ms:.1f} ms each, longest task {found.longest_ms:.0f} ms")
    return found


async def _read_busy_seconds(devtools: Any) -> float:
    """Since the page began: all tasks of its main thread."""
    metrics = (await devtools.send("Performance.getMetrics"))["metrics"]
    return float(next(metric["value"] for metric in metrics if metric["name"] == "TaskDuration"))


def _show(name: str, found: list[Updates], what: str) -> None:
    count = round(statistics.median(updates.count for updates in found))
    busy = statistics.median(updates.busy for updates in found)
    note = f"{what}: {count} updates, main thread busy {busy:.0%}"
    show(f"console.{name}-update", [one.mean_ms for one in found], "ms", target="<= 100", note=note)
    show(
        f"console.{name}-longest-task",
        [one.longest_ms for one in found],
        "ms",
        target="<= 100",
        note=f"50 where none was longer; {note}",
    )
