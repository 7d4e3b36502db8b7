"""Rates over the whole way: what happens in the processes of a running server is counted once, and asked of the API."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from aiohttp import web

from relay.store.pool import Pool
from relay.store.tally import Tally
from tests.agents_desk import AgentsDesk
from tests.api_client import Api
from tests.flow.ledger import ask
from tests.flow.serving import carried_out, free_port, link, program, shared, until
from tests.model_server import serve_model, text

RATES = "/api/v1/whatsapp/health/rates"
RULES = """
version: 1
rules:
  - id: hello
    when: {keyword: [oi]}
    do:
      - reply: "Olá!"
"""


@pytest.fixture
async def sink() -> AsyncIterator[str]:
    """A customer's server whose `/bad` refuses once and accepts then."""
    seen: set[str] = set()

    async def take(request: web.Request) -> web.Response:
        name = request.headers["webhook-id"]
        refused = request.path == "/bad" and name not in seen
        seen.add(name)
        return web.Response(status=500 if refused else 200)

    app = web.Application()
    app.router.add_post("/{path:.*}", take)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    await runner.cleanup()


def summed(answer: Any) -> dict[str, int]:
    return {
        kind: sum(minute[kind] for minute in answer["minutes"])
        for kind in answer["minutes"][0]
        if kind != "at"
    }


async def make_caller(operator: httpx.AsyncClient) -> httpx.AsyncClient:
    company = (await ask(operator, "POST", "/api/v1/admin/tenants", json={"name": "Acme"}))["companyId"]
    scopes = ["sessions", "messages:read", "messages:send", "webhooks", "rules"]
    body = {"companyId": company, "name": "test", "scopes": scopes}
    key = (await ask(operator, "POST", "/api/v1/admin/keys", json=body))["key"]
    headers = {"Authorization": f"Bearer {key}"}
    return httpx.AsyncClient(base_url=operator.base_url, headers=headers, timeout=30, trust_env=False)


async def test_what_happens_is_counted_once(url: str, pool: Pool, sink: str, tmp_path: Path) -> None:
    """Three messages, one of them twice; two answers, a send, a refused send; deliveries that fail and succeed."""
    port = free_port()
    environ = shared(url, tmp_path)
    roles = ["run", "api", "host", "dispatcher", "responder", "--port", str(port)]
    async with program(tmp_path, *roles, "--data-dir", str(tmp_path / "data"), environ=environ) as relay:
        await relay.says("started")
        headers = {"Authorization": f"Bearer {environ['RELAY_OPERATOR_KEY']}"}
        async with httpx.AsyncClient(
            base_url=f"http://127.0.0.1:{port}", headers=headers, timeout=30, trust_env=False
        ) as operator:
            caller = await make_caller(operator)
            await _live(caller, sink, url)

            async def settled() -> bool:
                owed = await pool.fetchval("SELECT count(*) FROM deliveries")
                open_ = await pool.fetchval(
                    "SELECT count(*) FROM whatsapp_messages WHERE status IN ('queued', 'sending')"
                )
                return not owed and not open_ and not await pool.fetchval("SELECT count(*) FROM reply_tasks")

            await until(settled, seconds=20, what="all of it is settled")
            other = await make_caller(operator)
            assert not any(summed(await ask(other, "GET", RATES)).values())
            await other.aclose()
        # In order: what is in hand is added when the process stops, not only after its five seconds.
        assert await relay.stop() == 0, relay.told
        await caller.aclose()
    counts = await pool.fetchrow(
        """
        SELECT sum(received) AS received, sum(sent) AS sent, sum(failed) AS failed, sum(answered) AS answered,
               sum(delivered) AS delivered, sum(undelivered) AS undelivered FROM rates
        """
    )
    assert counts is not None
    told = await pool.fetchrow(
        """
        SELECT count(*) FILTER (WHERE outcome = 'succeeded') AS delivered,
               count(*) FILTER (WHERE outcome = 'rejected') AS undelivered FROM attempts
        """
    )
    assert told is not None
    # The one that arrived again, and the one that the owner wrote, are no news.
    assert dict(counts) == {"received": 3, "sent": 3, "failed": 1, "answered": 2, **dict(told)}
    assert told["undelivered"] == 3
    assert told["delivered"] == 3


async def _live(caller: httpx.AsyncClient, sink: str, url: str) -> None:
    """A little of a company's day."""
    await ask(
        caller, "PUT", "/api/v1/rules/shop", content=RULES, headers={"Content-Type": "application/yaml"}
    )
    hook = {"url": f"{sink}/bad", "events": ["message.received"]}
    await ask(caller, "POST", "/api/v1/webhooks/endpoints", json=hook)
    session = await link(caller, automation=True)
    sandbox = f"/api/v1/whatsapp/sessions/{session}/sandbox"
    for name, said in (("W1", "oi"), ("W2", "oi"), ("W3", "outra coisa"), ("W3", "outra coisa")):
        body = {"from": f"+55 11 99999-000{name[1]}", "text": said, "waId": name}
        await caller.post(f"{sandbox}/inbound", json=body)

    async def answered() -> bool:
        found = await ask(
            caller, "GET", "/api/v1/whatsapp/messages", params={"origin": "bot", "status": "read"}
        )
        return len(found["messages"]) == 2

    await until(answered, seconds=15, what="the bot has answered twice")
    send = {"sessionId": session, "to": "+55 11 98888-0001", "type": "text", "content": "Bom dia"}
    await ask(caller, "POST", "/api/v1/whatsapp/send", json=send, headers={"Prefer": "wait=10"})
    await caller.post(f"{sandbox}/fault", json={"kind": "reject"})
    await carried_out(url, session)
    refused = await ask(caller, "POST", "/api/v1/whatsapp/send", json=send, headers={"Prefer": "wait=10"})
    assert refused["status"] == "failed", refused


async def test_minutes_are_filled_in(api: Api, pool: Pool) -> None:
    """As many as were asked for, sixty unless said; nobody's but the caller's own."""
    ours, theirs = await api.as_tenant("ours"), await api.as_tenant("theirs")
    await pool.execute(
        "INSERT INTO rates (tenant_id, minute, sent) VALUES ($1, date_trunc('minute', now()), 7)",
        ours.company_id,
    )
    hour = (await ours.get(RATES)).json()
    assert len(hour["minutes"]) == 60
    assert [minute["at"] for minute in hour["minutes"]] == sorted(minute["at"] for minute in hour["minutes"])
    assert summed(hour)["sent"] == 7
    assert summed((await theirs.get(RATES)).json())["sent"] == 0
    assert summed((await api.get(RATES)).json())["sent"] == 7
    of_theirs = (await api.get(RATES, params={"companyId": theirs.company_id})).json()
    assert summed(of_theirs)["sent"] == 0
    assert len((await ours.get(RATES, params={"minutes": 1440})).json()["minutes"]) == 1440
    for wrong in ("0", "1441", "x"):
        assert (await ours.get(RATES, params={"minutes": wrong})).status_code == 400


async def test_an_agents_answer_is_counted(pool: Pool, url: str, tmp_path: Path) -> None:
    """One for a question of two messages; nothing where somebody else has answered."""
    tally = Tally(pool)
    desk = AgentsDesk(pool, url, tmp_path)
    async with serve_model() as model:
        model.will(text("Olá!"))
        account = await desk.add_account()
        await desk.add_agent(account, baseUrl=model.url)
        await desk.write(account)
        await desk.write(account)
        await desk.answer(plugins={"count": tally.count})
        await desk.answer(plugins={"count": tally.count})
    assert await desk.said(account) == ["Olá!"]
    await tally.flush()
    assert await pool.fetchval("SELECT array_agg(answered) FROM rates") == [1]
