"""Calls of the HTTP API, for the commands: from anywhere, with a key that stands on no command line.

    --key-file | RELAY_API_KEY | RELAY_OPERATOR_KEY ──► Client ──► the answer, or CallFailed with a sentence

Redirects are not followed: the key is for the server that was named. httpx is imported where it is used, because
`relay serve` and its processes read this command line too and need none of it.
"""

import argparse
import os
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import SplitResult, urlsplit

import msgspec
from msgspec import Struct

from relay import __version__
from relay.commands.output import plain
from relay.config import Config
from relay.model.errors import ConfigError, RelayError

if TYPE_CHECKING:
    import httpx

_TIMEOUT_SECONDS = 30.0
# Streams have a heartbeat every 15 seconds.
_SILENCE_SECONDS = 60.0
_KEY_VARIABLES = ("RELAY_API_KEY", "RELAY_OPERATOR_KEY")
_MOST_ON_A_PAGE = 200
_EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}


class CallFailed(RelayError):
    """The server cannot be reached, or refuses; the command ends with 1.

    `may_pass`: a later try can do better; whoever tries again by itself tells it in `brief`.
    """

    code = "call_failed"

    def __init__(
        self, detail: str, *, code: str | None = None, may_pass: bool = False, brief: str | None = None
    ) -> None:
        super().__init__(detail, code=code)
        self.may_pass = may_pass
        self.brief = brief or detail


class Key(Struct, frozen=True, kw_only=True):
    text: str
    source: str


def server_url(arguments: argparse.Namespace, config: Config, environ: Mapping[str, str] = os.environ) -> str:
    """Which server is meant. Raises ConfigError on what is no address of one."""
    source = "--url" if arguments.url else "RELAY_URL"
    given = arguments.url or environ.get("RELAY_URL")
    if not given:
        return local_url(config)
    parts = parse_url(given)
    if parts is None or parts.query or parts.fragment:
        raise ConfigError(
            f"{source}: {plain(given)} is no address of a server, such as http://127.0.0.1:8080."
        )
    if parts.username is not None:
        raise ConfigError(f"{source}: holds a user name. Relay asks for a key only: leave it out.")
    return given.rstrip("/")


def parse_url(text: str) -> SplitResult | None:
    """None where it is not an address that HTTP can reach."""
    try:
        parts = urlsplit(text)
        usable = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        return None
    return parts if usable and text.isprintable() and " " not in text else None


def local_url(config: Config) -> str:
    """The server of this machine, by its settings. Raises ConfigError."""
    if config.server.port == 0:
        raise ConfigError(
            "server.port: is 0, so the server's port is any free one. Name the server with --url."
        )
    host = _EVERYWHERE.get(config.server.host, config.server.host)
    return f"http://[{host}]:{config.server.port}" if ":" in host else f"http://{host}:{config.server.port}"


def find_key(key_file: str | None, environ: Mapping[str, str] = os.environ) -> Key:
    """Raises ConfigError where there is none."""
    if key_file is not None:
        try:
            return _key(Path(key_file).expanduser().read_text("utf-8"), f"the file {key_file}")
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "not a text"
            raise ConfigError(f"--key-file: {key_file} cannot be read ({reason}).") from None
    for name in _KEY_VARIABLES:
        if environ.get(name):
            return _key(environ[name], name)
    raise ConfigError(
        "This command needs an API key: put it in the environment as RELAY_API_KEY (a company's) or "
        "RELAY_OPERATOR_KEY, or name a file that holds it with --key-file."
    )


def _key(text: str, source: str) -> Key:
    text = text.strip()
    if not text:
        raise ConfigError(f"The key is missing: {source} is empty.")
    if not (text.isascii() and text.isprintable()):
        raise ConfigError(f"The key cannot be sent: {source} holds more than one line of plain characters.")
    return Key(text=text, source=source)


def identifier(text: str) -> str:
    """An argument's type: an id of ours, which may stand in a path as it is."""
    if not re.fullmatch(r"[A-Za-z0-9_-]{1,100}", text):
        raise argparse.ArgumentTypeError(f"{plain(text)!r} is no id")
    return text


class Client:
    def __init__(self, http: "httpx.AsyncClient", *, url: str, key: Key) -> None:
        self._http = http
        self._url = url
        self._key = key

    async def get(self, path: str, **query: Any) -> Any:
        return await self._call("GET", path, query=query)

    async def post(self, path: str, body: Mapping[str, Any] | None = None) -> Any:
        return await self._call("POST", path, body=body)

    async def patch(self, path: str, body: Mapping[str, Any]) -> Any:
        return await self._call("PATCH", path, body=body)

    async def put(self, path: str, content: bytes, *, media_type: str, **query: Any) -> Any:
        headers = {"Content-Type": media_type}
        return await self._call("PUT", path, query=query, content=content, headers=headers)

    async def delete(self, path: str, **query: Any) -> None:
        await self._call("DELETE", path, query=query)

    async def list(self, path: str, field: str, *, limit: int, **query: Any) -> tuple[list[Any], bool]:
        """Up to `limit` things, over as many pages as it takes, and whether there are more."""
        rows: list[Any] = []
        cursor = None
        while True:
            size = min(limit - len(rows), _MOST_ON_A_PAGE)
            page = await self.get(path, limit=size, cursor=cursor, **query)
            rows += page[field]
            cursor = page["nextCursor"]
            if cursor is None or len(rows) >= limit:
                return rows, cursor is not None

    @asynccontextmanager
    async def stream(
        self, path: str, *, headers: Mapping[str, str] | None = None, **query: Any
    ) -> AsyncIterator["httpx.Response"]:
        """An event stream, to be read in the block. Raises CallFailed, also where it breaks off or falls silent."""
        import httpx  # noqa: PLC0415 - see above

        timeout = httpx.Timeout(_TIMEOUT_SECONDS, read=_SILENCE_SECONDS)
        wanted = {"Accept": "text/event-stream", **(headers or {})}
        request = self._request("GET", path, query=query, headers=wanted, timeout=timeout)
        try:
            response = await self._http.send(request, stream=True)
            try:
                if not response.is_success:
                    await response.aread()
                    raise self._refusal(response)
                yield response
            finally:
                await response.aclose()
        except httpx.HTTPError as error:
            raise self._unreachable(error) from None

    async def _call(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, Any] | None = None,
        body: Mapping[str, Any] | None = None,
        content: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Any:
        import httpx  # noqa: PLC0415 - see above

        request = self._request(method, path, query=query or {}, body=body, content=content, headers=headers)
        try:
            response = await self._http.send(request)
        except httpx.HTTPError as error:
            raise self._unreachable(error) from None
        if not response.is_success:
            raise self._refusal(response)
        if not response.content:
            return None
        try:
            return msgspec.json.decode(response.content)
        except msgspec.DecodeError:
            raise CallFailed(f"{self._url} does not answer as a Relay does. Is the address right?") from None

    def _request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, Any],
        body: Mapping[str, Any] | None = None,
        content: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        timeout: Any = None,
    ) -> "httpx.Request":
        return self._http.build_request(
            method,
            f"{self._url}/api/v1{path}",
            params={name: value for name, value in query.items() if value is not None},
            headers={"Authorization": f"Bearer {self._key.text}", **(headers or {})},
            timeout=timeout or _TIMEOUT_SECONDS,
            json=body,
            content=content,
        )

    def _refusal(self, response: "httpx.Response") -> CallFailed:
        status = response.status_code
        may_pass = status == 429 or status >= 500
        try:
            problem = msgspec.json.decode(response.content, type=_Problem)
        except msgspec.DecodeError:
            where = response.headers.get("location")
            hint = f"It points to {plain(where)}." if where else "Is the address right?"
            return CallFailed(
                f"{self._url} answers {status}, and not as a Relay does. {hint}", may_pass=may_pass
            )
        sentence = plain(problem.detail)
        if problem.path:
            sentence += f" (field {plain(problem.path)})"
        if problem.code == "company_required":
            sentence += " Say which with --company."
        if status in (401, 403):
            sentence += f" The key came from {self._key.source}."
        return CallFailed(sentence, code=problem.code, may_pass=may_pass)

    def _unreachable(self, error: "httpx.HTTPError") -> CallFailed:
        reason = plain(str(error)) or type(error).__name__
        return CallFailed(
            f"Relay cannot be reached at {self._url} ({reason}). Start it with `relay serve`, or name the right "
            "address with --url or RELAY_URL.",
            may_pass=True,
            brief=f"Relay cannot be reached ({reason}).",
        )


class _Problem(Struct, frozen=True):
    detail: str
    code: str
    path: str | None = None


@asynccontextmanager
async def open_client(arguments: argparse.Namespace, config: Config) -> AsyncIterator[Client]:
    """A client of the server that the command line names. Raises ConfigError."""
    import httpx  # noqa: PLC0415 - see above

    url, key = server_url(arguments, config), find_key(arguments.key_file)
    # A proxy of the environment is for servers elsewhere.
    async with httpx.AsyncClient(
        headers={"User-Agent": f"relay-cli/{__version__}"}, trust_env=not is_loopback(url)
    ) as http:
        yield Client(http, url=url, key=key)


def is_loopback(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
