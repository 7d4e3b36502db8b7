"""PostgreSQL as our own child: made, started, watched and stopped by us.

    start() ─► lock the folder ─► end what an earlier run left ─► make the cluster once ─► spawn ─► answers: URL
                    ▲                                                                        │
                    └────────────── start() again, after wait() has returned ◄── it ends ◄───┤
    stop()  ─► fast shutdown ─► (30 s) immediate ─► (10 s) kill ─► unlock                  ◄──┘

`postgres` runs as our direct child in a session of its own: Ctrl+C reaches us and not it, and on Linux the kernel
ends it when we are killed. Whatever the last run did, start() mends it. Who runs it when we are root is
`embedded_account.py`'s; the lock, the leftovers and the socket's path are `embedded_folder.py`'s.
"""

import asyncio
import logging
import os
import signal
import socket
import sys
import time
from asyncio.subprocess import Process
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import quote

import asyncpg

from relay.store.embedded_account import (
    SHARED_FOLDER,
    Account,
    EmbeddedPostgresError,
    choose_account,
    find_installed,
    get_programs,
    hand_over,
    is_namespace_allowed,
    start_program,
)
from relay.store.embedded_cluster import has_cluster, make_cluster
from relay.store.embedded_folder import (
    FolderLock,
    ServerLog,
    find_reused_pid,
    find_written_pid,
    get_password,
    make_socket_folder,
    remove_socket_folder,
    stop_leftovers,
    touch_socket_folder,
)

__all__ = ["EmbeddedPostgres", "EmbeddedPostgresError"]

# For a queue that writes much on a machine with two cores. Durability is our promise: fsync and synchronous_commit
# stay on. Errors and their details are ours to log, masked; PostgreSQL's own log must not hold people's rows.
SETTINGS: Mapping[str, str] = {
    "unix_socket_permissions": "0700",
    "max_connections": "100",
    "shared_buffers": "128MB",
    "synchronous_commit": "on",
    "wal_compression": "on",
    "max_wal_size": "2GB",
    "checkpoint_timeout": "10min",
    "autovacuum_naptime": "10s",
    "random_page_cost": "1.1",
    "max_parallel_workers_per_gather": "0",
    "jit": "off",
    "io_method": "sync",
    "log_min_messages": "log",
    "log_min_error_statement": "panic",
    "log_error_verbosity": "terse",
    "log_checkpoints": "off",
    "log_timezone": "UTC",
    "timezone": "UTC",
}  # fmt: skip

_STOP_STEPS = (("INT", 30), ("QUIT", 10), ("KILL", 10))
_POLL_SECONDS = 0.02
_TIDY_SECONDS = 60
# Replaying the log after a crash can take a while on a slow disk; an end of the process is noticed at once.
_START_SECONDS = 600

_log = logging.getLogger(__name__)


class EmbeddedPostgres:
    """PostgreSQL as our own child process, on a data folder that we lock. Runs on the event loop that started it."""

    def __init__(
        self,
        data_dir: Path,
        *,
        settings: Mapping[str, str] | None = None,
        is_namespace_allowed: Callable[[Account], Awaitable[bool]] = is_namespace_allowed,
    ) -> None:
        self._folder = Path(os.path.abspath(data_dir))  # noqa: PTH100 - resolve() would follow, and lengthen, links
        self._cluster = self._folder / "postgres"
        self._output = ServerLog(self._folder / "postgres.log")
        self._settings = {**SETTINGS, **(settings or {})}
        self._is_namespace_allowed = is_namespace_allowed
        self._lock = FolderLock(self._folder / "postgres.lock")
        self._turn = asyncio.Lock()
        self._process: Process | None = None
        self._tidying: asyncio.Task[None] | None = None
        self._socket_folder: Path | None = None
        self._programs = Path()
        self._account = Account()
        self._url: str | None = None

    @property
    def url(self) -> str:
        if self._url is None:
            raise EmbeddedPostgresError(
                "The embedded PostgreSQL has no address yet: it has not been started."
            )
        return self._url

    @property
    def pid(self) -> int | None:
        """Of the postmaster, while it runs."""
        return self._process.pid if self._process is not None and self._process.returncode is None else None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    async def start(self) -> str:
        """Start it, or start it again after it has ended; the URL stays the same for as long as we hold the folder."""
        async with self._turn:
            if self.pid is None:
                try:
                    await self._bring_up()
                except BaseException:
                    await self._bring_down()
                    raise
            return self.url

    async def stop(self) -> None:
        """End it in order and let go of the folder; does nothing when it was not started."""
        async with self._turn:
            await self._bring_down()

    async def wait(self) -> int:
        """Return when PostgreSQL has ended, with its exit code (negative: the signal)."""
        if self._process is None:
            raise EmbeddedPostgresError(
                "The embedded PostgreSQL is not running: there is nothing to wait for."
            )
        return await self._process.wait()

    async def _bring_up(self) -> None:
        began = time.monotonic()
        self._lock.acquire()
        self._account = await choose_account(self._cluster, self._is_namespace_allowed)
        self._programs = await get_programs(self._account, installed=find_installed(), shared=SHARED_FOLDER)
        await asyncio.to_thread(stop_leftovers, self._cluster)
        is_new = not has_cluster(self._cluster)
        password = get_password(self._folder / "postgres.password", is_new=is_new)
        self._output.bound()
        if is_new:
            await make_cluster(
                self._cluster,
                account=self._account,
                programs=self._programs,
                password=password,
                log=self._output,
            )
        await asyncio.to_thread(hand_over, self._cluster, self._account)
        await self._spawn(password)
        self._tidying = self._tidying or asyncio.create_task(self._tidy(), name="postgres.tidy")
        fields = {"pid": self.pid, "account": self._account.kind, "is_new": is_new}
        _log.info("postgres.started", extra=fields | {"seconds": round(time.monotonic() - began, 2)})

    async def _spawn(self, password: str) -> None:
        settings = {**self._settings, **self._open_door(password)}
        options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        command = [str(self._programs / "postgres"), "-D", self._account.name_folder(self._cluster), *options]
        # PostgreSQL takes the number in an old postmaster.pid for a living server if anybody has it now, unless it is
        # told that this is one of its elders. Removing the file would lose what else it is checked for.
        reused = find_reused_pid(self._cluster)
        elders = {"PG_GRANDPARENT_PID": str(reused)} if reused is not None else {}
        with self._output.open() as output:
            self._process = await start_program(
                self._account, command, folder=self._cluster, output=output, environment=elders
            )
        await self._until_ready(self._process)

    def _open_door(self, password: str) -> Mapping[str, str]:
        """Decide where clients connect, which makes the URL; returns the settings for it."""
        if sys.platform == "win32":
            port = _find_free_port()
            self._url = f"postgresql://relay:{password}@127.0.0.1:{port}/relay"
            return {"listen_addresses": "127.0.0.1", "unix_socket_directories": "", "port": str(port)}
        self._socket_folder = self._socket_folder or make_socket_folder(self._cluster)
        self._url = f"postgresql://relay:{password}@/relay?host={quote(str(self._socket_folder))}&port=5432"
        # The server is in the folder, so its own path to the socket is short however long the folder's is.
        return {"listen_addresses": "", "unix_socket_directories": ".", "port": "5432"}

    async def _until_ready(self, process: Process) -> None:
        deadline = time.monotonic() + _START_SECONDS
        while process.returncode is None and time.monotonic() < deadline:
            # Until the number is that of our own child, a server of somebody else's may be what answers.
            if find_written_pid(self._cluster) == process.pid and await self._answers():
                return
            await asyncio.sleep(_POLL_SECONDS)
        raise EmbeddedPostgresError(self._output.tell("PostgreSQL did not start"))

    async def _answers(self) -> bool:
        try:
            await self._ensure_database()
        except (OSError, asyncpg.CannotConnectNowError, asyncpg.ConnectionDoesNotExistError):
            return False  # not listening yet, or replaying its log
        except asyncpg.InvalidPasswordError:
            raise EmbeddedPostgresError(
                f"The database in {self._folder} does not accept the password in postgres.password. "
                "Put that file back from the backup which the database comes from."
            ) from None
        return True

    async def _ensure_database(self) -> None:
        """Connect; the first time, and if we were killed in the middle of it, make the database `relay`."""
        try:
            connection = await asyncpg.connect(self.url, timeout=10)
        except asyncpg.InvalidCatalogNameError:
            connection = await asyncpg.connect(self.url, database="postgres", timeout=10)
            try:
                await connection.execute("CREATE DATABASE relay")
            finally:
                await connection.close()
        else:
            await connection.close()

    async def _bring_down(self) -> None:
        if self._tidying is not None:
            self._tidying.cancel()
            self._tidying = None
        process, pid = self._process, self.pid
        if process is not None and pid is not None:
            await self._end(process)
            _log.info("postgres.stopped", extra={"pid": pid, "code": process.returncode})
        if self._socket_folder is not None:
            remove_socket_folder(self._socket_folder, self._cluster)
            self._socket_folder = None
        self._url = None
        self._lock.release()

    async def _end(self, process: Process) -> None:
        for name, seconds in _STOP_STEPS:
            await self._signal(process, name)
            with suppress(TimeoutError):
                await asyncio.wait_for(process.wait(), seconds)
                return
            _log.warning("postgres.stop_delayed", extra={"pid": process.pid, "after": name})

    async def _signal(self, process: Process, name: str) -> None:
        with suppress(ProcessLookupError):
            if name == "KILL":
                process.kill()
            elif sys.platform == "win32":  # signals are PostgreSQL's own there
                tool = self._programs / "pg_ctl"
                sender = await asyncio.create_subprocess_exec(tool, "kill", name, str(process.pid))
                await sender.wait()
            else:
                process.send_signal(getattr(signal, f"SIG{name}"))

    async def _tidy(self) -> None:
        while True:
            await asyncio.sleep(_TIDY_SECONDS)
            self._output.bound()
            if self._socket_folder is not None:
                touch_socket_folder(self._socket_folder, self._cluster)


def _find_free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
