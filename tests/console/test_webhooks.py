"""Webhooks in the console: registered, followed, mended and sent again as a person does it."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Locator, expect

from tests.console.browser import Desk
from tests.console.conftest import Company, OpenDesk
from tests.console.shop import Shop, receiving
from tests.flow.serving import Relay, free_port, link, until

pytestmark = pytest.mark.asyncio(loop_scope="module")

ENDPOINTS = "/api/v1/webhooks/endpoints"
DELIVERIES = "/api/v1/webhooks/deliveries"
DOCS = Path(__file__).parents[2] / "docs/webhooks.md"


@pytest.fixture(scope="module")
def settings() -> Mapping[str, Any]:
    """What fails once waits for a person, so that a test sees it as long as it looks."""
    return {"webhooks__schedule_seconds": [0, 600]}


async def register(company: Company, url: str, **fields: Any) -> str:
    """An endpoint of the company's; its id."""
    made = await company.client.post(ENDPOINTS, json={"url": url, "description": "Loja", **fields})
    assert made.status_code == 201, made.text
    return str(made.json()["id"])


async def send_test(company: Company, endpoint: str) -> str:
    """A test event, and the end of its first attempt; the delivery's id."""
    sent = (await company.client.post(f"{ENDPOINTS}/{endpoint}/test")).json()["deliveryId"]

    async def tried() -> bool:
        return bool((await company.client.get(f"{DELIVERIES}/{sent}")).json()["attempts"])

    await until(tried, seconds=10, what="an attempt")
    return str(sent)


async def the_endpoint(company: Company) -> dict[str, Any]:
    (endpoint,) = (await company.client.get(ENDPOINTS)).json()["endpoints"]
    return dict(endpoint)


def row(desk: Desk, name: str) -> Locator:
    return desk.page.get_by_role("row").filter(has_text=name)


def badge(desk: Desk, key: str, *, within: Locator) -> Locator:
    return within.locator(".badge").get_by_text(desk.words(key), exact=True)


async def test_an_endpoint_is_made_and_its_secret_is_shown_once(
    desk: Desk, company: Company, shop: Shop
) -> None:
    """From nothing: what is asked for is what it gets; the secret is there to copy, and nowhere after that."""
    session = await link(company.client, name="Balcão")
    await desk.sign_in(company.key)
    await desk.go("webhooks")
    await expect(desk.page.get_by_text(desk.words("webhooks.empty.title"))).to_be_visible()
    await desk.check()
    await desk.button("webhooks.create").first.click()
    dialog = desk.dialog()
    await desk.field("webhooks.url", within=dialog).fill(f"{shop.url}/in")
    await desk.field("webhooks.description", within=dialog).fill("CRM")
    await desk.field("webhooks.events.all", within=dialog).uncheck()
    await desk.button("webhooks.create.button").click()
    await expect(dialog.get_by_text(desk.words("webhooks.errors.none_chosen"))).to_be_visible()
    for kind in ("received", "status", "media", "edited", "revoked", "reaction"):
        await dialog.get_by_role("checkbox", name=f"message.{kind}").check()
    await dialog.get_by_role("checkbox", name="session.status").check()
    await desk.field("webhooks.sessions.all", within=dialog).uncheck()
    await desk.field("webhooks.description", within=dialog).focus()
    await dialog.get_by_role("checkbox", name="Balcão").check()
    await dialog.get_by_role("radio", name=desk.words("webhooks.order.chat")).check()
    await dialog.get_by_text(desk.words("webhooks.headers"), exact=True).click()
    await desk.field("webhooks.headers.label", within=dialog).fill("no colon")
    await desk.check()
    await desk.button("webhooks.create.button").click()
    await expect(dialog.get_by_text(desk.words("webhooks.errors.header_line"))).to_be_visible()
    await desk.field("webhooks.headers.label", within=dialog).fill("X-Shop: 7")
    await desk.button("webhooks.create.button").click()
    secret = await dialog.get_by_text(re.compile(r"^whsec_")).inner_text()
    await desk.check()
    await desk.button("webhooks.secret.done").click()
    await expect(dialog).to_have_count(0)
    await expect(badge(desk, "webhooks.health.enabled", within=row(desk, "CRM"))).to_be_visible()
    endpoint = await the_endpoint(company)
    assert endpoint["events"] == ["message.*", "session.status"]
    assert (endpoint["sessions"], endpoint["order"]) == ([session], "chat")
    await send_test(company, endpoint["id"])
    assert shop.seen[-1]["x-shop"] == "7"
    await desk.go("webhooks", endpoint["id"])
    assert secret not in await desk.page.content()


async def test_an_address_that_is_none_is_refused_beside_its_field(desk: Desk, company: Company) -> None:
    """In words of the page's language; nothing that was typed is lost."""
    await desk.sign_in(company.key)
    await desk.go("webhooks")
    await desk.button("webhooks.create").first.click()
    await desk.field("webhooks.url").fill("ftp://crm.example/in")
    await desk.field("webhooks.description").fill("CRM")
    await desk.button("webhooks.create.button").click()
    await expect(desk.dialog().get_by_text(desk.words("webhooks.errors.url_refused"))).to_be_visible()
    await expect(desk.field("webhooks.url")).to_have_attribute("aria-invalid", "true")
    await expect(desk.field("webhooks.description")).to_have_value("CRM")


async def test_a_failing_delivery_is_shown_mended_and_sent_again(
    desk: Desk, company: Company, shop: Shop
) -> None:
    """The list says that it fails, the delivery why; with the address corrected, one press delivers it."""
    endpoint = await register(company, f"{shop.url}/moved")
    await send_test(company, endpoint)
    await desk.sign_in(company.key)
    await desk.go("webhooks")
    loja = row(desk, "Loja")
    await expect(badge(desk, "webhooks.health.failing", within=loja)).to_be_visible()
    await expect(
        loja.get_by_text(desk.words("webhooks.lastAttempts.good", good=0, all=1), exact=True)
    ).to_be_visible()
    await desk.check()
    await loja.get_by_role("link", name="Loja", exact=True).click()
    await expect(desk.page.get_by_text(desk.words("webhooks.failing.text"))).to_be_visible()
    await desk.button("webhooks.delivery.open").click()
    dialog = desk.dialog()
    attempt = dialog.get_by_role("listitem")
    await expect(attempt).to_contain_text(f"503 · {desk.words('webhooks.outcome.rejected')}")
    await expect(attempt).to_contain_text("The shop is being moved")
    await expect(attempt).to_contain_text(re.compile(r"\d ms"))
    await dialog.get_by_text(desk.words("webhooks.delivery.content")).click()
    await expect(dialog.locator("pre")).to_contain_text('"type": "webhook.test"')
    await desk.check()
    await desk.button("common.close", within=dialog).last.click()
    await desk.check()
    await desk.button("webhooks.edit").click()
    await desk.field("webhooks.url").fill(f"{shop.url}/in")
    await desk.button("common.save").click()
    await expect(desk.page.get_by_text(f"{shop.url}/in")).to_be_visible()
    await desk.button("webhooks.delivery.open").click()
    await desk.button("webhooks.redeliver", within=dialog).click()
    await expect(badge(desk, "webhooks.status.succeeded", within=dialog)).to_be_visible()
    await expect(dialog.get_by_role("listitem")).to_have_count(2)
    await desk.button("common.close", within=dialog).last.click()
    await expect(desk.page.get_by_text(desk.words("webhooks.failing.text"))).to_have_count(0)
    assert [seen[":path"] for seen in shop.seen] == ["/moved", "/in"]
    assert shop.seen[0]["webhook-id"] == shop.seen[1]["webhook-id"]


async def test_a_test_event_is_followed_to_its_end(desk: Desk, company: Company, shop: Shop) -> None:
    """One press sends it, the dialog shows what became of it, and the list has it after that."""
    await register(company, f"{shop.url}/in")
    await desk.sign_in(company.key)
    await desk.go("webhooks")
    await desk.button("webhooks.test", within=row(desk, "Loja")).click()
    dialog = desk.dialog()
    await expect(
        dialog.get_by_role("heading", name=desk.words("webhooks.test.title", name="Loja"))
    ).to_be_visible()
    await expect(badge(desk, "webhooks.status.succeeded", within=dialog)).to_be_visible()
    await expect(dialog.get_by_role("listitem")).to_contain_text("204")
    await desk.page.keyboard.press("Escape")
    await expect(
        row(desk, "Loja").get_by_text(desk.words("webhooks.lastAttempts.good", good=1, all=1), exact=True)
    ).to_be_visible()


async def test_a_new_secret_signs_beside_the_old_one(desk: Desk, company: Company, shop: Shop) -> None:
    """Rotated with a day's overlap each webhook has two signatures; at once, only one."""
    endpoint = await register(company, f"{shop.url}/in")
    await desk.sign_in(company.key)
    await desk.go("webhooks", endpoint)
    secrets = []
    for how, told in (("day", "both"), ("now", "only")):
        await desk.button("webhooks.rotate").click()
        choice = desk.dialog().get_by_role(
            "radio", name=re.compile(f"^{desk.words(f'webhooks.rotate.{how}')}")
        )
        await choice.check()
        await desk.check()
        await desk.button("webhooks.rotate.button").click()
        await expect(desk.dialog().get_by_text(desk.words(f"webhooks.rotate.{told}"))).to_be_visible()
        secrets.append(await desk.dialog().get_by_text(re.compile(r"^whsec_")).inner_text())
        await desk.button("webhooks.secret.done").click()

        async def signed(count: int = 2 if how == "day" else 1) -> bool:
            await send_test(company, endpoint)
            return len(shop.seen[-1]["webhook-signature"].split()) == count

        await until(signed, seconds=10, what=f"webhooks signed for «{how}»")
    assert secrets[0] != secrets[1]


async def test_a_range_is_sent_again_with_its_progress(desk: Desk, company: Company, shop: Shop) -> None:
    """What was delivered before is delivered once more; the bar ends full and says how many."""
    endpoint = await register(company, f"{shop.url}/in", events=["webhook.*"])
    for _ in range(3):
        await send_test(company, endpoint)
    await desk.sign_in(company.key)
    await desk.go("webhooks", endpoint)
    await desk.button("webhooks.replay").click()
    await desk.check()
    await desk.field("webhooks.replay.until").fill("2020-01-01T00:00")
    await desk.button("webhooks.replay.button", within=desk.dialog()).click()
    await expect(desk.page.get_by_text(desk.words("webhooks.errors.range_backwards"))).to_be_visible()
    await desk.field("webhooks.replay.until").fill("")
    await desk.button("webhooks.replay.button", within=desk.dialog()).click()
    await expect(desk.page.get_by_text(desk.words("webhooks.replay.done.other", count=3))).to_be_visible()
    bar = desk.page.get_by_role("progressbar")
    await expect(bar).to_have_attribute("aria-valuenow", "3")
    await desk.check()
    ids = [seen["webhook-id"] for seen in shop.seen]
    assert sorted(ids[:3]) == sorted(ids[3:])


async def test_a_replay_says_what_does_not_arrive(desk: Desk, company: Company, shop: Shop) -> None:
    """Where the endpoint refuses, the bar stays and says that it is tried again."""
    endpoint = await register(company, f"{shop.url}/in", events=["webhook.*"])
    await send_test(company, endpoint)
    await company.client.patch(f"{ENDPOINTS}/{endpoint}", json={"url": f"{shop.url}/moved"})

    async def moved() -> bool:
        delivery = await send_test(company, endpoint)
        await company.client.post(f"{DELIVERIES}/{delivery}/cancel")
        return shop.seen[-1][":path"] == "/moved"

    await until(moved, seconds=10, what="the new address is used")
    count = len(shop.seen)
    await desk.sign_in(company.key)
    await desk.go("webhooks", endpoint)
    await desk.button("webhooks.replay").click()
    await desk.button("webhooks.replay.button", within=desk.dialog()).click()
    number = "one" if count == 1 else "other"
    await expect(
        desk.page.get_by_text(desk.words(f"webhooks.replay.failing.{number}", count=count))
    ).to_be_visible()
    await expect(
        desk.page.get_by_text(desk.words("webhooks.replay.progress", done=0, all=count))
    ).to_be_visible()


async def test_a_replay_counts_its_own_deliveries_only(
    open_desk: OpenDesk, company: Company, shop: Shop
) -> None:
    """One that waited for its next attempt before still does: the bar is full all the same."""
    endpoint = await register(company, f"{shop.url}/in", events=["webhook.*"])
    shop.closed = True
    await send_test(company, endpoint)
    shop.closed = False
    for _ in range(2):
        await send_test(company, endpoint)
    desk = await open_desk()
    await desk.sign_in(company.key)
    await desk.go("webhooks", endpoint)
    await desk.button("webhooks.replay").click()
    await desk.button("webhooks.replay.button", within=desk.dialog()).click()
    await expect(desk.page.get_by_text(desk.words("webhooks.replay.done.other", count=2))).to_be_visible()
    owed = (await company.client.get(DELIVERIES, params={"status": "pending"})).json()["deliveries"]
    assert len(owed) == 1


async def test_deliveries_are_filtered_and_stopped(desk: Desk, company: Company, shop: Shop) -> None:
    """By state and by type; one that waits is stopped, and says so."""
    endpoint = await register(company, f"{shop.url}/moved", events=["webhook.*"])
    await send_test(company, endpoint)
    await desk.sign_in(company.key)
    await desk.go("webhooks", endpoint)
    details = desk.button("webhooks.delivery.open")
    await expect(details).to_have_count(1)
    await desk.field("webhooks.filter.type").select_option("message.received")
    await expect(desk.page.get_by_text(desk.words("webhooks.deliveries.noneFit"), exact=True)).to_be_visible()
    await desk.field("webhooks.filter.type").select_option("webhook.test")
    await expect(details).to_have_count(1)
    await details.click()
    await desk.button("webhooks.stop", within=desk.dialog()).click()
    await expect(badge(desk, "webhooks.status.cancelled", within=desk.dialog())).to_be_visible()
    await desk.page.keyboard.press("Escape")
    await desk.field("webhooks.filter.status").select_option("pending")
    await expect(desk.page.get_by_text(desk.words("webhooks.deliveries.noneFit"), exact=True)).to_be_visible()
    await desk.field("webhooks.filter.status").select_option("cancelled")
    await expect(details).to_have_count(1)


async def test_what_happens_meanwhile_is_seen(desk: Desk, company: Company, shop: Shop) -> None:
    """A delivery that is made while one looks appears by itself."""
    endpoint = await register(company, f"{shop.url}/in", events=["session.status"])
    session = await link(company.client, name="Balcão")
    await desk.sign_in(company.key)
    await desk.go("webhooks", endpoint)
    await expect(desk.page.locator(".live.on")).to_be_visible()
    before = await desk.button("webhooks.delivery.open").count()
    await company.client.post(f"/api/v1/whatsapp/sessions/{session}/disconnect")
    await expect(desk.button("webhooks.delivery.open").nth(before)).to_be_visible()


async def test_switched_off_on_and_deleted(desk: Desk, company: Company, shop: Shop) -> None:
    """Off it says what that means and cannot be tested; on again it works; deleting asks first."""
    endpoint = await register(company, f"{shop.url}/in")
    await desk.sign_in(company.key)
    await desk.go("webhooks", endpoint)
    await desk.button("webhooks.disable").click()
    await expect(desk.dialog().get_by_text(desk.words("webhooks.disable.text"))).to_be_visible()
    await desk.button("webhooks.disable", within=desk.dialog()).click()
    await expect(desk.page.get_by_text(desk.words("webhooks.disabled.requested"))).to_be_visible()
    await expect(desk.button("webhooks.test")).to_be_disabled()
    await desk.check()
    assert (await the_endpoint(company))["status"] == "disabled"
    await desk.button("webhooks.enable").click()
    await expect(desk.button("webhooks.test")).to_be_enabled()
    await expect(desk.page.get_by_text(desk.words("webhooks.disabled.requested"))).to_have_count(0)
    await desk.button("webhooks.delete").click()
    await desk.button("webhooks.delete", within=desk.dialog()).click()
    await expect(desk.page.get_by_text(desk.words("webhooks.empty.title"))).to_be_visible()
    assert (await company.client.get(ENDPOINTS)).json()["endpoints"] == []


async def test_an_endpoint_that_is_gone_says_so(desk: Desk, company: Company, shop: Shop) -> None:
    """Relay switches it off while one looks: the page says why and what to do, without being asked."""
    endpoint = await register(company, f"{shop.url}/gone")
    await desk.sign_in(company.key)
    await desk.go("webhooks", endpoint)
    await expect(desk.page.get_by_text(desk.words("webhooks.deliveries.none"))).to_be_visible()
    await send_test(company, endpoint)
    await expect(desk.page.get_by_text(desk.words("webhooks.disabled.gone"))).to_be_visible()
    await desk.check()
    await desk.go("webhooks")
    await expect(row(desk, "Loja").get_by_text(desk.words("webhooks.reason.gone"))).to_be_visible()


async def test_what_is_changed_is_kept(open_desk: OpenDesk, company: Company, shop: Shop) -> None:
    """A group stays a group beside a new type; headers stay until they are removed."""
    endpoint = await register(
        company, f"{shop.url}/in", events=["automation.*", "call.received"], headers={"X-Shop": "7"}
    )
    desk = await open_desk(language="en")
    await desk.sign_in(company.key)
    await desk.go("webhooks", endpoint)
    await desk.button("webhooks.edit").click()
    dialog = desk.dialog()
    await expect(dialog.get_by_role("checkbox", name="automation.paused")).to_be_checked()
    await expect(dialog.get_by_role("checkbox", name="message.received")).not_to_be_checked()
    await dialog.get_by_role("checkbox", name="message.received").check()
    await dialog.get_by_role("checkbox", name="call.received").uncheck()
    await desk.check()
    await desk.button("common.save").click()
    await expect(dialog).to_have_count(0)
    assert (await the_endpoint(company))["events"] == ["message.received", "automation.*"]
    await send_test(company, endpoint)
    assert shop.seen[-1]["x-shop"] == "7"
    await desk.button("webhooks.edit").click()
    await desk.field("webhooks.events.all").check()
    await dialog.get_by_text(desk.words("webhooks.headers"), exact=True).click()
    await desk.field("webhooks.headers.remove").check()
    await desk.button("common.save").click()
    await expect(dialog).to_have_count(0)
    assert (await the_endpoint(company))["events"] == []

    async def without() -> bool:
        await send_test(company, endpoint)
        return "x-shop" not in shop.seen[-1]

    await until(without, seconds=10, what="the headers are gone")


async def test_many_deliveries_come_page_by_page(open_desk: OpenDesk, company: Company, shop: Shop) -> None:
    """Fifty at first, the others by a button; what is new while one looks comes on top, and nothing twice."""
    endpoint = await register(company, f"{shop.url}/in", events=["webhook.*"])
    for _ in range(53):
        await company.client.post(f"{ENDPOINTS}/{endpoint}/test")
    desk = await open_desk(language="pt-BR")
    await desk.sign_in(company.key)
    await desk.go("webhooks", endpoint)
    details = desk.button("webhooks.delivery.open")
    await expect(details).to_have_count(50)
    await desk.button("common.more").click()
    await expect(details).to_have_count(53)
    await expect(desk.button("common.more")).to_be_hidden()
    await company.client.post(f"{ENDPOINTS}/{endpoint}/test")
    await expect(details).to_have_count(54)


async def test_another_companys_endpoint_is_not_there(
    open_desk: OpenDesk, company: Company, relay: Relay, shop: Shop
) -> None:
    """Neither in the list nor behind its address."""
    endpoint = await register(company, f"{shop.url}/in", description="Segredo")
    async with relay.client() as operator:
        other = (await operator.post("/api/v1/admin/tenants", json={"name": "Other"})).json()["companyId"]
        body = {"companyId": other, "name": "k", "scopes": ["webhooks"]}
        key = (await operator.post("/api/v1/admin/keys", json=body)).json()["key"]
    desk = await open_desk(language="en")
    await desk.sign_in(key)
    await desk.go("webhooks")
    await expect(desk.page.get_by_text(desk.words("webhooks.empty.title"))).to_be_visible()
    await desk.page.goto(f"{relay.url}/#/webhooks/{endpoint}")
    await expect(desk.page.get_by_text(desk.words("common.errors.not_found"))).to_be_visible()
    await expect(desk.page.get_by_text("Segredo")).to_have_count(0)


async def test_an_address_of_no_endpoint_leads_back(desk: Desk, company: Company) -> None:
    """It is said that it is not there, and the way back is the list."""
    await desk.sign_in(company.key)
    await desk.go("webhooks", "ep_nope")
    await expect(desk.page.get_by_text(desk.words("common.errors.not_found"))).to_be_visible()
    await expect(desk.button("common.retry")).to_have_count(0)
    await desk.check()
    await desk.page.get_by_role("link", name=desk.words("webhooks.back")).click()
    await expect(desk.page.get_by_text(desk.words("webhooks.empty.title"))).to_be_visible()


async def test_on_a_phones_screen(open_desk: OpenDesk, company: Company, shop: Shop) -> None:
    """360 px wide nothing sticks out: list, endpoint, delivery, form and the signature's page."""
    endpoint = await register(company, f"{shop.url}/moved/{'a-long-way/' * 8}", description="")
    await send_test(company, endpoint)
    desk = await open_desk(width=360, height=640)
    await desk.sign_in(company.key)
    await desk.go("webhooks")
    await expect(desk.page.locator(".attempt-strip")).to_be_visible()
    await desk.check()
    await desk.go("webhooks", endpoint)
    await desk.button("webhooks.delivery.open").click()
    await expect(desk.dialog().get_by_role("listitem")).to_be_visible()
    await desk.check()
    await desk.page.keyboard.press("Escape")
    await desk.check()
    await desk.button("webhooks.edit").click()
    await desk.field("webhooks.events.all").uncheck()
    await desk.check()
    await desk.page.keyboard.press("Escape")
    await desk.go("webhooks", "signature")
    await desk.check()


async def test_the_copied_example_takes_a_really_signed_webhook(
    open_desk: OpenDesk, company: Company, tmp_path: Path
) -> None:
    """With the endpoint's secret it answers 204 to Relay's own request; with another secret 401."""
    port = free_port()
    made = await company.client.post(
        ENDPOINTS, json={"url": f"http://127.0.0.1:{port}/", "description": "Loja"}
    )
    desk = await open_desk(language="pt-BR")
    await desk.sign_in(company.key)
    await desk.go("webhooks", "signature")
    await desk.check()
    shown = {
        name: await desk.page.locator(f'[data-example="{name}"] pre').text_content()
        for name in ("Python", "JavaScript", "PHP")
    }
    told = {
        name: re.search(rf"```{kind}\n(.*?)```", DOCS.read_text(), re.DOTALL) for name, kind in _KINDS.items()
    }
    assert shown == {name: found[1] for name, found in told.items() if found}
    for secret, status in ((made.json()["secret"], 204), ("whsec_" + "QUJD" * 10, 401)):
        async with receiving(tmp_path, str(shown["Python"]), port=port, secret=secret):
            delivery = await send_test(company, made.json()["id"])
            (attempt,) = (await company.client.get(f"{DELIVERIES}/{delivery}")).json()["attempts"]
            assert attempt["statusCode"] == status
    await desk.page.get_by_role("radio", name="PHP").check()
    await expect(desk.page.locator('[data-example="PHP"] pre')).to_be_visible()
    await expect(desk.page.locator('[data-example="Python"] pre')).to_be_hidden()


_KINDS = {"Python": "python", "JavaScript": "js", "PHP": "php"}
