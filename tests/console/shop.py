"""A company's own system, which gets webhooks: a stand-in that keeps what came, and the examples that people copy, run as they do."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from tests.flow.serving import until


class Shop:
    """A company's own system: answers 204 at /in, unless it is closed, 410 at /gone, 503 everywhere else."""

    def __init__(self) -> None:
        self.url = ""
        self.closed = False
        self.seen: list[dict[str, str]] = []

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        server = await asyncio.start_server(self._answer, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        yield
        server.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                await self._answer_one(head.decode(), reader, writer)
        except asyncio.IncompleteReadError:
            writer.close()

    async def _answer_one(
        self, head: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        first, *lines = head.strip().split("\r\n")
        headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
        await reader.readexactly(int(headers["content-length"]))
        self.seen.append(headers | {":path": first.split()[1]})
        path = "/closed" if self.closed else first.split()[1]
        body = b"" if path == "/in" else b"The shop is being moved"
        status = {"/in": "204 No Content", "/gone": "410 Gone"}.get(path, "503 Service Unavailable")
        length = f"content-length: {len(body)}\r\n" if body else ""
        writer.write(f"HTTP/1.1 {status}\r\n{length}\r\n".encode() + body)
        await writer.drain()


@asynccontextmanager
async def receiving(folder: Path, code: str, *, port: int, secret: str) -> AsyncIterator[None]:
    """A Python example as somebody runs it who has copied it, on another port."""
    script = folder / "receiver.py"
    script.write_text(code.replace("9000", str(port)))
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(script),
        env=os.environ | {"WEBHOOK_SECRET": secret},
        stdout=asyncio.subprocess.DEVNULL,
    )

    async def listens() -> bool:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            return False
        writer.close()
        return True

    try:
        await until(listens, seconds=20, what="the receiver listens")
        yield
    finally:
        process.kill()
        await process.wait()
