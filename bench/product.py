"""The product from outside: `relay serve` with its own data folder, and what the measurements ask of its API.

relay serve ──ready──► a company, its key ──► sandbox sessions, scanned ──► endpoints at the sink
"""

import asyncio
import os
import secrets
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from bench.receiving import Sink
from bench.wire import Api, BenchError
from relay.engines import live_files

_READY_SECONDS = 60.0
_LINK_SECONDS = 60.0
_LINKS_AT_ONCE = 16
_SCOPES = ["sessions", "messages:read", "messages:send", "webhooks", "rules"]
LIMITS = {
    "perMinute": 1_000_000,
    "perDay": 1_000_000,
    "newContactsPerDay": 1_000_000,
    "repliesPerMinute": 1_000_000,
}


class Product:
    """A running server with one company; open it with `open_product`."""

    def __init__(self, folder: Path, environ: Mapping[str, str]) -> None:
        self.folder = folder
        """`data` is the server's own; `log` is what it says."""
        self._environ = environ
        self._process: asyncio.subprocess.Process | None = None
        self._operator_key = ""
        self._where = ("", 0)
        self.api: Api

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def live_folder(self) -> Path:
        """Where the accounts' files are: in memory, not in the data folder."""
        return live_files.open_folder(self.folder / "data")

    async def start(self, operator_key: str) -> None:
        self._operator_key = operator_key
        self._where = await self._serve()
        self.api = await _open_company(self._where, operator_key)

    async def another_company(self) -> "Product":
        """The same server as another company sees it."""
        other = Product(self.folder, self._environ)
        other.api = await _open_company(self._where, self._operator_key)
        return other

    async def restart(self) -> None:
        """Stop it and start it again; returns when it is ready."""
        await self.stop()
        self._where = await self._serve()
        self.api = self.api.at(*self._where)

    async def _serve(self) -> tuple[str, int]:
        log = self.folder / "log"
        with log.open("ab") as out:
            self._process = await asyncio.create_subprocess_exec(
                *[sys.executable, "-m", "relay", "serve", "--port", "0"],
                *["--data-dir", str(self.folder / "data")],
                env=self._environ,
                stdout=asyncio.subprocess.PIPE,
                stderr=out,
            )
        where = urlsplit(await _read_address(self._process, log))
        assert where.hostname is not None
        assert where.port is not None
        return where.hostname, where.port

    async def stop(self) -> None:
        """As Ctrl+C does."""
        if self._process is not None:
            if self._process.returncode is None:
                self._process.send_signal(signal.SIGTERM)
            await self._process.wait()

    async def link_sessions(self, count: int) -> list[str]:
        """That many sandbox sessions, connected, without narrow limits."""
        gate = asyncio.Semaphore(_LINKS_AT_ONCE)

        async def link(number: int) -> str:
            async with gate:
                return await self._link_session(f"bench {number}")

        return list(await asyncio.gather(*(link(number) for number in range(count))))

    async def _link_session(self, name: str) -> str:
        body = {"name": name, "engine": "sandbox", "limits": LIMITS}
        created = await self.api.call("POST", "/api/v1/whatsapp/sessions", body)
        session_id: str = created["sessionId"]
        session = created
        path = f"/api/v1/whatsapp/sessions/{session_id}"
        until = time.monotonic() + _LINK_SECONDS
        while time.monotonic() < until:
            # 409 while no code is on show yet, and when the scan before has worked after all.
            await self.api.try_call("POST", f"{path}/sandbox/scan", {})
            session = await self.api.call("GET", path)
            if session["status"] == "connected":
                return session_id
            await asyncio.sleep(0.25)
        raise BenchError(f"{session_id} did not connect: {session['status']}, {session['reason']}.")

    async def add_endpoint(self, sink: Sink, path: str, *, sessions: Sequence[str] = ()) -> str:
        """An endpoint of messages at `path` of the sink, which is told its secret."""
        body = {"url": sink.url(path), "events": ["message.received"], "sessions": list(sessions)}
        created = await self.api.call("POST", "/api/v1/webhooks/endpoints", body)
        await sink.open(path, created["secret"])
        endpoint_id: str = created["id"]
        return endpoint_id

    async def let_write(self, session_id: str, phone: str, *, count: int) -> tuple[str, int]:
        """`count` messages from `phone`; answers what their WhatsApp ids begin with, and the count."""
        body = {
            "from": phone,
            "name": "Bench",
            "type": "text",
            "text": "A message of the bench",
            "count": count,
        }
        answer = await self.api.call("POST", f"/api/v1/whatsapp/sessions/{session_id}/sandbox/inbound", body)
        return answer["waMessageIds"][0].removesuffix("1"), answer["accepted"]


@asynccontextmanager
async def open_product(**settings: str) -> AsyncIterator[Product]:
    """A fresh server. `settings` are environment variables on top."""
    operator_key = secrets.token_urlsafe(24)
    environ = {
        **os.environ,
        "RELAY_OPERATOR_KEY": operator_key,
        "RELAY__WEBHOOKS__ALLOW_NETWORKS": '["127.0.0.0/8"]',
        **settings,
    }
    with tempfile.TemporaryDirectory(prefix="relay-bench-", ignore_cleanup_errors=True) as folder:
        product = Product(Path(folder), environ)
        try:
            await product.start(operator_key)
            yield product
            product.api.close()
        finally:
            await product.stop()
            shutil.rmtree(product.live_folder, ignore_errors=True)


async def _read_address(process: asyncio.subprocess.Process, log: Path) -> str:
    assert process.stdout is not None
    async with asyncio.timeout(_READY_SECONDS):
        async for line in process.stdout:
            if line.startswith(b"ready "):
                return line.split()[1].decode()
    raise BenchError(f"The server did not start:\n{log.read_text()[-2000:]}")


async def _open_company(where: tuple[str, int], operator_key: str) -> Api:
    operator = Api(*where, operator_key)
    company: dict[str, Any] = await operator.call("POST", "/api/v1/admin/tenants", {"name": "Bench"})
    body = {"companyId": company["companyId"], "name": "bench", "scopes": _SCOPES}
    key = await operator.call("POST", "/api/v1/admin/keys", body)
    operator.close()
    return Api(*where, key["key"])
