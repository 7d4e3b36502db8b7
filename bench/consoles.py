"""A thousand open consoles: what they cost at rest, and what others feel of them under a load.

Twenty companies with fifty open pages each. The load is one company's: its fifty pages get every message, the other
nine hundred and fifty are only there.
"""

import asyncio
import time

from bench.figures import percentile, say, show
from bench.load import Steady, load_steadily
from bench.plan import Plan
from bench.product import Product, open_product
from bench.receiving import Sink, open_sink
from bench.usage import Usage, spent
from bench.watchers import Watcher, open_watchers
from bench.wire import Api

_COMPANIES = 20
_PAGES_EACH = 50
_SESSIONS = 20
_RATE = 200.0
_SETTLE_SECONDS = 5.0
_ASK_EVERY_SECONDS = 0.05


async def measure(plan: Plan) -> None:
    async with open_sink() as sink, open_product() as product:
        sessions = await product.link_sessions(_SESSIONS)
        await product.add_endpoint(sink, "/all")
        others = [await product.another_company() for _ in range(_COMPANIES - 1)]
        apis = [product.api, *(other.api for other in others)]
        usage = Usage(product.pid, sink_pid=sink.pid)
        alone = await _load(product, sink, sessions, plan)
        await asyncio.sleep(_SETTLE_SECONDS)
        before = _read_megabytes(usage)
        async with open_watchers(apis, _PAGES_EACH) as watchers:
            await _show_rest(usage, watchers, before, plan)
            beside = await _load(product, sink, sessions, plan)
            _show_load(alone, beside, watchers)
            _show_memory("consoles.memory-after-load", usage, before)
        for other in others:
            other.api.close()


def _read_megabytes(usage: Usage) -> dict[str, float]:
    return {name: pss for name, (pss, _) in usage.read_shares_megabytes().items()}


async def _show_rest(usage: Usage, watchers: list[Watcher], before: dict[str, float], plan: Plan) -> None:
    await asyncio.sleep(_SETTLE_SECONDS)
    used, started = usage.read_cpu_seconds(), time.monotonic()
    await asyncio.sleep(plan.seconds)
    seconds = time.monotonic() - started
    cpu = spent(used, usage.read_cpu_seconds())
    del cpu["generator"], cpu["others"], cpu["sink"]
    note = f"{len(watchers)} streams of {_COMPANIES} companies, nothing happens"
    show("consoles.idle", [sum(cpu.values()) / seconds * 100], "%", note=f"of one core; {note}")
    _show_memory("consoles.memory", usage, before)


def _show_memory(name: str, usage: Usage, before: dict[str, float]) -> None:
    after = _read_megabytes(usage)
    grown = {part: after[part] - before.get(part, 0.0) for part in after}
    note = ", ".join(f"{part} {megabytes:+.1f}" for part, megabytes in sorted(grown.items()))
    show(
        name, [sum(grown.values())], "MB", target="<= 60", note=f"proportional share, against before: {note}"
    )


class _Asked:
    """Somebody who asks for the list of sessions all the time."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self.seconds: list[float] = []

    async def run(self) -> None:
        while True:
            started = time.monotonic()
            await self._api.call("GET", "/api/v1/whatsapp/sessions")
            self.seconds.append(time.monotonic() - started)
            await asyncio.sleep(_ASK_EVERY_SECONDS)


async def _load(product: Product, sink: Sink, sessions: list[str], plan: Plan) -> tuple[Steady, float]:
    """How late webhooks are, and the API's p99 meanwhile in milliseconds."""
    asked = _Asked(product.api)
    asking = asyncio.create_task(asked.run())
    steady = await load_steadily(product, sink, "/all", sessions, rate=_RATE, seconds=plan.seconds)
    asking.cancel()
    return steady, percentile(sorted(asked.seconds), 0.99) * 1e3


def _show_load(alone: tuple[Steady, float], beside: tuple[Steady, float], watchers: list[Watcher]) -> None:
    (webhooks, api), (webhooks_beside, api_beside) = alone, beside
    ended = sum(not watcher.is_open for watcher in watchers)
    counts = [watcher.events for watcher in watchers[:_PAGES_EACH]]
    say(f"{ended} streams ended; each of the company's pages got {min(counts)} to {max(counts)} events")
    note = f"{_RATE:.0f} messages/s; {webhooks_beside.note}; {ended} streams ended"
    show("consoles.webhooks-p99", [webhooks_beside.p99], "ms", note=f"{webhooks.p99:.1f} ms without; {note}")
    show("consoles.api-p99", [api_beside], "ms", note=f"GET /whatsapp/sessions; {api:.1f} ms without")
    ages = sorted(age for watcher in watchers[:_PAGES_EACH] for age in watcher.ages)
    for name, share in (("p50", 0.5), ("p99", 0.99)):
        show(f"consoles.event-{name}", [percentile(ages, share) * 1e3], "ms", note="an event's age at a page")
