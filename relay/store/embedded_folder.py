"""What surrounds the database in the data folder: who may use it, who still does, and the way to its socket.

postgres/           the cluster (PGDATA), with its Unix socket in it; 0700
postgres.password   of the user `relay`; 0600
postgres.lock       locked by the one Relay that uses the folder, for as long as it lives
postgres.log        what PostgreSQL says
"""

import hashlib
import logging
import os
import secrets
import shutil
import signal
import stat
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import IO

import psutil

from relay.store.embedded_account import EmbeddedPostgresError

SOCKET_NAME = ".s.PGSQL.5432"

# sockaddr_un holds 108 bytes on Linux and 104 on macOS, with the closing NUL.
_SOCKET_PATH_BYTES = 100
_LOG_BYTES = 4 * 1024 * 1024
# Windows locks bytes, and what is locked cannot be read: far behind the number that the file holds.
_LOCKED_AT = 1 << 20

_log = logging.getLogger(__name__)


class FolderLock:
    """A lock that the operating system lets go when we end, however that happens. It is not inherited by children."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._fd: int | None = None

    def acquire(self) -> None:
        """Take it, if it is not ours yet, making the folder; EmbeddedPostgresError names who has it."""
        if self._fd is not None:
            return
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            fd = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
        except PermissionError:
            raise EmbeddedPostgresError(
                f"The data folder {self._path.parent} is not ours to write in. Start Relay as the user whose it is, "
                "or give this one a folder of its own with --data-dir."
            ) from None
        try:
            _lock(fd)
        except OSError:
            holder = os.pread(fd, 20, 0).decode(errors="replace").strip() if hasattr(os, "pread") else ""
            os.close(fd)
            raise EmbeddedPostgresError(
                f"The data folder {self._path.parent} is in use by another Relay (process {holder or 'unknown'}). "
                "Stop that one first, or give this one a folder of its own with --data-dir."
            ) from None
        os.ftruncate(fd, 0)
        os.write(fd, f"{os.getpid()}\n".encode())
        self._fd = fd

    def release(self) -> None:
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None


def _lock(fd: int) -> None:
    if sys.platform == "win32":
        import msvcrt  # noqa: PLC0415 - exists on Windows only

        os.lseek(fd, _LOCKED_AT, os.SEEK_SET)
        msvcrt.locking(fd, msvcrt.LK_NBLCK, 1)
        os.lseek(fd, 0, os.SEEK_SET)
    else:
        import fcntl  # noqa: PLC0415 - exists on POSIX only

        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)


def get_password(path: Path, *, is_new: bool) -> str:
    """The password in the file, or a new one that is stored there before it is used."""
    if path.exists():
        return path.read_text(encoding="ascii").strip()
    if not is_new:
        raise EmbeddedPostgresError(
            f"The database in {path.parent} is there, but its password file {path} is not. "
            "Put the file back from your backup: it belongs to the database and is kept with it."
        )
    password = secrets.token_urlsafe(24)
    draft = path.with_name(f"{path.name}.draft")
    draft.unlink(missing_ok=True)
    with open(draft, "x", encoding="ascii", opener=_open_private) as file:
        file.write(f"{password}\n")
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
    return password


def _open_private(name: str, flags: int) -> int:
    return os.open(name, flags, 0o600)


class ServerLog:
    """What PostgreSQL's programs say. They keep the file open for appending, so it can be emptied in place."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._told_from = 0

    def open(self) -> IO[bytes]:
        """For one program's output; `tell()` tells from here."""
        file = open(self._path, "ab", opener=_open_private)  # noqa: SIM115 - the caller closes it
        self._told_from = file.tell()
        return file

    def bound(self) -> None:
        """Move what has grown too long to `….1`."""
        if self._path.exists() and self._path.stat().st_size > _LOG_BYTES:
            shutil.copyfile(self._path, self._path.with_name(f"{self._path.name}.1"))
            os.truncate(self._path, 0)

    def tell(self, what: str) -> str:
        """A sentence and the last lines that the program said."""
        said = self._path.read_bytes()[self._told_from :].decode(errors="replace")
        return f"{what}. The end of {self._path}:\n" + "\n".join(said.strip().splitlines()[-8:])


def list_leftovers(cluster: Path) -> list[psutil.Process]:
    """PostgreSQL processes that still work in `cluster`: told by their folder, never by a number in a file.

    A postmaster that outlived a killed Relay, or the children of one that was killed itself.
    """
    return [process for process in psutil.process_iter() if _is_at_work(process, cluster)]


def _is_at_work(process: psutil.Process, cluster: Path) -> bool:
    with suppress(psutil.Error, OSError):
        if process.name() in {"postgres", "postgres.exe"} and process.status() != psutil.STATUS_ZOMBIE:
            return Path(process.cwd()).samefile(cluster)
    return False


def stop_leftovers(cluster: Path) -> None:
    """End them, first in order and then by force; whoever calls holds the folder's lock, so none of them is wanted."""
    leftovers = list_leftovers(cluster)
    if not leftovers:
        return
    _log.warning(
        "postgres.leftovers_found", extra={"pids": " ".join(str(process.pid) for process in leftovers)}
    )
    postmaster = find_written_pid(cluster)
    for step, seconds in (("order", 10), ("force", 5), ("kill", 10)):
        if step == "order" and postmaster not in {process.pid for process in leftovers}:
            continue
        for process in leftovers:
            with suppress(psutil.Error):
                _end(process, step, is_postmaster=process.pid == postmaster)
        _, leftovers = psutil.wait_procs(leftovers, timeout=seconds)
        if not leftovers:
            return
    raise EmbeddedPostgresError(
        f"An earlier PostgreSQL still works in {cluster} and cannot be stopped "
        f"(process {leftovers[0].pid}). Stop it by hand, then start Relay again."
    )


def _end(process: psutil.Process, step: str, *, is_postmaster: bool) -> None:
    """Only the postmaster may hear SIGINT: its checkpointer would note a clean end while others still write."""
    if sys.platform == "win32" or step == "kill":
        process.kill()
    elif step == "force":
        process.send_signal(signal.SIGQUIT)
    elif is_postmaster:
        process.send_signal(signal.SIGINT)


def find_reused_pid(cluster: Path) -> int | None:
    """The number in an old postmaster.pid, when that process now is somebody else's."""
    pid = find_written_pid(cluster)
    return pid if pid is not None and psutil.pid_exists(pid) else None


def find_written_pid(cluster: Path) -> int | None:
    """The number in postmaster.pid, which need not be a server's any more."""
    try:
        pid = int((cluster / "postmaster.pid").read_text(encoding="utf-8").split("\n", 1)[0])
    except (OSError, ValueError):
        return None
    return pid if pid > 0 else None


def make_socket_folder(cluster: Path) -> Path:
    """A path to the socket's folder that clients can use: `cluster`, or a link to it from a short folder of ours."""
    if len(os.fsencode(cluster / SOCKET_NAME)) <= _SOCKET_PATH_BYTES and "," not in str(cluster):
        return cluster  # with a comma, asyncpg would read a list of hosts
    link = _make_private_folder(_link_name(cluster)) / "pg"
    link.unlink(missing_ok=True)
    link.symlink_to(cluster, target_is_directory=True)
    return link


def find_socket_folder(cluster: Path) -> Path | None:
    """What `make_socket_folder` answered to the Relay that runs now; None where its link is not to be found."""
    if len(os.fsencode(cluster / SOCKET_NAME)) <= _SOCKET_PATH_BYTES and "," not in str(cluster):
        return cluster
    links = (Path(base) / _link_name(cluster) / "pg" for base in _bases() if base)
    return next((link for link in links if link.is_symlink() and link.readlink() == cluster), None)


def _link_name(cluster: Path) -> str:
    return f"relay-{hashlib.sha256(os.fsencode(cluster)).hexdigest()[:16]}"


def _bases() -> tuple[str, ...]:
    runtime = "/run" if os.geteuid() == 0 else os.environ.get("XDG_RUNTIME_DIR", "")
    return (runtime, tempfile.gettempdir(), "/tmp")  # noqa: S108 - its owner and mode are checked


def _make_private_folder(name: str) -> Path:
    """The same one at every start, so that one left by a killed Relay is used again."""
    usable = (
        base for base in _bases() if 0 < len(base) <= _SOCKET_PATH_BYTES // 2 and os.access(base, os.W_OK)
    )
    folder = Path(next(usable)) / name
    with suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    found = folder.lstat()
    if found.st_uid == os.geteuid() and found.st_mode == stat.S_IFDIR | 0o700:
        return folder
    return Path(tempfile.mkdtemp(prefix="relay-", dir=folder.parent))  # somebody else took our name


def touch_socket_folder(folder: Path, cluster: Path) -> None:
    """Systems remove what has lain untouched in their temporary folder for some days."""
    if folder != cluster:
        os.utime(folder, follow_symlinks=False)
        os.utime(folder.parent)


def remove_socket_folder(folder: Path, cluster: Path) -> None:
    if folder != cluster:
        shutil.rmtree(folder.parent, ignore_errors=True)
