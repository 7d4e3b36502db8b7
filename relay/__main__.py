"""The command line: `relay serve` runs everything; the other commands each do one thing and end."""

import argparse
import asyncio
import sys
from collections.abc import Coroutine
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, get_args

from relay import __version__, logs
from relay.config import Config, Role, load
from relay.model.errors import RelayError


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
        _run(arguments.run(arguments, config))
    except RelayError as error:
        sys.exit(_fail(error.detail))
    except KeyboardInterrupt:
        sys.exit(130)


def _fail(sentence: str) -> int:
    sys.stderr.write(f"relay: {sentence}\n")
    return 2


def _config_path(arguments: argparse.Namespace) -> Path | None:
    """The file that was named, or config.yaml where it is in the working folder."""
    if arguments.config is not None:
        return Path(arguments.config)
    return Path("config.yaml") if Path("config.yaml").exists() else None


def _run(command: Coroutine[Any, Any, None]) -> None:
    try:
        import uvloop  # noqa: PLC0415 - there is none for Windows
    except ImportError:
        asyncio.run(command)
    else:
        uvloop.run(command)


def _parser() -> argparse.ArgumentParser:
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument("--config", metavar="PATH", help="settings (default: config.yaml in this folder)")
    shared.add_argument("--data-dir", metavar="DIR", help="where Relay keeps what it must not lose")
    listening = argparse.ArgumentParser(add_help=False)
    listening.add_argument("--host", metavar="ADDRESS", help="the address to listen on")
    listening.add_argument("--port", type=int, metavar="N", help="the port to listen on; 0 takes a free one")

    parser = argparse.ArgumentParser(prog="relay", description="A multi-tenant WhatsApp server.")
    parser.add_argument("--version", action="version", version=f"relay {__version__}")
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

    migrate = commands.add_parser("migrate", parents=[shared], help="bring the database's schema up to date")
    migrate.set_defaults(run=_migrate)

    check = commands.add_parser(
        "check", parents=[shared], help="read the settings and say whether they are right"
    )
    check.set_defaults(run=_check)
    return parser


async def _serve(arguments: argparse.Namespace, config: Config) -> None:
    from relay import supervisor  # noqa: PLC0415 - a short command need not load the server

    await supervisor.serve(config, _config_path(arguments))


async def _run_roles(arguments: argparse.Namespace, config: Config) -> None:
    from relay import roles  # noqa: PLC0415 - as above

    await roles.run_roles(
        config, arguments.roles, listen_fd=arguments.listen_fd, supervised=arguments.supervised
    )


async def _migrate(_arguments: argparse.Namespace, config: Config) -> None:
    from relay.store import migrate, pool  # noqa: PLC0415 - as above

    conn = await pool.connect(config.database.url, name="migrate")
    try:
        applied = await migrate.migrate(conn, now=datetime.now(UTC))
    finally:
        await conn.close()
    for name in applied or ["nothing to do"]:
        sys.stdout.write(name + "\n")


async def _check(_arguments: argparse.Namespace, _config: Config) -> None:
    sys.stdout.write("The settings are right.\n")


if __name__ == "__main__":
    main()
