"""Sessions in the console: made, linked, followed, changed and removed as a person does it."""

import asyncio
import re
from typing import Any

import pytest
from playwright.async_api import Locator, Route, expect

from tests.console.browser import Desk
from tests.console.conftest import Company, OpenDesk
from tests.flow.serving import Relay, link, until

pytestmark = pytest.mark.asyncio(loop_scope="module")

SESSIONS = "/api/v1/whatsapp/sessions"


def row(desk: Desk, name: str) -> Locator:
    return desk.page.get_by_role("row").filter(has_text=name)


async def the_session(company: Company) -> dict[str, Any]:
    (session,) = (await company.client.get(SESSIONS)).json()["sessions"]
    return dict(session)


async def test_a_session_is_made_and_linked(desk: Desk, company: Company) -> None:
    """From nothing: create, see the QR code, let the sandbox's phone scan it, and it is connected."""
    await desk.sign_in(company.key)
    await desk.go("sessions")
    await expect(desk.page.get_by_text(desk.words("sessions.empty.title"))).to_be_visible()
    await desk.check()
    await desk.button("sessions.create").first.click()
    dialog = desk.dialog()
    await desk.check()
    await desk.field("sessions.name", within=dialog).fill("Balcão")
    await dialog.get_by_role("radio", name=desk.words("sessions.engine.sandbox")).check()
    await desk.button("sessions.create.button").click()
    await expect(dialog.get_by_role("img", name=desk.words("sessions.connect.qrAlt"))).to_be_visible()
    await expect(dialog.get_by_text(re.compile(r"\d:\d\d"))).to_be_visible()
    await desk.check()
    await desk.button("sessions.simulate", within=dialog).click()
    await expect(
        dialog.get_by_role("heading", name=desk.words("sessions.connectedNow", name="Balcão"))
    ).to_be_visible()
    await desk.check()
    await desk.button("sessions.connect.done").click()
    await expect(dialog).to_have_count(0)
    connected = row(desk, "Balcão")
    await expect(connected.get_by_text(desk.words("sessions.status.connected"), exact=True)).to_be_visible()
    session = await the_session(company)
    assert (session["name"], session["engine"], session["status"]) == ("Balcão", "sandbox", "connected")
    digits = session["phone"]
    assert re.sub(r"\D", "", await connected.inner_text()).startswith(digits)
    await expect(connected.get_by_text(desk.words("sessions.sentOf", sent=0, budget=200))).to_be_visible()


async def test_a_pairing_code_in_place_of_the_picture(desk: Desk, company: Company) -> None:
    """For a number that is none it says what is wrong, beside the field; for a real one it shows the code."""
    await company.client.post(SESSIONS, json={"name": "Loja", "engine": "sandbox"})
    await desk.sign_in(company.key)
    await desk.go("sessions")
    await desk.button("sessions.showQr", within=row(desk, "Loja")).click()
    await desk.dialog().get_by_text(desk.words("sessions.connect.useCode")).click()
    number = desk.field("sessions.connect.phone")
    await number.fill("12")
    await desk.button("sessions.connect.getCode").click()
    await expect(desk.page.get_by_text(desk.words("sessions.errors.recipient_invalid"))).to_be_visible()
    await expect(number).to_have_attribute("aria-invalid", "true")
    await number.fill("+55 11 91234-5678")
    await number.press("Enter")
    await expect(desk.page.locator(".pairing-code")).to_have_text(re.compile(r"^[0-9A-Z]{4}-[0-9A-Z]{4}$"))
    await desk.check()
    await desk.button("sessions.simulate", within=desk.dialog()).click()
    await desk.button("sessions.connect.done").click()
    assert (await the_session(company))["phone"] == "5511912345678"


async def test_a_late_answer_hides_nothing(open_desk: OpenDesk, company: Company) -> None:
    """What was asked before the phone scanned, and is answered after it, does not bring the code back."""
    desk = await open_desk()
    asked, release = asyncio.Event(), asyncio.Event()

    async def hold_the_first(route: Route) -> None:
        is_first = not asked.is_set()
        answer = await route.fetch()
        asked.set()
        if is_first:
            await release.wait()
        await route.fulfill(response=answer)

    await company.client.post(SESSIONS, json={"name": "Loja", "engine": "sandbox"})
    at = f"{SESSIONS}/{(await the_session(company))['id']}"
    await desk.sign_in(company.key)
    await desk.go("sessions")
    await desk.page.route(f"**{at}", hold_the_first)
    await desk.button("sessions.showQr", within=row(desk, "Loja")).click()
    await asked.wait()
    await company.client.post(f"{at}/sandbox/scan")
    done = desk.button("sessions.connect.done")
    await expect(done).to_be_visible()
    async with desk.page.expect_response(f"**{at}"):
        release.set()
    await desk.page.evaluate("() => new Promise((drawn) => requestAnimationFrame(() => setTimeout(drawn)))")
    await expect(done).to_be_visible()
    await done.click()
    connected = row(desk, "Loja").get_by_text(desk.words("sessions.status.connected"), exact=True)
    await expect(connected).to_be_visible()


async def test_what_happens_elsewhere_is_seen_at_once(desk: Desk, company: Company) -> None:
    """A session is logged out on its phone: the list says so, with the sentence, without being asked."""
    session = await link(company.client, name="Loja")
    await desk.sign_in(company.key)
    await desk.go("sessions")
    await expect(
        row(desk, "Loja").get_by_text(desk.words("sessions.status.connected"), exact=True)
    ).to_be_visible()
    await expect(desk.page.get_by_text(desk.words("shell.live"))).to_be_visible()
    await company.client.post(f"{SESSIONS}/{session}/sandbox/fault", json={"kind": "logout"})
    await expect(row(desk, "Loja").get_by_text(desk.words("sessions.reason.logged_out"))).to_be_visible()
    await desk.check()


async def test_disconnect_and_reconnect(desk: Desk, company: Company) -> None:
    """For now, it stays linked and one press reconnects; unlinked, it wants a new code."""
    await link(company.client, name="Loja")
    await desk.sign_in(company.key)
    await desk.go("sessions")
    loja = row(desk, "Loja")
    await desk.button("sessions.disconnect", within=loja).click()
    await desk.check()
    await desk.button("sessions.disconnect", within=desk.dialog()).click()
    await expect(loja.get_by_text(desk.words("sessions.reason.requested"))).to_be_visible()
    await desk.button("sessions.reconnect", within=loja).click()
    await expect(loja.get_by_text(desk.words("sessions.status.connected"), exact=True)).to_be_visible()
    await desk.button("sessions.disconnect", within=loja).click()
    await desk.dialog().get_by_role("radio", name=desk.words("sessions.disconnect.unlink")).check()
    await desk.button("sessions.disconnect", within=desk.dialog()).click()
    await expect(desk.button("sessions.connect", within=loja)).to_be_visible()
    assert (await the_session(company))["phone"] is None


async def test_settings(desk: Desk, company: Company) -> None:
    """What is changed is kept; a proxy that may not be used is refused beside its field, and nothing is lost."""
    await link(company.client, name="Loja")
    await desk.sign_in(company.key)
    await desk.go("sessions")
    await desk.button("sessions.settingsOf", name="Loja").click()
    await desk.check()
    await desk.field("sessions.name", within=desk.dialog()).fill("Loja Centro")
    await desk.field("sessions.limits.perDay").fill("350")
    await desk.field("sessions.limits.pace").check()
    await desk.field("sessions.automation").check()
    await desk.field("sessions.bot.pauseSeconds").fill("30")
    await desk.field("sessions.proxy.url").fill("http://169.254.169.254/")
    await desk.button("common.save").click()
    await expect(desk.page.get_by_text(desk.words("sessions.errors.proxy_invalid"))).to_be_visible()
    await desk.field("sessions.proxy.url").fill("socks5://user:secret@93.184.216.34:1080")
    await desk.button("common.save").click()
    await expect(desk.dialog()).to_have_count(0)
    changed = row(desk, "Loja Centro")
    await expect(changed.get_by_text(desk.words("sessions.bot.on"))).to_be_visible()
    session = await the_session(company)
    assert session["limits"]["perDay"] == 350
    assert session["limits"]["perMinute"] == 20
    assert session["limits"]["pace"] is True
    assert session["bot"]["pauseSeconds"] == 1800
    assert (session["automation"], session["hasProxy"]) == (True, True)
    await desk.button("sessions.settingsOf", name="Loja Centro").click()
    await expect(desk.page.get_by_text("secret")).to_have_count(0)
    await desk.field("sessions.proxy.remove").check()
    await desk.button("common.save").click()
    await expect(desk.dialog()).to_have_count(0)
    assert (await the_session(company))["hasProxy"] is False


async def test_a_session_that_is_deleted_elsewhere_gives_no_new_codes(desk: Desk, company: Company) -> None:
    """While its code is on show: the dialog says that it is gone, and offers nothing that could not work."""
    await company.client.post(SESSIONS, json={"name": "Loja", "engine": "sandbox"})
    await desk.sign_in(company.key)
    await desk.go("sessions")
    await desk.button("sessions.showQr", within=row(desk, "Loja")).click()
    await expect(desk.dialog().get_by_role("img")).to_be_visible()
    await company.client.delete(f"{SESSIONS}/{(await the_session(company))['id']}")
    await expect(
        desk.dialog().get_by_role("heading", name=desk.words("sessions.deleted", name="Loja"))
    ).to_be_visible()
    await expect(desk.button("sessions.connect.again")).to_have_count(0)
    await desk.check()
    await desk.button("common.close", within=desk.dialog()).last.click()
    await expect(desk.page.get_by_text(desk.words("sessions.empty.title"))).to_be_visible()


async def test_delete_asks_first(desk: Desk, company: Company) -> None:
    """Cancelled, nothing happens and the focus is where it was; confirmed, the session is gone."""
    await link(company.client, name="Loja")
    await desk.sign_in(company.key)
    await desk.go("sessions")
    remove = desk.button("sessions.deleteOf", name="Loja")
    await remove.click()
    await expect(desk.dialog().get_by_text(desk.words("sessions.delete.text"))).to_be_visible()
    await desk.check()
    await desk.button("common.cancel").click()
    await expect(remove).to_be_focused()
    await remove.click()
    await desk.button("sessions.delete", within=desk.dialog()).click()
    await expect(desk.page.get_by_text(desk.words("sessions.deleted", name="Loja"))).to_be_visible()
    await expect(desk.page.get_by_text(desk.words("sessions.empty.title"))).to_be_visible()
    assert (await company.client.get(SESSIONS)).json()["sessions"] == []


async def test_sent_messages_are_counted_against_the_budget(desk: Desk, company: Company) -> None:
    """Two messages to strangers of five: the list says so when it is opened."""
    session = await link(company.client, name="Loja", limits={"perDay": 5})
    for number in (1, 2):
        await company.client.post(
            "/api/v1/whatsapp/send",
            json={"sessionId": session, "to": f"+55 11 97777-000{number}", "type": "text", "content": "Oi"},
            headers={"Prefer": "wait=10"},
        )
    await desk.sign_in(company.key)
    await desk.go("sessions")
    await expect(
        row(desk, "Loja").get_by_text(desk.words("sessions.sentOf", sent=2, budget=5))
    ).to_be_visible()


async def test_a_key_that_may_not_read_events_still_sees_what_changes(
    open_desk: OpenDesk, relay: Relay, company: Company
) -> None:
    """With the scope `sessions` alone there is no live stream: the page looks for itself, and links all the same."""
    company_id = (await company.client.get(f"{SESSIONS}?limit=1")).json()
    assert company_id["sessions"] == []
    made = await company.client.post("/api/v1/admin/keys", json={"name": "counter", "scopes": ["sessions"]})
    desk = await open_desk()
    await desk.sign_in(made.json()["key"])
    await desk.go("sessions")
    await desk.button("sessions.create").first.click()
    await desk.field("sessions.name", within=desk.dialog()).fill("Loja")
    await desk.dialog().get_by_role("radio", name=desk.words("sessions.engine.sandbox")).check()
    await desk.button("sessions.create.button").click()
    await expect(desk.dialog().get_by_role("img")).to_be_visible()
    await company.client.post(f"{SESSIONS}/{(await the_session(company))['id']}/sandbox/scan")
    await expect(desk.button("sessions.connect.done")).to_be_visible()


async def test_on_a_phones_screen_by_keyboard(open_desk: OpenDesk, company: Company) -> None:
    """360 px wide nothing sticks out, dialogs neither; the keyboard alone opens and closes them."""
    await link(company.client, name="Loja com um nome bem comprido para caber em um celular")
    desk = await open_desk(width=360, height=640)
    await desk.sign_in(company.key)
    await desk.go("sessions")
    await desk.check()
    settings = desk.button(
        "sessions.settingsOf", name="Loja com um nome bem comprido para caber em um celular"
    )
    await settings.focus()
    await desk.page.keyboard.press("Enter")
    await expect(desk.dialog()).to_be_visible()
    await desk.check()
    await desk.page.keyboard.press("Escape")
    await expect(settings).to_be_focused()


async def test_lists_filter(desk: Desk, company: Company) -> None:
    """By words in the name, and by state."""
    for name in ("Loja", "Suporte", "Vendas"):
        await company.client.post(SESSIONS, json={"name": name, "engine": "sandbox", "connect": False})
    await link(company.client, name="Entrega")
    await desk.sign_in(company.key)
    await desk.go("sessions")
    await expect(desk.page.get_by_text(desk.words("sessions.shown.other", count=4))).to_be_visible()
    await desk.page.get_by_role("searchbox").fill("sup")
    await expect(desk.page.get_by_text(desk.words("sessions.shown.one", count=1))).to_be_visible()
    await expect(row(desk, "Suporte")).to_be_visible()
    await desk.page.get_by_role("searchbox").fill("")
    await desk.field("sessions.filter").select_option("connected")
    await expect(row(desk, "Entrega")).to_be_visible()
    await expect(row(desk, "Loja")).to_have_count(0)


async def test_another_companys_sessions_are_not_there(desk: Desk, company: Company, relay: Relay) -> None:
    """Neither in the list nor behind their address."""
    session = await link(company.client, name="Segredo")
    async with relay.client() as operator:
        other = (await operator.post("/api/v1/admin/tenants", json={"name": "Other"})).json()["companyId"]
        made = await operator.post(
            "/api/v1/admin/keys", json={"companyId": other, "name": "k", "scopes": ["sessions"]}
        )
    await desk.sign_in(made.json()["key"])
    await desk.go("sessions", session)
    await expect(desk.page.get_by_text(desk.words("sessions.empty.title"))).to_be_visible()
    await expect(desk.page.get_by_text("Segredo")).to_have_count(0)

    async def still_there() -> bool:
        return bool((await the_session(company))["status"] == "connected")

    await until(still_there, seconds=5, what="the session is as it was")
