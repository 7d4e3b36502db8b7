"""Calls of low volume: media by URL (`fetch`) and agents' base URLs (`http_client`).

    httpx ──► _GuardedTransport ──► connection pool ──► _GuardedBackend: look the name up, check each address,
                    │                                                    connect to the very address checked
                    └── answers: no compression, not more than max_answer_bytes

Redirects are never followed by the client; `fetch` follows up to three, and each goes through all of this again.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Protocol

import httpcore
import httpx
from msgspec import Struct

from relay.egress.guard import UNREACHABLE, AddressBlocked, AddressGuard
from relay.egress.names import Resolve, SystemResolver
from relay.egress.tls import build_tls_context
from relay.egress.urls import check_url

MAX_REDIRECTS = 3
MAX_ANSWER_BYTES = 8 * 1024 * 1024
REDIRECTS = frozenset({301, 302, 303, 307, 308})


class FetchFailed(OSError):
    """What was asked for could not be had. The text is for the tenant, `detail` for our own logs only."""

    def __init__(self, text: str, *, detail: str = "") -> None:
        super().__init__(text)
        self.detail = detail or text


class AnswerTooLarge(httpx.RemoteProtocolError):
    """A server's answer was not read to its end; another try would bring no other."""

    def __init__(self, max_bytes: int) -> None:
        super().__init__(f"the answer is larger than {max_bytes} bytes")


class Writable(Protocol):
    def write(self, chunk: bytes, /) -> object: ...


class Fetched(Struct, frozen=True, kw_only=True):
    size_bytes: int
    content_type: str | None
    """As the server names it: a claim, not a fact."""
    url: str
    """Where it was found in the end."""


def http_client(
    guard: AddressGuard,
    *,
    timeout_seconds: float,
    connect_timeout_seconds: float = 5.0,
    limit: int = 100,
    user_agent: str = "relay",
    max_answer_bytes: int | None = MAX_ANSWER_BYTES,
    resolve: Resolve | None = None,
) -> httpx.AsyncClient:
    """Make a client that only goes where the guard allows; the caller closes it.

    `timeout_seconds` bounds each read and write, not the whole: wrap a call in `asyncio.timeout` as well. For `fetch`,
    which has its own cap, set `max_answer_bytes` to None.
    """
    transport = _GuardedTransport(guard, limit=limit, max_answer_bytes=max_answer_bytes, resolve=resolve)
    return httpx.AsyncClient(
        transport=transport,
        timeout=httpx.Timeout(timeout_seconds, connect=connect_timeout_seconds),
        follow_redirects=False,
        trust_env=False,
        cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
        headers={"User-Agent": user_agent, "Accept-Encoding": "identity"},
    )


async def fetch(
    client: httpx.AsyncClient, url: str, *, max_bytes: int, into: Writable, timeout_seconds: float = 60.0
) -> Fetched:
    """Stream what is at `url` into `into`. FetchFailed if it cannot be had; then a part may have been written."""
    try:
        async with asyncio.timeout(timeout_seconds):
            for _ in range(MAX_REDIRECTS + 1):
                async with client.stream("GET", check_url(url).url) as response:
                    location = response.headers.get("Location")
                    if response.status_code not in REDIRECTS or location is None:
                        return await _save(response, max_bytes=max_bytes, into=into)
                    url = str(httpx.URL(url).join(location))
    except ValueError as error:
        raise FetchFailed(str(error)) from error
    except (httpx.HTTPError, httpx.InvalidURL, TimeoutError) as error:
        raise FetchFailed(UNREACHABLE, detail=_describe(error)) from error
    raise FetchFailed(f"the address redirects more than {MAX_REDIRECTS} times")


async def _save(response: httpx.Response, *, max_bytes: int, into: Writable) -> Fetched:
    if response.status_code != httpx.codes.OK:
        raise FetchFailed(f"the address answered with status {response.status_code}")
    too_large = FetchFailed(f"the file is larger than {max_bytes} bytes")
    announced = response.headers.get("Content-Length", "")
    if announced.isdecimal() and int(announced) > max_bytes:
        raise too_large
    size = 0
    async for chunk in response.aiter_raw():
        size += len(chunk)
        if size > max_bytes:
            raise too_large
        into.write(chunk)
    return Fetched(size_bytes=size, content_type=response.headers.get("Content-Type"), url=str(response.url))


def _describe(error: BaseException) -> str:
    """The guard's own words where it was the guard; never the URL, whose query may hold a secret."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, AddressBlocked):
            return cause.detail
        cause = cause.__cause__ or cause.__context__
    return type(error).__name__


class _GuardedTransport(httpx.AsyncHTTPTransport):
    def __init__(
        self, guard: AddressGuard, *, limit: int, max_answer_bytes: int | None, resolve: Resolve | None
    ) -> None:
        tls = build_tls_context()
        super().__init__(verify=tls, trust_env=False)
        self._names = None if resolve else SystemResolver()
        self._max_answer_bytes = max_answer_bytes
        # httpx has no argument for this; a test holds every client to it.
        self._pool = httpcore.AsyncConnectionPool(
            ssl_context=tls,
            max_connections=limit,
            max_keepalive_connections=limit,
            keepalive_expiry=4.0,
            network_backend=_GuardedBackend(guard, resolve or self._names or SystemResolver()),
        )

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        response = await super().handle_async_request(request)
        encoding = response.headers.get("Content-Encoding", "identity")
        if encoding.strip().lower() not in ("", "identity"):
            # We asked for none; a few bytes could unpack to gigabytes.
            await response.aclose()
            raise httpx.RemoteProtocolError("the answer is compressed", request=request)
        if self._max_answer_bytes is not None and isinstance(response.stream, httpx.AsyncByteStream):
            response.stream = _CappedStream(response.stream, self._max_answer_bytes)
        return response

    async def aclose(self) -> None:
        await super().aclose()
        if self._names is not None:
            self._names.close()


class _CappedStream(httpx.AsyncByteStream):
    def __init__(self, stream: httpx.AsyncByteStream, max_bytes: int) -> None:
        self._stream = stream
        self._max_bytes = max_bytes

    async def __aiter__(self) -> AsyncIterator[bytes]:
        left = self._max_bytes
        async for chunk in self._stream:
            left -= len(chunk)
            if left < 0:
                raise AnswerTooLarge(self._max_bytes)
            yield chunk

    async def aclose(self) -> None:
        await self._stream.aclose()


class _GuardedBackend(httpcore.AsyncNetworkBackend):
    def __init__(self, guard: AddressGuard, resolve: Resolve) -> None:
        self._guard = guard
        self._resolve = resolve
        self._inner = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        try:
            async with asyncio.timeout(timeout):
                addresses = await self._resolve(host, port)
                return await self._connect(addresses, port, timeout, socket_options)
        except TimeoutError as error:
            raise httpcore.ConnectTimeout(UNREACHABLE) from error
        except (OSError, httpcore.ConnectError) as error:
            raise httpcore.ConnectError(UNREACHABLE) from error

    async def _connect(
        self,
        addresses: Iterable[str],
        port: int,
        timeout: float | None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None,
    ) -> httpcore.AsyncNetworkStream:
        """Try one address after the other, each of them checked; a dead one must leave time for the next."""
        candidates = list(addresses)
        failed: Exception = OSError("the name has no address")
        for address in candidates:
            try:
                self._guard.check(address, port)
                return await self._inner.connect_tcp(
                    address,
                    port,
                    timeout=timeout and timeout / len(candidates),
                    socket_options=socket_options,
                )
            except (OSError, httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failed = error
        raise failed
