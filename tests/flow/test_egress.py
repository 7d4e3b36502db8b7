"""The guarded clients against real sockets: what a hostile or broken server can do to us, and what it cannot."""

import asyncio
import gzip
import io
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import aiohttp
import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from relay.egress.fetch import AnswerTooLarge, FetchFailed, fetch, http_client
from relay.egress.guard import UNREACHABLE, AddressGuard
from relay.egress.names import Resolve
from relay.egress.post import Answer, post, webhook_client
from relay.model.delivery import Outcome

LOOPBACK = AddressGuard(allow_networks=["127.0.0.0/8"])
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
# Longer than any test: where it is the deadline that must act, the test names its own.
PATIENT_SECONDS = 30.0

Respond = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Sink:
    """A server that keeps what it was sent and answers as it was told."""

    def __init__(self, answer: bytes | Respond) -> None:
        self.answer = answer
        self.connections = 0
        self.requests: list[bytes] = []
        self.port = 0
        self.server: asyncio.Server | None = None

    async def stop(self) -> None:
        """Listen no more."""
        assert self.server is not None
        self.server.close()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while True:
                request = await reader.readuntil(b"\r\n\r\n")
                headers = request.decode().lower()
                if "content-length: " in headers:
                    request += await reader.readexactly(
                        int(headers.split("content-length: ")[1].split("\r\n")[0])
                    )
                self.requests.append(request)
                if isinstance(self.answer, bytes):
                    writer.write(self.answer)
                    await writer.drain()
                else:
                    await self.answer(reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass
        finally:
            writer.close()


@asynccontextmanager
async def open_sink(
    answer: bytes | Respond = OK, *, host: str = "127.0.0.1", port: int = 0, tls: ssl.SSLContext | None = None
) -> AsyncIterator[Sink]:
    sink = Sink(answer)
    tasks: set[asyncio.Task[None]] = set()
    writers: list[asyncio.StreamWriter] = []

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        if not server.is_serving():  # it came while the sink was closing
            writer.close()
            return
        task = asyncio.ensure_future(sink.serve(reader, writer))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    sink.server = server = await asyncio.start_server(accept, host, port, ssl=tls)
    sink.port = server.sockets[0].getsockname()[1]
    try:
        yield sink
    finally:
        server.close()
        for task in list(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for writer in writers:  # a task that was cancelled before it began has closed nothing
            writer.close()


def webhooks(guard: AddressGuard = LOOPBACK, resolve: Resolve | None = None) -> aiohttp.ClientSession:
    return webhook_client(
        guard,
        connect_timeout_seconds=5,
        total_timeout_seconds=PATIENT_SECONDS,
        limit=20,
        limit_per_host=5,
        user_agent="relay-test",
        resolve=resolve,
    )


async def send(
    session: aiohttp.ClientSession,
    url: str,
    *,
    headers: dict[str, str] | None = None,
    timeout_seconds: float = PATIENT_SECONDS,
) -> Answer:
    return await post(session, url, body=b'{"a":1}', headers=headers or {}, timeout_seconds=timeout_seconds)


def media(guard: AddressGuard = LOOPBACK, resolve: Resolve | None = None) -> httpx.AsyncClient:
    return http_client(guard, timeout_seconds=PATIENT_SECONDS, resolve=resolve)


async def stream_forever(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 500 No\r\n\r\n")
    while True:
        writer.write(b"x" * 65536)
        await writer.drain()


async def trickle_headers(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\n")
    while True:
        writer.write(b"X-A: b\r\n")
        await writer.drain()
        await asyncio.sleep(0.02)


async def trickle_body(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
    while True:
        writer.write(b"x")
        await writer.drain()
        await asyncio.sleep(0.02)


async def say_nothing(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
    await reader.read()


def redirect(location: str, status: int = 302) -> bytes:
    return f"HTTP/1.1 {status} Go\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n".encode()


@pytest.fixture(scope="module")
def self_signed(tmp_path_factory: pytest.TempPathFactory) -> ssl.SSLContext:
    """A server's TLS that nobody vouches for."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    file = tmp_path_factory.mktemp("tls") / "server.pem"
    file.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        + certificate.public_bytes(serialization.Encoding.PEM)
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    return context


def assert_tells_nothing(answer: Answer, outcome: Outcome) -> None:
    assert (answer.outcome, answer.error, answer.status, answer.body) == (outcome, UNREACHABLE, None, b"")
    assert answer.detail


async def test_answer_is_told() -> None:
    """A 2xx succeeds, with the status, the start of the body and how long it took; the body and headers arrive."""
    async with open_sink() as sink, webhooks() as session:
        answer = await send(
            session, f"http://127.0.0.1:{sink.port}/a%2Fb?x=%2F", headers={"webhook-id": "msg_1"}
        )
    assert (answer.outcome, answer.status, answer.body, answer.error) == (Outcome.SUCCEEDED, 200, b"ok", None)
    assert answer.duration_seconds > 0
    head, _, body = sink.requests[0].partition(b"\r\n\r\n")
    assert head.startswith(b"POST /a%2Fb?x=%2F HTTP/1.1\r\n")
    assert b"webhook-id: msg_1" in head
    assert b"User-Agent: relay-test" in head
    assert body == b'{"a":1}'


@pytest.mark.parametrize("status", [300, 304, 400, 404, 410, 429, 500, 503])
async def test_other_statuses_reject(status: int) -> None:
    """What is not 2xx is a rejection, with its status and Retry-After."""
    answer_bytes = f"HTTP/1.1 {status} No\r\nRetry-After: 120\r\nContent-Length: 0\r\n\r\n".encode()
    async with open_sink(answer_bytes) as sink, webhooks() as session:
        answer = await send(session, f"http://127.0.0.1:{sink.port}/")
    assert (answer.outcome, answer.status, answer.retry_after) == (Outcome.REJECTED, status, "120")


@pytest.mark.parametrize("value", [b"1\xe4", b"9" * 5000])
async def test_odd_retry_after_is_dropped(value: bytes) -> None:
    """A Retry-After that cannot be one is not handed on to be stored."""
    head = b"HTTP/1.1 429 No\r\nRetry-After: " + value + b"\r\nContent-Length: 0\r\n\r\n"
    async with open_sink(head) as sink, webhooks() as session:
        answer = await send(session, f"http://127.0.0.1:{sink.port}/")
    assert (answer.outcome, answer.status, answer.retry_after) == (Outcome.REJECTED, 429, None)


async def test_connection_is_kept() -> None:
    """Posts one after the other share a connection."""
    async with open_sink() as sink, webhooks() as session:
        for _ in range(5):
            await send(session, f"http://127.0.0.1:{sink.port}/")
    assert (len(sink.requests), sink.connections) == (5, 1)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_redirect_is_never_followed(status: int) -> None:
    """A redirect is a rejection, wherever it leads."""
    async with open_sink() as target, webhooks() as session:
        to = redirect(f"http://127.0.0.1:{target.port}/", status)
        async with open_sink(to) as sink:
            answer = await send(session, f"http://127.0.0.1:{sink.port}/")
    assert (answer.outcome, answer.status) == (Outcome.REJECTED, status)
    assert target.connections == 0


async def test_endless_body_is_cut() -> None:
    """Of a body without end the first 16 KiB are read, at once, and the connection is let go."""
    async with open_sink(stream_forever) as sink, webhooks() as session:
        answer = await send(session, f"http://127.0.0.1:{sink.port}/")
        assert (answer.outcome, answer.status) == (Outcome.REJECTED, 500)
        assert answer.body == b"x" * 16384
        assert answer.duration_seconds < 5
        sink.answer = OK
        assert (await send(session, f"http://127.0.0.1:{sink.port}/")).outcome is Outcome.SUCCEEDED
    assert sink.connections == 2


@pytest.mark.parametrize("behave", [say_nothing, trickle_headers])
async def test_slow_answer_meets_the_deadline(behave: Respond) -> None:
    """A server that never ends its headers, or says nothing, is unreachable once the total time is over."""
    async with open_sink(behave) as sink, webhooks() as session:
        answer = await send(session, f"http://127.0.0.1:{sink.port}/", timeout_seconds=0.3)
    assert_tells_nothing(answer, Outcome.UNREACHABLE)
    assert 0.25 < answer.duration_seconds < 3


async def test_slow_body_meets_the_deadline() -> None:
    """A body that trickles ends with the total time; the status, which had come, decides."""
    async with open_sink(trickle_body) as sink, webhooks() as session:
        answer = await send(session, f"http://127.0.0.1:{sink.port}/", timeout_seconds=0.3)
    assert (answer.outcome, answer.status) == (Outcome.SUCCEEDED, 200)
    assert 0 < len(answer.body) < 100
    assert 0.25 < answer.duration_seconds < 3


async def test_wait_for_a_connection_counts() -> None:
    """The deadline covers the wait for a free connection to the same host, too."""
    async with open_sink(say_nothing) as sink, webhooks() as session:
        url = f"http://127.0.0.1:{sink.port}/"
        started = time.monotonic()
        answers = await asyncio.gather(*(send(session, url, timeout_seconds=0.3) for _ in range(12)))
    assert {answer.outcome for answer in answers} == {Outcome.UNREACHABLE}
    assert time.monotonic() - started < 3


async def test_cookies_are_not_kept() -> None:
    """A cookie that was set does not come back."""
    cookie = b"HTTP/1.1 200 OK\r\nSet-Cookie: a=b; Path=/\r\nContent-Length: 0\r\n\r\n"

    async def resolve(host: str, port: int) -> list[str]:
        return ["127.0.0.1"]

    async with (
        open_sink(cookie) as sink,
        webhooks(resolve=resolve) as session,
        media(resolve=resolve) as client,
    ):
        for _ in range(2):
            await send(session, f"http://hook.example:{sink.port}/")
            await client.get(f"http://hook.example:{sink.port}/")
    assert len(sink.requests) == 4
    assert not any(b"cookie" in request.lower() for request in sink.requests)


async def test_proxies_of_the_environment_are_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    """HTTP_PROXY in the server's environment does not lead a tenant's request astray."""
    async with open_sink() as sink, open_sink() as proxy:
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
        monkeypatch.delenv("no_proxy", raising=False)
        monkeypatch.delenv("NO_PROXY", raising=False)
        async with webhooks() as session, media() as client:
            await send(session, f"http://127.0.0.1:{sink.port}/")
            await client.get(f"http://127.0.0.1:{sink.port}/")
    assert (len(sink.requests), proxy.connections) == (2, 0)


async def test_compressed_body_stays_compressed() -> None:
    """A few bytes that unpack to gigabytes stay a few bytes; we ask for no compression in the first place."""
    packed = gzip.compress(b"x" * 10_000_000)
    head = f"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: {len(packed)}\r\n\r\n".encode()
    async with open_sink(head + packed) as sink, webhooks() as session, media() as client:
        answer = await send(session, f"http://127.0.0.1:{sink.port}/")
        with pytest.raises(httpx.RemoteProtocolError):
            await client.get(f"http://127.0.0.1:{sink.port}/")
    assert answer.body == packed[:16384]
    assert all(b"accept-encoding: identity" in request.lower() for request in sink.requests)


async def test_refused_connection_is_unreachable() -> None:
    """Nobody listens: unreachable, in the neutral words."""
    async with open_sink() as sink:
        pass
    async with webhooks() as session:
        assert_tells_nothing(await send(session, f"http://127.0.0.1:{sink.port}/"), Outcome.UNREACHABLE)


@pytest.mark.parametrize(
    "noise", [b"", b"SSH-2.0-OpenSSH\r\n", b"HTTP/1.1 200 OK\r\n" + b"X: y" * 5000 + b"\r\n\r\n"]
)
async def test_broken_answer_is_unreachable(noise: bytes) -> None:
    """A connection that is cut, another protocol and headers without end are unreachable, not an exception."""

    async def answer_and_leave(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(noise)
        raise ConnectionError

    async with open_sink(answer_and_leave) as sink, webhooks() as session:
        assert_tells_nothing(await send(session, f"http://127.0.0.1:{sink.port}/"), Outcome.UNREACHABLE)


async def test_untrusted_tls_is_unreachable(self_signed: ssl.SSLContext) -> None:
    """A certificate that nobody vouches for ends both clients' calls before a byte of the request is sent."""
    async with open_sink(tls=self_signed) as sink, webhooks() as session, media() as client:
        assert_tells_nothing(await send(session, f"https://127.0.0.1:{sink.port}/"), Outcome.UNREACHABLE)
        with pytest.raises(FetchFailed, match=UNREACHABLE):
            await fetch(client, f"https://127.0.0.1:{sink.port}/", max_bytes=10, into=io.BytesIO())
    assert sink.requests == []


async def test_bad_headers_and_urls_are_not_sent() -> None:
    """A line break in a header or a URL with userinfo never reaches the wire."""
    async with open_sink() as sink, webhooks() as session:
        url = f"http://127.0.0.1:{sink.port}/"
        assert_tells_nothing(await send(session, url, headers={"X-A": "b\r\nX-Evil: 1"}), Outcome.BLOCKED)
        assert_tells_nothing(await send(session, f"http://a@127.0.0.1:{sink.port}/"), Outcome.BLOCKED)
        assert_tells_nothing(await send(session, f"{url}\r\nHost:x"), Outcome.BLOCKED)
    assert sink.connections == 0


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "2130706433", "0x7f000001", "127.1", "127。0。0。1", "[::ffff:127.0.0.1]", "localhost"],
)
async def test_loopback_is_blocked_before_a_connection(host: str) -> None:
    """Without an allowed network no spelling of loopback gets as far as a connection, in either client."""
    async with open_sink() as sink, webhooks(AddressGuard()) as session, media(AddressGuard()) as client:
        url = f"http://{host}:{sink.port}/"
        assert_tells_nothing(await send(session, url), Outcome.BLOCKED)
        with pytest.raises(FetchFailed, match=UNREACHABLE) as failed:
            await fetch(client, url, max_bytes=10, into=io.BytesIO())
        with pytest.raises(httpx.ConnectError, match=UNREACHABLE):
            await client.get(url)
    assert sink.connections == 0
    assert "127.0.0.0/8" in failed.value.detail or "::1" in failed.value.detail


async def test_own_address_is_blocked() -> None:
    """The server cannot be made to call itself, even where loopback is allowed."""
    async with open_sink() as sink:
        guard = AddressGuard(allow_networks=["127.0.0.0/8"], own_addresses=[("0.0.0.0", sink.port)])
        async with webhooks(guard) as session:
            assert_tells_nothing(await send(session, f"http://127.0.0.1:{sink.port}/"), Outcome.BLOCKED)
    assert sink.connections == 0


@pytest.mark.parametrize("order", [["127.0.0.1", "127.0.0.2"], ["127.0.0.2", "127.0.0.1"]])
@pytest.mark.parametrize("public_is_up", [True, False])
async def test_name_with_public_and_private_addresses(order: list[str], *, public_is_up: bool) -> None:
    """Of a mixed name only the allowed address is ever connected to, also when that one is down."""
    guard = AddressGuard(allow_networks=["127.0.0.2/32"])

    async def resolve(host: str, port: int) -> list[str]:
        return order

    async with (
        open_sink() as private,
        open_sink(host="127.0.0.2", port=private.port) as public,
        webhooks(guard, resolve) as session,
        media(guard, resolve) as client,
    ):
        url = f"http://mixed.example:{private.port}/"
        if public_is_up:
            assert (await send(session, url)).outcome is Outcome.SUCCEEDED
            assert (await fetch(client, url, max_bytes=10, into=io.BytesIO())).size_bytes == 2
        else:
            await public.stop()
            answer = await send(session, url)
            assert answer.outcome in {Outcome.UNREACHABLE, Outcome.BLOCKED}
            assert answer.error == UNREACHABLE
            with pytest.raises(FetchFailed, match=UNREACHABLE):
                await fetch(client, url, max_bytes=10, into=io.BytesIO())
    assert private.connections == 0
    assert public.connections == (2 if public_is_up else 0)


async def test_name_that_changes_between_check_and_connect() -> None:
    """A name that was public at registration and at the first call, and then turns inside, gets nothing."""
    guard = AddressGuard(allow_networks=["127.0.0.2/32"])
    now_at = "127.0.0.2"

    async def resolve(host: str, port: int) -> list[str]:
        return [now_at]

    closing = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
    async with (
        open_sink() as private,
        open_sink(closing, host="127.0.0.2", port=private.port),
        webhooks(guard, resolve) as session,
        media(guard, resolve) as client,
    ):
        url = guard.check_url(f"http://rebinding.example:{private.port}/").url
        assert (await send(session, url)).outcome is Outcome.SUCCEEDED
        await fetch(client, url, max_bytes=10, into=io.BytesIO())
        now_at = "127.0.0.1"
        assert isinstance(session.connector, aiohttp.TCPConnector)
        session.connector.clear_dns_cache()
        assert_tells_nothing(await send(session, url), Outcome.BLOCKED)
        with pytest.raises(FetchFailed, match=UNREACHABLE):
            await fetch(client, url, max_bytes=10, into=io.BytesIO())
    assert private.connections == 0


@pytest.mark.parametrize("error", [OSError("no such name"), None])
async def test_name_without_an_address(error: OSError | None) -> None:
    """A name that does not resolve reads as every other failure."""

    async def resolve(host: str, port: int) -> list[str]:
        if error:
            raise error
        return []

    async with webhooks(resolve=resolve) as session, media(resolve=resolve) as client:
        assert_tells_nothing(await send(session, "http://gone.example/"), Outcome.UNREACHABLE)
        with pytest.raises(FetchFailed, match=UNREACHABLE):
            await fetch(client, "http://gone.example/", max_bytes=10, into=io.BytesIO())


async def test_fetch_follows_three_redirects() -> None:
    """Media behind up to three redirects is found, a relative one included; a fourth is too many."""
    target = b"HTTP/1.1 200 OK\r\nContent-Type: image/png\r\nContent-Length: 3\r\n\r\npng"
    async with open_sink() as sink, media() as client:
        hops = 0

        async def hop(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal hops
            hops -= 1
            writer.write(target if hops < 0 else redirect(f"/hop{hops}"))

        sink.answer = hop
        hops, into = 3, io.BytesIO()
        fetched = await fetch(client, f"http://127.0.0.1:{sink.port}/", max_bytes=3, into=into)
        assert (fetched.size_bytes, fetched.content_type, into.getvalue()) == (3, "image/png", b"png")
        assert fetched.url == f"http://127.0.0.1:{sink.port}/hop0"
        hops = 4
        with pytest.raises(FetchFailed, match="more than 3"):
            await fetch(client, f"http://127.0.0.1:{sink.port}/", max_bytes=3, into=io.BytesIO())


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize(
    "location",
    [
        "http://127.0.0.1:{port}/",
        "//127.0.0.1:{port}/latest/meta-data",
        "http://2130706433:{port}/",
        "http://[::ffff:127.0.0.1]:{port}/",
        "http://127.0.0.2@127.0.0.1:{port}/",
        "http://127.0.0.1:{port}\\@127.0.0.2/",
        "http://169.254.169.254/latest/meta-data/",
        "http://[fd00:ec2::254]/",
        "file:///etc/passwd",
        "gopher://127.0.0.1:{port}/",
    ],
)
async def test_fetch_checks_every_redirect(status: int, location: str) -> None:
    """A redirect to a metadata or private address, or to another scheme, ends the fetch without a connection."""
    guard = AddressGuard(allow_networks=["127.0.0.2/32"])
    async with open_sink() as inside, media(guard) as client:
        async with open_sink(redirect(location.format(port=inside.port), status), host="127.0.0.2") as sink:
            with pytest.raises(FetchFailed):
                await fetch(client, f"http://127.0.0.2:{sink.port}/", max_bytes=99, into=io.BytesIO())
        assert len(sink.requests) == 1
    assert inside.connections == 0


@pytest.mark.parametrize("head", [b"Content-Length: 500000\r\n", b"X-A: no length\r\n"])
async def test_fetch_stops_at_the_cap(head: bytes) -> None:
    """More than max_bytes is never written, announced or not."""

    async def answer_all(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n" + head + b"\r\n")
        while True:
            writer.write(b"x" * 65536)
            await writer.drain()

    into = io.BytesIO()
    async with open_sink(answer_all) as sink, media() as client:
        with pytest.raises(FetchFailed, match="larger than 100000 bytes"):
            await fetch(client, f"http://127.0.0.1:{sink.port}/", max_bytes=100_000, into=into)
    assert len(into.getvalue()) <= 100_000


@pytest.mark.parametrize("behave", [say_nothing, trickle_headers, trickle_body])
async def test_fetch_has_one_deadline(behave: Respond) -> None:
    """A trickle cannot hold a fetch beyond its total time."""
    started = time.monotonic()
    async with open_sink(behave) as sink, media() as client:
        with pytest.raises(FetchFailed, match=UNREACHABLE):
            await fetch(
                client,
                f"http://127.0.0.1:{sink.port}/",
                max_bytes=10**6,
                into=io.BytesIO(),
                timeout_seconds=0.3,
            )
    assert time.monotonic() - started < 3


async def test_fetch_tells_the_status() -> None:
    """A link that is gone says so."""
    async with open_sink(b"HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n") as sink, media() as client:
        with pytest.raises(FetchFailed, match="status 404"):
            await fetch(client, f"http://127.0.0.1:{sink.port}/", max_bytes=9, into=io.BytesIO())


async def test_agents_answers_are_capped_and_redirects_not_followed() -> None:
    """An agent's server cannot fill our memory, nor send the tenant's key elsewhere."""
    async with (
        open_sink(stream_forever) as sink,
        open_sink() as target,
        http_client(LOOPBACK, timeout_seconds=PATIENT_SECONDS, max_answer_bytes=100_000) as client,
    ):
        with pytest.raises(AnswerTooLarge, match="larger than 100000"):
            await client.post(f"http://127.0.0.1:{sink.port}/v1/chat", json={})
        sink.answer = redirect(f"http://127.0.0.1:{target.port}/")
        assert (await client.post(f"http://127.0.0.1:{sink.port}/v1/chat", json={})).status_code == 302
    assert target.connections == 0
