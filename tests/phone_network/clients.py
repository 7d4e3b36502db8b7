"""The tests' side of client_child.py: real clients of the library, in a process that takes the stand-in for WhatsApp.

async with Clients(network) as clients:
    client = await clients.open(folder / "a.db")
    device = await account.scan(await client.qr())
    await client.event("Connected")
    await client.call("send_message", jid(other.pn), "Hello")
"""

import asyncio
import json
import os
import sys
from itertools import count
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.phone_network.network import WhatsApp
from tests.phone_network.node import Jid
from tests.phone_network.watch import DEFAULT_SECONDS, Watch

SCRIPT = Path(__file__).parent / "client_child.py"
LINE_BYTES = 2**26


class CallFailed(Exception):
    """The library's answer to a call was an error."""


def jid(address: Jid) -> dict[str, str]:
    """An address as an argument of a call."""
    return {"jid": str(address)}


class Client:
    """One client object of the library. `events` is all it has told so far, (name, fields) in order."""

    def __init__(self, clients: "Clients", name: str) -> None:
        self.name = name
        self.events: list[tuple[str, dict[str, Any]]] = []
        self.qr_texts: list[str] = []
        self._clients = clients

    async def call(self, method: str, *args: object, **options: object) -> Any:
        """Raises CallFailed."""
        return await self._clients.command(client=self.name, call=method, args=list(args), options=options)

    async def qr(self) -> str:
        """The text of the first QR code."""
        await self._clients.until(lambda: self.qr_texts, f"{self.name} shows a QR code")
        return self.qr_texts[0]

    async def event(
        self, name: str, number: int = 1, *, within_seconds: float = DEFAULT_SECONDS
    ) -> dict[str, Any]:
        """The fields of its first event of that name, or of a later one; waits for it."""

        def found() -> list[dict[str, Any]]:
            return [fields for known, fields in self.events if known == name]

        what = f"{self.name} tells {name} ({number}); so far {[known for known, _ in self.events]}"
        await self._clients.until(lambda: len(found()) >= number, what, within_seconds=within_seconds)
        return found()[number - 1]


class Clients:
    """A child process with any number of clients. Leaving the block kills it."""

    def __init__(self, network: WhatsApp) -> None:
        self._network = network
        self._clients: dict[str, Client] = {}
        self._answers: dict[int, asyncio.Future[Any]] = {}
        self._ids = count(1)
        self._watch = Watch()
        self._process: asyncio.subprocess.Process
        self._listening: asyncio.Task[None]

    async def __aenter__(self) -> Self:
        environ = {**os.environ, **self._network.environ, "PHONE_NETWORK_PROXY": self._network.proxy_url}
        self._process = await asyncio.create_subprocess_exec(
            sys.executable, str(SCRIPT), stdin=-1, stdout=-1, env=environ, limit=LINE_BYTES
        )
        self._listening = asyncio.create_task(self._listen())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.kill()

    async def kill(self) -> None:
        """As `kill -9` does."""
        if self._process.returncode is None:
            self._process.kill()
        await self._process.wait()
        await self._listening

    async def open(self, path: Path, name: str = "") -> Client:
        """Start a client on this file: a new one shows a QR code, a linked one connects."""
        client = Client(self, name or f"client-{next(self._ids)}")
        self._clients[client.name] = client
        await self.command(client=client.name, open=str(path))
        return client

    async def command(self, **command: object) -> Any:
        number = next(self._ids)
        answer = self._answers[number] = asyncio.get_running_loop().create_future()
        assert self._process.stdin
        self._process.stdin.write(json.dumps({"id": number, **command}).encode() + b"\n")
        return await answer

    async def until(self, is_true: Any, what: str, *, within_seconds: float = DEFAULT_SECONDS) -> None:
        await self._watch.until(is_true, what, within_seconds=within_seconds)

    async def _listen(self) -> None:
        assert self._process.stdout
        while line := await self._process.stdout.readline():
            self._hear(json.loads(line))
        for answer in self._answers.values():
            if not answer.done():
                answer.set_exception(CallFailed("the process of the clients has ended"))

    def _hear(self, said: dict[str, Any]) -> None:
        if "id" in said:
            answer = self._answers.pop(said["id"])
            if "error" in said:
                answer.set_exception(CallFailed(said["error"]))
            else:
                answer.set_result(said["result"])
            return
        client = self._clients[said["client"]]
        if "qr" in said:
            client.qr_texts.append(said["qr"])
        else:
            client.events.append((said["event"], said["fields"]))
        self._watch.changed()
