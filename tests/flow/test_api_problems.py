"""What is wrong and what to do: each problem is told to whom it concerns, and goes away when it is mended."""

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from relay.api.health_problems import PROBLEMS
from relay.model.ids import TenantId, floor
from relay.store.pool import Pool
from tests.accounts import add_session
from tests.api_client import OPERATOR_KEY, Api
from tests.desk import queued
from tests.owing import add_events

URL = "/api/v1/whatsapp/health/problems"
ENDPOINTS = "/api/v1/webhooks/endpoints"


async def told(caller: Api, **query: str) -> list[dict[str, Any]]:
    answer = await caller.get(URL, params=query)
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["problems"]
    for problem in found:
        assert problem["detail"]
        assert problem["mend"]
        assert "None" not in problem["detail"] + problem["mend"]
    return found


async def codes(caller: Api, **query: str) -> list[str]:
    return [problem["code"] for problem in await told(caller, **query)]


async def a_session(pool: Pool, caller: Api, *, held: bool = True, **columns: Any) -> str:
    """A session that stands as `columns` say; a host holds it."""
    async with pool.acquire() as conn:
        _, session_id = await add_session(conn, tenant_id=TenantId(caller.company_id))
        for name, value in columns.items():
            await conn.execute(f"UPDATE whatsapp_sessions SET {name} = $2 WHERE id = $1", session_id, value)
        if held:
            await conn.execute(
                "INSERT INTO leases VALUES ($1, 'h', 1, now() + interval '1 hour')", session_id
            )
    return session_id


def ago(**given: float) -> datetime:
    return datetime.now(UTC) - timedelta(**given)


@pytest.fixture
async def ours(api: Api) -> Api:
    return await api.as_tenant("Padaria Sol")


@pytest.fixture
async def theirs(api: Api) -> Api:
    return await api.as_tenant("Outra")


async def test_nothing_is_wrong(ours: Api, pool: Pool, api: Api) -> None:
    """Of what is well, new, on its way or wanted so, nothing is said."""
    long_ago = ago(days=2)
    await a_session(pool, ours, status="connected", reason=None, wanted="up", wanted_at=long_ago)
    await a_session(pool, ours, held=False)
    await a_session(pool, ours, held=False, reason="requested")
    await a_session(pool, ours, status="connecting", reason="waiting_for_scan", wanted="up")
    reconnecting: dict[str, Any] = {"status": "connecting", "reason": "reconnecting", "wanted": "up"}
    on_its_way = await a_session(
        pool, ours, **reconnecting, wanted_at=long_ago, last_active_at=ago(seconds=50)
    )
    await queued(pool, (TenantId(ours.company_id), on_its_way))  # type: ignore[arg-type]
    made = await ours.post(ENDPOINTS, json={"url": "https://hooks.example.com/in"})
    off = {"status": "disabled"}
    await ours.patch(f"{ENDPOINTS}/{made.json()['id']}", json=off)
    assert await told(ours) == []
    assert await told(api) == []


@pytest.mark.parametrize(
    ("code", "columns"),
    [
        ("session_failed", {"status": "failed", "reason": "attempts_exhausted"}),
        ("account_banned", {"status": "disconnected", "reason": "banned"}),
        ("session_logged_out", {"status": "disconnected", "reason": "logged_out"}),
        ("session_replaced", {"status": "disconnected", "reason": "stream_replaced"}),
        ("session_not_linked", {"status": "disconnected", "reason": "qr_expired"}),
        (
            "session_not_linked",
            {
                "status": "connecting",
                "reason": "waiting_for_scan",
                "wanted": "up",
                "qr_expires_at": ago(minutes=1),
            },
        ),
        (
            "session_banned",
            {
                "status": "connecting",
                "reason": "temporary_ban",
                "wanted": "up",
                "banned_until": ago(hours=-3),
            },
        ),
        (
            "session_connecting",
            {"status": "connecting", "reason": "reconnecting", "wanted": "up", "wanted_at": ago(minutes=3)},
        ),
        ("session_degraded", {"status": "connected", "reason": "degraded", "wanted": "up"}),
    ],
)
async def test_a_session_that_is_not_well(
    ours: Api, theirs: Api, pool: Pool, code: str, columns: dict[str, Any]
) -> None:
    """Its company reads it, with its name and what waits for it; the operator whose it is; nobody else anything."""
    operator, session_id = ours.with_key(OPERATOR_KEY), await a_session(pool, ours, **columns)
    (problem,) = await told(ours)
    assert (problem["code"], problem["sessionId"], problem["name"]) == (code, session_id, "Shop")
    assert problem["severity"] == PROBLEMS[code].severity
    assert "companyName" not in problem
    assert "Shop" in problem["detail"]
    assert await told(theirs) == []
    assert await told(operator, companyId=theirs.company_id) == []
    (seen,) = await told(operator)
    assert (seen["companyId"], seen["companyName"]) == (ours.company_id, "Padaria Sol")
    await queued(pool, (TenantId(ours.company_id), session_id))  # type: ignore[arg-type]
    (again,) = await told(ours)
    assert (again["code"], again["count"]) == (code, 1)
    await pool.execute(
        "UPDATE whatsapp_sessions SET status = 'connected', reason = NULL, banned_until = NULL, wanted = 'up'"
    )
    assert await told(ours) == []


async def test_messages_wait(ours: Api, theirs: Api, pool: Pool) -> None:
    """At a session that was disconnected, and at one whose day is used up; not at one that sends."""
    down = await a_session(pool, ours, held=False, reason="requested")
    full = await a_session(pool, ours, status="connected", reason=None, wanted="up")
    sends = await a_session(pool, ours, status="connected", reason=None, wanted="up")
    account = TenantId(ours.company_id)
    for session_id in (down, down, full, sends):
        await queued(pool, (account, session_id))  # type: ignore[arg-type]
    until = ago(hours=-5)
    await pool.execute("UPDATE whatsapp_messages SET due_at = $2 WHERE session_id = $1", full, until)
    found = {problem["code"]: problem for problem in await told(ours)}
    assert found.keys() == {"messages_waiting", "budget_used_up"}
    assert (found["messages_waiting"]["sessionId"], found["messages_waiting"]["count"]) == (down, 2)
    assert (found["budget_used_up"]["sessionId"], found["budget_used_up"]["count"]) == (full, 1)
    assert datetime.fromisoformat(found["budget_used_up"]["until"]) == until
    assert await told(theirs) == []


async def test_no_host(ours: Api, theirs: Api, api: Api, pool: Pool) -> None:
    """A company hears of its session; the operator of the host that is missing, in one line for all of them."""
    since = ago(minutes=1)
    for caller in (ours, ours, theirs):
        await a_session(
            pool, caller, held=False, status="connecting", reason="starting", wanted="up", wanted_at=since
        )
    assert await codes(ours) == ["session_without_host"] * 2
    (problem,) = await told(api)
    assert (problem["code"], problem["count"]) == ("no_host", 3)
    assert await codes(api, companyId=theirs.company_id) == ["session_without_host"]
    await a_session(pool, theirs, status="connected", reason=None, wanted="up")
    assert await codes(api) == ["hosts_full"]


async def test_a_host_that_is_being_replaced_is_no_news(ours: Api, pool: Pool) -> None:
    """Its sessions are taken over within seconds; after ten somebody should look."""
    session_id = await a_session(
        pool, ours, status="connected", reason=None, wanted="up", wanted_at=ago(hours=1)
    )
    await pool.execute("UPDATE leases SET expires_at = now() - interval '3 seconds'")
    assert await told(ours) == []
    await pool.execute("UPDATE leases SET expires_at = now() - interval '20 seconds'")
    (problem,) = await told(ours)
    assert (problem["code"], problem["sessionId"], problem["reason"]) == (
        "session_without_host",
        session_id,
        "host_lost",
    )


async def test_webhooks(ours: Api, theirs: Api, pool: Pool, api: Api) -> None:
    """One that fails, and one that was switched off for it, with what they are owed; not one that was asked to rest."""
    failing, off = [
        (
            await ours.post(
                ENDPOINTS, json={"url": f"https://{name}.example.com/in?token=hushhush", "description": text}
            )
        ).json()["id"]
        for name, text in (("crm", ""), ("erp", "ERP"))
    ]
    await add_events(pool, TenantId(ours.company_id), 3)  # type: ignore[arg-type]
    assert await told(ours) == []
    await pool.execute(
        "UPDATE endpoints SET failing_since = now() - interval '2 hours' WHERE id = $1", failing
    )
    await pool.execute(
        "UPDATE endpoints SET status = 'disabled', disabled_reason = 'failing' WHERE id = $1", off
    )
    # What a failing one is owed is late for that reason, and what a disabled one is owed waits as it should.
    await pool.execute("UPDATE deliveries SET due_at = now() - interval '1 hour'")
    disabled, failed = await told(ours)
    assert (disabled["code"], disabled["endpointId"], disabled["name"]) == ("endpoint_disabled", off, "ERP")
    assert (disabled["count"], disabled["reason"]) == (3, "failing")
    assert (failed["code"], failed["endpointId"], failed["name"]) == (
        "endpoint_failing",
        failing,
        "crm.example.com",
    )
    assert (failed["count"], round(failed["seconds"])) == (3, 7200)
    assert "hushhush" not in str(failed)
    assert await told(theirs) == []
    assert {problem["companyId"] for problem in await told(api)} == {ours.company_id}


async def test_work_that_nobody_does(ours: Api, theirs: Api, pool: Pool) -> None:
    """Deliveries and replies that have waited for more than a minute, and no sooner."""
    await ours.post(ENDPOINTS, json={"url": "https://hooks.example.com/in"})
    await add_events(pool, TenantId(ours.company_id), 2)  # type: ignore[arg-type]
    session_id = await a_session(pool, ours, status="connected", reason=None, wanted="up")
    for seconds, wanted in ((50, []), (90, ["deliveries_late", "replies_late"])):
        await pool.execute("UPDATE deliveries SET due_at = now() - $1 * interval '1 second'", seconds)
        await pool.execute("DELETE FROM reply_tasks")
        await pool.execute(
            "INSERT INTO reply_tasks (message_id, tenant_id, session_id, chat) VALUES ($1, $2, $3, '')",
            floor("msg_", ago(seconds=seconds)) + "0" * 14,
            ours.company_id,
            session_id,
        )
        assert await codes(ours) == wanted
    health = (await ours.get("/api/v1/whatsapp/health")).json()
    assert health["replies"]["waiting"] == 1
    assert 90 <= health["replies"]["oldestSeconds"] < 120
    others = (await theirs.get("/api/v1/whatsapp/health")).json()
    assert (others["replies"], others["queued"]) == ({"waiting": 0, "oldestSeconds": 0.0}, 0)
    assert await told(theirs) == []


async def test_agents(ours: Api, theirs: Api, pool: Pool) -> None:
    """One whose last call failed; an answer since then, or another hour, and all is well."""
    made = await ours.post(
        "/api/v1/agents", json={"name": "main", "kind": "openai", "settings": {"model": "small"}}
    )
    agent = made.json()["id"]

    async def called(outcome: str, **when: float) -> None:
        await pool.execute(
            """
            INSERT INTO agent_calls (id, tenant_id, agent_id, outcome, duration_seconds)
            VALUES ($1, $2, $3, $4, 1)
            """,
            floor("cal_", ago(**when)) + "0" * 14,
            ours.company_id,
            agent,
            outcome,
        )

    await called("timeout", minutes=90)
    assert await told(ours) == []
    await called("timeout", minutes=30)
    await called("refused", minutes=20)
    await called("cancelled", minutes=15)
    (problem,) = await told(ours)
    assert (problem["code"], problem["agent"], problem["name"]) == ("agent_failing", agent, "main")
    assert (problem["reason"], problem["count"]) == ("refused", 2)
    assert await told(theirs) == []
    await called("budget_exhausted", minutes=10)
    assert await codes(ours) == ["agent_budget_used_up"]
    await called("answered", minutes=5)
    assert await told(ours) == []


async def test_missing_tables_are_the_operators_to_know(ours: Api, api: Api, pool: Pool) -> None:
    """Without them nothing can be stored tomorrow."""
    day = datetime.now(UTC) + timedelta(days=1)
    await pool.execute(f"DROP TABLE events_{day:%Y%m%d}")
    (problem,) = await told(api)
    assert (problem["code"], problem["name"]) == ("partitions_missing", f"events_{day:%Y%m%d}")
    assert "companyId" not in problem
    assert await told(ours) == []


def test_every_problem_is_documented() -> None:
    """docs/api.md has a row for each, in the same order."""
    text = (Path(__file__).parents[2] / "docs/api.md").read_text()
    table = text.partition("| code | severity | when |")[2].partition("\n\n")[0]
    rows = re.findall(r"^\| `(\w+)` \| (\w+) \|", table, re.MULTILINE)
    assert rows == [(code, words.severity) for code, words in PROBLEMS.items()]


async def test_the_gravest_come_first_and_a_hundred_at_most(ours: Api, pool: Pool) -> None:
    """What keeps everything from going on before what waits for a person."""
    await a_session(pool, ours, status="disconnected", reason="qr_expired")
    await a_session(pool, ours, status="disconnected", reason="logged_out")
    assert await codes(ours) == ["session_logged_out", "session_not_linked"]
    for _ in range(105):
        await a_session(pool, ours, status="failed", reason="banned")
    assert await codes(ours) == ["account_banned"] * 100
