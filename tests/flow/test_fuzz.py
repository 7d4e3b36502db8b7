"""Rubbish of every kind at every route: a 4xx that says what is wrong, nothing changed, never a 5xx.

First what schemathesis makes of the served OpenAPI document, against a real `relay run api`; then a list of our own.
"""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from relay.store.pool import Pool
from tests.api_client import OPERATOR_KEY, Api, serve_api
from tests.flow.serving import Program, free_port, program, shared
from tests.flow.test_isolation import CALLS, V1, Route, examples, filled, fingerprint

_EXAMPLES = 20
_ANSWER_SECONDS = 15
_SLOW_SECONDS = 0.5


@asynccontextmanager
async def running(url: str, folder: Path) -> AsyncIterator[tuple[Program, int]]:
    """A `relay run api` of its own, and its port."""
    port = free_port()
    words = ["run", "api", "--port", str(port), "--data-dir", str(folder / "data")]
    environ = shared(url, folder, server__body_timeout_seconds=_SLOW_SECONDS)
    async with program(folder, *words, environ=environ) as api:
        await api.says("started")
        yield api, port


# --- schemathesis ----------------------------------------------------------------------------------------------------


async def test_schemathesis_finds_no_5xx(pool: Pool, url: str, tmp_path: Path) -> None:
    """What the document allows and what it forbids, at every operation: only answers that it tells of, none a 5xx."""
    async with serve_api(pool, url) as maker, running(url, tmp_path) as (api, port):
        caller = await maker.as_tenant()
        ids = await examples(caller, pool)
        tenant = caller.headers["Authorization"]
        await asyncio.to_thread(fuzz, f"http://127.0.0.1:{port}", tenant, ids)
        assert "request.failed" not in api.told


def fuzz(base: str, tenant: str, ids: dict[str, str]) -> None:
    schema = schemathesis.openapi.from_url(f"{base}/docs/openapi.json")
    operations: list[Any] = [found.ok() for found in schema.get_all_operations()]  # type: ignore[union-attr]
    assert len(operations) >= len(CALLS)
    surprises: set[str] = set()
    for operation in sorted(operations, key=lambda one: one.method.upper() == "DELETE"):
        key = f"Bearer {OPERATOR_KEY}" if "/admin/" in operation.path else tenant
        surprises |= fuzz_operation(operation, {"Authorization": key, "Accept": "application/json"}, ids)
    assert surprises == set(), "\n".join(sorted(surprises))


def fuzz_operation(operation: Any, headers: dict[str, str], ids: dict[str, str]) -> set[str]:
    """Answers that the document does not tell of; fails at the first 5xx."""
    documented = set(operation.definition.raw["responses"])
    surprises: set[str] = set()

    @settings(
        max_examples=_EXAMPLES,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(), real=st.booleans())
    def try_it(case: Any, real: bool) -> None:
        # To log out is to wait for a host, and none runs here.
        if real and case.path_parameters and not operation.path.endswith("/logout"):
            case.path_parameters = {
                name: ids.get(name, value) for name, value in case.path_parameters.items()
            }
        response = case.call(headers=headers, timeout=_ANSWER_SECONDS)
        said = f"{operation.method.upper()} {operation.path}: {response.status_code}"
        assert response.status_code < 500 or response.status_code == 501, f"{said} {response.text}"
        is_problem = response.headers.get("content-type") == ["application/problem+json"]
        if not is_problem and str(response.status_code) not in documented:
            surprises.add(said)

    try_it()
    return surprises


# --- our own list ----------------------------------------------------------------------------------------------------

_DEEP = "[" * 1000 + "]" * 1000
_BODIES: dict[Route, Any] = {
    route: call.body for route, call in CALLS.items() if call.body and "/admin/tenants" not in route[1]
}


def rubbish(body: dict[str, Any]) -> dict[str, bytes]:
    """What is wrong with a body, and the body."""
    text = json.dumps(body)
    first = next(iter(body))
    wrong = {
        "no JSON": b"{",
        "no UTF-8": b'{"%s": "\xff\xfe"}' % first.encode(),
        "another shape": b'["x"]',
        "a bare number": b"1e400",
        "an unknown field": json.dumps({**body, "nobodysField": 1}).encode(),
        "half a surrogate": text.replace(f'"{first}":', f'"\\ud800": 1, "{first}":').encode(),
        "a thousand levels": f'{{"nobodysField": {_DEEP}, {text[1:]}'.encode(),
        "a thousand levels in a field": json.dumps({**body, first: "DEEP"}).replace('"DEEP"', _DEEP).encode(),
        "20 MB": json.dumps({**body, first: "x" * 20_000_000}).encode(),
    }
    for field, value in body.items():
        wrong[f"{field} of another type"] = json.dumps({**body, field: 12.5}).encode()
        wrong[f"{field} as a list of lists"] = json.dumps({**body, field: [[value]]}).encode()
        if isinstance(value, str):
            wrong[f"a NUL in {field}"] = json.dumps({**body, field: value + "\x00"}).encode()
    return wrong


async def test_rubbish_is_refused_everywhere(api: Api, pool: Pool) -> None:
    """Each route that takes a body: a problem with code and sentence, and no row of anybody's has changed."""
    caller = await api.as_tenant()
    ids = await examples(caller, pool)
    before = await fingerprint(pool, caller.company_id)
    for route, body in _BODIES.items():
        for what, content in rubbish(filled(body, ids)).items():
            response = await caller.request(route[0], route[1].format_map(ids), content=content)
            told = (route, what, response.status_code, response.text[:300])
            assert 400 <= response.status_code < 500, told
            problem = response.json()
            assert problem["status"] == response.status_code, told
            assert problem["code"], told
            assert problem["detail"].endswith("."), told
            if what.endswith("of another type") and response.status_code == 400:
                assert problem["path"].startswith(what.partition(" ")[0]), told
    assert await fingerprint(pool, caller.company_id) == before


async def test_an_expired_key_opens_nothing(api: Api, pool: Pool) -> None:
    """401 with a code of its own, at every route."""
    caller = await api.as_tenant()
    ids = await examples(caller, pool)
    soon = datetime.now(UTC) + timedelta(hours=1)
    expiring = api.with_key(await api.make_key(caller.company_id, expiresAt=soon.isoformat()))
    await pool.execute("UPDATE api_keys SET expires_at = now() - interval '1 s' WHERE expires_at IS NOT NULL")
    for route in CALLS:
        response = await expiring.request(route[0], route[1].format_map(ids))
        assert (response.status_code, response.json()["code"]) == (401, "key_expired"), route


def head(method: str, route: str, credentials: str, *lines: str) -> bytes:
    """A request up to its body."""
    given = [f"{method} {V1}/{route} HTTP/1.1", "Host: x", f"Authorization: {credentials}", *lines, "", ""]
    return "\r\n".join(given).encode()


async def raw(port: int, *parts: bytes) -> bytes:
    """Send bytes as they are; the answer until the connection ends or a whole head has come."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    answer = b""
    try:
        for part in parts:
            writer.write(part)
            await writer.drain()
        async with asyncio.timeout(_ANSWER_SECONDS):
            while chunk := await reader.read(65536):
                answer += chunk
                if b"\r\n\r\n" in answer:
                    break
    except (ConnectionResetError, BrokenPipeError):
        pass
    finally:
        writer.close()
    return answer


_RAW_ROUTES = ("whatsapp/send", "whatsapp/media", "webhooks/endpoints")
_LIES = (
    ("Content-Length: 1000",),
    ("Transfer-Encoding: chunked",),
    ("Content-Length: 5", "Content-Length: 7"),
    ("Content-Length: -1",),
    ("Content-Length: 99999999999999999999999999",),
    ("Content-Length: 4", "Transfer-Encoding: chunked"),
    ("Transfer-Encoding: gzip",),
)


async def test_a_lie_about_the_body_changes_nothing(pool: Pool, url: str, tmp_path: Path) -> None:
    """Slow, endless or never complete: the real server refuses it within its deadline, and serves the next."""
    async with serve_api(pool, url) as maker, running(url, tmp_path) as (api, port):
        caller = await maker.as_tenant()
        before = await fingerprint(pool, caller.company_id)
        credentials = caller.headers["Authorization"]
        asked = [
            raw(port, head("POST", route, credentials, *lines) + b"{")
            for route in _RAW_ROUTES
            for lines in _LIES
        ]
        for answer in await asyncio.gather(*asked):
            assert 400 <= int(answer.split(b" ", 2)[1]) < 500, answer
        assert await fingerprint(pool, caller.company_id) == before
        answer = await raw(port, head("GET", "whatsapp/messages", credentials))
        assert answer.startswith(b"HTTP/1.1 200")
        assert "request.failed" not in api.told
        assert "Traceback" not in api.told
