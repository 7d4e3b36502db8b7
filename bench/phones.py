"""The stand-in's process as the measurements see it, and sessions linked to its phones."""

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import msgspec
from msgspec import Struct

from bench.product import LIMITS, Product
from bench.wire import BenchError

_LINKS_AT_ONCE = 4
_LINK_SECONDS = 60.0
_LOOK_SECONDS = 0.02
_LINE_BYTES = 2**26


class State(Struct, frozen=True):
    """What the stand-in says of itself at one moment."""

    connected: int
    """Clients that have logged in and said that they are active."""
    back: int
    """Clients that have done so since the last `clear`."""
    writing: bool
    written: int
    unacknowledged: int
    """Messages and receipts that clients have not acknowledged yet."""
    taken: int
    """Messages of clients."""


class Linked(Struct, frozen=True, kw_only=True):
    """A session and the phone that it is linked to."""

    session_id: str
    phone: str


class Phones:
    """Open it with `open_phones`."""

    def __init__(self, process: asyncio.subprocess.Process, greeting: dict[str, Any]) -> None:
        self.pid = process.pid
        self.settings: dict[str, str] = {**greeting["environ"], "RELAY__HOST__PROXY": greeting["proxy"]}
        """The environment of a server that shall take this for WhatsApp."""
        self._process = process
        self._asking = asyncio.Lock()
        self._linked = 0

    async def link(self, product: Product, count: int) -> list[Linked]:
        """That many new sessions, scanned by phones of their own, connected, without narrow limits."""
        gate = asyncio.Semaphore(_LINKS_AT_ONCE)

        async def link() -> Linked:
            async with gate:
                self._linked += 1
                return await self._link(product, f"55119{self._linked:08d}")

        return list(await asyncio.gather(*(link() for _ in range(count))))

    async def _link(self, product: Product, phone: str) -> Linked:
        body = {"name": f"bench {phone}", "engine": "neonize", "limits": LIMITS}
        created = await product.api.call("POST", "/api/v1/whatsapp/sessions", body)
        path = f"/api/v1/whatsapp/sessions/{created['sessionId']}"
        shown = await _read_until(product, path, lambda session: bool(session.get("qrCode")), created)
        await self._ask("scan", phone=phone, qr=shown["qrCode"])
        await _read_until(product, path, lambda session: session["status"] == "connected", shown)
        return Linked(session_id=created["sessionId"], phone=phone)

    async def meet(self, count: int) -> list[str]:
        """The numbers of that many people who have never written."""
        people: list[str] = await self._ask("meet", count=count)
        return people

    async def clear(self) -> None:
        await self._ask("clear")

    async def write(self, phones: Sequence[str], count: int, *, rate: float = 0) -> None:
        """Begin to write to these accounts in turn: `rate` messages a second, or as fast as it goes."""
        await self._ask("write", phones=list(phones), count=count, rate=rate)

    async def state(self) -> State:
        return msgspec.convert(await self._ask("state"), State)

    async def wait_until(
        self, is_so: Callable[[State], bool], *, seconds: float, look_seconds: float = _LOOK_SECONDS
    ) -> State:
        """Raises BenchError when it is not so in time."""
        until = time.monotonic() + seconds
        while not is_so(state := await self.state()):
            if time.monotonic() > until:
                raise BenchError(f"The stand-in has waited for {seconds:.0f} s: {state}.")
            await asyncio.sleep(look_seconds)
        return state

    async def written(self) -> dict[str, float]:
        """When each message was written to its client, by WhatsApp id."""
        written: dict[str, float] = await self._ask("written")
        return written

    async def taken(self) -> list[float]:
        """When each message of a client's was taken, and so acknowledged."""
        taken: list[float] = await self._ask("taken")
        return taken

    async def _ask(self, what: str, **more: object) -> Any:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        async with self._asking:
            self._process.stdin.write(msgspec.json.encode({"do": what, **more}) + b"\n")
            line = await self._process.stdout.readline()
        if not line:
            raise BenchError("The stand-in has ended.")
        return msgspec.json.decode(line)


async def _read_until(
    product: Product, path: str, is_so: Callable[[dict[str, Any]], bool], session: dict[str, Any]
) -> dict[str, Any]:
    until = time.monotonic() + _LINK_SECONDS
    while not is_so(session):
        if time.monotonic() > until:
            said = (product.folder / "log").read_text()[-2000:]
            raise BenchError(
                f"{path} is {session['status']}, {session.get('reason')}; the server says:\n{said}"
            )
        await asyncio.sleep(0.1)
        session = await product.api.call("GET", path)
    return session


@asynccontextmanager
async def open_phones() -> AsyncIterator[Phones]:
    process = await asyncio.create_subprocess_exec(
        *[sys.executable, "-m", "bench.phone_network"],
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=_LINE_BYTES,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        yield Phones(process, msgspec.json.decode(await process.stdout.readline()))
    finally:
        process.stdin.close()
        await process.wait()
