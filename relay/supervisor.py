"""`relay serve`: the database, the schema, and the role processes, each started again when it dies.

    embedded Postgres (unless database.url) ──► migrate ──► first start ──► `relay run ROLE…` for each group
                                                                               │ started: all ──► `ready http://…`
    SIGTERM, SIGINT ──► SIGTERM to every process ──► wait, then kill ──► stop Postgres

We bind the API's socket and hand it down, so that connections wait while an API process is replaced. A child's
standard input is our end of a pipe: when we die, however we die, it stops.
"""

import asyncio
import logging
import os
import signal
import socket
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack, suppress
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from relay import first_start
from relay.config import Config, Role
from relay.listening import bind, find_operator_key
from relay.logs import say
from relay.loops import Bell, Loop
from relay.model.errors import ConfigError
from relay.store import migrate
from relay.store.embedded import EmbeddedPostgres
from relay.store.pool import connect, reaching
from relay.vault import create_master_key, open_vault

log = logging.getLogger(__name__)

_STEADY_SECONDS = 10.0
_BACKOFF_MOST_SECONDS = 15.0
_KILL_AFTER_SECONDS = 5.0
_LOAD_SECONDS = 30.0


class Child:
    """One group of roles in a process of its own, kept running."""

    def __init__(
        self, roles: Sequence[Role], command: Sequence[str], environ: Mapping[str, str], fd: int
    ) -> None:
        self.started = asyncio.Event()
        self._roles = roles
        self._fds = (fd,) if "api" in roles else ()
        listening = ["--listen-fd", str(fd)] if "api" in roles else []
        self._command = [*command, *listening]
        self._environ = environ
        self._process: asyncio.subprocess.Process | None = None
        self._stopping = asyncio.Event()

    async def keep(self) -> None:
        """Start it, and start it again when it ends, until `stop`."""
        backoff = 0.0
        while not self._stopping.is_set():
            began = time.monotonic()
            code: int | None = None
            try:
                code = await self._run_once()
            except OSError as error:
                # No memory, no process or no descriptor left just now.
                log.error("process.not_started", extra={"roles": "+".join(self._roles), "error": str(error)})
            if self._stopping.is_set():
                return
            backoff = (
                0.1
                if time.monotonic() - began > _STEADY_SECONDS
                else min(backoff * 2 + 0.2, _BACKOFF_MOST_SECONDS)
            )
            log.error(
                "process.ended",
                extra={"roles": "+".join(self._roles), "code": code, "again_in_seconds": round(backoff, 1)},
            )
            with suppress(TimeoutError):
                async with asyncio.timeout(backoff):
                    await self._stopping.wait()

    async def _run_once(self) -> int:
        self._process = await asyncio.create_subprocess_exec(
            *self._command,
            env=dict(self._environ),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            pass_fds=self._fds,
            # Ctrl+C reaches the whole terminal group; the order of the end is ours.
            start_new_session=True,
        )
        log.info("process.started", extra={"roles": "+".join(self._roles), "child": self._process.pid})
        if self._stopping.is_set():
            # The stop came while it was being started, and found nobody.
            self._process.terminate()
        assert self._process.stdout is not None  # noqa: S101 - asked for above
        hearing = asyncio.create_task(self._hear(self._process.stdout))
        try:
            # Not for the end of its output: a process that it has started may hold that open, and outlive it.
            return await self._process.wait()
        finally:
            hearing.cancel()

    async def _hear(self, output: asyncio.StreamReader) -> None:
        async for line in output:
            if line.startswith(b"started"):
                self.started.set()

    async def stop(self, *, patience_seconds: float) -> None:
        """Ask it to end, wait, then kill it."""
        self._stopping.set()
        process = self._process
        if process is None or process.returncode is not None:
            return
        with suppress(ProcessLookupError):
            process.send_signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(patience_seconds):
                await process.wait()
        except TimeoutError:
            log.error("process.killed", extra={"roles": "+".join(self._roles)})
            with suppress(ProcessLookupError):
                process.kill()


async def serve(config: Config, config_path: Path | None) -> None:
    """Until a signal, or until something cannot go on."""
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    # Refused before anything is made or started.
    find_operator_key(config)
    await _check_plugins(config, config_path)
    config.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    async with AsyncExitStack() as stack:
        listening = stack.enter_context(bind(config))
        url = config.database.url
        if not url:
            postgres = EmbeddedPostgres(config.data_dir)
            url = await postgres.start()
            stack.push_async_callback(postgres.stop)
            # A start that fails is said and tried again: nobody else would bring the database back.
            keeper = Loop("database", partial(_restart, postgres), poll_seconds=1, bell=Bell())
            keeping = asyncio.create_task(keeper.run())
            stack.callback(keeping.cancel)
        address = _address(config, listening)
        await _prepare(config, url, address)
        await _keep_children(
            _children(config, config_path, url, listening),
            stopping,
            address=address,
            patience_seconds=config.server.drain_seconds + _KILL_AFTER_SECONDS,
        )


async def _check_plugins(config: Config, config_path: Path | None) -> None:
    """See whether they load, in a process of its own: they are a stranger's code, and may not come back."""
    if not config.plugins.enabled:
        return
    options = [] if config_path is None else ["--config", str(config_path)]
    process = await asyncio.create_subprocess_exec(
        *[sys.executable, "-m", "relay", "check", *options],
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(_LOAD_SECONDS):
            _, errors = await process.communicate()
    except TimeoutError:
        process.kill()
        await process.wait()
        raise ConfigError(
            f"plugins.enabled: one of {', '.join(config.plugins.enabled)} takes more than {_LOAD_SECONDS:g} s to load."
        ) from None
    if process.returncode:
        sentence = errors.decode(errors="replace").strip().removeprefix("relay: ")
        names = ", ".join(config.plugins.enabled)
        raise ConfigError(sentence or f"plugins.enabled: {names}: loading it ended the process that tried.")


def _address(config: Config, listening: socket.socket) -> str:
    host, port = config.server.host, listening.getsockname()[1]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


async def _restart(postgres: EmbeddedPostgres) -> bool:
    """Start the database again, once it has ended."""
    code = await postgres.wait()
    log.error("database.ended", extra={"code": code})
    await postgres.start()
    return False


async def _prepare(config: Config, url: str, address: str) -> None:
    """Master key, schema, and on the first start an operator key and a demo company."""
    if not config.vault.master_key_file:
        create_master_key(config.master_key_file)
    vault = open_vault(config.master_key_file)
    with reaching():
        conn = await connect(url, name="serve")
    try:
        await migrate.migrate(conn, now=datetime.now(UTC))
        lines = await first_start.prepare(conn, vault, config, address=address, environ=os.environ)
    finally:
        await conn.close()
    for line in lines:
        say(line)


def _children(config: Config, config_path: Path | None, url: str, listening: socket.socket) -> list[Child]:
    environ = {**os.environ, "RELAY__DATABASE__URL": url}
    host, port = config.server.host, str(listening.getsockname()[1])
    options = ["--supervised", "--data-dir", str(config.data_dir), "--host", host, "--port", port]
    if config_path is not None:
        options += ["--config", str(config_path)]
    return [
        Child(roles, [sys.executable, "-m", "relay", "run", *roles, *options], environ, listening.fileno())
        for roles in config.server.roles
    ]


async def _keep_children(
    children: list[Child], stopping: asyncio.Event, *, address: str, patience_seconds: float
) -> None:
    tasks = [asyncio.create_task(child.keep()) for child in children]
    announcing = asyncio.create_task(_announce(children, address))
    try:
        await stopping.wait()
    finally:
        log.info("server.stopping")
        announcing.cancel()
        await asyncio.gather(*(child.stop(patience_seconds=patience_seconds) for child in children))
        await asyncio.gather(*tasks, return_exceptions=True)


async def _announce(children: Sequence[Child], address: str) -> None:
    for child in children:
        await child.started.wait()
    say(f"ready {address}")
