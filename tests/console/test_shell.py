"""The console's frame: signing in and out, what a key sees, languages, colours, a proxy's path."""

import json
import re

import pytest
from playwright.async_api import Page, Route, expect

from tests.api_client import OPERATOR_KEY
from tests.console.browser import Desk, Theme
from tests.console.conftest import Company, OpenDesk
from tests.flow.serving import Relay, link, make_tenant

pytestmark = pytest.mark.asyncio(loop_scope="module")


def forgive(desk: Desk) -> None:
    """What the browser itself says of a server that is away."""
    away = re.compile(r"net::ERR_(FAILED|INTERNET_DISCONNECTED)|Failed to fetch dynamically imported module")
    desk.troubles = [trouble for trouble in desk.troubles if not away.search(trouble)]


async def test_signing_in_and_out(desk: Desk, company: Company) -> None:
    """A wrong key is told what is wrong with it; the right one enters, stays over a reload, and is left by one press."""
    page = desk.page
    await page.goto(desk.relay.url)
    await expect(page).to_have_title(desk.words("shell.signIn.title"))
    key = desk.field("shell.signIn.key")
    await expect(key).to_be_focused()
    await expect(key).to_have_attribute("type", "password")
    await desk.check()
    await key.fill("relay_wrong")
    await key.press("Enter")
    await expect(page.get_by_text(desk.words("shell.errors.key_malformed"))).to_be_visible()
    await expect(key).to_be_focused()
    await desk.check()
    await page.get_by_text(desk.words("shell.signIn.where")).click()
    await expect(page.get_by_text("relay key create")).to_be_visible()
    await desk.check()
    await desk.sign_in(company.key)
    await page.reload()
    await expect(page.get_by_text(company.name)).to_be_visible()
    await desk.button("shell.signOut").click()
    await expect(key).to_be_visible()
    await page.reload()
    await expect(key).to_be_visible()


async def test_nothing_of_the_key_stays_in_the_browser(desk: Desk, company: Company) -> None:
    """Scripts see no cookie; neither storage nor address holds the key."""
    await desk.sign_in(company.key)
    await desk.go("sessions")
    kept = await desk.page.evaluate(
        "JSON.stringify([document.cookie, {...localStorage}, {...sessionStorage}, location.href])"
    )
    assert json.loads(kept)[0] == ""
    assert "relay_" not in kept


async def test_a_revoked_key_ends_the_visit(desk: Desk, company: Company) -> None:
    """The next thing one does leads to the sign-in, which says why."""
    made = (
        await company.client.post("/api/v1/admin/keys", json={"name": "k", "scopes": ["sessions"]})
    ).json()
    await desk.sign_in(made["key"])
    await company.client.delete(f"/api/v1/admin/keys/{made['id']}")
    await desk.page.get_by_role("link", name=desk.words("sessions.nav"), exact=True).click()
    await expect(desk.page.get_by_text(desk.words("shell.signIn.expired"))).to_be_visible()
    await desk.check()


async def test_a_key_sees_what_it_may(open_desk: OpenDesk, company: Company) -> None:
    """Without the scope `sessions` there is no way there, by link or by address."""
    body = {"name": "rules", "scopes": ["rules"]}
    made = (await company.client.post("/api/v1/admin/keys", json=body)).json()
    desk = await open_desk()
    await desk.sign_in(made["key"])
    await expect(desk.page.get_by_role("link", name=desk.words("sessions.nav"), exact=True)).to_have_count(0)
    await desk.page.goto(f"{desk.relay.url}/#/sessions")
    await expect(desk.page).to_have_title(re.compile(f"^{desk.words('start.title')}"))
    await desk.check()


async def test_language_and_colours_are_switched_and_remembered(
    open_desk: OpenDesk, company: Company
) -> None:
    """Portuguese and light by the browser; English and dark by choice, at once, and after a reload."""
    desk = await open_desk(language="pt-BR")
    other = await open_desk(language="en")
    await desk.sign_in(company.key)
    page = desk.page
    await expect(page.locator("html")).to_have_attribute("lang", "pt-BR")
    light = await page.evaluate("getComputedStyle(document.body).backgroundColor")
    await desk.field("shell.theme").select_option("dark")
    dark = await page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert light != dark
    await desk.field("shell.language").select_option("en")
    await expect(page.get_by_role("link", name=other.words("sessions.nav"), exact=True)).to_be_visible()
    await expect(page.locator("html")).to_have_attribute("lang", "en")
    await page.reload()
    await expect(page.get_by_role("link", name=other.words("sessions.nav"), exact=True)).to_be_visible()
    assert await page.evaluate("getComputedStyle(document.body).backgroundColor") == dark


async def test_the_operator_chooses_a_company(desk: Desk, relay: Relay, company: Company) -> None:
    """Its sessions are shown, and no others; a new one is the chosen company's."""
    await link(company.client, name="Forno")
    async with relay.client() as operator:
        body = {"name": f"Zebra {desk.language}"}
        zebra = (await operator.post("/api/v1/admin/tenants", json=body)).json()["companyId"]
    await desk.sign_in(OPERATOR_KEY)
    chooser = desk.field("shell.company")
    await chooser.select_option(zebra)
    await desk.go("sessions")
    await expect(desk.page.get_by_text(desk.words("sessions.empty.title"))).to_be_visible()
    await desk.button("sessions.create").first.click()
    await desk.field("sessions.name", within=desk.dialog()).fill("Listra")
    await desk.dialog().get_by_role("radio", name=desk.words("sessions.engine.sandbox")).check()
    await desk.button("sessions.create.button").click()
    await expect(desk.dialog().get_by_role("img")).to_be_visible()
    await desk.button("sessions.simulate", within=desk.dialog()).click()
    await desk.button("sessions.connect.done").click()
    await expect(desk.page.get_by_text("Listra").first).to_be_visible()
    await expect(desk.page.get_by_text("Forno")).to_have_count(0)
    await desk.check()
    async with relay.client() as operator:
        owned = (await operator.get("/api/v1/whatsapp/sessions", params={"companyId": zebra})).json()
    assert [session["name"] for session in owned["sessions"]] == ["Listra"]
    await desk.page.reload()
    await expect(chooser).to_have_value(zebra)


async def test_behind_a_proxys_path(open_desk: OpenDesk, company: Company) -> None:
    """Under /tools/relay/ everything is found: files, calls, the live stream, codes."""
    await company.client.post("/api/v1/whatsapp/sessions", json={"name": "Loja", "engine": "sandbox"})
    desk = await open_desk()
    prefix = f"{desk.relay.url}/tools/relay/"

    async def pass_on(route: Route) -> None:
        await route.continue_(url=route.request.url.replace("/tools/relay/", "/"))

    outside: list[str] = []
    desk.page.on(
        "request",
        lambda request: None if request.url.startswith((prefix, "data:")) else outside.append(request.url),
    )
    await desk.page.route(f"{prefix}**", pass_on)
    await desk.page.goto(prefix)
    await desk.field("shell.signIn.key").fill(company.key)
    await desk.button("shell.signIn.button").click()
    await expect(desk.page.get_by_text(desk.words("shell.live"))).to_be_visible()
    await desk.page.get_by_role("link", name=desk.words("sessions.nav"), exact=True).click()
    await desk.button("sessions.showQr").click()
    await expect(desk.dialog().get_by_role("img")).to_be_visible()
    assert outside == []


@pytest.mark.parametrize("theme", ["light", "dark"])
async def test_by_keyboard_and_on_a_phone(open_desk: OpenDesk, company: Company, theme: Theme) -> None:
    """Tab finds the way past the navigation first; at 360 px the menu opens, leads on and closes itself."""
    desk = await open_desk(theme=theme, width=360, height=640)
    await desk.sign_in(company.key)
    page = desk.page
    await page.locator("body").press("Tab")
    skip = page.get_by_role("link", name=desk.words("shell.skip"))
    await expect(skip).to_be_focused()
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("main")).to_be_focused()
    menu = desk.button("shell.menu")
    await menu.click()
    await expect(menu).to_have_attribute("aria-expanded", "true")
    await desk.check()
    await page.get_by_role("link", name=desk.words("sessions.nav"), exact=True).click()
    await expect(page.get_by_role("heading", level=1)).to_be_focused()
    await expect(menu).to_have_attribute("aria-expanded", "false")
    await desk.check()


async def test_the_server_is_away_and_comes_back(open_desk: OpenDesk, company: Company) -> None:
    """What cannot be had says so and offers another try; the try works once the server answers."""
    desk = await open_desk(language="en")
    await desk.sign_in(company.key)
    await desk.page.route("**/api/v1/whatsapp/sessions?**", lambda route: route.abort())
    await desk.page.get_by_role("link", name=desk.words("sessions.nav"), exact=True).click()
    await expect(desk.page.get_by_text(desk.words("common.errors.unreachable"))).to_be_visible()
    await desk.check()
    await desk.page.unroute("**/api/v1/whatsapp/sessions?**")
    await desk.button("common.retry").click()
    await expect(desk.page.get_by_text(desk.words("sessions.empty.title"))).to_be_visible()
    forgive(desk)


async def test_a_page_is_first_opened_while_the_server_is_away(open_desk: OpenDesk, company: Company) -> None:
    """Its files cannot be had: it says so in the right words, and another try opens it as it should look."""
    desk = await open_desk()
    await desk.sign_in(company.key)
    page = desk.page
    away = desk.words("common.errors.unreachable")
    for name, file in [("bots", "js/pages/bots.js"), ("keys", "css/pages/keys.css")]:
        await page.route(f"**/console/{file}", lambda route: route.abort())
        await page.route("**/console/session", lambda route: route.abort())
        await page.get_by_role("link", name=desk.words(f"{name}.nav"), exact=True).click()
        await expect(page.get_by_text(away)).to_be_visible()
        await desk.button("common.retry").click()
        await expect(page.get_by_text(away)).to_be_visible()
        await page.unroute_all()
        await desk.button("common.retry").click()
        await expect(page.get_by_role("heading", level=1, name=desk.words(f"{name}.title"))).to_be_visible()
        assert await page.locator(f'link[data-css="{name}"]').evaluate("link => link.sheet !== null")
    await page.route("**/locales/*/webhooks.json", lambda route: route.abort())
    await page.reload()
    await expect(page.get_by_text(away)).to_be_visible()
    await page.unroute_all()
    await desk.button("common.retry").click()
    await expect(page.get_by_role("heading", level=1)).to_be_visible()
    forgive(desk)


async def test_what_cannot_be_done_while_the_server_is_away(desk: Desk, company: Company) -> None:
    """Neither another language nor signing out: both say why, and all stays as it was."""
    await desk.sign_in(company.key)
    page = desk.page
    language = desk.field("shell.language")
    toast = page.locator(".toast").filter(has_text=desk.words("common.errors.unreachable"))
    await page.context.set_offline(True)
    await language.select_option("en" if desk.language == "pt-BR" else "pt-BR")
    await expect(toast).to_have_count(1)
    await expect(language).to_have_value(desk.language)
    await expect(page.locator("html")).to_have_attribute("lang", desk.language)
    await desk.button("shell.signOut").click()
    await expect(toast).to_have_count(2)
    await expect(desk.button("shell.signOut")).to_be_visible()
    await page.context.set_offline(False)
    await page.reload()
    await expect(language).to_have_value(desk.language)
    await expect(desk.button("shell.signOut")).to_be_visible()
    forgive(desk)


async def test_another_company_in_a_second_tab(open_desk: OpenDesk, relay: Relay, company: Company) -> None:
    """One browser is one person: whoever signs out or in does so in every tab, and each shows whose company it is."""
    desk = await open_desk()
    await desk.sign_in(company.key)
    await desk.go("sessions")
    second: Page = await desk.page.context.new_page()
    await second.goto(relay.url)
    await second.get_by_role("button", name=desk.words("shell.signOut")).click()
    await expect(desk.field("shell.signIn.key")).to_be_visible()
    async with await make_tenant(relay, "Mercado Lua") as other:
        body = {"name": "k", "scopes": ["sessions"]}
        key = (await other.post("/api/v1/admin/keys", json=body)).json()["key"]
        await second.get_by_label(desk.words("shell.signIn.key"), exact=True).fill(key)
        await second.get_by_role("button", name=desk.words("shell.signIn.button")).click()
        await expect(desk.page.get_by_text("Mercado Lua")).to_be_visible()
        await expect(desk.page.get_by_text(company.name)).to_have_count(0)
        await expect(desk.page.get_by_role("link", name=desk.words("keys.nav"), exact=True)).to_have_count(0)
        # Not told by the other tab, as where the cookie changed in another way: seen when the tab is looked at again.
        await desk.page.context.request.post(
            f"{relay.url}/api/v1/console/session",
            data={"key": company.key},
            headers={"Origin": relay.url, "X-Relay-Console": "1"},
        )
        await desk.page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
        await expect(desk.page.get_by_text(company.name)).to_be_visible()


@pytest.mark.parametrize("width", [1280, 360])
async def test_a_toast_covers_nothing_that_it_speaks_of(
    open_desk: OpenDesk, company: Company, width: int
) -> None:
    """A message that could not be sent: why is read, and the button that sends it again is free."""
    session = await link(company.client, name="Loja")
    path = f"/api/v1/whatsapp/sessions/{session}/sandbox/inbound"
    await company.client.post(path, json={"from": "+5511988887777", "name": "Maria", "text": "Oi"})
    desk = await open_desk(width=width, height=640)
    await desk.sign_in(company.key)
    await desk.go("conversations")
    await desk.page.get_by_role("link", name=re.compile("Maria")).click()
    await desk.page.route("**/whatsapp/send", lambda route: route.abort())
    field = desk.field("conversations.write")
    await field.fill("Olá")
    await field.press("Enter")
    toast = desk.page.locator(".toast")
    await expect(toast).to_be_visible()
    above = await toast.bounding_box()
    send = await desk.button("conversations.send").bounding_box()
    assert above
    assert send
    assert above["y"] + above["height"] < send["y"]
    await desk.check()
    forgive(desk)
