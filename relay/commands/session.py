"""`relay session`: WhatsApp accounts: create, link, see, stop, remove."""

import argparse
from collections.abc import Callable
from functools import partial
from typing import Any

from relay.commands.client import Client, identifier
from relay.commands.link import show_until_connected
from relay.commands.options import Commands, Handler, Options, add_yes, calling, require_yes, say_list
from relay.commands.output import note, say_details, say_json
from relay.logs import say
from relay.model.session import SessionStatus

_COLUMNS = {
    "ID": "id",
    "COMPANY": "companyId",
    "NAME": "name",
    "ENGINE": "engine",
    "STATUS": "status",
    "REASON": "reason",
    "PHONE": "phone",
    "LAST ACTIVE": "lastActive",
}
_TO_SHOW_OTHERWISE = ("qrCode", "sessionId")


def add_parser(commands: Commands, options: Options) -> None:
    group = commands.add_parser(
        "session", help="WhatsApp accounts: create, list, show, connect, disconnect, logout, delete"
    )
    actions = group.add_subparsers(required=True, metavar="ACTION")
    base = [options.settings, options.server]

    create = actions.add_parser(
        "create", parents=[*base, options.company, options.json], help="create a session and start connecting"
    )
    create.add_argument("name", metavar="NAME")
    create.add_argument("--engine", metavar="NAME", help="what drives it (default: the server's choice)")
    create.set_defaults(run=calling(_create))

    listing = actions.add_parser(
        "list",
        parents=[*base, options.company, options.limit, options.json],
        help="list sessions, newest first",
    )
    listing.add_argument("--status", choices=[str(status) for status in SessionStatus], help="only these")
    listing.set_defaults(run=calling(_list))

    connect = _add_one(
        actions.add_parser, "connect", "show the QR code until a phone has scanned it", base, _connect
    )
    connect.add_argument("--phone", metavar="NUMBER", help="link by a pairing code for this number instead")

    _add_one(actions.add_parser, "show", "show a session", [*base, options.json], _show)
    stopped, removed = partial(_stop, "disconnect"), partial(_stop, "logout")
    _add_one(actions.add_parser, "disconnect", "disconnect; it stays linked", [*base, options.json], stopped)
    logout = _add_one(actions.add_parser, "logout", "unlink from the phone", [*base, options.json], removed)
    delete = _add_one(actions.add_parser, "delete", "log out and remove everything of it", base, _delete)
    add_yes(logout)
    add_yes(delete)


def _add_one(
    add: Callable[..., argparse.ArgumentParser],
    name: str,
    help_: str,
    parents: list[argparse.ArgumentParser],
    handler: Handler,
) -> argparse.ArgumentParser:
    """An action on one session."""
    parser = add(name, parents=parents, help=help_)
    parser.add_argument("id", metavar="ID", type=identifier)
    parser.set_defaults(run=calling(handler))
    return parser


def _say(arguments: argparse.Namespace, session: dict[str, Any]) -> None:
    if arguments.json:
        say_json(session)
    else:
        say_details({name: value for name, value in session.items() if name not in _TO_SHOW_OTHERWISE})


async def _create(client: Client, arguments: argparse.Namespace) -> None:
    given = {"name": arguments.name, "companyId": arguments.company, "engine": arguments.engine}
    body = {field: value for field, value in given.items() if value is not None}
    session = await client.post("/whatsapp/sessions", body)
    _say(arguments, session)
    note(f"To link it with a phone: relay session connect {session['id']}")


async def _list(client: Client, arguments: argparse.Namespace) -> None:
    found = await client.list(
        "/whatsapp/sessions",
        "sessions",
        limit=arguments.limit,
        companyId=arguments.company,
        status=arguments.status,
    )
    say_list(arguments, found, _COLUMNS)


async def _show(client: Client, arguments: argparse.Namespace) -> None:
    _say(arguments, await client.get(f"/whatsapp/sessions/{arguments.id}"))


async def _connect(client: Client, arguments: argparse.Namespace) -> None:
    how = {"method": "code", "phone": arguments.phone} if arguments.phone else {"method": "qr"}
    session = await client.post(f"/whatsapp/sessions/{arguments.id}/connect", how)
    await show_until_connected(client, session)


async def _stop(how: str, client: Client, arguments: argparse.Namespace) -> None:
    if how == "logout":
        require_yes(arguments, "unlinks the session from its phone")
    _say(arguments, await client.post(f"/whatsapp/sessions/{arguments.id}/{how}"))


async def _delete(client: Client, arguments: argparse.Namespace) -> None:
    session = await client.get(f"/whatsapp/sessions/{arguments.id}")
    require_yes(arguments, f"logs the session {session['name']!r} out and removes its messages and contacts")
    await client.delete(f"/whatsapp/sessions/{arguments.id}")
    say(f"{arguments.id} is removed.")
