"""The delivery log over the API: what was sent where, sent again, replayed and cancelled."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from relay.model.delivery import DeliveryStatus, Outcome
from relay.model.ids import EndpointId, TenantId, made_at
from relay.store import deliveries
from relay.store.deliveries import Result
from relay.store.pool import Pool
from tests.api_client import OPERATOR_KEY, Api, serve_api
from tests.owing import add_events

WEBHOOKS = "/api/v1/webhooks"


@pytest.fixture
async def api(pool: Pool, url: str) -> AsyncIterator[Api]:
    async with serve_api(pool, url) as operator:
        yield await operator.as_tenant("Acme", "webhooks")


async def register(api: Api, **fields: Any) -> str:
    response = await api.post(f"{WEBHOOKS}/endpoints", json={"url": "https://hooks.example.com/in", **fields})
    return str(response.json()["id"])


async def owe(api: Api, count: int = 1, *, type: str = "message.received") -> list[str]:
    events = await add_events(api.services.pool, TenantId(api.company_id), count, type=type)  # type: ignore[arg-type]
    return list(events)


async def settle(pool: Pool, endpoint_id: str, *, outcome: Outcome, final: DeliveryStatus | None) -> None:
    """Attempt what is due, as a dispatcher would, with this result."""
    async with pool.acquire() as conn:
        claimed = await deliveries.claim_deliveries(
            conn, {EndpointId(endpoint_id): 100}, claim="clm_test", lease_seconds=60
        )
        results = [
            Result(
                delivery=c,
                outcome=outcome,
                status_code=200 if outcome is Outcome.SUCCEEDED else 500,
                response="answer",
                final=final,
                delay_seconds=3600,
            )
            for c in claimed
        ]
        await deliveries.settle(conn, results, patience_seconds=1e9)


async def listed(api: Api, **params: str) -> list[dict[str, Any]]:
    response = await api.get(f"{WEBHOOKS}/deliveries", params=params)
    assert response.status_code == 200, response.text
    found: list[dict[str, Any]] = response.json()["deliveries"]
    return found


async def test_the_log_is_filtered_and_paged(api: Api, pool: Pool) -> None:
    """By endpoint, status, type and time; following `nextCursor` shows each delivery once, newest first."""
    first, second = await register(api), await register(api, events=["call.received"])
    messages = await owe(api, 3)
    await settle(pool, first, outcome=Outcome.SUCCEEDED, final=DeliveryStatus.SUCCEEDED)
    [call] = await owe(api, type="call.received")

    everything = await listed(api)
    assert [d["eventId"] for d in everything][2:] == messages[::-1]
    assert {d["eventId"] for d in await listed(api, status="pending")} == {call}
    assert [d["eventId"] for d in await listed(api, status="succeeded")] == messages[::-1]
    assert [d["eventId"] for d in await listed(api, endpointId=second)] == [call]
    assert len(await listed(api, type="call.received")) == 2
    middle = made_at(messages[1]).isoformat()
    assert len(await listed(api, since=middle)) == 4
    assert [d["eventId"] for d in await listed(api, until=middle)] == messages[:1]

    seen: list[dict[str, Any]] = []
    cursor: str | None = ""
    while cursor is not None:
        page = await api.get(f"{WEBHOOKS}/deliveries", params={"limit": "2", "cursor": cursor})
        seen += page.json()["deliveries"]
        cursor = page.json()["nextCursor"]
    assert seen == everything


async def test_a_delivery_shows_each_attempt(api: Api, pool: Pool) -> None:
    """A failed attempt and its answer, and when the next one is due."""
    endpoint_id = await register(api)
    [event_id] = await owe(api)
    await settle(pool, endpoint_id, outcome=Outcome.REJECTED, final=None)
    [shown] = await listed(api)
    assert (shown["status"], shown["attemptCount"], shown["eventId"]) == ("pending", 1, event_id)
    assert datetime.fromisoformat(shown["nextAttemptAt"]) > datetime.now(UTC) + timedelta(minutes=50)

    detail = (await api.get(f"{WEBHOOKS}/deliveries/{shown['id']}")).json()
    [attempt] = detail.pop("attempts")
    assert detail == shown
    assert (attempt["number"], attempt["outcome"], attempt["statusCode"]) == (1, "rejected", 500)
    assert (attempt["response"], attempt["final"]) == ("answer", None)


async def test_an_ended_delivery_is_sent_again_under_the_same_id(api: Api, pool: Pool) -> None:
    """Exhausted, then owed again with its attempts kept, and the dispatchers are rung."""
    endpoint_id = await register(api)
    await owe(api)
    await settle(pool, endpoint_id, outcome=Outcome.REJECTED, final=DeliveryStatus.EXHAUSTED)
    [ended] = await listed(api, status="exhausted")
    bell = api.services.doorbell.bell("deliveries")
    response = await api.post(f"{WEBHOOKS}/deliveries/{ended['id']}/redeliver")
    assert (response.status_code, response.json()["status"]) == (202, "pending")
    assert bell._rung.is_set()
    assert [d["id"] for d in await listed(api)] == [ended["id"]]
    await settle(pool, endpoint_id, outcome=Outcome.SUCCEEDED, final=DeliveryStatus.SUCCEEDED)
    detail = (await api.get(f"{WEBHOOKS}/deliveries/{ended['id']}")).json()
    assert detail["status"] == "succeeded"
    assert [a["number"] for a in detail["attempts"]] == [1, 2]


async def test_what_is_owed_is_cancelled_once(api: Api) -> None:
    """It leaves what is owed and says how it ended; a second cancel is a conflict."""
    await register(api)
    await owe(api)
    [owed] = await listed(api)
    path = f"{WEBHOOKS}/deliveries/{owed['id']}/cancel"
    response = await api.post(path)
    assert (response.status_code, response.json()["status"]) == (200, "cancelled")
    assert [d["status"] for d in await listed(api)] == ["cancelled"]
    again = await api.post(path)
    assert (again.status_code, again.json()["code"]) == (409, "delivery_ended")


async def test_a_range_is_replayed_to_one_endpoint(api: Api, pool: Pool) -> None:
    """Those of the range and the types, also what happened before the endpoint was there."""
    before = await owe(api, 2)
    endpoint_id = await register(api)
    await owe(api, type="call.received")
    await settle(pool, endpoint_id, outcome=Outcome.SUCCEEDED, final=DeliveryStatus.SUCCEEDED)
    path = f"{WEBHOOKS}/endpoints/{endpoint_id}/replay"
    since = (made_at(before[0]) - timedelta(seconds=1)).isoformat()
    until = made_at(before[1]).isoformat()

    one = await api.post(path, json={"since": since, "until": until})
    assert (one.status_code, one.json()) == (202, {"count": 1})
    assert [d["eventId"] for d in await listed(api, status="pending")] == before[:1]
    calls = await api.post(path, json={"since": since, "types": ["call.*"]})
    assert calls.json() == {"count": 1}
    rest = await api.post(path, json={"since": since})
    assert rest.json() == {"count": 1}
    assert len(await listed(api, status="pending")) == 3


@pytest.mark.parametrize(
    ("body", "path"),
    [
        ({}, "since"),
        ({"since": "yesterday"}, "since"),
        ({"since": "2026-01-01T00:00:00"}, "since"),
        ({"since": "2026-01-02T00:00:00Z", "until": "2026-01-01T00:00:00Z"}, "since"),
        ({"since": "2026-01-01T00:00:00Z", "types": ["nonsense"]}, "types[0]"),
    ],
)
async def test_a_wrong_range_is_named(api: Api, body: dict[str, Any], path: str) -> None:
    """No time, one without a zone, one that ends before it starts."""
    endpoint_id = await register(api)
    response = await api.post(f"{WEBHOOKS}/endpoints/{endpoint_id}/replay", json=body)
    assert (response.status_code, response.json()["path"]) == (400, path)


@pytest.mark.parametrize(
    ("params", "path"),
    [
        ({"status": "lost"}, "status"),
        ({"type": "message.nonsense"}, "type"),
        ({"since": "soon"}, "since"),
        ({"since": "inf"}, "since"),
        ({"until": "1e99"}, "until"),
        ({"until": "253402300800"}, "until"),
        ({"limit": "0"}, "limit"),
        ({"cursor": "***"}, "cursor"),
    ],
)
async def test_a_wrong_filter_is_named(api: Api, params: dict[str, str], path: str) -> None:
    """Each with the parameter that is wrong."""
    response = await api.get(f"{WEBHOOKS}/deliveries", params=params)
    assert (response.status_code, response.json()["path"]) == (400, path)


@pytest.mark.parametrize(
    "since", ["0001-01-01T00:00:00+14:00", "1969-12-31T00:00:00Z", "9999-12-31T23:59:59-14:00"]
)
async def test_times_at_the_ends_of_the_calendar_are_taken(api: Api, since: str) -> None:
    """They select everything or nothing, and break nothing."""
    await register(api)
    await owe(api)
    assert len(await listed(api, since=since)) == (0 if since.startswith("9") else 1)


async def test_another_companys_deliveries_are_unknown(api: Api) -> None:
    """Neither listed nor read nor steered."""
    endpoint_id = await register(api)
    await owe(api)
    [owed] = await listed(api)
    other = await api.with_key(OPERATOR_KEY).as_tenant("Other")
    path = f"{WEBHOOKS}/deliveries/{owed['id']}"
    assert (await other.get(path)).status_code == 404
    assert (await other.post(f"{path}/redeliver")).status_code == 404
    assert (await other.post(f"{path}/cancel")).status_code == 404
    replay = await other.post(
        f"{WEBHOOKS}/endpoints/{endpoint_id}/replay", json={"since": "2026-01-01T00:00:00Z"}
    )
    assert replay.status_code == 404
    assert await listed(other) == []
    assert await listed(other, endpointId=endpoint_id) == []
    assert [d["status"] for d in await listed(api)] == ["pending"]
    assert (await api.with_key(OPERATOR_KEY).get(path)).status_code == 200
