"""Health in the console: all well, something wrong and where it is mended, the last hour as charts; a company's and the server's."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pytest
from playwright.async_api import Locator, expect

from relay.store.pool import connect
from tests.api_client import OPERATOR_KEY
from tests.console.browser import Desk
from tests.console.conftest import Company, OpenDesk
from tests.console.shop import Shop
from tests.flow.serving import Relay, link, until

pytestmark = pytest.mark.asyncio(loop_scope="module")

HEALTH = "/api/v1/whatsapp/health"
ENDPOINTS = "/api/v1/webhooks/endpoints"
_COUNTED_SECONDS = 15.0


@pytest.fixture(scope="module")
def settings() -> Mapping[str, Any]:
    """What fails once waits for a person, so that a test sees it as long as it looks."""
    return {"webhooks__schedule_seconds": [0, 600]}


def card(desk: Desk, code: str) -> Locator:
    return desk.page.locator(f'.health-problem[data-code="{code}"]')


def chart(desk: Desk, kind: str) -> Locator:
    return desk.page.get_by_role("figure").filter(has_text=desk.words(f"health.chart.{kind}"))


async def log_out(company: Company, session: str) -> None:
    """The phone removes the device."""
    path = f"/api/v1/whatsapp/sessions/{session}"
    await company.client.post(f"{path}/sandbox/fault", json={"kind": "logout"})

    async def is_out() -> bool:
        return bool((await company.client.get(path)).json()["reason"] == "logged_out")

    await until(is_out, seconds=10, what="the session is logged out")


async def counted(company: Company, kind: str, count: int) -> None:
    """Wait until the server's processes have added what they counted."""

    async def there() -> bool:
        minutes = (await company.client.get(f"{HEALTH}/rates")).json()["minutes"]
        return bool(sum(minute[kind] for minute in minutes) >= count)

    await until(there, seconds=_COUNTED_SECONDS, what=f"{count} {kind}")


async def test_all_is_well(desk: Desk, company: Company) -> None:
    """Warm words, zeros, quiet charts; nothing that only an operator has."""
    await desk.sign_in(company.key)
    await desk.go("health")
    await expect(desk.page.locator(".health-well")).to_contain_text(desk.words("health.well.text"))
    await expect(desk.page.get_by_role("navigation", name=desk.words("health.view"))).to_have_count(0)
    await expect(desk.page.get_by_text(desk.words("health.hosts"))).to_have_count(0)
    await desk.page.get_by_text(desk.words("health.table"), exact=True).click()
    await expect(desk.page.get_by_text(desk.words("health.hour.quiet"))).to_be_visible()
    await desk.check()


async def test_what_is_wrong_is_said_and_mended(desk: Desk, company: Company) -> None:
    """A phone that left appears by itself, the way leads to its session, and it goes away when it is linked again."""
    session = await link(company.client, name="Balcão")
    await desk.sign_in(company.key)
    await desk.go("health")
    await expect(desk.page.locator(".health-well")).to_be_visible()
    await log_out(company, session)
    wrong = card(desk, "session_logged_out")
    await expect(wrong).to_contain_text(desk.words("health.problem.session_logged_out", name="Balcão"))
    await expect(wrong).to_contain_text(desk.words("health.mend.session_logged_out"))
    await desk.check()
    way = wrong.get_by_role("link")
    await expect(way).to_have_attribute("href", f"#/sessions/{session}")
    await way.focus()
    await company.client.patch(f"/api/v1/whatsapp/sessions/{session}", json={"name": "Loja"})
    # Looked at again: other words, and the focus where it was.
    await company.client.post(
        "/api/v1/whatsapp/sessions", json={"name": "Nova", "engine": "sandbox", "connect": True}
    )
    await expect(wrong).to_contain_text("Loja")
    await expect(way).to_be_focused()
    await company.client.post(f"/api/v1/whatsapp/sessions/{session}/connect")

    async def scanned() -> bool:
        answer = await company.client.post(f"/api/v1/whatsapp/sessions/{session}/sandbox/scan")
        return answer.is_success

    await until(scanned, seconds=10, what="a code to be scanned")
    await expect(wrong).to_have_count(0)
    await expect(desk.page.locator(".health-well")).to_be_visible()


async def test_the_last_hour_is_charted(desk: Desk, company: Company, shop: Shop) -> None:
    """Totals, a minute under the keyboard, the same as a table; a webhook that fails with what it is owed."""
    session = await link(company.client, name="Balcão")
    made = await company.client.post(
        ENDPOINTS, json={"url": f"{shop.url}/moved", "description": "CRM", "events": ["message.received"]}
    )
    body = {"from": "+55 11 99999-0001", "text": "oi", "count": 3}
    await company.client.post(f"/api/v1/whatsapp/sessions/{session}/sandbox/inbound", json=body)
    await counted(company, "undelivered", 3)
    await counted(company, "received", 3)
    await desk.sign_in(company.key)
    await desk.go("health")
    failing = card(desk, "endpoint_failing")
    await expect(failing).to_contain_text("CRM")
    await expect(failing.get_by_role("link")).to_have_attribute("href", f"#/webhooks/{made.json()['id']}")
    received = chart(desk, "received")
    await expect(received.locator(".health-total.received strong")).to_have_text("3")
    await expect(chart(desk, "delivered").locator(".health-total.undelivered strong")).to_have_text("3")
    plot = received.get_by_role("slider")
    await plot.focus()
    await desk.page.keyboard.press("Home")
    await expect(plot).to_have_attribute(
        "aria-valuetext", re.compile(rf": 0 {desk.words('health.received')}$")
    )
    for _ in range(60):
        await desk.page.keyboard.press("ArrowRight")
        if "3 " in (await plot.get_attribute("aria-valuetext") or "").partition(": ")[2]:
            break
    await expect(received.locator(".health-said")).to_contain_text(f"3 {desk.words('health.received')}")
    await desk.page.get_by_text(desk.words("health.table"), exact=True).click()
    await expect(desk.page.get_by_role("cell", name="3", exact=True).first).to_be_visible()
    await desk.check()
    await desk.page.get_by_text(desk.words("health.table"), exact=True).click()


async def test_a_server_that_does_not_answer(desk: Desk, company: Company) -> None:
    """At first in words and with a button; later what is known stays, and is said to be old, until it answers again."""
    refusal = {"code": "rate_limited", "detail": "Too many requests.", "status": 429}
    await desk.sign_in(company.key)
    await desk.page.route("**/whatsapp/health*", lambda route: route.fulfill(status=429, json=refusal))
    await desk.page.goto(f"{desk.relay.url}/#/health")
    await expect(desk.page.get_by_role("alert")).to_contain_text(desk.words("common.errors.rate_limited"))
    await desk.check()
    await desk.page.unroute("**/whatsapp/health*")
    await desk.button("common.retry").click()
    await expect(desk.page.locator(".health-well")).to_be_visible()
    await desk.page.route("**/whatsapp/health*", lambda route: route.fulfill(status=429, json=refusal))
    body = {"name": "Nova", "engine": "sandbox", "connect": True}
    await company.client.post("/api/v1/whatsapp/sessions", json=body)
    note = desk.page.locator(".health-note")
    await expect(note).to_contain_text(desk.words("health.stale"))
    await expect(desk.page.locator(".health-well")).to_be_visible()
    await desk.check()
    await desk.page.unroute("**/whatsapp/health*")
    await company.client.post("/api/v1/whatsapp/sessions", json=body)
    await expect(note).not_to_contain_text(desk.words("health.stale"))


async def test_on_a_phone(open_desk: OpenDesk, company: Company, shop: Shop) -> None:
    """Nothing sticks out, with a long name and everything open."""
    session = await link(company.client, name="Atendimento da Padaria Sol no Centro Histórico" * 2)
    await company.client.post(ENDPOINTS, json={"url": f"{shop.url}/moved"})
    await log_out(company, session)
    await counted(company, "undelivered", 1)
    for language in ("pt-BR", "en"):
        desk = await open_desk(language=language, width=360, height=780)
        await desk.sign_in(company.key)
        await desk.go("health")
        await expect(card(desk, "session_logged_out")).to_be_visible()
        await expect(card(desk, "endpoint_failing")).to_be_visible()
        await desk.page.get_by_text(desk.words("health.table"), exact=True).click()
        await desk.check()


async def test_an_operator_sees_the_server(desk: Desk, company: Company, relay: Relay) -> None:
    """One switch away: everybody's problems by company, hosts and version; the way leads to that company's session."""
    session = await link(company.client, name="Balcão")
    await log_out(company, session)
    async with relay.client() as operator:
        await operator.post("/api/v1/admin/tenants", json={"name": "Vazia"})
    await desk.sign_in(OPERATOR_KEY)
    await desk.go("health")
    await expect(desk.page.locator(".health-well")).to_be_visible()
    views = desk.page.get_by_role("navigation", name=desk.words("health.view"))
    await views.get_by_role("link", name=desk.words("health.view.server")).click()
    ours = card(desk, "session_logged_out").filter(has_text=company.name).first
    await expect(ours).to_be_visible()
    await expect(desk.page.get_by_text(desk.words("health.hosts"))).to_be_visible()
    await desk.check()
    way = desk.page.locator(f'.health-problem a[href="#/sessions/{session}"]')
    await way.click()
    await expect(desk.page).to_have_title(f"{desk.words('sessions.title')} · Relay")
    await expect(desk.dialog()).to_be_visible()
    await expect(desk.page.get_by_role("row").filter(has_text="Balcão")).to_be_visible()


async def test_a_busy_hour(open_desk: OpenDesk, company: Company, relay: Relay) -> None:
    """Bars for each minute; a key without the webhooks' scope is shown no way that it cannot go."""
    await fill(relay, company)
    made = await company.client.post("/api/v1/admin/keys", json={"name": "painel", "scopes": ["sessions"]})
    await company.client.post(ENDPOINTS, json={"url": "https://hooks.invalid/in", "description": "CRM"})
    conn = await connect(relay.database_url(), name="tests")
    company_id = made.json()["companyId"]
    await conn.execute(
        "UPDATE endpoints SET failing_since = now() - interval '2 hours' WHERE tenant_id = $1", company_id
    )
    await conn.close()
    desk = await open_desk(language="en")
    await desk.sign_in(made.json()["key"])
    await desk.go("health")
    await expect(card(desk, "endpoint_failing")).to_contain_text("2 hr")
    await expect(card(desk, "endpoint_failing").get_by_role("link")).to_have_count(0)
    plot = chart(desk, "sent").get_by_role("slider")
    box = await plot.bounding_box()
    assert box is not None
    await plot.hover(position={"x": box["width"] / 2, "y": box["height"] / 2})
    await expect(chart(desk, "sent").locator(".health-said")).to_contain_text(
        re.compile(r"\d sent, \d+ failed")
    )
    await desk.check()


async def fill(relay: Relay, company: Company) -> None:
    """An hour of a busy shop."""
    me = (await company.client.get("/api/v1/admin/keys")).json()["keys"][0]["companyId"]
    conn = await connect(relay.database_url(), name="tests")
    await conn.execute(
        """
        INSERT INTO rates (tenant_id, minute, received, sent, failed, answered, delivered, undelivered)
        SELECT $1, date_trunc('minute', $2::timestamptz) - n * interval '1 minute',
               20 + (15 * sin(n / 6.0))::int + n % 5, 16 + (12 * sin(n / 6.0))::int + n % 3,
               CASE WHEN n % 17 = 0 THEN 4 ELSE 0 END, 14 + (10 * sin(n / 6.0))::int, 40 + (25 * sin(n / 6.0))::int,
               CASE WHEN n BETWEEN 5 AND 12 THEN 15 ELSE 0 END
        FROM generate_series(0, 59) AS n
        """,
        me,
        datetime.now(UTC),
    )
    await conn.close()
