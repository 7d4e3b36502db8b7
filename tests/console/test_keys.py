"""Keys in the console: made, shown once, tried in a second browser, replaced and revoked as a person does it."""

import asyncio
import json
import re
from datetime import UTC, datetime, timedelta

import pytest
from playwright.async_api import Locator, Route, expect

from tests.api_client import OPERATOR_KEY
from tests.console.browser import Desk
from tests.console.conftest import Company, OpenDesk
from tests.flow.serving import Relay, make_tenant

pytestmark = pytest.mark.asyncio(loop_scope="module")

KEYS = "/api/v1/admin/keys"
# An open stream of events ends at its next heartbeat, 15 seconds later at most.
SIGNED_OUT_MS = 25_000


async def make_key(company: Company, name: str, *scopes: str) -> dict[str, str]:
    made = await company.client.post(KEYS, json={"name": name, "scopes": list(scopes)})
    assert made.status_code == 201, made.text
    return dict(made.json())


def row(desk: Desk, name: str) -> Locator:
    return desk.page.get_by_role("row").filter(has_text=name)


def badge(desk: Desk, key: str, *, within: Locator) -> Locator:
    return within.locator(".badge").get_by_text(desk.words(key), exact=True)


def scope(desk: Desk, name: str) -> Locator:
    return desk.dialog().locator(f'[data-scope="{name}"]')


async def read_key(desk: Desk) -> str:
    """The text that the dialog shows."""
    return await desk.dialog().get_by_text(re.compile(r"^relay_\w{49}$")).inner_text()


async def close_key(desk: Desk) -> None:
    await desk.button("keys.shown.done").click()
    await expect(desk.dialog()).to_have_count(0)


def nav(desk: Desk, page: str) -> Locator:
    return desk.page.get_by_role("link", name=desk.words(f"{page}.nav"), exact=True)


async def test_a_key_is_made_shown_once_and_opens_what_it_says(
    desk: Desk, open_desk: OpenDesk, company: Company
) -> None:
    """A ready-made choice sets its ticks; the text is there to copy, nowhere after that; a second browser sees its scopes' pages alone."""
    await desk.sign_in(company.key)
    await desk.go("keys")
    await expect(row(desk, "relay_").get_by_text(desk.words("keys.own"))).to_be_visible()
    await desk.check()
    await desk.button("keys.create").click()
    await desk.field("keys.name").fill("CRM")
    await desk.button("keys.create.button").click()
    await expect(desk.dialog().get_by_text(desk.words("keys.errors.no_scope"))).to_be_visible()
    await desk.button("keys.ready.crm").click()
    for name in ("messages:read", "messages:send"):
        await expect(scope(desk, name)).to_be_checked()
    for name in ("sessions", "webhooks", "rules", "admin"):
        await expect(scope(desk, name)).not_to_be_checked()
    await scope(desk, "messages:send").uncheck()
    await desk.check()
    await desk.button("keys.create.button").click()
    text = await read_key(desk)
    example = await desk.dialog().locator("pre").inner_text()
    assert f"Authorization: Bearer {text}" in example
    assert f"{desk.relay.url}/api/v1/whatsapp/messages" in example
    await desk.check()
    await close_key(desk)
    await expect(badge(desk, "keys.state.works", within=row(desk, "CRM"))).to_be_visible()
    await expect(row(desk, "CRM")).to_contain_text(desk.words("keys.scope.messages:read"))
    assert text not in await desk.page.content()
    kept = await desk.page.evaluate("JSON.stringify([{...localStorage}, {...sessionStorage}, location.href])")
    assert "relay_" not in kept

    other = await open_desk(language=desk.language)
    await other.sign_in(text)
    await expect(nav(other, "conversations")).to_be_visible()
    for page in ("sessions", "webhooks", "bots", "keys"):
        await expect(nav(other, page)).to_have_count(0)


async def test_everything_is_everything(open_desk: OpenDesk, company: Company) -> None:
    """Who may administrate may do the rest: the ticks say so, and such a key opens every page of the company."""
    desk = await open_desk(language="en")
    await desk.sign_in((await make_key(company, "only admin", "admin"))["key"])
    for page in ("sessions", "conversations", "webhooks", "bots"):
        await expect(nav(desk, page)).to_be_visible()
    await desk.go("keys")
    await expect(row(desk, "only admin").get_by_text(desk.words("keys.own"))).to_be_visible()
    await desk.button("keys.create").click()
    await desk.field("keys.name").fill("Boss")
    await scope(desk, "admin").check()
    await expect(scope(desk, "rules")).to_be_checked()
    await expect(scope(desk, "rules")).to_be_disabled()
    await scope(desk, "admin").uncheck()
    await expect(scope(desk, "rules")).to_be_enabled()
    await desk.button("keys.ready.all").click()
    await desk.field("keys.expiresAt").fill((datetime.now(UTC) + timedelta(days=40)).strftime("%Y-%m-%d"))
    await desk.button("keys.create.button").click()
    await close_key(desk)
    await expect(badge(desk, "keys.state.ends", within=row(desk, "Boss"))).to_be_visible()
    (made,) = [key for key in (await company.client.get(KEYS)).json()["keys"] if key["name"] == "Boss"]
    assert len(made["scopes"]) == 6
    left = datetime.fromisoformat(made["expiresAt"]) - datetime.fromisoformat(made["createdAt"])
    assert timedelta(days=39) < left < timedelta(days=42)


async def test_a_key_is_replaced(desk: Desk, company: Company) -> None:
    """With an overlap both work; with none only the new one does. The old one is then behind the switch."""
    old = await make_key(company, "ERP", "sessions")

    async def opens(key: str) -> bool:
        headers = {"Authorization": f"Bearer {key}"}
        return (await company.client.get("/api/v1/whatsapp/sessions", headers=headers)).status_code == 200

    await desk.sign_in(company.key)
    await desk.go("keys")
    await desk.button("keys.rotate", within=row(desk, "ERP")).click()
    await desk.check()
    await desk.button("keys.rotate.button").click()
    second = await read_key(desk)
    await expect(desk.dialog().get_by_text(desk.words("keys.rotate.both"))).to_be_visible()
    await close_key(desk)
    assert await opens(old["key"])
    assert await opens(second)
    await expect(badge(desk, "keys.state.ends", within=row(desk, "ERP"))).to_be_visible()
    await expect(row(desk, "ERP")).to_have_count(2)

    await desk.button("keys.rotate", within=row(desk, "ERP").first).click()
    await desk.dialog().get_by_role("radio", name=desk.words("keys.rotate.now")).check()
    await desk.button("keys.rotate.button").click()
    third = await read_key(desk)
    await expect(desk.dialog().get_by_text(desk.words("keys.rotate.only"))).to_be_visible()
    await close_key(desk)
    assert await opens(third)
    assert not await opens(second)
    await expect(row(desk, "ERP")).to_have_count(2)
    await desk.page.get_by_role("checkbox", name=desk.words("keys.showEnded.one", count=1)).check()
    await expect(row(desk, "ERP")).to_have_count(3)
    await expect(badge(desk, "keys.state.ended", within=desk.page.locator("table"))).to_be_visible()
    await desk.check()


async def test_a_revoked_key_ends_the_visit_by_itself(
    desk: Desk, open_desk: OpenDesk, company: Company
) -> None:
    """The question says what stops working; whoever sits in front of the other browser need not press anything."""
    made = await make_key(company, "Balcão", "messages:read")
    other = await open_desk(language=desk.language)
    await other.sign_in(made["key"])
    await expect(other.page.locator(".live.on")).to_be_visible()
    await desk.sign_in(company.key)
    await desk.go("keys")
    await desk.button("keys.revoke", within=row(desk, "Balcão")).click()
    what = desk.words("keys.revoke.text", list=desk.words("keys.scope.messages:read"))
    await expect(desk.dialog().get_by_text(what)).to_be_visible()
    await expect(desk.dialog().get_by_text(desk.words("keys.revoke.own"))).to_have_count(0)
    await desk.check()
    await desk.button("keys.revoke", within=desk.dialog()).click()
    await expect(row(desk, "Balcão")).to_have_count(0)
    await expect(other.page.get_by_text(other.words("shell.signIn.expired"))).to_be_visible(
        timeout=SIGNED_OUT_MS
    )
    await desk.page.get_by_role("checkbox").check()
    await expect(badge(desk, "keys.state.revoked", within=row(desk, "Balcão"))).to_be_visible()
    await expect(row(desk, "Balcão").get_by_role("button")).to_have_count(0)


async def test_the_key_that_one_is_signed_in_with(desk: Desk, company: Company) -> None:
    """Replaced at once, one is signed out, but the new text is still there; revoked, one is told before, and is out."""
    await desk.sign_in((await make_key(company, "Ana", "admin"))["key"])
    await desk.go("keys")
    await desk.button("keys.rotate", within=row(desk, "Ana")).click()
    await expect(desk.dialog().get_by_text(desk.words("keys.rotate.own"))).to_be_visible()
    await desk.dialog().get_by_role("radio", name=desk.words("keys.rotate.now")).check()
    await desk.button("keys.rotate.button").click()
    text = await read_key(desk)
    signed_out = desk.page.get_by_text(desk.words("shell.signIn.expired"))
    await expect(signed_out).to_be_attached(timeout=SIGNED_OUT_MS)
    assert await read_key(desk) == text
    await close_key(desk)
    await desk.sign_in(text)
    await desk.go("keys")
    await desk.button("keys.revoke", within=row(desk, "Ana")).click()
    await expect(desk.dialog().get_by_text(desk.words("keys.revoke.own"))).to_be_visible()
    await desk.button("keys.revoke", within=desk.dialog()).click()
    await expect(signed_out).to_be_visible()


async def test_another_companys_keys_are_not_there(
    open_desk: OpenDesk, company: Company, relay: Relay
) -> None:
    """Neither in the list, nor by an address, nor the operator's."""
    made = await make_key(company, "Segredo", "admin")
    async with await make_tenant(relay, "Other") as other:
        desk = await open_desk(language="en")
        await desk.sign_in(other.headers["Authorization"].removeprefix("Bearer "))
        for parts in ((), ("operator",), (made["id"],)):
            await desk.go("keys", *parts)
            await expect(desk.page.get_by_text(desk.words("keys.own"))).to_be_visible()
            await expect(desk.page.locator("tbody tr")).to_have_count(1)
            await expect(desk.page.get_by_text("Segredo")).to_have_count(0)


async def test_the_operators_own_keys(desk: Desk, relay: Relay, company: Company) -> None:
    """The chosen company's keys, and beside them those that open the whole server; nobody's else."""
    await make_key(company, f"Forno {desk.language}", "sessions")
    await desk.sign_in(OPERATOR_KEY)
    await desk.go("keys")
    companies = desk.field("shell.company")
    await companies.select_option(index=0)
    await expect(row(desk, f"Forno {desk.language}")).to_be_visible()
    await desk.check()
    await desk.page.get_by_role("link", name=desk.words("keys.kinds.operator")).click()
    await expect(desk.page.get_by_text(desk.words("keys.operator.text"))).to_be_visible()
    await expect(desk.page.get_by_text(desk.words("keys.operator.empty"))).to_be_visible()
    await expect(row(desk, "Forno")).to_have_count(0)
    await desk.check()


@pytest.mark.parametrize("presses", [1, 2])
async def test_a_key_that_is_being_made_is_shown(open_desk: OpenDesk, company: Company, presses: int) -> None:
    """Escape while the server is at work loses nothing; a second one, which browsers let through, does not either."""
    desk = await open_desk()
    asked, answered = asyncio.Event(), asyncio.Event()

    async def slowly(route: Route) -> None:
        asked.set()
        await answered.wait()
        await route.continue_()

    await desk.page.route(
        f"**{KEYS}", lambda route: slowly(route) if route.request.method == "POST" else route.continue_()
    )
    await desk.sign_in(company.key)
    await desk.go("keys")
    await desk.button("keys.create").click()
    await desk.field("keys.name").fill("CRM")
    await desk.button("keys.ready.crm").click()
    await desk.button("keys.create.button").click()
    await asked.wait()
    await expect(desk.button("common.cancel")).to_have_attribute("aria-disabled", "true")
    for _ in range(presses):
        await desk.page.keyboard.press("Escape")
    await expect(desk.dialog()).to_have_count(2 - presses)
    answered.set()
    text = await read_key(desk)
    assert text.startswith("relay_")
    await desk.button("keys.shown.copy").click()
    # What is said while a dialog is open is in front of it, and can be put away.
    toast = desk.dialog().locator(".toast")
    await toast.get_by_role("button").click()
    await expect(toast).to_have_count(0)
    await close_key(desk)
    await expect(desk.page.locator("#toasts")).to_be_attached()
    await expect(row(desk, "CRM")).to_be_visible()


async def test_on_a_phones_screen(open_desk: OpenDesk, company: Company) -> None:
    """360 px wide nothing sticks out: the list, the form, the key."""
    await make_key(
        company, "A system with a name that is rather long, as names are", "sessions", "rules", "webhooks"
    )
    desk = await open_desk(width=360, height=640)
    await desk.sign_in(company.key)
    await desk.go("keys")
    await expect(row(desk, "rather long")).to_be_visible()
    await desk.check()
    await desk.button("keys.create").click()
    await desk.check()
    await desk.field("keys.name").fill("CRM")
    await desk.button("keys.ready.panel").click()
    await desk.button("keys.create.button").click()
    await read_key(desk)
    await desk.check()
    assert json.loads(await desk.page.evaluate("JSON.stringify(Object.keys(sessionStorage))")) == []
