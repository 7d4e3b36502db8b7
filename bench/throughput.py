"""Saturation: messages that arrive at once, until the last one's delivery is checked by the sink."""

import asyncio
import statistics
import time

from bench.figures import say, show
from bench.plan import Plan
from bench.product import Product, open_product
from bench.receiving import Sink, open_sink
from bench.usage import Usage, spent

_SESSIONS = 20
_CONTACTS = 5
_PATIENCE_SECONDS = 120.0


async def measure(plan: Plan) -> None:
    async with open_sink() as sink, open_product() as product:
        usage = Usage(product.pid, sink_pid=sink.pid)
        sessions = await product.link_sessions(_SESSIONS)
        await product.add_endpoint(sink, "/all")
        await run_once(product, sink, sessions, plan.messages // 20)
        rates: list[float] = []
        notes: list[str] = []
        seconds: dict[str, list[float]] = {}
        for _ in range(plan.runs):
            before = usage.read_cpu_seconds()
            rate, note = await run_once(product, sink, sessions, plan.messages)
            for name, cpu_seconds in spent(before, usage.read_cpu_seconds()).items():
                seconds.setdefault(name, []).append(cpu_seconds)
            rates.append(rate)
            notes.append(note)
    show("throughput", rates, "messages/s", target=">= 3000", note="; ".join(notes))
    for name, used in sorted(seconds.items()):
        each = statistics.median(used) / plan.messages * 1e6
        show(f"cpu.{name}", used, "s", note=f"for {plan.messages} messages: {each:.0f} µs each")
    plan.saturation = statistics.median(rates)


async def run_once(product: Product, sink: Sink, sessions: list[str], messages: int) -> tuple[float, str]:
    """Messages a second from the first request that lets somebody write to the last delivery checked."""
    await sink.clear("/all")
    each = max(1, messages // (len(sessions) * _CONTACTS))
    began_at = time.time()
    written = await asyncio.gather(
        *(
            product.let_write(session, f"+55119{80_000_000 + contact}", count=each)
            for contact in range(_CONTACTS)
            for session in sessions
        )
    )
    accepted = dict(written)
    total = sum(accepted.values())
    await sink.wait_for("/all", total, seconds=_PATIENCE_SECONDS)
    report = await sink.report("/all")
    audit = await sink.audit("/all", accepted)
    rate = report["distinct"] / (report["last_at"] - began_at)
    note = (
        f"{report['distinct']:.0f} of {total} delivered, {audit['missing']} missing, {audit['foreign']} foreign, "
        f"{report['duplicates']:.0f} twice, {report['bad']:.0f} wrong signatures, "
        f"{report['distinct'] / (report['last_at'] - report['first_at']):.0f}/s from first to last delivery"
    )
    say(f"throughput {rate:.0f}/s: {note}")
    return rate, note
