"""Codes in the console that nobody scans. They are short-lived here: nothing else is tried against such a clock."""

from collections.abc import Mapping
from typing import Any

import pytest
from playwright.async_api import expect

from tests.console.browser import Desk
from tests.console.conftest import Company
from tests.console.test_sessions import SESSIONS, row

pytestmark = pytest.mark.asyncio(loop_scope="module")

# Each picture is kept as it is drawn: how long it stays is the server's business.
_KEEP_PICTURES = """() => {
  window.pictures = new Set();
  new MutationObserver((changes) => {
    for (const { target } of changes) if (target.closest('.qr')) window.pictures.add(target.src);
  }).observe(document.body, { subtree: true, attributes: true, attributeFilter: ['src'] });
}"""


@pytest.fixture(scope="module")
def settings() -> Mapping[str, Any]:
    """Codes that renew, and end, while one looks."""
    return {"sandbox__qr_first_seconds": 3, "sandbox__qr_next_seconds": 3, "sandbox__qr_codes": 3}


async def test_codes_renew_and_a_new_one_is_one_press_away(desk: Desk, company: Company) -> None:
    """The picture changes by itself; when the last has ended it says so, and one button shows the next."""
    await company.client.post(SESSIONS, json={"name": "Loja", "engine": "sandbox", "connect": False})
    await desk.sign_in(company.key)
    await desk.go("sessions")
    await desk.page.evaluate(_KEEP_PICTURES)
    await desk.button("sessions.connect", within=row(desk, "Loja")).click()
    picture = desk.dialog().get_by_role("img", name=desk.words("sessions.connect.qrAlt"))
    await expect(desk.dialog().get_by_text(desk.words("sessions.reason.qr_expired")).first).to_be_visible()
    assert await desk.page.evaluate("window.pictures.size") >= 2
    await desk.check()
    again = desk.button("sessions.connect.again")
    await expect(again).to_be_focused()
    await again.click()
    await expect(picture).to_be_visible()
    await desk.page.keyboard.press("Escape")
    await expect(desk.dialog()).to_have_count(0)
