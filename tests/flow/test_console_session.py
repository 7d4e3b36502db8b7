"""Signing in at the console: a cookie that lives as its key does, and that no other site's page can use."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from relay.api.console.same_origin import check_same_origin
from relay.api.events import stream_events
from relay.model.api_key import new_key
from relay.model.errors import Forbidden
from relay.model.ids import TenantId
from relay.store import console_sessions
from relay.store.events import BEGINNING, Filter
from relay.store.pool import Pool
from tests.accounts import add_session
from tests.api_client import OPERATOR_KEY, Api, serve_api
from tests.serving import link_session, make_session, serve_all

SESSION = "/api/v1/console/session"
SESSIONS = "/api/v1/whatsapp/sessions"
KEYS = "/api/v1/admin/keys"
OWN_PAGE = {"X-Relay-Console": "1"}
START = datetime(2026, 5, 4, 9, 0, tzinfo=UTC)


class Clock:
    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> datetime:
        return self.now

    def set(self, **since_start: float) -> None:
        self.now = START + timedelta(**since_start)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def timed(pool: Pool, url: str, clock: Clock) -> AsyncIterator[Api]:
    async with serve_api(pool, url, now=clock) as api:
        yield api


async def post_key(browser: Api, key: str, *, headers: dict[str, str] | None = None, **body: Any) -> Any:
    return await browser.post(SESSION, json={"key": key, **body}, headers={**OWN_PAGE, **(headers or {})})


async def sign_in(api: Api, key: str, **body: Any) -> Api:
    """A browser that is signed in; it sends what the console's page does."""
    browser = api.with_key(None)
    answer = await post_key(browser, key, **body)
    assert answer.status_code == 200, answer.text
    browser.headers.update(OWN_PAGE)
    return browser


def token_of(browser: Api) -> str:
    return str(browser.cookies["relay_session"])


async def forget(api: Api) -> None:
    """What every process does five seconds later."""
    api.services.doorbell.ring("keys")


# --- in and out --------------------------------------------------------------------------------------------------


async def test_signing_in_and_out(api: Api) -> None:
    """The cookie opens what the key opens, as long as one is signed in; a copy of it opens nothing after."""
    company_id = await api.make_tenant("Padaria")
    key = await api.make_key(company_id, "sessions", "messages:read")
    (listed,) = (await api.with_key(OPERATOR_KEY).get(KEYS, params={"companyId": company_id})).json()["keys"]
    browser = api.with_key(None)
    assert (await browser.get(SESSION)).status_code == 401
    answer = await post_key(browser, key)
    who = {
        "companyId": company_id,
        "companyName": "Padaria",
        "operator": False,
        "scopes": ["messages:read", "sessions"],
        "keyId": listed["id"],
        "keyName": "test",
    }
    assert (answer.status_code, answer.json()) == (200, who)
    assert (await browser.get(SESSION)).json() == who
    assert (await browser.get(SESSIONS)).status_code == 200
    refused = await browser.get("/api/v1/webhooks/endpoints")
    assert (refused.status_code, refused.json()["code"]) == (403, "scope_missing")

    copy = api.with_key(None)
    copy.cookies.set("relay_session", token_of(browser))
    assert (await copy.get(SESSION)).status_code == 200
    gone = await browser.delete(SESSION, headers=OWN_PAGE)
    assert gone.status_code == 204
    assert dict(browser.cookies) == {}
    ended = await copy.get(SESSION)
    assert (ended.status_code, ended.json()["code"]) == (401, "signed_out")


async def test_the_cookie(api: Api) -> None:
    """No script reads it, no other site sends it, it goes with the browser; over https it stays there."""
    key = await api.make_key(await api.make_tenant())
    browser = api.with_key(None)
    given = (await post_key(browser, key)).headers["set-cookie"]
    name, *attributes = given.split("; ")
    assert name.startswith("relay_session=relay_")
    assert attributes == ["HttpOnly", "SameSite=Strict", "Path=/"]
    secure = (await post_key(browser, key, headers={"X-Forwarded-Proto": "https"})).headers["set-cookie"]
    assert secure.split("; ")[1:] == [*attributes, "Secure"]
    kept = (await post_key(browser, key, remember=True)).headers["set-cookie"]
    assert kept.split("; ")[1:] == [*attributes, "Max-Age=43200"]


async def test_the_operator(api: Api, pool: Pool, url: str) -> None:
    """The key of the environment signs in for all companies, until the server is started with another one."""
    browser = await sign_in(api, OPERATOR_KEY)
    assert (await browser.get(SESSION)).json() == {
        "companyId": None,
        "companyName": None,
        "operator": True,
        "scopes": ["admin"],
        "keyId": None,
        "keyName": "RELAY_OPERATOR_KEY",
    }
    made = await browser.post("/api/v1/admin/tenants", json={"name": "Acme"})
    assert made.status_code == 201, made.text
    for other_key in ("another-operator-key-for-tests", None):
        async with serve_api(pool, url, operator_key=other_key) as restarted:
            later = restarted.with_key(None)
            later.cookies.set("relay_session", token_of(browser))
            assert (await later.get(SESSION)).status_code == 401


async def test_only_hashes_are_stored(api: Api, pool: Pool) -> None:
    """Neither the cookie's text nor the operator's key is in the table, and a cookie's text is no key."""
    company = await api.make_key(await api.make_tenant())
    for key in (company, OPERATOR_KEY):
        browser = await sign_in(api, key)
        token = token_of(browser)
        rows = "".join(await pool.fetchval("SELECT array_agg(s::text) FROM console_sessions s"))
        raw = b"".join(row["hash"] + (row["operator_proof"] or b"") for row in await _rows(pool))
        for text in (token, key):
            assert text not in rows
            assert text.encode() not in raw
            assert text.encode().hex() not in rows
        assert (await api.with_key(token).get(SESSION)).json()["code"] == "key_unknown"
        stolen = api.with_key(None)
        stolen.cookies.set("relay_session", company)
        assert (await stolen.get(SESSION)).json()["code"] == "signed_out"


async def _rows(pool: Pool) -> list[Any]:
    return list(await pool.fetch("SELECT * FROM console_sessions"))


async def test_nothing_of_it_is_logged(api: Api, caplog: pytest.LogCaptureFixture) -> None:
    """Neither the key nor the cookie's text, whatever happens."""
    key = await api.make_key(await api.make_tenant())
    with caplog.at_level("DEBUG"):
        browser = await sign_in(api, key)
        await browser.get(SESSION)
        await post_key(browser, key + "x")
        await browser.post(SESSION, json={"key": [key]})
        token = token_of(browser)
        await browser.delete(SESSION)
    told = "\n".join(f"{record.getMessage()} {record.__dict__}" for record in caplog.records)
    assert key not in told
    assert token not in told


# --- how long ----------------------------------------------------------------------------------------------------


async def test_it_ends_when_it_is_not_used(timed: Api, clock: Clock, pool: Pool) -> None:
    """After 30 minutes, also where it was found a moment ago; what has ended is cleared away."""
    browser = await sign_in(timed, await timed.make_key(await timed.make_tenant()))
    clock.set(minutes=29.9)
    assert (await timed.with_key(None).get(SESSION)).status_code == 401
    clock.set(seconds=59)
    assert (await browser.get(SESSION)).status_code == 200
    clock.set(minutes=30)
    ended = await browser.get(SESSION)
    assert (ended.status_code, ended.json()["code"]) == (401, "signed_out")
    await forget(timed)
    assert (await browser.get(SESSION)).status_code == 401
    async with pool.acquire() as conn:
        await console_sessions.delete_expired(conn, now=clock.now)
    assert await _rows(pool) == []


async def test_use_renews_it(timed: Api, clock: Clock, pool: Pool) -> None:
    """30 minutes from each use, with at most one write a minute, until 12 hours have passed."""
    browser = await sign_in(timed, await timed.make_key(await timed.make_tenant()))

    async def until() -> timedelta:
        await forget(timed)
        assert (await browser.get(SESSION)).status_code == 200
        return timedelta(seconds=((await _rows(pool))[0]["expires_at"] - START).total_seconds())

    clock.set(seconds=59)
    assert await until() == timedelta(minutes=30)
    clock.set(minutes=1)
    assert await until() == timedelta(minutes=31)
    for minutes in range(30, 12 * 60, 29):
        clock.set(minutes=minutes)
        assert await until() <= timedelta(hours=12)
    clock.set(hours=11, minutes=59)
    assert await until() == timedelta(hours=12)
    clock.set(hours=12)
    assert (await browser.get(SESSION)).status_code == 401


async def test_an_open_stream_is_a_use(timed: Api, clock: Clock) -> None:
    """Who watches without a click stays signed in; when they sign out elsewhere, the stream ends."""
    company_id = await timed.make_tenant()
    browser = await sign_in(timed, await timed.make_key(company_id))
    headers = [(b"cookie", f"relay_session={token_of(browser)}".encode())]
    authenticator = timed.app.state["authenticator"]
    stream = stream_events(
        timed.services,
        TenantId(company_id),
        BEGINNING,
        Filter(),
        still_allowed=lambda: authenticator.authenticate(headers),
        heartbeat_seconds=0.001,
    )
    assert b"listening" in await anext(stream)
    for minutes in range(0, 120, 29):
        clock.set(minutes=minutes)
        await forget(timed)
        assert await anext(stream) == b": heartbeat\n\n"
    assert (await browser.delete(SESSION)).status_code == 204
    assert [chunk async for chunk in stream] == []


async def test_who_is_remembered(timed: Api, clock: Clock) -> None:
    """Signed in for 12 hours without a word, and not a moment longer for being used."""
    browser = await sign_in(timed, await timed.make_key(await timed.make_tenant()), remember=True)
    for hours, status in ((11, 200), (11.99, 200), (12, 401)):
        clock.set(hours=hours)
        await forget(timed)
        assert (await browser.get(SESSION)).status_code == status


async def test_it_ends_with_its_key(timed: Api, clock: Clock, pool: Pool) -> None:
    """Revoked, expired, replaced without overlap, or gone with its company: at once, though it was just in use."""
    company_id = await timed.make_tenant()
    kept = await sign_in(timed, await timed.make_key(company_id))
    own = await sign_in(timed, await timed.make_key(company_id))
    replaced = await sign_in(timed, await timed.make_key(company_id))
    soon = (START + timedelta(minutes=10)).isoformat()
    expiring = await sign_in(timed, await timed.make_key(company_id, expiresAt=soon))
    for browser in (kept, own, replaced, expiring):
        assert (await browser.get(SESSION)).status_code == 200
    listed = (await kept.get(KEYS)).json()["keys"]
    assert (await own.delete(f"{KEYS}/{listed[2]['id']}")).status_code == 204
    assert (await own.get(SESSION)).status_code == 401
    rotated = await kept.post(f"{KEYS}/{listed[1]['id']}/rotate", json={"overlapSeconds": 0})
    assert rotated.status_code == 201
    assert (await replaced.get(SESSION)).status_code == 401
    clock.set(minutes=10)
    assert (await expiring.get(SESSION)).status_code == 401
    assert (await kept.get(SESSION)).status_code == 200
    assert (await timed.delete(f"/api/v1/admin/tenants/{company_id}")).status_code == 204
    assert (await kept.get(SESSION)).status_code == 401
    assert await _rows(pool) == []


# --- other sites -------------------------------------------------------------------------------------------------

REFUSED = [
    {},
    {"X-Relay-Console": "0"},
    {**OWN_PAGE, "Sec-Fetch-Site": "cross-site"},
    {**OWN_PAGE, "Sec-Fetch-Site": "same-site"},
    {**OWN_PAGE, "Origin": "http://evil.test"},
    {**OWN_PAGE, "Origin": "http://relay.test:8080"},
    {**OWN_PAGE, "Origin": "http://relay.test.evil.test"},
    {**OWN_PAGE, "Origin": "null"},
    {**OWN_PAGE, "Origin": "http://relay.test", "Sec-Fetch-Site": "same-site"},
]
TAKEN = [
    OWN_PAGE,
    {**OWN_PAGE, "Sec-Fetch-Site": "same-origin"},
    {**OWN_PAGE, "Origin": "http://relay.test"},
    {**OWN_PAGE, "Origin": "https://RELAY.test"},
    {**OWN_PAGE, "Origin": "https://shown.test", "X-Forwarded-Host": "shown.test"},
    {**OWN_PAGE, "Origin": "https://shown.test", "Sec-Fetch-Site": "same-origin"},
]


async def test_another_sites_page_changes_nothing(api: Api, pool: Pool) -> None:
    """Every method that is not a look is refused without the page's header, or from another origin."""
    company_id = await api.make_tenant()
    browser = await sign_in(api, await api.make_key(company_id))
    del browser.headers["X-Relay-Console"]
    async with pool.acquire() as conn:
        _tenant, session_id = await add_session(conn, tenant_id=TenantId(company_id))
    path = f"{SESSIONS}/{session_id}"
    body = '{"name": "x", "connect": false, "engine": "sandbox"}'
    for headers in REFUSED:
        for method, place in (
            ("POST", SESSIONS),
            ("PATCH", path),
            ("DELETE", path),
            ("PUT", f"{path}/presence"),
        ):
            for extra in ({}, {"Content-Type": "text/plain"}, {"Idempotency-Key": "k"}):
                answer = await browser.request(method, place, content=body, headers={**headers, **extra})
                assert (answer.status_code, answer.json()["code"]) == (403, "csrf_refused"), (method, headers)
        assert (await browser.get(path, headers=headers)).status_code == 200
    assert await pool.fetchval("SELECT count(*) FROM whatsapp_sessions WHERE wanted <> 'gone'") == 1
    for headers in TAKEN:
        answer = await browser.post(SESSIONS, content=body, headers=headers)
        assert answer.status_code == 201, (headers, answer.text)


async def test_nobody_is_signed_in_or_out_by_another_site(api: Api) -> None:
    """To sign a visitor in with the attacker's key would show the attacker what the visitor does."""
    key = await api.make_key(await api.make_tenant())
    browser = await sign_in(api, key)
    del browser.headers["X-Relay-Console"]
    for headers in REFUSED:
        for answer in (
            await api.with_key(None).post(SESSION, json={"key": key}, headers=headers),
            await browser.delete(SESSION, headers=headers),
        ):
            assert (answer.status_code, answer.json()["code"]) == (403, "csrf_refused"), headers
            assert "set-cookie" not in answer.headers
    assert (await browser.get(SESSION)).status_code == 200


async def test_a_key_needs_no_such_header(api: Api) -> None:
    """Programs are held against nothing of it, with or without a cookie beside their key: the key is what counts."""
    ours, theirs = await api.as_tenant("ours"), await api.as_tenant("theirs", "sessions")
    browser = await sign_in(api, await api.make_key(ours.company_id))
    theirs.cookies.set("relay_session", token_of(browser))
    assert (await theirs.get(SESSION)).json()["companyId"] == theirs.company_id
    body = {"name": "x", "connect": False, "engine": "sandbox"}
    answer = await theirs.post(SESSIONS, json=body, headers={"Origin": "http://evil.test"})
    assert answer.status_code == 201
    wrong = api.with_key(new_key())
    wrong.cookies.set("relay_session", token_of(browser))
    assert (await wrong.get(SESSION)).json()["code"] == "key_unknown"


def test_an_origin_without_a_host_is_another() -> None:
    """No host was asked, none matches."""
    with pytest.raises(Forbidden, match="another site"):
        check_same_origin([(b"x-relay-console", b"1"), (b"origin", b"")])


async def test_another_company_sees_nothing(api: Api, pool: Pool) -> None:
    """A cookie's company is its key's: another's session is not there, whatever company is named."""
    ours, theirs = await api.as_tenant("ours"), await api.as_tenant("theirs")
    async with pool.acquire() as conn:
        _tenant, session_id = await add_session(conn, tenant_id=TenantId(ours.company_id))
    browser = await sign_in(api, await api.make_key(theirs.company_id))
    assert (await browser.get(f"{SESSIONS}/{session_id}")).status_code == 404
    assert (await browser.get(SESSIONS)).json()["sessions"] == []
    assert (await browser.get(SESSIONS, params={"companyId": ours.company_id})).status_code == 404
    refused = await browser.get("/api/v1/admin/tenants")
    assert (refused.status_code, refused.json()["code"]) == (403, "operator_only")


# --- wrong keys --------------------------------------------------------------------------------------------------


async def test_wrong_keys_are_limited(api: Api) -> None:
    """Refused as everywhere; after ten within a minute the address has to wait, with the right key too."""
    key = await api.make_key(await api.make_tenant())
    browser = api.with_key(None)
    for count in range(10):
        wrong = "nonsense" if count % 2 else new_key()
        refused = await post_key(browser, wrong)
        elsewhere = await api.with_key(wrong).get(SESSIONS)
        assert (refused.status_code, refused.json()) == (401, elsewhere.json())
        # What succeeds is not counted.
        if count < 9:
            assert (await post_key(browser, key)).status_code == 200
    for text in (key, "nonsense"):
        limited = await post_key(browser, text)
        assert (limited.status_code, limited.json()["code"]) == (429, "rate_limited")
        assert 1 <= int(limited.headers["retry-after"]) <= 60
    # A proxy on this machine says who it is; what the caller has written before it does not count.
    elsewhere = await post_key(browser, key, headers={"X-Forwarded-For": "192.0.2.1"})
    assert elsewhere.status_code == 200
    for count in range(10):
        await post_key(browser, "nonsense", headers={"X-Forwarded-For": f"10.0.0.{count}, 192.0.2.2"})
    for said in ("192.0.2.9, 192.0.2.2", "no address"):
        limited = await post_key(browser, key, headers={"X-Forwarded-For": said})
        assert limited.status_code == 429


async def test_a_stranger_does_not_choose_their_address(api: Api) -> None:
    """Who comes from a public address directly is counted by it, whatever they say of themselves."""
    transport = httpx.ASGITransport(api.app, client=("8.8.4.4", 1))
    async with httpx.AsyncClient(transport=transport, base_url="http://relay.test", headers=OWN_PAGE) as far:
        for count in range(11):
            headers = {"X-Forwarded-For": f"192.0.2.{count}"}
            answer = await far.post(SESSION, json={"key": "nonsense"}, headers=headers)
            assert answer.status_code == (401 if count < 10 else 429)


# --- with a host that runs -----------------------------------------------------------------------------------------


@pytest.fixture
async def live(pool: Pool, url: str, tmp_path: Any) -> AsyncIterator[Api]:
    async with serve_all(pool, url, tmp_path) as api:
        yield api


async def test_who_writes_at_the_console_is_a_person(live: Api) -> None:
    """A send by cookie is a person's unless it says otherwise; a key's is not unless it says so."""
    session_id = await link_session(live)
    browser = await sign_in(live, await live.make_key(live.company_id))
    body = {"sessionId": session_id, "to": "+55 11 99999-0001", "type": "text", "content": "Oi"}
    for caller, given, origin in (
        (browser, {}, "person"),
        (browser, {"byPerson": False}, "api"),
        (live, {}, "api"),
        (live, {"byPerson": True}, "person"),
    ):
        sent = await caller.post("/api/v1/whatsapp/send", json={**body, **given})
        assert sent.status_code == 202, sent.text
        message = await live.get(f"/api/v1/whatsapp/messages/{sent.json()['messageId']}")
        assert message.json()["origin"] == origin


async def test_the_live_stream_by_cookie(live: Api) -> None:
    """An EventSource can send no header: the cookie opens the stream of events, and that of a QR code."""
    browser = await sign_in(live, await live.make_key(live.company_id))
    session_id = await make_session(live)
    accept = {"Accept": "text/event-stream"}
    first = (await browser.get("/api/v1/events", headers={"Accept": "application/json"})).json()
    assert first["events"]
    live.services.draining.set()
    stream = await browser.get("/api/v1/events", headers=accept)
    assert (stream.status_code, stream.headers["content-type"]) == (200, "text/event-stream; charset=utf-8")
    qr = await browser.get(f"{SESSIONS}/{session_id}/qr", headers=accept)
    assert qr.status_code == 200
    assert (await live.with_key(None).get("/api/v1/events", headers=accept)).status_code == 401
