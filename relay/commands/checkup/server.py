"""The server's port: free, taken by somebody else, or served by a Relay; and whether that is ready."""

from collections.abc import AsyncIterator

import httpx
import msgspec
from msgspec import Struct

from relay.commands.checkup.finding import Finding, ok, warn, wrong
from relay.commands.client import local_url
from relay.config import Config
from relay.listening import bind
from relay.model.errors import ConfigError
from relay.store.embedded_running import find_holder

_SECONDS = 5.0


async def check_server(config: Config) -> AsyncIterator[Finding]:
    try:
        url = local_url(config)
    except ConfigError:
        yield ok("port", "server.port is 0: any free one is taken.")
        return
    async with httpx.AsyncClient(base_url=url, timeout=_SECONDS, trust_env=False) as http:
        try:
            answer = await http.get("/livez")
        except httpx.ConnectError:
            yield _check_free(config, url)
            return
        except httpx.HTTPError as error:
            sentence = f"Something listens on {url}, and does not answer ({type(error).__name__})."
            yield wrong("port", sentence, "If it is Relay, see its log; if not, give Relay another --port.")
            return
        if answer.status_code != 200:
            sentence = f"{url} is taken by another program: it answers {answer.status_code} to GET /livez."
            yield wrong("port", sentence, "Stop that one, or give Relay another with --port.")
            return
        yield ok("port", f"Relay answers at {url}.")
        yield await _check_ready(http)


def _check_free(config: Config, url: str) -> Finding:
    """Nobody answers. It may be that somebody should, or that the port cannot be had."""
    holder = find_holder(config.data_dir)
    if holder is not None:
        return warn(
            "port",
            f"A Relay runs on this data folder (process {holder}), and nothing answers at {url}.",
            "If it listens on another port, say so with --port; if not, see its log.",
        )
    try:
        bind(config).close()
    except ConfigError as error:
        return wrong("port", error.detail, "Stop what has it, or name another with --port or --host.")
    return ok("port", f"{url} is free: no server runs there.")


async def _check_ready(http: httpx.AsyncClient) -> Finding:
    mend = "What it names is checked here too; see the other lines, and the server's log."
    try:
        answer = await http.get("/readyz")
    except httpx.HTTPError as error:
        return wrong("ready", f"GET /readyz is not answered ({type(error).__name__}).", mend)
    if answer.is_success:
        return ok("ready", "Relay is ready.")
    return wrong("ready", f"Relay is not ready: {_reasons(answer)}", mend)


def _reasons(answer: httpx.Response) -> str:
    try:
        checks = msgspec.json.decode(answer.content, type=_Readiness).checks
    except msgspec.DecodeError:
        return f"it answers {answer.status_code}."
    return "; ".join(f"{name}: {found}" for name, found in checks.items() if found != "ok")


class _Readiness(Struct):
    checks: dict[str, str]
