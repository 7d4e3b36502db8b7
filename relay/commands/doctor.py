"""`relay doctor`: what is wrong, and how to mend it; one line a check, and it changes nothing.

    settings ─► this machine ─► WhatsApp ─► server ─► database (the running server's socket) ─► ok | warn | wrong

Ends with 1 where something is wrong. The settings come first: where they are not right, nothing else can be looked at.
"""

import argparse
from collections.abc import AsyncIterator

from relay.commands.checkup.finding import Finding, ok, warn, wrong
from relay.commands.options import Commands, Options
from relay.commands.output import plain
from relay.config import Config
from relay.logs import say
from relay.model.errors import RelayError


def add_parser(commands: Commands, options: Options) -> None:
    parser = commands.add_parser(
        "doctor",
        parents=[options.settings, options.listening],
        help="say what is wrong with this Relay, and how to mend it",
    )
    parser.set_defaults(run=_doctor, fail=_fail)


def _fail(error: RelayError) -> int:
    """The settings are not right: main() could not even come to us."""
    _say(wrong("settings", error.detail, "Mend that setting, then run this again for the rest."))
    return 1


async def _doctor(_arguments: argparse.Namespace, config: Config) -> int:
    is_wrong = False
    async for finding in _look(config):
        _say(finding)
        is_wrong = is_wrong or finding.level == "wrong"
    return 1 if is_wrong else 0


async def _look(config: Config) -> AsyncIterator[Finding]:
    # Only this command needs what the checks import.
    from relay.commands.checkup import database, engine, machine, plugins, server, settings  # noqa: PLC0415
    from relay.store.embedded_running import find_running  # noqa: PLC0415

    yield machine.check_python()
    yield ok("settings", "The settings are right.")
    yield settings.check_operator(config)
    for finding in settings.check_networks(config):
        yield finding
    yield await settings.check_limits(config)
    yield plugins.check_plugins(config)
    for finding in machine.check_folder(config):
        yield finding
    finding, vault = machine.check_master_key(config)
    yield finding
    for finding in await machine.check_embedded(config):
        yield finding
    yield machine.check_journals(config)
    yield engine.check_library()
    yield engine.check_live_files(config)
    yield await engine.check_reach(config)
    async for finding in server.check_server(config):
        yield finding
    running = None if config.database.url else find_running(config.data_dir)
    url = config.database.url or (running and running.url)
    if not url:
        yield warn("database", "It is not looked at: the embedded one runs with Relay only.", "relay serve")
        return
    async for finding in database.check_database(url, vault):
        yield finding


def _say(finding: Finding) -> None:
    line = f"{finding.level:5}  {finding.subject:12}  {plain(finding.sentence)}"
    say(f"{line} → {plain(finding.mend)}" if finding.mend else line)
