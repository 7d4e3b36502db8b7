"""A page in a real browser, as a person in front of it has it: in a language, a theme, a size of screen.

desk = await Desk.open(browser, relay, language="pt-BR", theme="light", width=1280)
await desk.sign_in(key)            the shell is there
await desk.go("sessions")          #/sessions is there, with its heading
desk.words("sessions.create")      what the catalogue says, in the desk's language
desk.page                          Playwright's page
await desk.check()                 axe finds nothing serious, in light and dark; nothing sticks out sideways
await desk.shoot("sessions")       into docs/images, when RELAY_SHOTS=1 is set
desk.troubles                      errors of the console, of scripts, of the policy: a test with any fails
"""

import io
import json
import os
import re
import shutil
import struct
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import av
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Browser, ConsoleMessage, Locator, Page, expect

from tests.flow.serving import Relay

Language = Literal["pt-BR", "en"]
Theme = Literal["light", "dark"]

LOCALES = Path(__file__).parents[2] / "relay/api/console/static/locales"
IMAGES = Path(__file__).parents[2] / "docs/images"
_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
_SERIOUS = ("serious", "critical")
_PATIENCE_MS = 20_000
"""On two cores that are busy with other tests; what is there is seen at once."""
expect.set_options(timeout=_PATIENCE_MS)
# What a theme changes is colours: in the second one nothing else is looked at again.
_THEMES: Mapping[Theme, Mapping[str, Any]] = {
    "light": {"resultTypes": ["violations"]},
    "dark": {"resultTypes": ["violations"], "runOnly": ["color-contrast"]},
}
# What is wider than the place that it has: the page, and what cuts off or scrolls what it holds.
_TOO_WIDE = """
    [document.documentElement, ...document.querySelectorAll('.card, .frame, dialog, .dialog-body')]
        .filter((node) => node.clientWidth > 0 && node.scrollWidth > node.clientWidth + 1)
        .map((node) => `${node.tagName} ${node.className}: ${node.scrollWidth} in ${node.clientWidth} px`)
"""
# A refusal that the page shows in its own words; browsers note each in the console.
_REFUSED = re.compile(r"Failed to load resource: the server responded with a status of 4\d\d")


def find_chromium() -> str | None:
    """The system's Chromium, under its usual names."""
    return next((path for name in _NAMES if (path := shutil.which(name))), None)


def catalogue(language: Language) -> dict[str, str]:
    """Every key of a language with its words."""
    return {
        f"{file.stem}.{key}": words
        for file in sorted((LOCALES / language).glob("*.json"))
        for key, words in json.loads(file.read_text()).items()
    }


class Desk:
    """See the module."""

    def __init__(self, page: Page, relay: Relay, *, language: Language, theme: Theme) -> None:
        self.page = page
        self.relay = relay
        self.language = language
        self.theme = theme
        self.troubles: list[str] = []
        self._words = catalogue(language)
        page.on("console", self._hear)
        page.on("pageerror", lambda error: self.troubles.append(str(error.stack or error)))

    @classmethod
    async def open(
        cls,
        browser: Browser,
        relay: Relay,
        *,
        language: Language = "pt-BR",
        theme: Theme = "light",
        width: int = 1280,
        height: int = 800,
    ) -> "Desk":
        context = await browser.new_context(
            locale="en-US" if language == "en" else language,
            color_scheme=theme,
            viewport={"width": width, "height": height},
            reduced_motion="reduce",
            timezone_id="America/Sao_Paulo",
        )
        page = await context.new_page()
        page.set_default_timeout(_PATIENCE_MS)
        return cls(page, relay, language=language, theme=theme)

    def _hear(self, message: ConsoleMessage) -> None:
        is_refusal = _REFUSED.match(message.text) and "/api/v1/" in message.location["url"]
        if message.type in ("error", "warning") and not is_refusal:
            self.troubles.append(f"{message.type}: {message.text} ({message.location})")

    async def close(self) -> None:
        await self.page.context.close()
        assert not self.troubles, self.troubles

    def words(self, key: str, **values: object) -> str:
        """As the page says it."""
        words = self._words[key]
        for name, value in values.items():
            words = words.replace("{" + name + "}", str(value))
        assert "{" not in words, f"{key} wants more: {words}"
        return words

    def button(self, key: str, *, within: Locator | None = None, **values: object) -> Locator:
        """The button with these words; with a session's name behind them, if it is one of a list."""
        name = re.compile(rf"^{re.escape(self.words(key, **values))}")
        return (within or self.page).get_by_role("button", name=name)

    def field(self, key: str, *, within: Locator | None = None) -> Locator:
        return (within or self.page).get_by_label(self.words(key), exact=True)

    def dialog(self) -> Locator:
        return self.page.get_by_role("dialog")

    async def sign_in(self, key: str) -> None:
        await self.page.goto(self.relay.url)
        await self.field("shell.signIn.key").fill(key)
        await self.button("shell.signIn.button").click()
        await expect(self.page.locator(".shell main h1").first).to_be_attached()

    async def go(self, name: str, *parts: str, query: str = "") -> None:
        """Another page, by its address; it is there when its heading is."""
        path = "/".join([name, *parts])
        await self.page.goto(f"{self.relay.url}/#/{path}{query}")
        await expect(self.page).to_have_title(f"{self.words(f'{name}.title')} · Relay")
        await expect(self.page.locator("main h1").first).to_be_attached()

    async def check(self) -> None:
        """Nothing keeps anybody out, and nothing is wider than the screen."""
        for theme, rules in _THEMES.items():
            await self.page.emulate_media(color_scheme=theme)
            found = (await Axe().run(self.page, options=rules)).response["violations"]
            serious = [_told(violation) for violation in found if violation["impact"] in _SERIOUS]
            assert not serious, f"in {theme}: {serious}"
        await self.page.emulate_media(color_scheme=self.theme)
        too_wide = await self.page.evaluate(_TOO_WIDE)
        assert not too_wide, too_wide

    async def shoot(self, name: str) -> None:
        if os.environ.get("RELAY_SHOTS") != "1":
            return
        IMAGES.mkdir(parents=True, exist_ok=True)
        path = IMAGES / f"console-{name}-{self.language}-{self.theme}.png"
        path.write_bytes(_pack(await self.page.screenshot(animations="disabled", caret="hide")))


def _pack(png: bytes) -> bytes:
    """The same picture in fewer bytes: browsers pack in a hurry, and what is flat packs best as it is."""
    with av.open(io.BytesIO(png), mode="r") as picture:
        frame = next(picture.decode(video=0)).reformat(format="rgb24")
    plane = frame.planes[0]
    pixels = memoryview(plane)
    starts = range(0, frame.height * plane.line_size, plane.line_size)
    rows = b"".join(b"\0" + pixels[start : start + frame.width * 3] for start in starts)
    parts = (
        (b"IHDR", struct.pack(">IIBBBBB", frame.width, frame.height, 8, 2, 0, 0, 0)),
        (b"IDAT", zlib.compress(rows, 9)),
        (b"IEND", b""),
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(part)) + kind + part + struct.pack(">I", zlib.crc32(kind + part))
        for kind, part in parts
    )


def _told(violation: Mapping[str, Any]) -> str:
    nodes = [f"{node['html'][:200]} {node.get('failureSummary', '')}" for node in violation["nodes"][:3]]
    return f"{violation['id']}: {violation['help']}: {nodes}"
