"""Companies in the console: what an operator does with them, from the first one to hundreds; nobody else sees them."""

import re
from typing import Any

import pytest
from playwright.async_api import Locator, expect

from tests.api_client import OPERATOR_KEY
from tests.console.browser import Desk
from tests.console.conftest import Company, OpenDesk
from tests.flow.serving import Relay, link

pytestmark = pytest.mark.asyncio(loop_scope="module")

TENANTS = "/api/v1/admin/tenants"


async def make_company(relay: Relay, name: str, **fields: Any) -> str:
    async with relay.client() as operator:
        made = await operator.post(TENANTS, json={"name": name, **fields})
    assert made.status_code == 201, made.text
    return str(made.json()["companyId"])


async def companies_named(relay: Relay, name: str) -> list[dict[str, Any]]:
    async with relay.client() as operator:
        listed = (await operator.get(TENANTS, params={"limit": 200})).json()["tenants"]
    return [company for company in listed if company["name"] == name]


def row(desk: Desk, name: str) -> Locator:
    return desk.page.get_by_role("row").filter(has_text=name)


def chosen(desk: Desk) -> Locator:
    return desk.field("shell.company").locator("option:checked")


async def test_a_company_and_its_first_key(desk: Desk, open_desk: OpenDesk, relay: Relay) -> None:
    """Made, it is offered a key; with that key one signs in to it, and is no operator."""
    name = f"Floricultura {desk.language}"
    await desk.sign_in(OPERATOR_KEY)
    await desk.go("companies")
    await desk.button("companies.create").click()
    await desk.field("companies.name", within=desk.dialog()).fill(name)
    await desk.dialog().get_by_text(desk.words("companies.retention"), exact=True).click()
    await desk.field("companies.days.mediaDays", within=desk.dialog()).fill("30")
    await desk.check()
    await desk.button("companies.create.button").click()
    await desk.check()
    await desk.button("companies.firstKey.button").click()
    heading = desk.dialog().get_by_role("heading", name=desk.words("keys.create.for", name=name))
    await expect(heading).to_be_visible()
    await expect(desk.dialog().locator('[data-scope="admin"]')).to_be_checked()
    await desk.check()
    await desk.button("keys.create.button").click()
    key = await desk.dialog().get_by_text(re.compile(r"^relay_\w{49}$")).inner_text()
    await desk.button("keys.shown.done").click()
    await expect(row(desk, name)).to_contain_text(desk.words("companies.kept.mediaDays.other", count=30))
    await expect(desk.field("shell.company").get_by_role("option", name=name)).to_be_attached()
    await desk.check()
    (made,) = await companies_named(relay, name)
    assert made["retention"] == {"messageDays": None, "eventDays": None, "mediaDays": 30}

    other = await open_desk(language=desk.language)
    await other.sign_in(key)
    await expect(other.page.locator(".top .company")).to_have_text(name)
    for page, count in (("keys", 1), ("companies", 0)):
        link_to = other.page.get_by_role("link", name=other.words(f"{page}.nav"), exact=True)
        await expect(link_to).to_have_count(count)
    await other.page.goto(f"{relay.url}/#/companies")
    await expect(other.page).to_have_title(re.compile(f"^{other.words('start.title')}"))


async def test_found_changed_and_opened(desk: Desk, relay: Relay, company: Company) -> None:
    """Found without its accents; its new name is in the top bar too; opened, it is the one that is looked at."""
    name = f"Clínica São João {desk.language}"
    company_id = await make_company(relay, name, retention={"messageDays": 90, "eventDays": 7})
    await make_company(relay, "Zebra")
    await desk.sign_in(OPERATOR_KEY)
    await desk.go("companies")
    await desk.field("companies.search").fill(f"sao joao {desk.language}")
    await expect(row(desk, name)).to_be_visible()
    await expect(row(desk, "Zebra")).to_have_count(0)
    await desk.button("companies.changeOf", within=row(desk, name), name=name).click()
    days = desk.field("companies.days.messageDays", within=desk.dialog())
    await expect(days).to_have_value("90")
    await days.fill("")
    await desk.field("companies.name", within=desk.dialog()).fill(f"{name} 2")
    await desk.check()
    await desk.button("common.save").click()
    await expect(row(desk, f"{name} 2")).to_contain_text(
        desk.words("companies.kept.eventDays.other", count=7)
    )
    (changed,) = await companies_named(relay, f"{name} 2")
    assert changed["retention"] == {"messageDays": None, "eventDays": 7, "mediaDays": None}
    await expect(desk.field("shell.company").get_by_role("option", name=f"{name} 2")).to_be_attached()

    await desk.button("companies.keys", within=row(desk, name)).click()
    await expect(desk.page.get_by_text(desk.words("keys.empty.title"))).to_be_visible()
    await expect(chosen(desk)).to_have_text(f"{name} 2")
    await desk.go("companies")
    await expect(row(desk, name).get_by_text(desk.words("companies.chosen"))).to_be_visible()
    await desk.button("companies.open", within=row(desk, company.name).first).click()
    await expect(desk.page).to_have_title(re.compile(f"^{desk.words('start.title')}"))
    await expect(chosen(desk)).to_have_text(company.name)
    assert company_id == changed["companyId"]


async def test_a_company_is_deleted(desk: Desk, relay: Relay, company: Company) -> None:
    """Only when its name was typed; then its key opens nothing, and another company is looked at."""
    name = f"Padaria Lua {desk.language}"
    company_id = (await company.client.get("/api/v1/admin/keys")).json()["keys"][0]["companyId"]
    async with relay.client() as operator:
        await operator.patch(f"{TENANTS}/{company_id}", json={"name": name})
    await link(company.client, name="Balcão")
    await desk.sign_in(OPERATOR_KEY)
    await desk.go("companies")
    await desk.field("shell.company").select_option(company_id)
    await expect(row(desk, name).get_by_role("cell").nth(1)).to_contain_text("1")
    remove = desk.button("companies.deleteOf", within=row(desk, name), name=name)
    await remove.click()
    typed = desk.dialog().get_by_role("textbox")
    await expect(typed).to_be_focused()
    await typed.fill("Padaria")
    await desk.button("companies.delete", within=desk.dialog()).last.click()
    await expect(desk.dialog().get_by_text(desk.words("companies.errors.name_differs"))).to_be_visible()
    await desk.check()
    assert await companies_named(relay, name)
    await typed.fill(name)
    await desk.button("companies.delete", within=desk.dialog()).last.click()
    await expect(desk.dialog()).to_have_count(0)
    await expect(row(desk, name)).to_have_count(0)
    await expect(desk.field("shell.company").get_by_role("option", name=name)).to_have_count(0)
    await expect(chosen(desk)).not_to_have_text(name)
    assert (await company.client.get("/api/v1/whatsapp/sessions")).status_code == 401


async def test_hundreds_of_companies(open_desk: OpenDesk, relay: Relay) -> None:
    """All are found by the search, fifty are shown at first; at 360 px nothing sticks out."""
    async with relay.client() as operator:
        for number in range(230):
            await operator.post(TENANTS, json={"name": f"Cliente {number:03}"})
    desk = await open_desk(language="en", width=360, height=640)
    await desk.sign_in(OPERATOR_KEY)
    await desk.go("companies")
    await expect(desk.page.locator("tbody tr")).to_have_count(50)
    await desk.field("companies.search").fill("cliente 000")
    await expect(desk.page.locator("tbody tr")).to_have_count(1)
    await desk.check()
    await desk.button("companies.deleteOf", name="Cliente 000").click()
    await desk.check()
    await desk.page.keyboard.press("Escape")
    await desk.button("companies.changeOf", name="Cliente 000").click()
    await desk.check()


async def test_the_very_first_company(desk: Desk, relay: Relay) -> None:
    """A server without any says so on each page and leads to where one is made; made, it is the one that is looked at."""
    async with relay.client() as operator:
        while found := (await operator.get(TENANTS, params={"limit": 200})).json()["tenants"]:
            for company in found:
                await operator.delete(f"{TENANTS}/{company['companyId']}")
    await desk.sign_in(OPERATOR_KEY)
    await expect(desk.page.get_by_role("heading", name=desk.words("start.noCompany.title"))).to_be_visible()
    await desk.check()
    await desk.go("keys")
    await expect(desk.page.get_by_role("heading", name=desk.words("keys.noCompany.title"))).to_be_visible()
    await desk.check()
    await desk.page.get_by_role("link", name=desk.words("shell.noCompany")).click()
    await expect(desk.page.get_by_role("heading", name=desk.words("companies.empty.title"))).to_be_visible()
    await desk.check()
    await desk.button("companies.create").first.click()
    await desk.field("companies.name", within=desk.dialog()).fill("Primeira")
    await desk.button("companies.create.button").click()
    await desk.button("companies.firstKey.later").click()
    await expect(row(desk, "Primeira").get_by_text(desk.words("companies.chosen"))).to_be_visible()
    await expect(chosen(desk)).to_have_text("Primeira")
