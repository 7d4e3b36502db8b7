"""Webhook endpoints over the API: registration checked word for word, secrets shown once, a company sees its own."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from relay.model.ids import TenantId, new_session_id
from relay.model.session import BotSettings, SessionLimits
from relay.store import endpoints, sessions
from relay.store.pool import Pool
from tests.api_client import OPERATOR_KEY, Api, serve_api

URL = "https://hooks.example.com/in"
ENDPOINTS = "/api/v1/webhooks/endpoints"


@pytest.fixture
async def api(pool: Pool, url: str) -> AsyncIterator[Api]:
    async with serve_api(pool, url) as operator:
        yield await operator.as_tenant("Acme", "webhooks")


async def create(api: Api, **fields: Any) -> dict[str, Any]:
    response = await api.post(ENDPOINTS, json={"url": URL, **fields})
    assert response.status_code == 201, response.text
    made: dict[str, Any] = response.json()
    return made


async def add_session(pool: Pool, company_id: str) -> str:
    session = await sessions.insert_session(
        pool,  # type: ignore[arg-type]
        session_id=new_session_id(),
        tenant_id=TenantId(company_id),
        name="Shop",
        engine="sandbox",
        limits=SessionLimits(),
        automation=False,
        bot=BotSettings(),
        sealed_proxy=None,
    )
    return session.id


async def test_a_created_endpoint_is_read_listed_changed_and_removed(api: Api, pool: Pool) -> None:
    """The whole life of an endpoint; its secret is in the first answer only."""
    session_id = await add_session(pool, api.company_id)
    made = await create(
        api,
        events=["message.*", "session.status"],
        sessions=[session_id],
        headers={"Authorization": "Bearer t"},
        description="CRM",
        order="chat",
    )
    secret = made.pop("secret")
    assert secret.startswith("whsec_")
    assert made["companyId"] == api.company_id
    assert (made["url"], made["order"], made["status"]) == (URL, "chat", "enabled")
    assert (made["events"], made["sessions"]) == (["message.*", "session.status"], [session_id])

    path = f"{ENDPOINTS}/{made['id']}"
    assert (await api.get(path)).json() == made
    assert (await api.get(ENDPOINTS)).json() == {"endpoints": [made], "nextCursor": None}

    changed = await api.patch(path, json={"description": "New", "events": []})
    assert changed.json() == made | {"description": "New", "events": []}

    assert (await api.delete(path)).status_code == 204
    assert (await api.get(path)).status_code == 404
    assert (await api.delete(path)).status_code == 404


async def test_a_list_is_paged_newest_first(api: Api) -> None:
    """Following `nextCursor` shows each endpoint once."""
    made = [(await create(api))["id"] for _ in range(5)]
    seen, cursor = [], None
    while True:
        params = {"limit": "2"} | ({"cursor": cursor} if cursor else {})
        page = (await api.get(ENDPOINTS, params=params)).json()
        seen += [endpoint["id"] for endpoint in page["endpoints"]]
        cursor = page["nextCursor"]
        if cursor is None:
            break
    assert seen == made[::-1]


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ({"url": "ftp://hooks.example.com"}, "url"),
        ({"url": "http://127.0.0.1/x"}, "url"),
        ({"url": "http://0x7f.1/x"}, "url"),
        ({"url": "https://user:word@hooks.example.com"}, "url"),
        ({"url": ""}, "url"),
        ({"url": None}, "url"),
        ({"events": ["message.received", "message.nonsense"]}, "events[1]"),
        ({"events": ["*"]}, "events[0]"),
        ({"headers": {"webhook-id": "x"}}, "headers"),
        ({"headers": {"Host": "x"}}, "headers"),
        ({"headers": {"content-length": "1"}}, "headers"),
        ({"headers": {"Content-Type": "text/plain"}}, "headers"),
        ({"headers": {"User-Agent": "x"}}, "headers"),
        ({"headers": {"bad name": "x"}}, "headers"),
        ({"headers": {"x": "a\r\nb: c"}}, "headers"),
        ({"headers": {"X-A": "1", "x-a": "2"}}, "headers"),
        ({"headers": {f"x-{n}": "1" for n in range(21)}}, "headers"),
        ({"order": "strict"}, "order"),
        ({"description": "x" * 501}, "description"),
        ({"secret": "whsec_mine"}, "secret"),
    ],
)
async def test_what_is_wrong_is_named_and_changes_nothing(api: Api, fields: Any, path: str) -> None:
    """A problem names the field, at registration and at a change alike."""
    before = await create(api)
    before.pop("secret")
    for response in (
        await api.post(ENDPOINTS, json={"url": URL, **fields}),
        await api.patch(f"{ENDPOINTS}/{before['id']}", json=fields),
    ):
        assert response.status_code == 400, response.text
        assert response.headers["content-type"] == "application/problem+json"
        assert response.json()["path"] == path
    assert (await api.get(ENDPOINTS)).json()["endpoints"] == [before]


async def test_another_companys_ids_are_unknown(api: Api, pool: Pool) -> None:
    """Every call on another's endpoint answers as for one that does not exist, and does nothing."""
    theirs = await create(api)
    other = await api.with_key(OPERATOR_KEY).as_tenant("Other")
    path = f"{ENDPOINTS}/{theirs['id']}"
    for method, where, body in (
        ("GET", path, None),
        ("PATCH", path, {"description": "mine"}),
        ("DELETE", path, None),
        ("POST", f"{path}/rotate", {}),
        ("POST", f"{path}/test", None),
        ("GET", f"{path}/statistics", None),
    ):
        response = await other.request(method, where, json=body)
        assert response.status_code == 404, (method, where, response.text)
    assert (await other.get(ENDPOINTS)).json()["endpoints"] == []
    session_id = await add_session(pool, api.company_id)
    assert (await other.post(ENDPOINTS, json={"url": URL, "sessions": [session_id]})).status_code == 404
    assert (await api.get(path)).json()["description"] == ""


async def test_a_rotation_gives_a_new_secret_and_keeps_the_old_one_for_a_while(api: Api, pool: Pool) -> None:
    """Both sign for the overlap that was asked for; with none, the new one alone."""
    made = await create(api)
    path = f"{ENDPOINTS}/{made['id']}/rotate"
    second = (await api.post(path)).json()["secret"]
    vault = api.services.vault
    [target] = await endpoints.list_targets(pool, vault, [made["id"]])  # type: ignore[arg-type]
    assert target.secrets == (second, made["secret"])
    third = (await api.post(path, json={"overlapSeconds": 0})).json()["secret"]
    [target] = await endpoints.list_targets(pool, vault, [made["id"]])  # type: ignore[arg-type]
    assert target.secrets == (third,)


async def test_a_test_event_is_owed_to_its_endpoint_only(api: Api, pool: Pool) -> None:
    """Whatever the filter says; neither the other endpoints nor a disabled one get it."""
    made = await create(api, events=["call.received"])
    await create(api)
    response = await api.post(f"{ENDPOINTS}/{made['id']}/test")
    assert response.status_code == 202
    [row] = await pool.fetch("SELECT * FROM deliveries")
    assert (row["id"], row["event_id"]) == (response.json()["deliveryId"], response.json()["eventId"])
    assert (row["endpoint_id"], row["event_type"]) == (made["id"], "webhook.test")

    await api.patch(f"{ENDPOINTS}/{made['id']}", json={"status": "disabled"})
    refused = await api.post(f"{ENDPOINTS}/{made['id']}/test")
    assert (refused.status_code, refused.json()["code"]) == (409, "endpoint_disabled")


async def test_statistics_say_what_is_owed(api: Api) -> None:
    """Owed and since when; nothing has been tried yet."""
    made = await create(api)
    await api.post(f"{ENDPOINTS}/{made['id']}/test")
    figures = (await api.get(f"{ENDPOINTS}/{made['id']}/statistics")).json()
    assert figures.pop("oldestOwedAt") is not None
    assert figures == {"succeeded": 0, "failed": 0, "owed": 1, "lastAttempts": []}


async def test_the_list_with_statistics(api: Api, pool: Pool) -> None:
    """Each endpoint's own, as its own call answers them; only where they are asked for."""
    busy, idle = await create(api, events=["webhook.*"]), await create(api)
    await api.post(f"{ENDPOINTS}/{busy['id']}/test")
    await api.post(f"{ENDPOINTS}/{busy['id']}/test")
    deliveries = [row["id"] for row in await pool.fetch("SELECT id FROM deliveries ORDER BY id")]
    await pool.execute("UPDATE endpoints SET failed = 1 WHERE id = $1", busy["id"])
    await pool.execute(
        "INSERT INTO attempts (tenant_id, delivery_id, number, endpoint_id, event_id, event_type, outcome, duration_seconds)"
        " VALUES ($1, $2, 1, $3, 'evt_1', 'webhook.test', 'rejected', 0.5)",
        api.company_id,
        deliveries[1],
        busy["id"],
    )
    listed = (await api.get(ENDPOINTS, params={"statistics": "true"})).json()["endpoints"]
    assert [endpoint["id"] for endpoint in listed] == [idle["id"], busy["id"]]
    for endpoint in listed:
        own = (await api.get(f"{ENDPOINTS}/{endpoint['id']}/statistics")).json()
        assert endpoint["statistics"] == own
    assert [endpoint["statistics"]["owed"] for endpoint in listed] == [0, 2]
    assert [len(endpoint["statistics"]["lastAttempts"]) for endpoint in listed] == [0, 1]
    assert all("statistics" not in endpoint for endpoint in (await api.get(ENDPOINTS)).json()["endpoints"])


async def test_enabling_rings_for_the_dispatcher(api: Api) -> None:
    """What waited for the endpoint is looked at without waiting for a poll."""
    made = await create(api)
    path = f"{ENDPOINTS}/{made['id']}"
    disabled = (await api.patch(path, json={"status": "disabled"})).json()
    assert (disabled["status"], disabled["disabledReason"]) == ("disabled", "requested")
    bell = api.services.doorbell.bell("deliveries")
    enabled = (await api.patch(path, json={"status": "enabled"})).json()
    assert (enabled["status"], enabled["disabledReason"]) == ("enabled", None)
    assert bell._rung.is_set()


async def test_the_operator_names_a_company_or_an_endpoint(api: Api) -> None:
    """Lists and registrations need `companyId`; an id says by itself whose it is."""
    operator = api.with_key(OPERATOR_KEY)
    assert (await operator.get(ENDPOINTS)).json()["code"] == "company_required"
    made = await create(operator, companyId=api.company_id)
    assert made["companyId"] == api.company_id
    assert (await operator.get(f"{ENDPOINTS}/{made['id']}")).status_code == 200
    assert (await operator.get(ENDPOINTS, params={"companyId": api.company_id})).status_code == 200
    unknown = await operator.post(ENDPOINTS, json={"url": URL, "companyId": "ten_nobody"})
    assert unknown.status_code == 404


async def test_a_key_without_the_scope_is_refused(api: Api) -> None:
    """`webhooks` is needed, and no other scope stands in for it but `admin`."""
    caller = await api.with_key(OPERATOR_KEY).as_tenant("Reader", "messages:read", "sessions")
    assert (await caller.get(ENDPOINTS)).json()["code"] == "scope_missing"
