"""The machine: Python, the data folder and what lies in it, the embedded PostgreSQL, the journals."""

import os
import platform
import shutil
import stat
import struct
import sys
from collections.abc import Iterator
from pathlib import Path

from relay.commands.checkup.finding import Finding, ok, warn, wrong
from relay.config import Config
from relay.model.errors import ConfigError
from relay.store.embedded import EmbeddedPostgresError
from relay.store.embedded_account import choose_account, find_installed, is_namespace_allowed
from relay.store.embedded_running import find_holder, find_running
from relay.vault import Vault, open_vault

_OLDEST_PYTHON = (3, 11)
_LEAST_FREE_BYTES = 200 * 1024 * 1024
_SCANT_FREE_BYTES = 2 * 1024 * 1024 * 1024
_MUCH_BACKLOG_BYTES = 1024 * 1024
_SEGMENT_HEAD = struct.Struct("<Q")
"""How far a journal's segment is committed, as host/journal.py writes it."""


def check_python() -> Finding:
    if sys.version_info < _OLDEST_PYTHON:
        mend = "Install Python 3.11 or newer, then make setup."
        return wrong("python", f"Python {platform.python_version()} is too old.", mend)
    return ok("python", f"Python {platform.python_version()} on {platform.system()} {platform.machine()}.")


def check_folder(config: Config) -> Iterator[Finding]:
    """The data folder: there, ours, closed to others, with room."""
    folder = config.data_dir
    if not folder.exists():
        yield warn(
            "data folder", f"{folder} does not exist yet.", "`relay serve` makes it at the first start."
        )
        return
    if not folder.is_dir() or not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
        mend = "Run as the user whose it is, or name another with --data-dir."
        yield wrong("data folder", f"{folder} is not a folder that this user may write in.", mend)
        return
    mode = stat.S_IMODE(folder.stat().st_mode)
    if os.name == "posix" and mode & 0o077:
        yield warn("data folder", f"{folder} is open to other users ({mode:04o}).", f"chmod 700 {folder}")
    else:
        yield ok("data folder", f"{folder} is there and closed to others.")
    yield _check_room(folder)


def _check_room(folder: Path) -> Finding:
    free = shutil.disk_usage(folder).free
    sentence = f"{free / 1024**3:.1f} GiB are free for {folder}."
    mend = "Make room on that disk, or shorten retention.* in the settings."
    if free < _LEAST_FREE_BYTES:
        return wrong("disk", sentence, mend)
    return warn("disk", sentence, mend) if free < _SCANT_FREE_BYTES else ok("disk", sentence)


def check_master_key(config: Config) -> tuple[Finding, Vault | None]:
    path = config.master_key_file
    if not path.exists():
        if config.vault.master_key_file:
            mend = "Put it there: every process of one Relay needs the same."
            return wrong("master key", f"vault.master_key_file: {path} does not exist.", mend), None
        mend = "`relay serve` makes one at the first start. If there was one, put it back from your backup."
        return warn("master key", f"{path} does not exist.", mend), None
    try:
        vault = open_vault(path)
    except ConfigError as error:
        mend = f"chmod 600 {path}, or put the file back from your backup."
        return wrong("master key", error.detail, mend), None
    return ok("master key", f"{path} can be read by this user only."), vault


async def check_embedded(config: Config) -> Iterator[Finding]:
    """PostgreSQL as `relay serve` runs it; nothing where database.url names another."""
    if config.database.url:
        return iter(())
    return iter([await _check_account(config), _check_running(config)])


async def _check_account(config: Config) -> Finding:
    try:
        find_installed()
        account = await choose_account(config.data_dir / "postgres", is_namespace_allowed)
    except EmbeddedPostgresError as error:
        return wrong("postgres", error.detail, "Do one of the two, then run this again.")
    how = {
        "self": "this user",
        "namespace": "root inside a user namespace, which this machine allows",
        "switch": f"the user {account.uid}, because root may not",
    }[account.kind]
    return ok("postgres", f"The embedded PostgreSQL runs as {how}.")


def _check_running(config: Config) -> Finding:
    running, holder = find_running(config.data_dir), find_holder(config.data_dir)
    if running is None:
        return warn("postgres", "The embedded PostgreSQL does not run: Relay is stopped.", "relay serve")
    if holder is None:
        sentence = f"PostgreSQL runs (process {running.pid}), and the Relay that started it is gone."
        return warn("postgres", sentence, "`relay serve` ends it in order and starts its own.")
    if running.url is None:
        sentence = f"PostgreSQL runs (process {running.pid}), and its socket or password is not to be found."
        return wrong(
            "postgres", sentence, "Stop Relay and start it again; see postgres.log in the data folder."
        )
    return ok("postgres", f"PostgreSQL runs (process {running.pid}); the folder is held by process {holder}.")


def check_journals(config: Config) -> Finding:
    """What hosts have seen and the database does not have yet."""
    root = config.data_dir / "journal"
    backlog = sum(_uncommitted_bytes(path) for path in root.glob("*/segment-*.journal"))
    if backlog == 0:
        return ok("journal", "Everything received is in the database.")
    sentence = f"{backlog} bytes of received messages are not in the database yet."
    if backlog < _MUCH_BACKLOG_BYTES:
        return ok("journal", sentence)
    return warn(
        "journal", sentence, "See that a `host` role runs and that the database answers; nothing is lost."
    )


def _uncommitted_bytes(path: Path) -> int:
    try:
        with path.open("rb") as segment:
            head = segment.read(_SEGMENT_HEAD.size)
        size = path.stat().st_size
    except OSError:
        return 0  # committed and removed while we looked
    if len(head) < _SEGMENT_HEAD.size:
        return 0
    committed: int = _SEGMENT_HEAD.unpack(head)[0]
    return max(0, size - max(_SEGMENT_HEAD.size, committed))
