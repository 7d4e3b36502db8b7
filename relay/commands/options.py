"""Options that several commands share, and lists as all of them show them."""

import argparse
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, TypeAlias

from msgspec import Struct

from relay.commands.client import Client, open_client
from relay.commands.output import note, plain, say_json, say_table
from relay.config import Config
from relay.model.errors import RelayError

Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"  # noqa: SLF001 - it has no other name
Handler: TypeAlias = Callable[[Client, argparse.Namespace], Awaitable[None]]


class NotConfirmed(RelayError):
    """Something that cannot be undone was asked for without --yes."""

    code = "not_confirmed"


class Options(Struct, frozen=True, kw_only=True):
    """Parsers to take options from, as `parents`."""

    settings: argparse.ArgumentParser
    """--config and --data-dir."""
    listening: argparse.ArgumentParser
    """--host and --port."""
    server: argparse.ArgumentParser
    """--url and --key-file: for what goes over the HTTP API."""
    json: argparse.ArgumentParser
    company: argparse.ArgumentParser
    limit: argparse.ArgumentParser


def make_options() -> Options:
    settings, listening = (argparse.ArgumentParser(add_help=False) for _ in range(2))
    settings.add_argument("--config", metavar="PATH", help="settings (default: config.yaml in this folder)")
    settings.add_argument("--data-dir", metavar="DIR", help="where Relay keeps what it must not lose")
    listening.add_argument("--host", metavar="ADDRESS", help="the address to listen on")
    listening.add_argument("--port", type=int, metavar="N", help="the port to listen on; 0 takes a free one")
    server, json, company, limit = (argparse.ArgumentParser(add_help=False) for _ in range(4))
    server.add_argument(
        "--url", metavar="URL", help="the server (default: RELAY_URL, or the one on this machine)"
    )
    server.add_argument(
        "--key-file",
        metavar="PATH",
        help="a file with the API key (default: RELAY_API_KEY, RELAY_OPERATOR_KEY)",
    )
    json.add_argument("--json", action="store_true", help="print JSON")
    company.add_argument("--company", metavar="ID", help="the company, where the key is the operator's")
    limit.add_argument("--limit", type=_count, default=50, metavar="N", help="how many at most (default: 50)")
    return Options(
        settings=settings, listening=listening, server=server, json=json, company=company, limit=limit
    )


def _count(text: str) -> int:
    if not (text.isdecimal() and len(text) < 8 and int(text) > 0):
        raise argparse.ArgumentTypeError(f"{plain(text)!r} is no number of things")
    return int(text)


def calling(handler: Handler) -> Callable[[argparse.Namespace, Config], Awaitable[None]]:
    """`run` of a command that calls the API."""

    async def run(arguments: argparse.Namespace, config: Config) -> None:
        async with open_client(arguments, config) as client:
            await handler(client, arguments)

    return run


def say_list(
    arguments: argparse.Namespace, found: tuple[Sequence[Mapping[str, Any]], bool], columns: Mapping[str, str]
) -> None:
    """What `Client.list` found."""
    rows, more = found
    if arguments.json:
        say_json(rows)
    else:
        say_table(rows, columns)
    if more:
        note(f"There are more: --limit {arguments.limit * 10} shows more of them.")


def add_yes(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--yes", action="store_true", help="do it; without this the command refuses")


def require_yes(arguments: argparse.Namespace, what: str) -> None:
    """Raises NotConfirmed."""
    if not arguments.yes:
        raise NotConfirmed(f"This {what}, and nothing brings it back. Say --yes if that is meant.")
