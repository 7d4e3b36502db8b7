"""A noisy neighbour: how an endpoint is served beside one that accepts, never answers, and is owed a backlog."""

import asyncio
import itertools
import time
from collections.abc import Sequence

from bench.figures import say, show
from bench.load import load_steadily
from bench.plan import Plan
from bench.product import Product, open_product
from bench.receiving import open_sink
from bench.wire import BenchError

_HEALTHY, _DEAD = 5, 5
_RATE = 500.0
_AT_ONCE = 1_000
_PATIENCE_SECONDS = 600.0
_NOBODY = "http://127.0.0.1:9/"


async def measure(plan: Plan) -> None:
    async with open_sink() as sink, open_product() as product:
        sessions = await product.link_sessions(_HEALTHY + _DEAD)
        healthy, dead = sessions[:_HEALTHY], sessions[_HEALTHY:]
        await product.add_endpoint(sink, "/healthy", sessions=healthy)
        dead_id = await product.add_endpoint(sink, "/hang", sessions=dead)

        async def load() -> float:
            steady = await load_steadily(product, sink, "/healthy", healthy, rate=_RATE, seconds=plan.seconds)
            return steady.p99

        before = [await load() for _ in range(plan.runs)]
        owed = await _owe(product, dead_id, dead, plan.backlog)
        hanging = [await load() for _ in range(plan.runs)]
        await product.api.call("PATCH", f"/api/v1/webhooks/endpoints/{dead_id}", {"url": _NOBODY})
        refusing = [await load() for _ in range(plan.runs)]
    baseline = sorted(before)[len(before) // 2]
    note = f"{_RATE:.0f} messages/s"
    show("backlog.baseline.p99", before, "ms", note=f"{note}, nothing owed beside it")
    for name, p99s in (("hanging", hanging), ("refusing", refusing)):
        show(f"backlog.{name}.p99", p99s, "ms", note=f"{note}, {owed} owed to an endpoint that is {name}")
        show(
            f"backlog.{name}",
            [p99 / baseline for p99 in p99s],
            "x",
            target="<= 2",
            note="p99 against baseline",
        )


async def _owe(product: Product, endpoint_id: str, sessions: Sequence[str], count: int) -> int:
    """Let so much be owed to the endpoint; answers how much it then is."""
    started = time.monotonic()
    for _number, session_id in zip(range(0, count, _AT_ONCE), itertools.cycle(sessions), strict=False):
        await product.let_write(session_id, "+5511960000001", count=_AT_ONCE)
    while (owed := await _read_owed(product, endpoint_id)) < count:
        if time.monotonic() - started > _PATIENCE_SECONDS:
            raise BenchError(f"Only {owed} of {count} are owed.")
        await asyncio.sleep(1.0)
    say(f"{owed} owed after {time.monotonic() - started:.0f} s")
    return owed


async def _read_owed(product: Product, endpoint_id: str) -> int:
    path = f"/api/v1/webhooks/endpoints/{endpoint_id}/statistics"
    owed: int = (await product.api.call("GET", path))["owed"]
    return owed
