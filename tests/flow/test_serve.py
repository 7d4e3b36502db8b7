"""`relay serve` from the outside: its first words, its second start, its end."""

import signal
import socket
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import httpx
import pytest

from relay.model.api_key import is_key
from tests.api_client import OPERATOR_KEY
from tests.flow.serving import (
    environment,
    left_over,
    link,
    make_tenant,
    program,
    serving,
    until,
)

TENANTS = "/api/v1/admin/tenants"
SESSIONS = "/api/v1/whatsapp/sessions"
KEYS_PRINTED = ("operator key", "demo company", "demo key", "demo session")


def serve_words(folder: Path, *words: str) -> list[str]:
    return ["serve", "--port", "0", "--data-dir", str(folder / "data"), *words]


def shows_a_code(caller: httpx.AsyncClient, session: str) -> Callable[[], Awaitable[bool]]:
    async def look() -> bool:
        return (await caller.get(f"{SESSIONS}/{session}")).json()["qrCode"] is not None

    return look


def is_connected(caller: httpx.AsyncClient, session: str) -> Callable[[], Awaitable[bool]]:
    async def look() -> bool:
        return bool((await caller.get(f"{SESSIONS}/{session}")).json()["status"] == "connected")

    return look


async def status(url: str, key: str, path: str = TENANTS) -> int:
    async with httpx.AsyncClient(base_url=url, trust_env=False) as client:
        return (await client.get(path, headers={"X-Api-Key": key})).status_code


async def test_the_first_start_prints_the_keys_and_the_second_none(tmp_path: Path) -> None:
    """They work, are told once; a linked session connects again by itself; a stop and a kill -9 leave no process."""
    async with serving(tmp_path, operator_key=None) as first:
        assert all(any(line.startswith(label) for line in first.lines) for label in KEYS_PRINTED)
        operator, demo, session = (
            first.printed(label) for label in ("operator key", "demo key", "demo session")
        )
        assert is_key(operator)
        assert is_key(demo)
        assert await status(first.url, operator) == 200
        assert await status(first.url, demo) == 403
        async with first.client(demo) as caller:
            await until(shows_a_code(caller, session), seconds=10, what="the demo session shows its code")
            scanned = await caller.post(f"{SESSIONS}/{session}/sandbox/scan")
            assert scanned.json()["status"] == "connected"
        began = time.monotonic()
        assert await first.stop() == 0, first.told
        assert time.monotonic() - began < 6
    assert left_over(tmp_path) == []
    async with serving(tmp_path, operator_key=None) as second:
        assert [line.split()[0] for line in second.lines] == ["ready"]
        assert await status(second.url, operator) == 200
        async with second.client(demo) as caller:
            await until(is_connected(caller, session), seconds=10, what="the session is connected again")
        assert len(second.family()) > 3
        second.process.kill()
        assert await second.ends() == -signal.SIGKILL

        async def all_gone() -> bool:
            return left_over(tmp_path) == []

        await until(all_gone, seconds=10, what="nothing is left running")


async def test_the_end_waits_for_nobody(tmp_path: Path) -> None:
    """A key of the environment is not told to anybody; a stream, half a body and a session hold up no Ctrl+C.

    A second server on the same folder says so and ends, and the first goes on.
    """
    async with serving(tmp_path, server__drain_seconds=3) as relay, await make_tenant(relay) as caller:
        assert not any("operator key" in line or OPERATOR_KEY in line for line in relay.lines)
        assert await status(relay.url, OPERATOR_KEY + "x") == 401
        async with program(tmp_path, *serve_words(tmp_path), environ=environment({})) as second:
            assert await second.ends() == 2
            assert len(second.told.splitlines()) == 1, second.told
        await link(caller)
        stream = await caller.send(
            caller.build_request("GET", "/api/v1/events", headers={"Accept": "text/event-stream"}),
            stream=True,
        )
        assert stream.status_code == 200
        host, port = relay.url.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port))) as slow:
            slow.sendall(
                b"POST /api/v1/admin/tenants HTTP/1.1\r\nHost: x\r\n"
                b"X-Api-Key: " + OPERATOR_KEY.encode() + b"\r\nContent-Length: 100\r\n\r\n{"
            )
            began = time.monotonic()
            relay.process.send_signal(signal.SIGINT)
            assert await relay.ends() == 0, relay.told
            assert time.monotonic() - began < 3 + 4
        await stream.aclose()
        assert "process.killed" not in relay.told
        assert OPERATOR_KEY not in relay.told
    assert left_over(tmp_path) == []


async def test_a_port_that_is_taken_is_one_sentence(tmp_path: Path) -> None:
    """No traceback, no database started for nothing."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        words = ["serve", "--data-dir", str(tmp_path / "data"), "--port", port]
        async with program(tmp_path, *words, environ=environment({})) as relay:
            assert await relay.ends() == 2
            assert "--port" in relay.told
            assert port in relay.told
            assert len(relay.told.splitlines()) == 1
    assert not (tmp_path / "data" / "postgres").exists()


@pytest.mark.parametrize("key", ["", "changeme", "change-me-please-now", "aaaaaaaaaaaaaaaaaaaaaaaa"])
async def test_a_sample_key_is_refused_beyond_loopback(tmp_path: Path, key: str) -> None:
    """The server does not start with a key that others could guess where others can try."""
    environ = environment({}, RELAY_OPERATOR_KEY=key)
    words = serve_words(tmp_path, "--host", "0.0.0.0")
    async with program(tmp_path, *words, environ=environ) as relay:
        assert await relay.ends(seconds=20) == 2
        assert "RELAY_OPERATOR_KEY" in relay.told
        assert len(relay.told.splitlines()) == 1, relay.told
    assert left_over(tmp_path) == []


async def test_a_wrong_setting_stops_the_start(tmp_path: Path) -> None:
    """With its path and a sentence, before anything is made."""
    environ = environment({"webhooks.lease_seconds": 1})
    async with program(tmp_path, *serve_words(tmp_path), environ=environ) as relay:
        assert await relay.ends() == 2
        assert "webhooks.lease_seconds" in relay.told
        assert len(relay.told.splitlines()) == 1
    assert not (tmp_path / "data").exists()


async def test_a_database_that_does_not_come_back_is_tried_again(tmp_path: Path) -> None:
    """Killed, and its settings broken: the server says so, goes on trying, and works again once they are mended."""
    async with serving(tmp_path) as relay:
        settings = tmp_path / "data" / "postgres" / "postgresql.conf"
        right = settings.read_text()
        settings.write_text("this is no setting\n")
        relay.kill("postgres")

        async def is_refused() -> bool:
            return await status(relay.url, OPERATOR_KEY) == 503

        await until(is_refused, seconds=10, what="the API says that the database is away")
        await relay.logs("did not start")
        settings.write_text(right)

        async def works() -> bool:
            return await status(relay.url, OPERATOR_KEY) == 200

        await until(works, seconds=20, what="the database is back")
        assert await relay.stop() == 0, relay.told
