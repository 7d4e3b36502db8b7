"""Relay as an operator runs it: real processes on free ports, stopped and killed as real ones are.

    async with serving(folder) as relay:        `relay serve`, ready
        relay.url, relay.operator_key, relay.demo_key
        relay.pids("host")                      the processes of a role; "postgres" is one
        relay.kill("host")                      kill -9

A test that fails is told what the processes wrote on standard error.
"""

import asyncio
import json
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import psutil

from relay.store.pool import connect
from tests.api_client import ALL_SCOPES, MASTER_KEY, OPERATOR_KEY

START_SECONDS = 40.0
STOP_SECONDS = 15.0
_LOOK_SECONDS = 0.02
_TOLD_CHARACTERS = 6000

# Short enough that a test need not wait for what only time heals.
SETTINGS: Mapping[str, Any] = {
    "server.drain_seconds": 4,
    "sessions.lease_seconds": 4,
    "sessions.reconnect_base_seconds": 0.2,
    "webhooks.timeout_seconds": 3,
    "webhooks.lease_seconds": 4,
    "webhooks.schedule_seconds": [0, 0.2, 0.5, 1, 1, 2, 2, 2],
    "webhooks.allow_networks": ["127.0.0.0/8"],
    "sandbox.delivered_after_seconds": 0.05,
    "sandbox.read_after_seconds": 0.1,
}


async def until(holds: Callable[[], Awaitable[Any]], *, seconds: float, what: str) -> Any:
    """Look until it holds; answers what it answered. Fails with `what` when the time is over."""
    deadline = asyncio.get_running_loop().time() + seconds
    while True:
        answer = await holds()
        if answer:
            return answer
        assert asyncio.get_running_loop().time() < deadline, f"not within {seconds:g} s: {what}"
        await asyncio.sleep(_LOOK_SECONDS)


def environment(settings: Mapping[str, Any], **changes: str | None) -> dict[str, str]:
    """The environment of a process: the machine's, none of its RELAY_…, and `settings` as an operator gives them."""
    given = {name: value for name, value in os.environ.items() if not name.startswith("RELAY")}
    for path, value in settings.items():
        name = "RELAY__" + path.upper().replace(".", "__")
        given[name] = value if isinstance(value, str) else json.dumps(value)
    return given | {name: value for name, value in changes.items() if value is not None}


class Program:
    """One `relay …` command as a process: what it says, and how it ends."""

    def __init__(self, process: asyncio.subprocess.Process, errors: Path) -> None:
        self.process = process
        self.errors = errors
        self.lines: list[str] = []
        self._said = asyncio.Event()
        self._reading = asyncio.create_task(self._read())

    @classmethod
    async def start(cls, folder: Path, *words: str, environ: Mapping[str, str]) -> "Program":
        """Run `relay WORDS` in `folder`, where no config.yaml is."""
        errors = folder / f"stderr-{len(list(folder.glob('stderr-*')))}.log"
        with errors.open("wb") as output:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "relay",
                *words,
                cwd=folder,
                env=dict(environ),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=output,
                start_new_session=True,
            )
        return cls(process, errors)

    async def _read(self) -> None:
        assert self.process.stdout is not None
        async for line in self.process.stdout:
            self.lines.append(line.decode().rstrip("\n"))
            self._said.set()
        self._said.set()

    async def says(self, start: str, *, seconds: float = START_SECONDS) -> str:
        """The first line that begins so."""
        async with asyncio.timeout(seconds):
            while True:
                self._said.clear()
                for line in self.lines:
                    if line.startswith(start):
                        return line
                assert not self._reading.done(), f"it ended without saying «{start}»: {self.told}"
                await self._said.wait()

    async def logs(self, text: str, *, seconds: float = STOP_SECONDS) -> None:
        """Return once it has written `text` on standard error."""

        async def written() -> bool:
            return text in self.log

        await until(written, seconds=seconds, what=f"it logs «{text}»")

    async def ends(self, *, seconds: float = STOP_SECONDS) -> int:
        """Its exit code (negative: the signal)."""
        async with asyncio.timeout(seconds):
            code = await self.process.wait()
            await self._reading
        return code

    async def stop(self) -> int:
        """SIGTERM, as systemd and Docker stop a server."""
        with suppress(ProcessLookupError):
            self.process.terminate()
        return await self.ends()

    @property
    def log(self) -> str:
        """What it wrote on standard error."""
        return self.errors.read_text(errors="replace")

    @property
    def told(self) -> str:
        """The end of that."""
        return self.log[-_TOLD_CHARACTERS:]

    def family(self) -> list[psutil.Process]:
        """The processes that it has started, and theirs."""
        try:
            return psutil.Process(self.process.pid).children(recursive=True)
        except psutil.NoSuchProcess:
            return []

    async def end_at_once(self) -> None:
        """After a test, whatever has become of it: nothing is left running."""
        family = self.family()
        # The parent first: it would start again what dies.
        with suppress(ProcessLookupError):
            self.process.kill()
        for process in family:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        await self.ends()


class Relay(Program):
    """A running `relay serve` or `relay run api …`; the URL is the API's."""

    url = ""

    async def is_ready(self) -> None:
        self.url = (await self.says("ready")).split()[1]

    def printed(self, label: str) -> str:
        """What the first start printed behind `label`."""
        return next(line.split()[-1] for line in self.lines if line.startswith(label))

    def pids(self, role: str) -> list[int]:
        """The processes of a role, or `postgres`: the postmaster."""
        try:
            own = psutil.Process(self.process.pid).children()
        except psutil.NoSuchProcess:
            return []
        return [process.pid for process in own if role in _roles_of(process)]

    async def is_complete(self) -> None:
        """Every role has its process: one that died has been started again."""

        async def all_there() -> bool:
            return all(self.pids(role) for role in ("api", "host", "dispatcher", "postgres"))

        await until(all_there, seconds=START_SECONDS, what="every role has its process")

    def kill(self, role: str, number: int = signal.SIGKILL) -> int:
        """End the one process of a role as the kernel would; answers its pid."""
        (pid,) = self.pids(role)
        os.kill(pid, number)
        return pid

    def database_url(self) -> str:
        """Where the embedded database is, as the children are told."""
        (pid,) = self.pids("host")
        return psutil.Process(pid).environ()["RELAY__DATABASE__URL"]

    def client(self, key: str = OPERATOR_KEY) -> httpx.AsyncClient:
        return httpx.AsyncClient(
            base_url=self.url, headers={"Authorization": f"Bearer {key}"}, timeout=30, trust_env=False
        )


def _roles_of(process: psutil.Process) -> Sequence[str]:
    try:
        words = process.cmdline()
    except (psutil.NoSuchProcess, psutil.ZombieProcess):
        return ()
    if words and words[0].endswith("/postgres"):
        return ("postgres",)
    return words[words.index("run") + 1 : words.index("--supervised")] if "--supervised" in words else ()


@asynccontextmanager
async def _told(program: Program) -> AsyncIterator[None]:
    """Nothing outlives the test; what fails in it is told with the processes' words."""
    try:
        yield
    except BaseException as error:
        error.add_note(f"--- {program.errors}\n{program.told}")
        raise
    finally:
        await program.end_at_once()


@asynccontextmanager
async def serving(
    folder: Path,
    *words: str,
    operator_key: str | None = OPERATOR_KEY,
    environ: Mapping[str, str] | None = None,
    **settings: Any,
) -> AsyncIterator[Relay]:
    """`relay serve` on a free port, its data below `folder`; `settings` as in webhooks__timeout_seconds=1.

    `environ` comes on top of the machine's.
    """
    given = {**SETTINGS, **{name.replace("__", "."): value for name, value in settings.items()}}
    told = {**environment(given, RELAY_OPERATOR_KEY=operator_key), **(environ or {})}
    relay = await Relay.start(
        folder, "serve", "--port", "0", "--data-dir", str(folder / "data"), *words, environ=told
    )
    assert isinstance(relay, Relay)
    async with _told(relay):
        await relay.is_ready()
        yield relay


@asynccontextmanager
async def program(folder: Path, *words: str, environ: Mapping[str, str]) -> AsyncIterator[Program]:
    """`relay WORDS` for one test."""
    started = await Program.start(folder, *words, environ=environ)
    async with _told(started):
        yield started


def free_port() -> int:
    """A port that was free a moment ago."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
    return port


def shared(url: str, folder: Path, **settings: Any) -> dict[str, str]:
    """The environment of `relay run …` processes that share a database and the tests' master key."""
    key_file = folder / "master.key"
    key_file.write_text(MASTER_KEY.hex())
    key_file.chmod(0o600)
    given = {name.replace("__", "."): value for name, value in settings.items()}
    own = {"database.url": url, "vault.master_key_file": str(key_file)}
    return environment({**SETTINGS, **own, **given}, RELAY_OPERATOR_KEY=OPERATOR_KEY)


def left_over(folder: Path) -> list[str]:
    """The command lines of processes that still run for this folder."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.NoSuchProcess, psutil.AccessDenied):
            words = process.cmdline()
            if process.cwd().startswith(str(folder)) or any(str(folder) in word for word in words):
                found.append(" ".join(words))
    return found


async def make_tenant(relay: Relay, name: str = "Acme") -> httpx.AsyncClient:
    """A client with a new company's key."""
    async with relay.client() as operator:
        company = (await operator.post("/api/v1/admin/tenants", json={"name": name})).json()["companyId"]
        body = {"companyId": company, "name": "test", "scopes": ALL_SCOPES}
        key = (await operator.post("/api/v1/admin/keys", json=body)).json()["key"]
    return relay.client(key)


async def link(caller: httpx.AsyncClient, **fields: Any) -> str:
    """A new sandbox session of the caller's, connected; its id."""
    made = await caller.post(
        "/api/v1/whatsapp/sessions", json={"name": "phone", "engine": "sandbox", **fields}
    )
    assert made.status_code == 201, made.text
    path = f"/api/v1/whatsapp/sessions/{made.json()['sessionId']}"

    async def shows() -> bool:
        return (await caller.get(path)).json()["qrCode"] is not None

    await until(shows, seconds=15, what="a QR code")
    scanned = await caller.post(f"{path}/sandbox/scan")
    assert scanned.status_code == 200, scanned.text

    async def connected() -> bool:
        return bool((await caller.get(path)).json()["status"] == "connected")

    await until(connected, seconds=15, what="the session is connected")
    return str(made.json()["sessionId"])


async def carried_out(url: str, session: str) -> None:
    """Return once the sandbox's phones have done what they were asked for: the API's answer says that they will."""
    conn = await connect(url, name="tests")

    async def done() -> bool:
        return not await conn.fetchval("SELECT count(*) FROM sandbox_commands WHERE session_id = $1", session)

    try:
        await until(done, seconds=20, what="what the phones were asked for is done")
    finally:
        await conn.close()
