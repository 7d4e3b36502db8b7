"""Real accounts in the console: the engine that companies use, and phones of the stand-in that scan what the page shows."""

import re
from collections.abc import AsyncIterator, Mapping
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Locator, expect

from tests.console.browser import Desk, Theme
from tests.console.conftest import Company, OpenDesk
from tests.console.qr import read_qr
from tests.console.test_conversations import bubble, chat_link, write
from tests.console.test_sessions import row, the_session
from tests.flow.whatsapp import Phones, open_phones
from tests.phone_network.accounts import Account, Device

pytestmark = pytest.mark.asyncio(loop_scope="module")

SLOW_MS = 30_000
"""A process of the engine starts, links, and another one starts."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def phones(browser: Browser) -> AsyncIterator[Phones]:
    async with open_phones() as phones:
        yield phones


@pytest.fixture(scope="module")
def settings(phones: Phones) -> Mapping[str, Any]:
    """WhatsApp is the stand-in."""
    return phones.settings


async def create(desk: Desk, name: str) -> None:
    """A session for a real phone; its dialog is open."""
    await desk.go("sessions")
    await desk.button("sessions.create").first.click()
    await desk.field("sessions.name", within=desk.dialog()).fill(name)
    await desk.dialog().get_by_role("radio", name=desk.words("sessions.engine.phone")).check()
    await desk.button("sessions.create.button").click()


def picture(desk: Desk) -> Locator:
    return desk.dialog().get_by_role("img", name=desk.words("sessions.connect.qrAlt"))


async def photograph(desk: Desk) -> bytes:
    """The code as a camera sees it. The picture has its place before it is drawn: until then the place is white."""
    await expect(picture(desk)).to_be_visible(timeout=SLOW_MS)
    await picture(desk).evaluate("picture => picture.decode()")
    return await picture(desk).screenshot()


async def scan(desk: Desk, phone: Account) -> Device:
    """The phone is held before the screen."""
    device = await phone.scan(read_qr(await photograph(desk)))
    await expect(desk.button("sessions.connect.done")).to_be_visible(timeout=SLOW_MS)
    return device


async def has_state(desk: Desk, name: str, key: str) -> None:
    await expect(row(desk, name).get_by_text(desk.words(key), exact=True)).to_be_visible(timeout=SLOW_MS)


async def test_a_phone_is_linked_and_people_write(desk: Desk, company: Company, phones: Phones) -> None:
    """From the picture on the page to a conversation: scanned, connected by itself; what each side writes reaches the other."""
    phone, maria = phones.account(), phones.person("Maria Souza")
    await desk.sign_in(company.key)
    await create(desk, "Padaria Sol")
    await scan(desk, phone)
    dialog = desk.dialog()
    said = desk.words("sessions.connectedNow", name="Padaria Sol")
    await expect(dialog.get_by_role("heading", name=said)).to_be_visible()
    await desk.button("sessions.connect.done").click()
    await has_state(desk, "Padaria Sol", "sessions.status.connected")
    number = row(desk, "Padaria Sol").locator(".session-number")
    assert re.sub(r"\D", "", await number.inner_text()) == phone.pn.user
    await desk.check()
    await maria.say(phone, text="Bom dia! Tem pão de queijo?")
    await desk.go("conversations")
    await chat_link(desk, "Maria Souza").click()
    await expect(bubble(desk, "Tem pão de queijo?")).to_be_visible()
    await write(desk, "Tem sim, saiu agora.")
    answer = await maria.inbox.first(lambda posted: posted.text == "Tem sim, saiu agora.")
    mine = bubble(desk, "Tem sim, saiu agora.")
    delivered = desk.words("conversations.status.delivered")
    await expect(mine.get_by_text(delivered, exact=True)).to_be_attached()
    maria.read(answer)
    await expect(mine.get_by_text(desk.words("conversations.status.read"), exact=True)).to_be_attached()
    await maria.react(answer, "🥐")
    await expect(mine.get_by_text("🥐")).to_be_visible()


@pytest.mark.parametrize("theme", ["light", "dark"])
async def test_a_camera_reads_the_code_at_night(
    open_desk: OpenDesk, company: Company, phones: Phones, theme: Theme
) -> None:
    """On a phone's screen, in both themes, the picture is dark on light and large enough to be read."""
    desk = await open_desk(theme=theme, width=360, height=740)
    await desk.sign_in(company.key)
    await create(desk, "Balcão")
    seen = read_qr(await photograph(desk))
    assert seen == (await the_session(company))["qrCode"]
    box = await picture(desk).bounding_box()
    assert box
    assert box["width"] >= 200
    await desk.check()


async def test_a_pairing_code_typed_into_the_phone(desk: Desk, company: Company, phones: Phones) -> None:
    """In place of the picture: the number goes into the page, its code into the phone, and the page says connected."""
    phone = phones.account()
    await desk.sign_in(company.key)
    await create(desk, "Entrega")
    await expect(picture(desk)).to_be_visible(timeout=SLOW_MS)
    await desk.dialog().get_by_text(desk.words("sessions.connect.useCode")).click()
    await desk.field("sessions.connect.phone").fill(f"+{phone.pn.user}")
    await desk.button("sessions.connect.getCode").click()
    code = desk.page.locator(".pairing-code")
    await expect(code).to_have_text(re.compile(r"^[0-9A-Z]{4}-[0-9A-Z]{4}$"), timeout=SLOW_MS)
    await phone.code_wanted()
    await phone.enter_code(await code.inner_text())
    await desk.button("sessions.connect.done").click(timeout=SLOW_MS)
    await has_state(desk, "Entrega", "sessions.status.connected")
    assert (await the_session(company))["phone"] == phone.pn.user


async def test_codes_that_nobody_scans(desk: Desk, company: Company, phones: Phones) -> None:
    """WhatsApp hangs up: the dialog says so, and its one button brings a code that links."""
    await desk.sign_in(company.key)
    await create(desk, "Loja")
    await expect(picture(desk)).to_be_visible(timeout=SLOW_MS)
    phones.network.registration.give_up()
    await expect(desk.dialog().get_by_text(desk.words("sessions.reason.qr_expired")).first).to_be_visible()
    again = desk.button("sessions.connect.again")
    await expect(again).to_be_focused()
    await desk.check()
    await again.click()
    await scan(desk, phones.account())


async def test_the_phone_removes_the_device(desk: Desk, company: Company, phones: Phones) -> None:
    """The list says what happened and what to do; the button there leads to a new code, which links again."""
    phone = phones.account()
    await desk.sign_in(company.key)
    await create(desk, "Loja")
    device = await scan(desk, phone)
    await desk.button("sessions.connect.done").click()
    await has_state(desk, "Loja", "sessions.status.connected")
    phone.unlink(device)
    loja = row(desk, "Loja")
    await expect(loja.get_by_text(desk.words("sessions.reason.logged_out"))).to_be_visible()
    await desk.check()
    await desk.button("sessions.connect", within=loja).click()
    await scan(desk, phone)
    await desk.button("sessions.connect.done").click()
    await has_state(desk, "Loja", "sessions.status.connected")
