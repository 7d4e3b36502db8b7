"""Health for people, probes for machines, figures for Prometheus."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest
from prometheus_client.parser import text_string_to_metric_families

from relay.api.remembered import Remembered
from relay.model.ids import TenantId, floor, new_session_id
from relay.model.session import BotSettings, SessionLimits
from relay.store import sessions
from relay.store.pool import Pool, open_pool
from tests.api_client import OPERATOR_KEY, Api, serve_api
from tests.owing import add_events

HEALTH = "/api/v1/whatsapp/health"


@pytest.fixture
async def api(pool: Pool, url: str) -> AsyncIterator[Api]:
    async with serve_api(pool, url) as operator:
        yield await operator.as_tenant("Acme", "sessions", "webhooks")


async def add_session(pool: Pool, company_id: str, status: str) -> None:
    async with pool.acquire() as conn:
        session = await sessions.insert_session(
            conn,
            session_id=new_session_id(),
            tenant_id=TenantId(company_id),
            name="Shop",
            engine="sandbox",
            limits=SessionLimits(),
            automation=False,
            bot=BotSettings(),
            sealed_proxy=None,
        )
        await conn.execute("UPDATE whatsapp_sessions SET status = $2 WHERE id = $1", session.id, status)


async def owe(api: Api, count: int, *, due_seconds_ago: int = 0) -> str:
    """An endpoint of the caller's that is owed `count` deliveries."""
    made = await api.post("/api/v1/webhooks/endpoints", json={"url": "https://hooks.example.com/in"})
    await add_events(api.services.pool, TenantId(api.company_id), count)  # type: ignore[arg-type]
    await api.services.pool.execute(
        "UPDATE deliveries SET due_at = now() - $1 * interval '1 second' WHERE endpoint_id = $2",
        due_seconds_ago,
        made.json()["id"],
    )
    return str(made.json()["id"])


async def scrape(api: Api) -> dict[tuple[str, ...], float]:
    """Every sample of the page, by its name and its labels' values."""
    response = await api.with_key(None).get("/metrics")
    assert response.status_code == 200
    assert response.headers["content-type"].startswith("text/plain; version=0.0.4")
    return {
        (sample.name, *(value for _, value in sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(response.text)
        for sample in family.samples
    }


async def test_health_counts_a_companys_own(api: Api, pool: Pool) -> None:
    """A company sees its sessions and what it is owed; the operator everybody's, or the one that is named."""
    other = await api.with_key(OPERATOR_KEY).as_tenant("Other")
    for status in ("connected", "connected", "failed"):
        await add_session(pool, api.company_id, status)
    await add_session(pool, other.company_id, "connecting")
    await owe(api, 3, due_seconds_ago=100)

    own = (await api.get(HEALTH)).json()
    assert (own["totalSessions"], own["connected"], own["failed"], own["connecting"]) == (3, 2, 1, 0)
    assert own["deliveries"]["owed"] == 3
    assert 100 <= own["deliveries"]["oldestDueSeconds"] < 160
    assert own["memory"]["rssBytes"] > 1_000_000
    assert own["uptimeSeconds"] >= 0
    theirs = (await other.get(HEALTH)).json()
    assert (theirs["totalSessions"], theirs["deliveries"]) == (1, {"owed": 0, "oldestDueSeconds": 0.0})
    operator = api.with_key(OPERATOR_KEY)
    everybody = (await operator.get(HEALTH)).json()
    assert (everybody["totalSessions"], everybody["deliveries"]["owed"]) == (4, 3)
    assert (await operator.get(HEALTH, params={"companyId": other.company_id})).json()["connecting"] == 1


async def test_what_waits_for_a_disabled_endpoint_is_not_late(api: Api) -> None:
    """It is owed, and nobody is to be woken for it."""
    endpoint_id = await owe(api, 2, due_seconds_ago=500)
    await api.patch(f"/api/v1/webhooks/endpoints/{endpoint_id}", json={"status": "disabled"})
    assert (await api.get(HEALTH)).json()["deliveries"] == {"owed": 2, "oldestDueSeconds": 0.0}


async def test_a_process_that_serves_says_so(api: Api) -> None:
    """Both probes answer without a key."""
    nobody = api.with_key(None)
    assert (await nobody.get("/livez")).json() == {"status": "ok"}
    ready = await nobody.get("/readyz")
    assert (ready.status_code, ready.json()) == (
        200,
        {"status": "ready", "checks": {"database": "ok", "schema": "ok", "serving": "ok"}},
    )


async def test_an_old_schema_is_not_ready(api: Api, pool: Pool) -> None:
    """It says what to run."""
    await pool.execute("DELETE FROM relay_migrations")
    answer = await api.with_key(None).get("/readyz")
    assert (answer.status_code, answer.json()["status"]) == (503, "not_ready")
    assert "relay migrate" in answer.json()["checks"]["schema"]


async def test_a_stopping_process_is_not_ready(api: Api) -> None:
    """It is alive, and wants no more requests."""
    api.services.draining.set()
    nobody = api.with_key(None)
    answer = await nobody.get("/readyz")
    assert (answer.status_code, answer.json()["checks"]["serving"]) == (503, "This process is stopping.")
    assert (await nobody.get("/livez")).status_code == 200


async def test_without_a_database_it_is_alive_and_says_what_is_missing(url: str) -> None:
    """Not ready; the figures' page still answers, with what the process knows of itself."""
    async with open_pool(url, size=2, name="tests") as gone, serve_api(gone, url) as api:
        await gone.close()
        nobody = api.with_key(None)
        assert (await nobody.get("/livez")).status_code == 200
        answer = await nobody.get("/readyz")
        assert answer.status_code == 503
        assert answer.json()["checks"]["database"] == "The database does not answer."
        samples = await scrape(api)
        assert samples["relay_database_up",] == 0
        assert ("relay_deliveries_owed",) not in samples
        assert samples["process_resident_memory_bytes",] > 0


async def test_figures_are_of_all_companies_and_name_none(api: Api, pool: Pool) -> None:
    """Sessions by status, what is owed and for how long, what is queued; no id in any label."""
    await add_session(pool, api.company_id, "connected")
    await owe(api, 2, due_seconds_ago=50)
    await pool.execute(
        "INSERT INTO reply_tasks (message_id, tenant_id, session_id, chat) SELECT $1, tenant_id, id, '' FROM whatsapp_sessions",
        floor("msg_", datetime.now(UTC) - timedelta(seconds=100)) + "0" * 14,
    )
    samples = await scrape(api)
    assert samples["relay_sessions", "connected"] == 1
    assert samples["relay_sessions", "failed"] == 0
    assert samples["relay_deliveries_owed",] == 2
    assert 50 <= samples["relay_deliveries_oldest_due_seconds",] < 110
    assert samples["relay_messages_queued",] == 0
    assert samples["relay_replies_waiting",] == 1
    assert 100 <= samples["relay_replies_oldest_seconds",] < 160
    assert samples["relay_agent_questions",] == 0
    assert samples["relay_database_up",] == 1
    text = (await api.with_key(None).get("/metrics")).text
    assert not any(prefix in text for prefix in ("ten_", "ep_0", "ses_", "dlv_", "relay_0", "hooks.example"))


async def test_requests_are_counted_by_route_and_status(api: Api) -> None:
    """By the route's template, never by the path: ids would make a series each."""
    for number in range(3):
        await api.get(f"/api/v1/webhooks/endpoints/ep_{number}")
    await api.with_key(None).get(HEALTH)
    await api.get(HEALTH)
    samples = await scrape(api)
    route = "/api/v1/webhooks/endpoints/{endpoint_id}"
    assert samples["relay_http_requests_total", "GET", route, "404"] == 3
    assert samples["relay_http_requests_total", "GET", HEALTH, "401"] == 1
    assert samples["relay_http_requests_total", "GET", HEALTH, "200"] == 1
    assert samples["relay_http_request_duration_seconds_count", "GET", HEALTH] == 2


async def test_a_large_backlog_is_estimated(api: Api, pool: Pool) -> None:
    """Past 10,000 nothing is counted row by row; the estimate is what ANALYZE left."""
    await pool.execute(
        """
        INSERT INTO deliveries (id, tenant_id, endpoint_id, event_id, event_type)
        SELECT 'dlv_' || n, 't', 'ep_x', 'evt_x', 'call.received' FROM generate_series(1, 12000) AS n
        """
    )
    await pool.execute("ANALYZE deliveries")
    assert (await scrape(api))["relay_deliveries_owed",] == 12_000


async def test_many_ask_and_one_looks() -> None:
    """Those who come while it looks share the answer; after its time it looks again."""
    looks, now = 0, 0.0

    async def look() -> int:
        nonlocal looks
        looks += 1
        await asyncio.sleep(0)
        return looks

    remembered = Remembered(look, seconds=5, clock=lambda: now)
    assert await asyncio.gather(*(remembered.get() for _ in range(10))) == [1] * 10
    now = 4.9
    assert await remembered.get() == 1
    now = 5.0
    assert await remembered.get() == 2


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/", "/console/js/main.js"])
async def test_monitors_may_ask_with_head(api: Api, path: str) -> None:
    """The same status and type as a GET's."""
    nobody = api.with_key(None)
    shown, asked = await nobody.get(path), await nobody.request("HEAD", path)
    assert (asked.status_code, asked.headers["content-type"]) == (
        shown.status_code,
        shown.headers["content-type"],
    )
