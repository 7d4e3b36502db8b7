"""`relay key`: API keys of companies; needs the operator's key, or a company's with the scope `admin`."""

import argparse

from relay.commands.client import Client, identifier
from relay.commands.options import Commands, Options, calling, say_list
from relay.commands.output import note, say_details, say_json
from relay.logs import say
from relay.model.tenant import Scope

_COLUMNS = {
    "ID": "id",
    "COMPANY": "companyId",
    "NAME": "name",
    "HINT": "hint",
    "SCOPES": "scopes",
    "CREATED": "createdAt",
    "EXPIRES": "expiresAt",
    "REVOKED": "revokedAt",
}


def add_parser(commands: Commands, options: Options) -> None:
    group = commands.add_parser(
        "key", help="API keys: create, list, revoke, rotate (the master key: relay keys)"
    )
    actions = group.add_subparsers(required=True, metavar="ACTION")
    base = [options.settings, options.server]

    create = actions.add_parser(
        "create", parents=[*base, options.company, options.json], help="create a key; it is shown this once"
    )
    create.add_argument("--name", required=True, metavar="NAME", help="what the key is for")
    create.add_argument(
        "--scopes", required=True, type=_scopes, metavar="A,B", help="some of: " + ", ".join(Scope)
    )
    create.add_argument("--expires-at", metavar="INSTANT", help="such as 2030-01-31T00:00:00Z")
    create.set_defaults(run=calling(_create))

    listing = actions.add_parser(
        "list", parents=[*base, options.company, options.limit, options.json], help="list keys, newest first"
    )
    listing.set_defaults(run=calling(_list))

    revoke = actions.add_parser("revoke", parents=base, help="end a key at once")
    revoke.add_argument("id", metavar="ID", type=identifier)
    revoke.set_defaults(run=calling(_revoke))

    rotate = actions.add_parser(
        "rotate", parents=[*base, options.json], help="replace a key; the old one works for a day more"
    )
    rotate.add_argument("id", metavar="ID", type=identifier)
    rotate.set_defaults(run=calling(_rotate))


def _scopes(text: str) -> list[str]:
    return [scope for scope in (part.strip() for part in text.split(",")) if scope]


def _say_new(arguments: argparse.Namespace, key: dict[str, object]) -> None:
    if arguments.json:
        say_json(key)
    else:
        say_details(key)
        note("Keep the key: it is not shown again.")


async def _create(client: Client, arguments: argparse.Namespace) -> None:
    body = {"name": arguments.name, "scopes": arguments.scopes}
    given = {"companyId": arguments.company, "expiresAt": arguments.expires_at}
    body |= {field: value for field, value in given.items() if value is not None}
    _say_new(arguments, await client.post("/admin/keys", body))


async def _list(client: Client, arguments: argparse.Namespace) -> None:
    found = await client.list("/admin/keys", "keys", limit=arguments.limit, companyId=arguments.company)
    say_list(arguments, found, _COLUMNS)


async def _revoke(client: Client, arguments: argparse.Namespace) -> None:
    await client.delete(f"/admin/keys/{arguments.id}")
    say(f"{arguments.id} is revoked: it opens nothing any more.")


async def _rotate(client: Client, arguments: argparse.Namespace) -> None:
    _say_new(arguments, await client.post(f"/admin/keys/{arguments.id}/rotate"))
