"""`relay rules`: bots in YAML.

check, test, explain, schema                     ──► files of this machine; no server is needed
list, show, push, versions, rollback, delete     ──► a company's own rule sets, over the HTTP API
"""

import argparse
import re
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import msgspec

from relay.commands.client import Client
from relay.commands.options import Commands, Handler, Options, add_yes, calling, require_yes, say_list
from relay.commands.output import note, plain, say_json
from relay.config import Config
from relay.logs import say
from relay.replies.said import LANGUAGES

_COLUMNS = {"NAME": "name", "VERSION": "version", "NOTE": "note", "IN FORCE SINCE": "updatedAt"}
_VERSION_COLUMNS = {"VERSION": "version", "NOTE": "note", "CREATED": "createdAt"}

Run = Callable[[argparse.Namespace, Config], Coroutine[Any, Any, int]]


def add_parser(commands: Commands, options: Options) -> None:
    group = commands.add_parser(
        "rules",
        help="bots in YAML: check, test, explain, schema; list, show, push, versions, rollback, delete",
    )
    actions = group.add_subparsers(required=True, metavar="ACTION")
    _add_local(actions, options)
    _add_remote(actions, options)


def _add_local(actions: Commands, options: Options) -> None:
    files = argparse.ArgumentParser(add_help=False)
    files.add_argument(
        "files", nargs="*", type=Path, metavar="FILE", help="rule files (default: those of rules.folder)"
    )
    words = argparse.ArgumentParser(add_help=False)
    words.add_argument(
        "--language", choices=LANGUAGES, default="en", help="of what is said about them (default: en)"
    )
    check = actions.add_parser(
        "check",
        parents=[options.settings, files, words],
        help="say what is wrong in rule files, line by line",
    )
    check.set_defaults(run=_local("check"))

    test = actions.add_parser(
        "test", parents=[options.settings, files, words], help="run the tests in rule files"
    )
    test.set_defaults(run=_local("test"))

    _add_explain(actions, [options.settings, words])

    schema = actions.add_parser(
        "schema", parents=[options.settings], help="print the JSON Schema of rule files, for editors"
    )
    schema.set_defaults(run=_local("print_schema"))


def _add_explain(actions: Commands, parents: list[argparse.ArgumentParser]) -> None:
    explain = actions.add_parser(
        "explain",
        parents=parents,
        help="show what the bot would answer, and why each rule did or did not fire",
    )
    explain.add_argument(
        "--text", action="append", required=True, metavar="TEXT", help="the message; again for the next one"
    )
    explain.add_argument("--at", metavar="TIME", help="when, as 2026-01-05T10:00 in the rules' time zone")
    explain.add_argument("--from", dest="from_", metavar="NUMBER", help="who writes")
    explain.add_argument("--name", metavar="NAME", help="the writer's name")
    explain.add_argument("--type", metavar="TYPE", help="text, image, audio …")
    explain.add_argument(
        "--content", type=_fields, metavar="JSON", help="its content as webhooks have it, in JSON"
    )
    explain.add_argument("--chat", choices=("private", "group", "mentioned"), help="where (default: private)")
    explain.add_argument("--session", metavar="NAME", help="only rules for this session")
    explain.add_argument("--first-contact", action="store_true", help="the first message ever")
    explain.add_argument(
        "--var",
        action="append",
        default=[],
        type=_pair,
        metavar="NAME=VALUE",
        help="a variable of the writer's",
    )
    explain.add_argument("--tag", action="append", default=[], metavar="TAG", help="a tag of the writer's")
    explain.add_argument(
        "--file", dest="files", action="append", default=[], type=Path, metavar="FILE",
        help="rule files (default: those of rules.folder)",
    )  # fmt: skip
    explain.set_defaults(run=_local("explain"))


def _add_remote(actions: Commands, options: Options) -> None:
    base = [options.settings, options.server, options.company]
    listing = actions.add_parser(
        "list", parents=[*base, options.limit, options.json], help="list a company's own rule sets"
    )
    listing.set_defaults(run=calling(_list))

    show = _add_one(actions, "show", "print a rule set's YAML", [*base, options.json], _show)
    show.add_argument("--version", type=int, metavar="N", help="an older one (default: the one in force)")

    push = _add_one(actions, "push", "check a rule file, test it and put it in force", base, _push)
    push.add_argument("file", type=Path, metavar="FILE")
    push.add_argument("--note", metavar="TEXT", help="why, for those who read the versions")
    push.add_argument("--dry-run", action="store_true", help="only check and test it")
    push.add_argument("--skip-tests", action="store_true", help="put it in force although its tests fail")

    versions = [*base, options.limit, options.json]
    _add_one(actions, "versions", "list the versions of a rule set, newest first", versions, _list_versions)

    rollback = _add_one(actions, "rollback", "put an old version in force again", base, _roll_back)
    rollback.add_argument("version", type=int, metavar="VERSION")

    delete = _add_one(actions, "delete", "remove a rule set and all its versions", base, _delete)
    add_yes(delete)


def _add_one(
    actions: Commands, name: str, help_: str, parents: list[argparse.ArgumentParser], handler: Handler
) -> argparse.ArgumentParser:
    """An action on one rule set."""
    parser = actions.add_parser(name, parents=parents, help=help_)
    parser.add_argument("name", metavar="NAME", type=_rule_set_name)
    parser.set_defaults(run=calling(handler))
    return parser


def _rule_set_name(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}", text):
        raise argparse.ArgumentTypeError(f"{plain(text)!r} is no rule set's name")
    return text


def _fields(text: str) -> dict[str, Any]:
    try:
        return msgspec.json.decode(text, type=dict[str, Any])
    except (msgspec.DecodeError, RecursionError):
        raise argparse.ArgumentTypeError(f"{plain(text)!r} is no JSON object") from None


def _pair(text: str) -> tuple[str, str]:
    name, separator, value = text.partition("=")
    if not (name and separator):
        raise argparse.ArgumentTypeError(f"{plain(text)!r} is not NAME=VALUE")
    return name, value


def _local(name: str) -> Run:
    async def run(arguments: argparse.Namespace, config: Config) -> int:
        from relay.commands import rule_trials  # noqa: PLC0415 - other commands need no rules

        command: Callable[[argparse.Namespace, Config], int] = getattr(rule_trials, name)
        return command(arguments, config)

    return run


# --- over the API -------------------------------------------------------------------------------------------------


async def _list(client: Client, arguments: argparse.Namespace) -> None:
    found = await client.list("/rules", "ruleSets", limit=arguments.limit, companyId=arguments.company)
    say_list(arguments, found, _COLUMNS)


async def _show(client: Client, arguments: argparse.Namespace) -> None:
    path = f"/rules/{arguments.name}"
    if arguments.version is not None:
        path += f"/versions/{arguments.version}"
    found = await client.get(path, companyId=arguments.company)
    if arguments.json:
        say_json(found)
        return
    source = found["source"].removesuffix("\n")
    # A file gets every byte; a terminal nothing that it would obey.
    say("\n".join(map(plain, source.split("\n"))) if sys.stdout.isatty() else source)


async def _push(client: Client, arguments: argparse.Namespace) -> None:
    from relay.commands.rule_trials import read_own  # noqa: PLC0415 - other commands need no rules

    done = await client.put(
        f"/rules/{arguments.name}",
        read_own(arguments.file),
        media_type="application/yaml",
        companyId=arguments.company,
        note=arguments.note,
        dryRun=arguments.dry_run or None,
        skipTests=arguments.skip_tests or None,
    )
    if arguments.dry_run:
        say(f"{arguments.name} is right: {_count(done)}. Nothing was changed.")
    elif done["changed"]:
        say(f"{arguments.name} is in force as version {done['version']}: {_count(done)}.")
    else:
        say(f"{arguments.name} is in force already, as version {done['version']}.")


def _count(done: dict[str, Any]) -> str:
    return f"rules {done['rules']}, flows {done['flows']}, tests {done['tests']}"


async def _list_versions(client: Client, arguments: argparse.Namespace) -> None:
    path = f"/rules/{arguments.name}/versions"
    found = await client.list(path, "versions", limit=arguments.limit, companyId=arguments.company)
    say_list(arguments, found, _VERSION_COLUMNS)


async def _roll_back(client: Client, arguments: argparse.Namespace) -> None:
    body = {"version": arguments.version}
    if arguments.company is not None:
        body["companyId"] = arguments.company
    done = await client.post(f"/rules/{arguments.name}/rollback", body)
    say(f"Version {arguments.version} of {arguments.name} is in force again, as version {done['version']}.")
    note("Its tests were not run: `relay rules test` does, once you have saved it with `relay rules show`.")


async def _delete(client: Client, arguments: argparse.Namespace) -> None:
    require_yes(arguments, f"removes the rule set {arguments.name} with all its versions")
    await client.delete(f"/rules/{arguments.name}", companyId=arguments.company)
    say(f"{arguments.name} is removed.")
