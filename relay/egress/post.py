"""The hot path: one POST to a tenant's endpoint, and what became of it.

    post ──► session ──► name looked up ──► socket made for one address ──► guard.check ──► connect
                                            (each that is tried; an IP address in the URL comes this way too)

A failing endpoint is a result, not an exception. The answer's body is read up to 16 KiB, under the one deadline
that covers everything from the wait for a connection to the last byte.
"""

import math
import socket
import time
from collections.abc import Mapping
from functools import lru_cache

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from msgspec import Struct
from yarl import URL

from relay.egress.guard import UNREACHABLE, AddressBlocked, AddressGuard
from relay.egress.names import Resolve, SystemResolver
from relay.egress.tls import build_tls_context
from relay.egress.urls import check_headers, check_url
from relay.model.delivery import Outcome

MAX_ANSWER_BYTES = 16 * 1024
# Below the 5 s after which Node and uvicorn close an idle connection: a POST that meets the closing is lost.
KEEP_ALIVE_SECONDS = 4.0
NAMES_CACHED_SECONDS = 10


class Answer(Struct, frozen=True, kw_only=True):
    """What became of one POST. `error` may be shown to the tenant; `detail` is for our own logs only."""

    outcome: Outcome
    status: int | None = None
    retry_after: str | None = None
    """The header as it came, where it could be seconds or a date."""
    body: bytes = b""
    """The first 16 KiB, as they came (perhaps compressed)."""
    duration_seconds: float
    error: str | None = None
    detail: str | None = None


def webhook_client(
    guard: AddressGuard,
    *,
    connect_timeout_seconds: float,
    total_timeout_seconds: float,
    limit: int,
    limit_per_host: int,
    user_agent: str,
    resolve: Resolve | None = None,
) -> aiohttp.ClientSession:
    """Make the session for `post`, within a running loop; the caller closes it."""

    def make_socket(address: aiohttp.AddrInfoType) -> socket.socket:
        family, kind, protocol, _, where = address
        guard.check(str(where[0]), int(where[1]))
        return socket.socket(family, kind, protocol)

    connector = aiohttp.TCPConnector(
        limit=limit,
        limit_per_host=limit_per_host,
        keepalive_timeout=KEEP_ALIVE_SECONDS,
        resolver=_Resolver(resolve or SystemResolver()),
        ttl_dns_cache=NAMES_CACHED_SECONDS,
        socket_factory=make_socket,
        ssl=build_tls_context(),
    )
    return aiohttp.ClientSession(
        connector=connector,
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
        trust_env=False,
        read_bufsize=MAX_ANSWER_BYTES,
        timeout=_deadlines(total_timeout_seconds, connect_timeout_seconds),
        headers={"User-Agent": user_agent, "Accept-Encoding": "identity"},
    )


async def post(
    session: aiohttp.ClientSession,
    url: str,
    *,
    body: bytes,
    headers: Mapping[str, str],
    timeout_seconds: float,
) -> Answer:
    """POST once. Never follows a redirect, never raises for what a customer's server does."""
    started = time.monotonic()
    try:
        target = _target(url)
        check_headers(headers)
    except ValueError as error:
        return _not_sent(Outcome.BLOCKED, started, str(error))
    deadlines = _deadlines(timeout_seconds, session.timeout.sock_connect)
    try:
        async with session.post(
            target, data=body, headers=headers, allow_redirects=False, timeout=deadlines
        ) as response:
            excerpt = await _read_excerpt(response)
            return Answer(
                outcome=Outcome.SUCCEEDED if 200 <= response.status < 300 else Outcome.REJECTED,
                status=response.status,
                retry_after=_find_retry_after(response),
                body=excerpt,
                duration_seconds=time.monotonic() - started,
            )
    except (aiohttp.ClientError, TimeoutError) as error:
        blocked = _find_blocked(error)
        if blocked is not None:
            return _not_sent(Outcome.BLOCKED, started, blocked.detail)
        return _not_sent(Outcome.UNREACHABLE, started, _describe(error))


async def _read_excerpt(response: aiohttp.ClientResponse) -> bytes:
    """Read what fits, and let the connection go where there is more. The status has come and it decides: a body
    that breaks off or outlasts the deadline changes nothing.
    """
    excerpt = bytearray()
    content = response.content
    try:
        while len(excerpt) < MAX_ANSWER_BYTES and not content.at_eof():
            excerpt += await content.read(MAX_ANSWER_BYTES - len(excerpt))
    except (aiohttp.ClientError, TimeoutError):
        response.close()
    if not content.at_eof():
        response.close()
    return bytes(excerpt)


def _find_retry_after(response: aiohttp.ClientResponse) -> str | None:
    """Seconds or a date are short and ASCII; aiohttp hands on other bytes as surrogates, which nothing can store."""
    value = response.headers.get("Retry-After")
    return value if value is not None and value.isascii() and len(value) <= 64 else None


@lru_cache(maxsize=4096)
def _target(url: str) -> URL:
    """Parsed once an endpoint. An ASCII URL goes out as it was given: some servers sign or compare their paths."""
    checked = check_url(url).url
    return URL(checked, encoded=checked.isascii())


@lru_cache(maxsize=64)
def _deadlines(total_seconds: float, connect_seconds: float | None) -> aiohttp.ClientTimeout:
    """Exact ones: aiohttp rounds those above 5 s up to whole seconds, beyond what the lease was measured by."""
    return aiohttp.ClientTimeout(total=total_seconds, sock_connect=connect_seconds, ceil_threshold=math.inf)


def _not_sent(outcome: Outcome, started: float, detail: str) -> Answer:
    return Answer(
        outcome=outcome, duration_seconds=time.monotonic() - started, error=UNREACHABLE, detail=detail
    )


def _find_blocked(error: Exception) -> AddressBlocked | None:
    cause = error.os_error if isinstance(error, aiohttp.ClientConnectorError) else None
    return cause if isinstance(cause, AddressBlocked) else None


def _describe(error: Exception) -> str:
    """Without the URL, whose query may hold a secret."""
    cause = error.os_error if isinstance(error, aiohttp.ClientConnectorError) else None
    return f"{type(error).__name__}: {cause}" if cause is not None else type(error).__name__


class _Resolver(AbstractResolver):
    def __init__(self, resolve: Resolve) -> None:
        self._resolve = resolve

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        addresses = await self._resolve(host, port)
        if not addresses:
            raise OSError("the name has no address")
        return [
            ResolveResult(
                hostname=host,
                host=address,
                port=port,
                family=socket.AF_INET6 if ":" in address else socket.AF_INET,
                proto=socket.IPPROTO_TCP,
                flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
            )
            for address in addresses
        ]

    async def close(self) -> None:
        if isinstance(self._resolve, SystemResolver):
            self._resolve.close()
