"""The command line: `relay serve` runs everything; the other commands each do one thing and end.

Exit status: 0 done, 1 not done (refused, not reached, something is wrong), 2 not understood or wrongly set.
"""

import argparse
import asyncio
import os
import sys
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, get_args

from relay import __version__, logs
from relay.commands.client import CallFailed
from relay.commands.options import Commands, Options, make_options
from relay.config import Config, Role, load
from relay.model.errors import RelayError

_LONG_RUNNING = {"serve", "run"}


def main() -> None:
    """Run one command; a mistake of the operator's is one line on standard error and exit status 2."""
    arguments = _parser().parse_args()
    try:
        config = load(_config_path(arguments)).with_server(
            host=getattr(arguments, "host", None),
            port=getattr(arguments, "port", None),
            data_dir=arguments.data_dir,
        )
        logs.configure(level=config.logs.level, style=config.logs.format, masked=config.logs.mask)
        sys.exit(_run(arguments.run(arguments, config)))
    except RelayError as error:
        sys.exit(arguments.fail(error))
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:
        # Whoever read us has heard enough; Python would complain once more when it flushes at the end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)


def _fail(error: RelayError) -> int:
    sys.stderr.write(f"relay: {error.detail}\n")
    return 1 if isinstance(error, CallFailed) else 2


def _config_path(arguments: argparse.Namespace) -> Path | None:
    """The file that was named, or config.yaml where it is in the working folder."""
    if arguments.config is not None:
        return Path(arguments.config)
    return Path("config.yaml") if Path("config.yaml").exists() else None


def _run(command: Coroutine[Any, Any, int | None]) -> int | None:
    try:
        import uvloop
    except ImportError:
        return asyncio.run(command)
    return uvloop.run(command)


def _parser() -> argparse.ArgumentParser:
    options = make_options()
    shared, listening = options.settings, options.listening
    parser = argparse.ArgumentParser(prog="relay", description="A multi-tenant WhatsApp server.")
    parser.add_argument("--version", action="version", version=f"relay {__version__}")
    parser.set_defaults(fail=_fail)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    serve = commands.add_parser("serve", parents=[shared, listening], help="run everything in this folder")
    serve.set_defaults(run=_serve)

    run = commands.add_parser("run", parents=[shared, listening], help="run some roles against a database")
    run.add_argument(
        "roles", nargs="+", choices=get_args(Role), metavar="ROLE", help=", ".join(get_args(Role))
    )
    run.add_argument("--supervised", action="store_true", help=argparse.SUPPRESS)
    run.add_argument("--listen-fd", type=int, help=argparse.SUPPRESS)
    run.set_defaults(run=_run_roles)

    check = commands.add_parser(
        "check", parents=[shared], help="read the settings and say whether they are right"
    )
    check.set_defaults(run=_check)

    if not _LONG_RUNNING.intersection(sys.argv[1:2]):
        _add_short_commands(commands, options)
    return parser


def _add_short_commands(commands: Commands, options: Options) -> None:
    """What runs for long never needs these, and would keep them in memory in each process."""
    from relay.commands import deliveries, doctor, key, keys, listen, migrate, rules, session, tenant

    for group in (migrate, doctor, tenant, key, keys, session, rules, deliveries, listen):
        group.add_parser(commands, options)


async def _serve(arguments: argparse.Namespace, config: Config) -> None:
    from relay import supervisor

    await supervisor.serve(config, _config_path(arguments))


async def _run_roles(arguments: argparse.Namespace, config: Config) -> None:
    from relay.roles.run import run_roles

    await run_roles(config, arguments.roles, listen_fd=arguments.listen_fd, supervised=arguments.supervised)


async def _check(_arguments: argparse.Namespace, config: Config) -> None:
    from relay.plugin.loading import load_plugins

    load_plugins(config.plugins)
    sys.stdout.write("The settings are right.\n")


if __name__ == "__main__":
    main()
