"""`relay deliveries`: what was owed to endpoints and what became of it; send again, cancel, replay."""

import argparse
from functools import partial
from typing import Any

from relay.commands.client import Client, identifier
from relay.commands.options import Commands, Options, calling, say_list
from relay.commands.output import say_details, say_json, say_table
from relay.logs import say
from relay.model.delivery import DeliveryStatus

_COLUMNS = {
    "ID": "id",
    "TYPE": "eventType",
    "ENDPOINT": "endpointId",
    "STATUS": "status",
    "ATTEMPTS": "attemptCount",
    "NEXT ATTEMPT": "nextAttemptAt",
    "CREATED": "createdAt",
}
_ATTEMPT_COLUMNS = {
    "ATTEMPT": "number",
    "AT": "at",
    "OUTCOME": "outcome",
    "ANSWER": "statusCode",
    "SECONDS": "durationSeconds",
    "RESPONSE": "response",
}


def add_parser(commands: Commands, options: Options) -> None:
    group = commands.add_parser(
        "deliveries", help="webhook deliveries: list, show, redeliver, cancel, replay"
    )
    actions = group.add_subparsers(required=True, metavar="ACTION")
    base = [options.settings, options.server, options.json]

    listing = actions.add_parser(
        "list", parents=[*base, options.company, options.limit], help="list deliveries, newest first"
    )
    listing.add_argument("--endpoint", metavar="ID", help="only those to this endpoint")
    listing.add_argument("--status", choices=[str(status) for status in DeliveryStatus], help="only these")
    listing.add_argument("--type", metavar="TYPE", help="only events of this type")
    _add_range(listing, since_needed=False)
    listing.set_defaults(run=calling(_list))

    for name, help_, handler in (
        ("show", "show a delivery with its attempts", _show),
        ("redeliver", "send a delivery again, now", partial(_act, "redeliver")),
        ("cancel", "stop trying a delivery", partial(_act, "cancel")),
    ):
        one = actions.add_parser(name, parents=base, help=help_)
        one.add_argument("id", metavar="ID", type=identifier)
        one.set_defaults(run=calling(handler))

    replay = actions.add_parser(
        "replay", parents=base, help="send an endpoint again what happened in a range of time"
    )
    replay.add_argument("endpoint", metavar="ENDPOINT", type=identifier)
    replay.add_argument(
        "--types", type=_words, metavar="A,B", help="only these types (default: the endpoint's)"
    )
    _add_range(replay, since_needed=True)
    replay.set_defaults(run=calling(_replay))


def _add_range(parser: argparse.ArgumentParser, *, since_needed: bool) -> None:
    parser.add_argument(
        "--since", required=since_needed, metavar="INSTANT", help="from then on, such as 2030-01-31T00:00:00Z"
    )
    parser.add_argument("--until", metavar="INSTANT", help="up to then")


def _words(text: str) -> list[str]:
    return [word for word in (part.strip() for part in text.split(",")) if word]


def _say(arguments: argparse.Namespace, delivery: dict[str, Any]) -> None:
    if arguments.json:
        say_json(delivery)
        return
    attempts = delivery.pop("attempts", [])
    say_details(delivery)
    if attempts:
        say("")
        say_table(attempts, _ATTEMPT_COLUMNS)


async def _list(client: Client, arguments: argparse.Namespace) -> None:
    found = await client.list(
        "/webhooks/deliveries",
        "deliveries",
        limit=arguments.limit,
        companyId=arguments.company,
        endpointId=arguments.endpoint,
        status=arguments.status,
        type=arguments.type,
        since=arguments.since,
        until=arguments.until,
    )
    say_list(arguments, found, _COLUMNS)


async def _show(client: Client, arguments: argparse.Namespace) -> None:
    _say(arguments, await client.get(f"/webhooks/deliveries/{arguments.id}"))


async def _act(action: str, client: Client, arguments: argparse.Namespace) -> None:
    _say(arguments, await client.post(f"/webhooks/deliveries/{arguments.id}/{action}"))


async def _replay(client: Client, arguments: argparse.Namespace) -> None:
    given = {"since": arguments.since, "until": arguments.until, "types": arguments.types}
    body = {field: value for field, value in given.items() if value}
    answer = await client.post(f"/webhooks/endpoints/{arguments.endpoint}/replay", body)
    if arguments.json:
        say_json(answer)
    else:
        say(f"Deliveries that are owed again: {answer['count']}.")
