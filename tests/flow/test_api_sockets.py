"""The API on a real socket: slow bodies, lies about their length, callers who hang up."""

import asyncio
import logging
import socket
from collections.abc import AsyncIterator

import pytest
import uvicorn

from relay.config import Config, Server
from relay.store.pool import Pool
from tests.api_client import OPERATOR_KEY, serve_api

TENANTS = "/api/v1/admin/tenants"
BODY = b'{"name": "x"}'


class Listening:
    """A served app."""

    def __init__(self, port: int) -> None:
        self.port = port

    async def ask(self, *parts: bytes, hang_up: bool = False) -> bytes:
        """Send bytes as they are; everything that is answered until the connection ends or is quiet."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        for part in parts:
            writer.write(part)
            await writer.drain()
        if hang_up:
            writer.write_eof()
        answer = b""
        try:
            async with asyncio.timeout(10):
                while chunk := await reader.read(65536):
                    answer += chunk
                    if b"\r\n\r\n" in answer and b"connection: close" not in answer.lower():
                        break
        except ConnectionResetError:
            pass
        writer.close()
        return answer


def head(*lines: str, method: str = "POST") -> bytes:
    given = [f"{method} {TENANTS} HTTP/1.1", "Host: relay.test", f"X-Api-Key: {OPERATOR_KEY}", *lines]
    return "\r\n".join([*given, "", ""]).encode()


@pytest.fixture
async def listening(pool: Pool, url: str, request: pytest.FixtureRequest) -> AsyncIterator[Listening]:
    """Deadlines that a test can await; a test that must be in time asks for a long one (`indirect`)."""
    config = Config(server=Server(body_timeout_seconds=getattr(request, "param", 0.4)))
    async with serve_api(pool, url, config=config) as api:
        listener = socket.create_server(("127.0.0.1", 0))
        server = uvicorn.Server(
            uvicorn.Config(api.app, http="httptools", lifespan="off", log_config=None, access_log=False)
        )
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        yield Listening(listener.getsockname()[1])
        server.should_exit = True
        await serving
        listener.close()


_PATIENT = pytest.mark.parametrize("listening", [30.0], indirect=True, ids=["patient"])


def status(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1])


async def test_a_slow_body_is_over_at_the_deadline(listening: Listening, pool: Pool) -> None:
    """408, the connection is closed, nothing is stored."""
    answer = await listening.ask(head("Content-Length: 1000"), BODY)
    assert status(answer) == 408
    assert b"body_too_slow" in answer
    assert b"connection: close" in answer.lower()
    assert await pool.fetchval("SELECT count(*) FROM tenants") == 0


@_PATIENT
async def test_a_body_in_pieces_is_fine(listening: Listening) -> None:
    """The deadline is for the whole of it."""
    assert status(await listening.ask(head(f"Content-Length: {len(BODY)}"), BODY[:5], BODY[5:])) == 201


async def test_an_endless_body_ends(listening: Listening) -> None:
    """Chunked, without a length, a drop at a time: the deadline does not move with what arrives."""
    reader, writer = await asyncio.open_connection("127.0.0.1", listening.port)
    writer.write(head("Transfer-Encoding: chunked"))

    async def drip() -> None:
        while True:
            writer.write(b"1\r\nx\r\n")
            await asyncio.sleep(0.02)

    dripping = asyncio.create_task(drip())
    async with asyncio.timeout(5):
        answer = await reader.readuntil(b"\r\n")
    dripping.cancel()
    assert status(answer) == 408
    writer.close()


@_PATIENT
@pytest.mark.parametrize("declared", ["Content-Length: 20000000", "Transfer-Encoding: chunked"])
async def test_a_body_of_twenty_megabytes_is_answered(listening: Listening, declared: str) -> None:
    """The caller who is still writing reads its 413: what is too much is read and thrown away."""
    chunked = "chunked" in declared
    size = 20_000_000
    framed = [b"%x\r\n" % size, b"x" * size, b"\r\n0\r\n\r\n"] if chunked else [b"x" * size]
    answer = await listening.ask(head(declared), *framed)
    assert status(answer) == 413
    assert b"body_too_large" in answer


@pytest.mark.parametrize(
    "lines",
    [
        ("Content-Length: 5", "Content-Length: 7"),
        ("Content-Length: -1",),
        ("Content-Length: many",),
        ("Content-Length: 99999999999999999999999999",),
        (f"Content-Length: {len(BODY) - 3}",),
        (f"Content-Length: {len(BODY) + 1}",),
        ("Content-Length: 0",),
        (f"Content-Length: {len(BODY)}", "Transfer-Encoding: chunked"),
        ("Transfer-Encoding: chunked",),
        ("Transfer-Encoding: gzip",),
        (),
    ],
)
async def test_a_lie_about_the_length_is_a_4xx(
    listening: Listening, pool: Pool, caplog: pytest.LogCaptureFixture, lines: tuple[str, ...]
) -> None:
    """Whatever is declared, the answer is a refusal, nothing is stored and nothing breaks."""
    with caplog.at_level(logging.ERROR):
        answer = await listening.ask(head(*lines), BODY)
    assert 400 <= status(answer) < 500, answer
    assert await pool.fetchval("SELECT count(*) FROM tenants") == 0
    assert not [record for record in caplog.records if record.name.startswith("relay")]


@_PATIENT
async def test_a_caller_who_hangs_up_breaks_nothing(
    listening: Listening, pool: Pool, caplog: pytest.LogCaptureFixture
) -> None:
    """Half a body and goodbye: nothing is stored, logged as an error, or left hanging."""
    with caplog.at_level(logging.ERROR):
        await listening.ask(head("Content-Length: 1000"), BODY, hang_up=True)
        assert status(await listening.ask(head(f"Content-Length: {len(BODY)}"), BODY)) == 201
    assert not [record for record in caplog.records if record.name.startswith("relay")]
    assert await pool.fetchval("SELECT count(*) FROM tenants") == 1


async def test_an_unauthenticated_body_is_not_waited_for(listening: Listening) -> None:
    """The key is judged before the body is read."""
    request = head("Content-Length: 1000").replace(OPERATOR_KEY.encode(), b"wrong")
    assert status(await listening.ask(request)) == 401
