"""The API's core: companies, keys, scopes, problems, limits."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import pytest
from litestar.routes import HTTPRoute

from relay.api.auth import Authenticator
from relay.api.key_use import KeyUse
from relay.config import Config, Limits
from relay.loops import Bell
from relay.model.api_key import digest, new_key
from relay.model.errors import ConfigError, Unauthenticated
from relay.model.tenant import Scope
from relay.store.doorbell import Doorbell
from relay.store.keys import insert_key, mark_keys_used
from relay.store.pool import Pool
from tests.api_client import ALL_SCOPES, OPERATOR_KEY, Api, serve_api

TENANTS = "/api/v1/admin/tenants"
KEYS = "/api/v1/admin/keys"


async def test_a_company_lives_its_life(api: Api) -> None:
    """Created, read, changed (what is left out stays), listed, removed."""
    created = (await api.post(TENANTS, json={"name": "Acme", "retention": {"eventDays": 7}})).json()
    company_id = created["companyId"]
    assert created["retention"] == {"messageDays": None, "eventDays": 7, "mediaDays": None}
    changed = await api.patch(f"{TENANTS}/{company_id}", json={"name": "Acme Ltd"})
    assert changed.json() == {**created, "name": "Acme Ltd"}
    assert (await api.get(f"{TENANTS}/{company_id}")).json() == changed.json()
    assert [t["companyId"] for t in (await api.get(TENANTS)).json()["tenants"]] == [company_id]
    assert (await api.delete(f"{TENANTS}/{company_id}")).status_code == 204
    for method in ("GET", "DELETE"):
        assert (await api.request(method, f"{TENANTS}/{company_id}")).status_code == 404


async def test_companies_are_paged(api: Api) -> None:
    """Every one comes once, newest first."""
    made = [await api.make_tenant(str(n)) for n in range(5)]
    seen: list[str] = []
    cursor: str | None = ""
    while cursor is not None:
        query = {"limit": 2} | ({"cursor": cursor} if cursor else {})
        page = (await api.get(TENANTS, params=query)).json()
        seen += [tenant["companyId"] for tenant in page["tenants"]]
        cursor = page["nextCursor"]
    assert seen == made[::-1]


async def test_removing_a_company_removes_everything_of_it(api: Api, pool: Pool) -> None:
    """No table keeps a row of it, its keys open nothing, and another company keeps everything."""
    gone, kept = await api.as_tenant("gone"), await api.as_tenant("kept")
    for company in (gone, kept):
        await pool.execute(_FILL.replace("TENANT", company.company_id))
    before = await _count_rows(pool)
    assert (await api.delete(f"{TENANTS}/{gone.company_id}")).status_code == 204
    assert (await gone.get(KEYS)).status_code == 401
    assert (await kept.get(KEYS)).status_code == 200
    after = await _count_rows(pool)
    assert set(before) >= {"events", "deliveries", "attempts", "whatsapp_messages", "media", "leases"}
    assert after == {table: count // 2 for table, count in before.items()}


# A row in every table that holds something of a company.
_FILL = """
    DO $$ DECLARE s text := 'ses_' || 'TENANT'; BEGIN
    CREATE TABLE IF NOT EXISTS events_all PARTITION OF events DEFAULT;
    CREATE TABLE IF NOT EXISTS attempts_all PARTITION OF attempts DEFAULT;
    INSERT INTO whatsapp_sessions (id, tenant_id, name, engine) VALUES (s, 'TENANT', 'x', 'sandbox');
    INSERT INTO leases VALUES (s, 'host', 1, now());
    INSERT INTO whatsapp_auth_state VALUES (s, 'TENANT', '', 1);
    INSERT INTO whatsapp_session_keys VALUES (s, 'TENANT', '');
    INSERT INTO whatsapp_contacts (id, tenant_id, session_id, pn) VALUES ('ctc_TENANT', 'TENANT', s, '1');
    INSERT INTO whatsapp_chats (session_id, jid, tenant_id) VALUES (s, '1@s', 'TENANT');
    INSERT INTO whatsapp_messages (id, tenant_id, session_id, chat, direction, origin, sender, type, content,
                                   status, sent_at)
         VALUES ('msg_TENANT', 'TENANT', s, '1@s', 'inbound', 'contact', '1@s', 'text', '{}', 'received', now());
    INSERT INTO media (id, tenant_id, session_id, sha256, mimetype, size_bytes)
         VALUES ('med_TENANT', 'TENANT', s, '', 'a/b', 1);
    INSERT INTO endpoints (id, tenant_id, url, secret) VALUES ('ep_TENANT', 'TENANT', 'https://x', '');
    INSERT INTO events (id, tenant_id, type, body) VALUES ('evt_TENANT', 'TENANT', 't', '');
    INSERT INTO deliveries (id, tenant_id, endpoint_id, event_id, event_type)
         VALUES ('dlv_TENANT', 'TENANT', 'ep_TENANT', 'evt_TENANT', 't');
    INSERT INTO attempts (tenant_id, delivery_id, number, endpoint_id, event_id, event_type, outcome, duration_seconds)
         VALUES ('TENANT', 'dlv_TENANT', 1, 'ep_TENANT', 'evt_TENANT', 't', 'succeeded', 0);
    INSERT INTO idempotency_keys (tenant_id, route, key, body_hash) VALUES ('TENANT', 'r', 'k', '');
    INSERT INTO reply_tasks (message_id, tenant_id, session_id, chat) VALUES ('msg_TENANT', 'TENANT', s, '1@s');
    INSERT INTO sandbox_commands (tenant_id, session_id, body) VALUES ('TENANT', s, '{}');
    INSERT INTO sandbox_outbox (tenant_id, session_id, body) VALUES ('TENANT', s, '{}');
    END $$
"""


async def _count_rows(pool: Pool) -> dict[str, int]:
    tables = await pool.fetch(
        "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p')"
        " AND NOT relispartition"
    )
    counts = {row["relname"]: await pool.fetchval(f"SELECT count(*) FROM {row['relname']}") for row in tables}
    return {
        table: count
        for table, count in counts.items()
        if count and table not in {"relay_migrations", "master_key"}
    }


async def test_a_key_is_shown_once_and_stored_as_a_hash(api: Api, pool: Pool) -> None:
    """The list holds a hint, the table a SHA-256, and neither the text."""
    company_id = await api.make_tenant()
    body = {
        "companyId": company_id,
        "name": "crm",
        "scopes": ["messages:send"],
        "expiresAt": "2990-01-01T00:00:00Z",
    }
    created = (await api.post(KEYS, json=body)).json()
    text = created.pop("key")
    listed = (await api.get(KEYS, params={"companyId": company_id})).json()["keys"]
    assert listed == [created]
    assert created["hint"] == text[:10] + "…"
    row = (await pool.fetch("SELECT * FROM api_keys"))[0]
    assert row["hash"] == digest(text)
    assert text not in str(dict(row))


class _Unreachable:
    """A pool that must not be asked."""

    def acquire(self) -> Any:
        raise AssertionError("the database was asked")


@pytest.mark.parametrize(
    "text", ["relay_" + "0" * 49, "x" * 55, "relay_é", "", new_key()[:-1] + "_"], ids=range(5)
)
async def test_a_misspelled_key_asks_no_database(text: str) -> None:
    """The checksum refuses it; a well-spelled one is looked up."""
    pool: Any = _Unreachable()
    authenticator = Authenticator(
        pool, operator_key=None, now=lambda: datetime.now(UTC), key_use=KeyUse(pool)
    )
    with pytest.raises(Unauthenticated, match="misspelled"):
        await authenticator.authenticate([(b"x-api-key", text.encode("latin-1"))])
    with pytest.raises(AssertionError, match="was asked"):
        await authenticator.authenticate([(b"x-api-key", new_key().encode())])


async def _store_operator_key(pool: Pool, text: str) -> None:
    async with pool.acquire() as conn:
        await insert_key(conn, tenant_id=None, name="operator", scopes=frozenset({Scope.ADMIN}), text=text)


async def test_a_key_found_once_is_remembered(pool: Pool) -> None:
    """The next request asks nobody, a known one and an unknown one alike."""
    text, unknown = new_key(), new_key()
    await _store_operator_key(pool, text)
    authenticator = Authenticator(
        pool, operator_key=None, now=lambda: datetime.now(UTC), key_use=KeyUse(pool)
    )
    principal = await authenticator.authenticate([(b"authorization", b"bearer " + text.encode())])
    with pytest.raises(Unauthenticated, match="unknown"):
        await authenticator.authenticate([(b"x-api-key", unknown.encode())])
    authenticator._pool = _Unreachable()  # type: ignore[assignment]
    assert await authenticator.authenticate([(b"x-api-key", text.encode())]) is principal
    with pytest.raises(Unauthenticated, match="unknown"):
        await authenticator.authenticate([(b"x-api-key", unknown.encode())])
    authenticator.ring()
    with pytest.raises(AssertionError, match="was asked"):
        await authenticator.authenticate([(b"x-api-key", text.encode())])


async def test_both_headers_carry_a_key_and_a_url_does_not(api: Api) -> None:
    """`Authorization: Bearer` and `X-Api-Key`; without one the answer says which header to send."""
    text = await api.make_key(await api.make_tenant())
    nobody = api.with_key(None)
    for headers in ({"Authorization": f"bearer {text}"}, {"X-Api-Key": text}):
        assert (await nobody.get(KEYS, headers=headers)).status_code == 200
    refused = await nobody.get(KEYS, params={"key": text, "apiKey": text, "access_token": text})
    assert refused.status_code == 401
    assert refused.headers["WWW-Authenticate"] == "Bearer"
    assert refused.json()["code"] == "key_missing"


async def test_an_expired_key_opens_nothing(pool: Pool, url: str) -> None:
    """The moment counts, though the key is remembered."""
    clock = [datetime.now(UTC)]
    async with serve_api(pool, url, now=lambda: clock[0]) as api:
        company_id = await api.make_tenant()
        expires_at = (clock[0] + timedelta(hours=1)).isoformat()
        caller = api.with_key(await api.make_key(company_id, expiresAt=expires_at))
        assert (await caller.get(KEYS)).status_code == 200
        clock[0] += timedelta(hours=1)
        assert (await caller.get(KEYS)).json()["code"] == "key_expired"
        past = await api.post(
            KEYS, json={"companyId": company_id, "name": "x", "scopes": ["rules"], "expiresAt": expires_at}
        )
        assert (past.status_code, past.json()["path"]) == (400, "expiresAt")


async def test_rotation_lets_the_old_key_work_for_the_overlap(pool: Pool, url: str) -> None:
    """Both work at first; when the overlap is over only the new one does."""
    clock = [datetime.now(UTC)]
    async with serve_api(pool, url, now=lambda: clock[0]) as api:
        caller = await api.as_tenant()
        key_id = (await caller.get(KEYS)).json()["keys"][0]["id"]
        rotated = await caller.post(f"{KEYS}/{key_id}/rotate", json={"overlapSeconds": 60})
        assert rotated.status_code == 201
        renewed = caller.with_key(rotated.json()["key"])
        assert {(await c.get(KEYS)).status_code for c in (caller, renewed)} == {200}
        clock[0] += timedelta(seconds=61)
        assert ((await caller.get(KEYS)).status_code, (await renewed.get(KEYS)).status_code) == (401, 200)
        again = await renewed.post(f"{KEYS}/{key_id}/rotate")
        assert (again.status_code, again.json()["code"]) == (409, "key_ended")


@asynccontextmanager
async def _ringing(doorbell: Doorbell) -> AsyncIterator[None]:
    heard = doorbell.bell("keys", Bell())
    task = asyncio.create_task(doorbell.run())
    # It rings once when it has begun to listen.
    await heard.wait(10)
    yield
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


async def test_a_revoked_key_is_felt_by_another_process_at_once(pool: Pool, url: str) -> None:
    """Two apps, each with its own memory of keys; the doorbell makes both forget."""
    async with (
        serve_api(pool, url) as one,
        serve_api(pool, url) as two,
        _ringing(one.services.doorbell),
        _ringing(two.services.doorbell),
    ):
        heard = two.services.doorbell.bell("keys")
        text = await one.make_key(await one.make_tenant())
        await heard.wait(10)
        assert (await two.with_key(text).get(KEYS)).status_code == 200
        key_id = (await one.get(KEYS)).json()["keys"][0]["id"]
        assert (await one.delete(f"{KEYS}/{key_id}")).status_code == 204
        assert (await one.with_key(text).get(KEYS)).status_code == 401
        await heard.wait(10)
        assert (await two.with_key(text).get(KEYS)).json()["code"] == "key_unknown"


async def test_a_scope_opens_its_routes_and_no_other(api: Api) -> None:
    """Keys are managed with `admin` only; companies by the operator only."""
    for scope in ALL_SCOPES:
        caller = await api.as_tenant(scope, scope)
        refused = await caller.get(KEYS)
        assert refused.status_code == (200 if scope == "admin" else 403)
        companies = await caller.get(TENANTS)
        assert (companies.status_code, companies.json()["code"]) == (403, "operator_only")


async def test_a_company_manages_its_own_keys_only(api: Api) -> None:
    """Another company's keys are not listed, revoked, rotated or made."""
    mine, other = await api.as_tenant("mine"), await api.as_tenant("other")
    other_id = (await other.get(KEYS)).json()["keys"][0]["id"]
    made = await mine.post(KEYS, json={"name": "second", "scopes": ["rules"]})
    assert made.json()["companyId"] == mine.company_id
    assert {key["companyId"] for key in (await mine.get(KEYS)).json()["keys"]} == {mine.company_id}
    for response in (
        await mine.get(KEYS, params={"companyId": other.company_id}),
        await mine.post(KEYS, json={"companyId": other.company_id, "name": "x", "scopes": ["rules"]}),
        await mine.delete(f"{KEYS}/{other_id}"),
        await mine.post(f"{KEYS}/{other_id}/rotate"),
    ):
        assert response.status_code == 404
    assert len((await other.get(KEYS)).json()["keys"]) == 1


async def test_the_operators_own_keys(api: Api, pool: Pool) -> None:
    """Listed apart from the companies', which do not get to see them."""
    company = await api.as_tenant()
    async with pool.acquire() as conn:
        own = await insert_key(
            conn, tenant_id=None, name="first", scopes=frozenset({Scope.ADMIN}), text=new_key()
        )
    listed = (await api.get(KEYS, params={"operator": "true"})).json()
    assert [(key["id"], key["companyId"]) for key in listed["keys"]] == [(own.id, None)]
    assert len((await api.get(KEYS)).json()["keys"]) == 2
    refused = await company.get(KEYS, params={"operator": "true"})
    assert (refused.status_code, refused.json()["code"]) == (403, "operator_only")
    assert (await company.delete(f"{KEYS}/{own.id}")).status_code == 404


async def test_the_list_of_companies_counts_their_sessions(api: Api) -> None:
    """Each its own, none where there is none."""
    one, other = await api.as_tenant("one"), await api.as_tenant("other")
    for name in ("a", "b"):
        await one.post("/api/v1/whatsapp/sessions", json={"name": name, "engine": "sandbox"})
    listed = (await api.get(TENANTS)).json()["tenants"]
    assert {company["companyId"]: company["sessions"] for company in listed} == {
        one.company_id: 2,
        other.company_id: 0,
    }


async def test_when_a_key_was_last_used(pool: Pool, url: str) -> None:
    """Not written while it is used, but by the work of once a minute; a key that is refused was not used."""
    clock = [datetime(2026, 1, 1, tzinfo=UTC)]
    async with serve_api(pool, url, now=lambda: clock[0]) as api:
        caller = await api.as_tenant()
        (made,) = (await api.get(KEYS, params={"companyId": caller.company_id})).json()["keys"]

        async def last_used() -> str | None:
            (key,) = (await api.get(KEYS, params={"companyId": caller.company_id})).json()["keys"]
            return str(key["lastUsedAt"]) if key["lastUsedAt"] else None

        await caller.get(KEYS)
        assert await last_used() is None
        assert await api.services.key_use.work() is False
        assert await last_used() == "2026-01-01T00:00:00Z"
        clock[0] += timedelta(hours=1)
        await caller.get(KEYS)
        await api.services.key_use.work()
        assert await last_used() == "2026-01-01T01:00:00Z"
        async with pool.acquire() as conn:
            await mark_keys_used(conn, {made["id"]: clock[0] - timedelta(minutes=5)})
        assert await last_used() == "2026-01-01T01:00:00Z"
        await api.delete(f"{KEYS}/{made['id']}")
        clock[0] += timedelta(hours=1)
        assert (await caller.get(KEYS)).status_code == 401
        await api.services.key_use.work()
        assert await last_used() == "2026-01-01T01:00:00Z"


async def test_a_use_that_cannot_be_written_is_kept(pool: Pool) -> None:
    """The database may be away for a while; what came meanwhile counts, not what failed before it."""
    async with pool.acquire() as conn:
        key = await insert_key(
            conn, tenant_id=None, name="k", scopes=frozenset({Scope.ADMIN}), text=new_key()
        )
    use = KeyUse(pool)
    first, second = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 2, tzinfo=UTC)
    use.note(key.id, first)
    await pool.execute("ALTER TABLE api_keys RENAME TO away")
    with pytest.raises(asyncpg.UndefinedTableError):
        await use.work()
    await pool.execute("ALTER TABLE away RENAME TO api_keys")
    await use.work()
    assert await pool.fetchval("SELECT last_used_at FROM api_keys") == first
    use.note(key.id, second)
    await use.work()
    assert await pool.fetchval("SELECT last_used_at FROM api_keys") == second


async def test_the_operator_must_name_a_company(api: Api) -> None:
    """A key without a company would be an operator's; that is made on the machine, not here."""
    refused = await api.post(KEYS, json={"name": "x", "scopes": ["admin"]})
    assert (refused.status_code, refused.json()["code"]) == (400, "company_required")
    unknown = await api.post(KEYS, json={"companyId": "ten_x", "name": "x", "scopes": ["admin"]})
    assert unknown.status_code == 404


async def test_a_stored_operator_key_is_the_operator(api: Api, pool: Pool) -> None:
    """A row without a company, as the first start makes it."""
    text = new_key()
    await _store_operator_key(pool, text)
    assert (await api.with_key(text).get(TENANTS)).status_code == 200
    assert (await api.with_key(OPERATOR_KEY + "x").get(TENANTS)).status_code == 401


PUBLIC_ROUTES = {
    *("/docs", "/docs/openapi.json", "/docs/{path}", "/livez", "/readyz", "/metrics", "/", "/console/{path}"),
    "/api/v1/rules/schema",
    # To sign in; the other methods ask who is there.
    "/api/v1/console/session",
}


async def test_every_route_asks_for_a_key(api: Api) -> None:
    """Made from the route list: what is not known to be public answers 401 to nobody."""
    nobody = api.with_key(None)
    open_routes: set[str] = set()
    for route in api.app.routes:
        assert isinstance(route, HTTPRoute)
        path = route.path_format
        for handler in route.route_handlers:
            for method in set(handler.http_methods) - {"OPTIONS"}:
                if "public" in handler.opt:
                    open_routes.add(path)
                    continue
                refused = await nobody.request(method, path.replace("{", "").replace("}", ""))
                assert (refused.status_code, refused.json()["code"]) == (401, "key_missing"), path
    assert open_routes <= PUBLIC_ROUTES


async def test_unknown_paths_and_methods_are_problems(api: Api) -> None:
    """Litestar's own refusals look like ours."""
    missing, wrong = await api.get("/api/v1/nothing"), await api.put(TENANTS)
    assert [(r.status_code, r.json()["code"]) for r in (missing, wrong)] == [
        (404, "not_found"),
        (405, "method_not_allowed"),
    ]
    assert "GET" in wrong.headers["Allow"]
    assert {r.headers["Content-Type"] for r in (missing, wrong)} == {"application/problem+json"}


async def test_a_database_that_is_away_is_a_503(api: Api, pool: Pool) -> None:
    """Nothing leaks, and the caller is told to come again."""
    await pool.close()
    response = await api.get(TENANTS)
    assert (response.status_code, response.json()["code"]) == (503, "database_unavailable")
    assert int(response.headers["Retry-After"]) >= 1


async def test_what_breaks_on_our_side_is_logged_and_not_told(
    pool: Pool, url: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A 500 holds no word of the exception; the log holds its trace."""

    def broken() -> datetime:
        raise RuntimeError("the clock's inner secret")

    async with serve_api(pool, url, now=broken) as api:
        with caplog.at_level(logging.ERROR):
            response = await api.delete(f"{KEYS}/key_x")
    assert (response.status_code, response.json()["code"]) == (500, "internal")
    assert "secret" not in response.text
    assert "inner secret" in caplog.text


async def test_requests_over_the_limit_are_refused_with_when_to_come_again(pool: Pool, url: str) -> None:
    """Counted by key; the headers tell how the tightest limit stands."""
    config = Config(limits=Limits(requests="4/hour; 100/day"))
    async with serve_api(pool, url, config=config) as api:
        caller, other = await api.as_tenant(), await api.as_tenant()
        answers = [await caller.get(KEYS) for _ in range(5)]
        assert [answer.status_code for answer in answers] == [200, 200, 200, 200, 429]
        assert [answer.headers["RateLimit"].partition(";t=")[0] for answer in answers] == [
            '"requests";r=3',
            '"requests";r=2',
            '"requests";r=1',
            '"requests";r=0',
            '"requests";r=0',
        ]
        assert answers[0].headers["RateLimit-Policy"] == '"requests";q=4;w=3600, "requests";q=100;w=86400'
        assert 3500 < int(answers[4].headers["Retry-After"]) <= 3600
        assert (await other.get(KEYS)).status_code == 200


@pytest.mark.parametrize(
    ("limits", "path"),
    [
        (Limits(requests="many"), "limits.requests"),
        (Limits(requests="1/second", storage="nowhere://"), "limits.storage"),
        (Limits(requests="1/second", storage="memory://"), "limits.storage"),
    ],
)
async def test_a_wrong_limit_stops_the_start(pool: Pool, url: str, limits: Limits, path: str) -> None:
    """With the setting's path, as every wrong setting."""
    with pytest.raises(ConfigError, match=path):
        async with serve_api(pool, url, config=Config(limits=limits)):
            pass


async def test_openapi_describes_every_route(api: Api) -> None:
    """Served without a key, with summaries, problems and security; the page holds no foreign address."""
    nobody = api.with_key(None)
    schema = (await nobody.get("/docs/openapi.json")).json()
    routes = {r.path_format for r in api.app.routes} - {"/docs", "/docs/openapi.json", "/docs/{path}"}
    assert set(schema["paths"]) <= routes
    assert TENANTS in schema["paths"]
    for path, item in schema["paths"].items():
        for method, operation in item.items():
            assert operation["summary"], (path, method)
            problem = operation["responses"]["400"]["content"]["application/problem+json"]["schema"]
            assert problem == {"$ref": "#/components/schemas/Problem"}
    page = (await nobody.get("/docs")).text
    assert f"<code>{TENANTS}</code>" in page
    assert "//" not in page.replace("<!doctype", "")
