"""`relay tenant`: the companies of a server; needs the operator's key."""

import argparse

from relay.commands.client import Client, identifier
from relay.commands.options import Commands, Options, add_yes, calling, require_yes, say_list
from relay.commands.output import say_details, say_json
from relay.logs import say

_COLUMNS = {"ID": "companyId", "NAME": "name", "CREATED": "createdAt"}


def add_parser(commands: Commands, options: Options) -> None:
    group = commands.add_parser("tenant", help="companies: create, list, show, rename, delete")
    actions = group.add_subparsers(required=True, metavar="ACTION")
    base = [options.settings, options.server]

    create = actions.add_parser("create", parents=[*base, options.json], help="create a company")
    create.add_argument("name", metavar="NAME")
    create.set_defaults(run=calling(_create))

    listing = actions.add_parser(
        "list", parents=[*base, options.json, options.limit], help="list companies, newest first"
    )
    listing.set_defaults(run=calling(_list))

    show = actions.add_parser("show", parents=[*base, options.json], help="show a company")
    show.add_argument("id", metavar="ID", type=identifier)
    show.set_defaults(run=calling(_show))

    rename = actions.add_parser("rename", parents=[*base, options.json], help="give a company another name")
    rename.add_argument("id", metavar="ID", type=identifier)
    rename.add_argument("name", metavar="NAME")
    rename.set_defaults(run=calling(_rename))

    delete = actions.add_parser("delete", parents=base, help="remove a company and everything of it")
    delete.add_argument("id", metavar="ID", type=identifier)
    add_yes(delete)
    delete.set_defaults(run=calling(_delete))


def _say(arguments: argparse.Namespace, tenant: dict[str, object]) -> None:
    (say_json if arguments.json else say_details)(tenant)


async def _create(client: Client, arguments: argparse.Namespace) -> None:
    _say(arguments, await client.post("/admin/tenants", {"name": arguments.name}))


async def _list(client: Client, arguments: argparse.Namespace) -> None:
    found = await client.list("/admin/tenants", "tenants", limit=arguments.limit)
    say_list(arguments, found, _COLUMNS)


async def _show(client: Client, arguments: argparse.Namespace) -> None:
    _say(arguments, await client.get(f"/admin/tenants/{arguments.id}"))


async def _rename(client: Client, arguments: argparse.Namespace) -> None:
    _say(arguments, await client.patch(f"/admin/tenants/{arguments.id}", {"name": arguments.name}))


async def _delete(client: Client, arguments: argparse.Namespace) -> None:
    tenant = await client.get(f"/admin/tenants/{arguments.id}")
    require_yes(
        arguments, f"removes the company {tenant['name']!r} with its keys, sessions, messages and endpoints"
    )
    await client.delete(f"/admin/tenants/{arguments.id}")
    say(f"{arguments.id} is removed.")
