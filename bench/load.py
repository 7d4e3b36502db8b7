"""A steady load: messages at an even rate, whatever becomes of them.

Every 10 ms somebody writes a few messages to the next session. Nothing waits for an answer before the next ones
are written, so a server that falls behind shows it in its latencies.
"""

import asyncio
import itertools
import time
from collections.abc import Sequence

from msgspec import Struct

from bench.figures import say
from bench.product import Product
from bench.receiving import Sink
from bench.usage import Usage, spent

_STEP_SECONDS = 0.01
_WARM_UP_SECONDS = 2.0
_PATIENCE_SECONDS = 60.0


class Steady(Struct, frozen=True, kw_only=True):
    """Milliseconds from the moment that the phone network took a message to its delivery checked by the sink."""

    p50: float
    p99: float
    max: float
    note: str


async def load_steadily(
    product: Product, sink: Sink, path: str, sessions: Sequence[str], *, rate: float, seconds: float
) -> Steady:
    """`rate` messages a second for `seconds`, after a short warm-up that is not counted."""
    await _load(product, sink, path, sessions, rate=rate, seconds=_WARM_UP_SECONDS)
    usage = Usage(product.pid, sink_pid=sink.pid)
    before, started = usage.read_cpu_seconds(), time.monotonic()
    accepted = await _load(product, sink, path, sessions, rate=rate, seconds=seconds)
    others = spent(before, usage.read_cpu_seconds())["others"] / (time.monotonic() - started)
    report = await sink.report(path)
    audit = await sink.audit(path, accepted)
    note = (
        f"{report['distinct']:.0f} messages, {audit['missing']} missing, {report['duplicates']:.0f} twice, "
        f"{report['bad']:.0f} wrong signatures, {others:.1f} cores busy with other things"
    )
    steady = Steady(p50=report["p50"] * 1e3, p99=report["p99"] * 1e3, max=report["max"] * 1e3, note=note)
    say(f"{rate:.0f}/s: p50 {steady.p50:.1f} ms, p99 {steady.p99:.1f} ms, max {steady.max:.1f} ms; {note}")
    return steady


async def _load(
    product: Product, sink: Sink, path: str, sessions: Sequence[str], *, rate: float, seconds: float
) -> dict[str, int]:
    """Answers what was accepted, once it has been delivered."""
    await sink.clear(path)
    each = max(1, round(rate * _STEP_SECONDS))
    started = time.monotonic()
    writing = []
    for number, session_id in zip(range(int(rate * seconds / each)), itertools.cycle(sessions), strict=False):
        await asyncio.sleep(max(0.0, started + number * each / rate - time.monotonic()))
        phone = f"+55119{70_000_000 + number % 997}"
        writing.append(asyncio.create_task(product.let_write(session_id, phone, count=each)))
    accepted = dict(await asyncio.gather(*writing))
    await sink.wait_for(path, sum(accepted.values()), seconds=_PATIENCE_SECONDS)
    return accepted
