"""What the measurements of WhatsApp sessions share: a server linked to phones of the stand-in, and a sink for it.

    open_phones ──environment──► open_product ──linked──► sessions ──► sink: every signature checked

The stand-in encrypts each message and shares the cores with what is measured: about 0.3 ms of CPU a message.
"""

import statistics
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from msgspec import Struct

from bench.figures import percentile, show
from bench.phones import Linked, Phones, open_phones
from bench.product import Product, open_product
from bench.receiving import Sink, open_sink
from bench.usage import Usage

PATH = "/whatsapp"
_WARM_UP = 50
_WARM_UP_SECONDS = 60.0


class World(Struct, frozen=True, kw_only=True):
    """One server, its phones, and where its messages go."""

    product: Product
    phones: Phones
    sink: Sink
    linked: list[Linked]

    @property
    def numbers(self) -> list[str]:
        return [one.phone for one in self.linked]

    def usage(self) -> Usage:
        return Usage(self.product.pid, sink_pid=self.sink.pid, phones_pid=self.phones.pid)

    async def write_and_wait(self, count: int, *, seconds: float, rate: float = 0) -> "Passage":
        """Let so many be written to all sessions in turn, until the last has come or the time is up."""
        await self.phones.clear()
        await self.sink.clear(PATH)
        await self.phones.write(self.numbers, count, rate=rate)
        await self.sink.wait_for(PATH, count, seconds=seconds)
        report = await self.sink.report(PATH)
        return Passage(
            written=await self.phones.written(),
            arrived=await self.sink.arrivals(PATH),
            doubled=round(report["doubled"]),
            bad=round(report["bad"]),
        )

    async def warm_up(self) -> None:
        """First messages make the keys of their pairs, and everything takes its place in memory."""
        count = _WARM_UP * max(1, len(self.linked) // 5)
        await self.write_and_wait(count, seconds=_WARM_UP_SECONDS)


class Passage(Struct, frozen=True, kw_only=True):
    """What became of the messages that were written: when each was written, and when it came to the sink."""

    written: dict[str, float]
    arrived: dict[str, float]
    doubled: int
    bad: int

    @property
    def missing(self) -> int:
        return len(self.written.keys() - self.arrived.keys())

    @property
    def rate(self) -> float:
        """Messages a second, from the first one written to the last one come."""
        if not self.arrived:
            return 0.0
        return len(self.arrived) / (max(self.arrived.values()) - min(self.written.values()))

    def percentile_ms(self, share: float) -> float:
        """Of the time from the stand-in's writing to the verified webhook."""
        waits = sorted(
            at - self.written[wa_id] for wa_id, at in self.arrived.items() if wa_id in self.written
        )
        return percentile(waits, share) * 1e3

    @property
    def note(self) -> str:
        return (
            f"{len(self.arrived)} of {len(self.written)} delivered, {self.missing} missing, {self.doubled} doubled, "
            f"{self.bad} wrong signatures"
        )


@asynccontextmanager
async def open_world(sessions: int, **settings: str) -> AsyncIterator[World]:
    """A fresh server with so many sessions connected; `settings` are environment variables on top."""
    async with (
        open_sink() as sink,
        open_phones() as phones,
        open_product(**phones.settings, **settings) as product,
    ):
        await product.add_endpoint(sink, PATH)
        linked = await phones.link(product, sessions)
        yield World(product=product, phones=phones, sink=sink, linked=linked)


def show_cpu(name: str, spent: list[dict[str, float]], count: int) -> None:
    """CPU seconds of each part, and microseconds for each of `count` messages."""
    for part in sorted(spent[0]):
        used = [one[part] for one in spent]
        note = f"for {count} messages: {statistics.median(used) / count * 1e6:.0f} µs each"
        show(f"{name}.cpu.{part}", used, "s", note=note)
