"""The embedded PostgreSQL seen from beside the Relay that runs it: for `relay doctor` and `relay migrate`.

Nothing is locked and nothing is written here: a look must not stand in the way of a start.
"""

import os
import sys
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote

import psutil
from msgspec import Struct

from relay.store.embedded_folder import find_socket_folder, find_written_pid, list_leftovers


class RunningPostgres(Struct, frozen=True, kw_only=True):
    pid: int
    """Of the postmaster."""
    url: str | None
    """None where its socket or its password is not to be found."""


def find_running(data_dir: Path) -> RunningPostgres | None:
    """The server that works in `data_dir` now, whoever started it."""
    folder = Path(os.path.abspath(data_dir))  # noqa: PTH100 - named as the Relay that runs it names it
    cluster = folder / "postgres"
    pid = find_written_pid(cluster)
    if pid is None or pid not in {process.pid for process in list_leftovers(cluster)}:
        return None
    return RunningPostgres(pid=pid, url=_find_url(folder, cluster))


def find_holder(data_dir: Path) -> int | None:
    """The Relay whose number stands in the folder's lock, if that process lives.

    One that has got the number since is told by its age: the lock's file is written by its holder.
    """
    lock = data_dir / "postgres.lock"
    with suppress(OSError, ValueError, psutil.Error):
        pid = int(lock.read_text("ascii"))
        return pid if psutil.Process(pid).create_time() <= lock.stat().st_mtime + 1 else None
    return None


def _find_url(folder: Path, cluster: Path) -> str | None:
    try:
        password = (folder / "postgres.password").read_text("ascii").strip()
        if sys.platform == "win32":
            port = int((cluster / "postmaster.pid").read_text("utf-8").split("\n")[3])
            return f"postgresql://relay:{password}@127.0.0.1:{port}/relay"
    except (OSError, ValueError, IndexError):
        return None
    socket_folder = find_socket_folder(cluster)
    if socket_folder is None:
        return None
    return f"postgresql://relay:{password}@/relay?host={quote(str(socket_folder))}&port=5432"
