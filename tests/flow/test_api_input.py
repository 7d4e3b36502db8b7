"""Bad input of every kind: a 4xx problem with code, sentence and path, and nothing changed."""

import json
from typing import Any

import pytest

from relay.config import Config, Media, Server
from relay.store.pool import Pool
from tests.api_client import Api, serve_api

TENANTS = "/api/v1/admin/tenants"
KEYS = "/api/v1/admin/keys"


def body(**fields: Any) -> bytes:
    return json.dumps({"name": "x", "scopes": ["rules"], **fields}).encode()


@pytest.mark.parametrize(
    ("content", "status", "code", "path"),
    [
        (b"", 400, "body_missing", None),
        (b"null", 400, "invalid_input", None),
        (b"[]", 400, "invalid_input", None),
        (b'{"name": "x"', 400, "json_malformed", None),
        (b"name=x", 400, "json_malformed", None),
        (b"\xff\xfe", 400, "json_malformed", None),
        (b'{"name": "\xff"}', 400, "json_malformed", None),
        (b'{"name": "\\ud800"}', 400, "json_malformed", None),
        (body(name=1), 400, "invalid_input", "name"),
        (body(name=""), 400, "invalid_input", "name"),
        (body(name="x" * 201), 400, "invalid_input", "name"),
        (body(name="a\0b"), 400, "nul_character", None),
        (body(scopes=[]), 400, "invalid_input", "scopes"),
        (body(scopes=["everything"]), 400, "invalid_input", "scopes[0]"),
        (body(surprise=1), 400, "invalid_input", "surprise"),
        (body(company_id="x"), 400, "invalid_input", "company_id"),
        (body(expiresAt="tomorrow"), 400, "invalid_input", "expiresAt"),
        (body(expiresAt="2990-01-01T00:00:00"), 400, "invalid_input", "expiresAt"),
        (body(expiresAt="99999-01-01T00:00:00Z"), 400, "invalid_input", "expiresAt"),
        (body(expiresAt="0001-01-01T00:00:00+23:59"), 400, "invalid_input", "expiresAt"),
        (body(expiresAt="9999-12-31T23:59:59.999999-23:59"), 400, "invalid_input", None),
        (body(expiresAt=10**30), 400, "invalid_input", "expiresAt"),
        (b'{"name": NaN}', 400, "json_malformed", None),
        (b'{"scopes": ' + b"[" * 2000 + b"]" * 2000 + b"}", 400, "invalid_input", "scopes[0]"),
        (b'{"scopes": ["rules"], "name": "x", "more": ' + b"[" * 5000 + b"]" * 5000 + b"}", 400, None, None),
        (body(name="x" * 20_000_000), 413, "body_too_large", None),
    ],
)
async def test_a_wrong_body_is_refused(
    *, api: Api, pool: Pool, content: bytes, status: int, code: str | None, path: str | None
) -> None:
    """With the code, the field's path and a sentence."""
    caller = await api.as_tenant()
    response = await caller.post(KEYS, content=content)
    problem = response.json()
    assert response.status_code == problem["status"] == status, problem
    assert response.headers["Content-Type"] == "application/problem+json"
    assert code in (problem["code"], None)
    assert path in (problem.get("path"), None)
    assert problem["detail"].endswith(".")
    assert await pool.fetchval("SELECT count(*) FROM api_keys") == 1


@pytest.mark.parametrize(
    ("query", "path"),
    [
        ("limit=0", "limit"),
        ("limit=201", "limit"),
        ("limit=ten", "limit"),
        ("limit=99999999999999999999", "limit"),
        ("limit=1e400", "limit"),
        ("limit=NaN", "limit"),
        ("cursor=x", "cursor"),
        ("cursor=" + "x" * 300, "cursor"),
        ("companyId=%00", None),
        ("companyId=a%00b", None),
    ],
)
async def test_a_wrong_query_is_refused(api: Api, query: str, path: str | None) -> None:
    """With the parameter's name."""
    response = await (await api.as_tenant()).get(f"{KEYS}?{query}")
    assert response.status_code == 400, response.text
    assert response.json().get("path") == path
    assert "http" not in response.json()["detail"]


@pytest.mark.parametrize(
    "key_id",
    ["x", "key_", "%00", "a%00b", "%ff%fe", "%ED%A0%80", "x" * 5000, "..%2f..%2f", "'; --", "%F0%9F%98%80"],
)
async def test_an_invented_id_finds_nothing(api: Api, key_id: str) -> None:
    """Whatever stands in the path: 404, or 400 where no database could hold it."""
    caller = await api.as_tenant()
    for response in (
        await caller.delete(f"{KEYS}/{key_id}"),
        await caller.post(f"{KEYS}/{key_id}/rotate"),
        await api.get(f"{TENANTS}/{key_id}"),
        await api.get(KEYS, params={"companyId": key_id}),
    ):
        assert response.status_code in (200, 400, 404), response.text


@pytest.mark.parametrize(
    "seconds", [b"-1", b"1e400", b"1e300", b"NaN", b'"60"', b"99999999999999999999", b"true"]
)
async def test_an_absurd_overlap_is_refused(api: Api, seconds: bytes) -> None:
    """Numbers beyond every range."""
    caller = await api.as_tenant()
    key_id = (await caller.get(KEYS)).json()["keys"][0]["id"]
    response = await caller.post(f"{KEYS}/{key_id}/rotate", content=b'{"overlapSeconds": ' + seconds + b"}")
    assert response.status_code == 400, response.text
    assert len((await caller.get(KEYS)).json()["keys"]) == 1


@pytest.mark.parametrize("days", [0, -1, 1.5, "7", 10**30, True])
async def test_an_absurd_retention_is_refused(api: Api, days: Any) -> None:
    """A number of days that no calendar holds would break the sweep later."""
    response = await api.post(TENANTS, json={"name": "x", "retention": {"eventDays": days}})
    assert (response.status_code, response.json()["path"]) == (400, "retention.eventDays")


@pytest.mark.parametrize("key", ["", "relay_\xe9", "relay_ x", "x" * 60_000, "\t", "Bearer relay_x"])
async def test_a_strange_key_is_no_key(api: Api, key: str) -> None:
    """Empty, too long, with letters of every alphabet: 401."""
    for header in ("X-Api-Key", "Authorization"):
        value = key if header == "X-Api-Key" else f"Bearer {key}"
        response = await api.with_key(None).get(KEYS, headers=[(header.encode(), value.encode("latin-1"))])
        assert response.status_code == 401, response.text


async def test_the_cap_on_bodies_is_the_configured_one(pool: Pool, url: str) -> None:
    """One byte over is refused, whatever the Content-Length says; the cap on files is another."""
    config = Config(server=Server(max_body_bytes=1000), media=Media(max_bytes=10_000))
    async with serve_api(pool, url, config=config) as api:
        exact = body(name="x" * 100).ljust(1000)
        company_id = await api.make_tenant()
        caller = api.with_key(await api.make_key(company_id))
        assert (await caller.post(KEYS, content=exact)).status_code == 201
        over = await caller.post(KEYS, content=exact + b" ", headers={"Content-Length": "10"})
        assert (over.status_code, over.json()["code"]) == (413, "body_too_large")
