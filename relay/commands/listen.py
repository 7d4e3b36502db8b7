"""`relay listen`: a company's events live, as its endpoints would get them; also signed, to a server on this machine.

    GET /api/v1/events ──► event ──► shown
                             └─ --forward-to URL ──► POST, signed per Standard Webhooks ──► the answer is shown

The body is posted byte for byte as it came, one after the other. What the developer's server refuses is not sent
again: this is for trying; `relay deliveries` is for what was owed.
"""

import argparse
import base64
import os
import secrets
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import msgspec

from relay import __version__
from relay.commands.client import Client, identifier, is_loopback, open_client, parse_url
from relay.commands.options import Commands, Options
from relay.commands.output import note, plain
from relay.commands.sse import ServerEvent, follow
from relay.config import Config
from relay.egress.signing import Signer
from relay.logs import say
from relay.model.errors import ConfigError

if TYPE_CHECKING:
    import httpx

_SECRET_BYTES = 32


def add_parser(commands: Commands, options: Options) -> None:
    parser = commands.add_parser(
        "listen",
        parents=[options.settings, options.server, options.company],
        help="show events live, and post them signed to a server of yours",
    )
    parser.add_argument("--types", metavar="A,B", help="only these, such as message.received or message.*")
    parser.add_argument("--session", type=identifier, metavar="ID", help="only this session's")
    parser.add_argument("--forward-to", metavar="URL", help="post each event there, signed")
    parser.set_defaults(run=_listen)


async def _listen(arguments: argparse.Namespace, config: Config) -> None:
    import httpx  # noqa: PLC0415 - other commands need none

    target = arguments.forward_to
    if target is None:
        async with open_client(arguments, config) as client:
            await _show_all(client, arguments, None)
        return
    if parse_url(target) is None:
        raise ConfigError(
            f"--forward-to: {plain(target)} is no address, such as http://localhost:3000/webhooks."
        )
    secret = _secret(os.environ)
    async with (
        open_client(arguments, config) as client,
        httpx.AsyncClient(
            timeout=config.webhooks.timeout_seconds,
            headers={"User-Agent": f"Relay/{__version__}"},
            trust_env=not is_loopback(target),
        ) as http,
    ):
        await _show_all(client, arguments, Forwarder(http, url=target, secret=secret, clock=time.time))


def _secret(environ: Mapping[str, str]) -> str:
    """The developer's own, or a fresh one, told. Raises ConfigError."""
    given = environ.get("RELAY_WEBHOOK_SECRET")
    if not given:
        fresh = "whsec_" + base64.b64encode(secrets.token_bytes(_SECRET_BYTES)).decode()
        note(f"Signing with a fresh secret (RELAY_WEBHOOK_SECRET keeps one): {fresh}")
        return fresh
    try:
        Signer([given])
    except ValueError:
        raise ConfigError(
            "RELAY_WEBHOOK_SECRET: is no signing secret: it is `whsec_` and then base64."
        ) from None
    return given


async def _show_all(client: Client, arguments: argparse.Namespace, forwarder: "Forwarder | None") -> None:
    events = follow(
        client,
        "/events",
        opened=lambda: note("Listening; Ctrl+C ends it."),
        lost=_tell_lost,
        types=arguments.types,
        sessionId=arguments.session,
        companyId=arguments.company,
    )
    async for event in events:
        head = f"{datetime.now(UTC):%H:%M:%S}  {plain(event.type):18}  {plain(event.id)}"
        if forwarder is None:
            say(f"{head}\n{readable(event.data)}")
        else:
            say(f"{head}  {await forwarder.post(event)}")


def _tell_lost(reason: str, seconds: float) -> None:
    note(f"{reason} Trying again in {seconds:.1f} s.")


def readable(body: bytes) -> str:
    """JSON over several lines, fit for a terminal."""
    try:
        text = msgspec.json.format(body, indent=2).decode()
    except (msgspec.DecodeError, UnicodeDecodeError):
        text = body.decode("utf-8", "replace")
    return "\n".join(plain(line) for line in text.split("\n"))


class Forwarder:
    """Posts events to the developer's server as a dispatcher would."""

    def __init__(
        self, http: "httpx.AsyncClient", *, url: str, secret: str, clock: Callable[[], float]
    ) -> None:
        self._http = http
        self._url = url
        self._signer = Signer([secret])
        self._clock = clock

    async def post(self, event: ServerEvent) -> str:
        """Send it; answers what came of it in a few words."""
        import httpx  # noqa: PLC0415 - as above

        timestamp, began = int(self._clock()), time.monotonic()
        headers = {
            "Content-Type": "application/json",
            "webhook-id": event.id,
            "webhook-timestamp": str(timestamp),
            "webhook-signature": self._signer.sign(event.id, timestamp, event.data),
        }
        try:
            # The answer's body is of no interest, however long it is.
            async with self._http.stream("POST", self._url, content=event.data, headers=headers) as response:
                outcome = f"{response.status_code} {response.reason_phrase}".strip()
        except httpx.HTTPError as error:
            outcome = f"unreachable ({plain(str(error)) or type(error).__name__})"
        return f"{outcome} in {round((time.monotonic() - began) * 1000)} ms"
