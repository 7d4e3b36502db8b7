"""Accepted sends: POST /send over kept-alive connections, each waiting for its 202 before the next one.

The host sends what was accepted at the same time, as it would: all of it shares the cores. What has reached the
virtual phones is counted in their outboxes, until it is all that was accepted.
"""

import asyncio
import itertools
import time
from collections import Counter

from msgspec import Struct

from bench.figures import percentile, say, show
from bench.plan import Plan
from bench.product import Product, open_product
from bench.usage import Usage, spent
from bench.wire import BenchError

_SESSIONS = 20
_CHATS = 2_000
_CONNECTIONS = 64
_WARM_UP_SECONDS = 1.0
_PAGE = 200
_PATIENCE_SECONDS = 120.0


async def measure(plan: Plan) -> None:
    rates: list[float] = []
    p99s: list[float] = []
    sent: list[float] = []
    seconds: dict[str, list[float]] = {}
    async with open_product() as product:
        usage = Usage(product.pid)
        sessions = await product.link_sessions(_SESSIONS)
        requests = _requests(product, sessions)
        outboxes = dict.fromkeys(sessions, 0)
        warmed = await _run_once(product, requests, seconds=_WARM_UP_SECONDS)
        await _drain(product, outboxes, warmed.accepted)
        for _ in range(plan.runs):
            before = usage.read_cpu_seconds()
            started = time.monotonic()
            run = await _run_once(product, requests, seconds=plan.seconds / 2)
            for name, cpu_seconds in spent(before, usage.read_cpu_seconds()).items():
                seconds.setdefault(name, []).append(cpu_seconds)
            rates.append(run.rate)
            p99s.append(run.p99)
            await _drain(product, outboxes, run.accepted)
            sent.append(run.accepted / (time.monotonic() - started))
    note = f"{_CONNECTIONS} connections, {_SESSIONS} sessions, {_CHATS} chats, the host sending meanwhile"
    show("sends", rates, "accepted/s", target=">= 2500", note=note)
    show("sends.p99", p99s, "ms", note="from the request's first byte to its 202")
    show(
        "sends.sent", sent, "sent/s", note="from the first request until the virtual phones have all of them"
    )
    for name, used in sorted(seconds.items()):
        show(f"sends.cpu.{name}", used, "s", note=f"CPU time in {plan.seconds / 2:.0f} s of sends")


def _requests(product: Product, sessions: list[str]) -> list[bytes]:
    """Made beforehand: the generator shares the cores."""
    return [
        product.api.request_of(
            "POST",
            "/api/v1/whatsapp/send",
            {
                "sessionId": session_id,
                "to": f"+55119{60_000_000 + chat}",
                "type": "text",
                "content": "Your order has left our warehouse.",
            },
        )
        for chat, session_id in zip(range(_CHATS), itertools.cycle(sessions), strict=False)
    ]


class _Run(Struct, frozen=True, kw_only=True):
    accepted: int
    rate: float
    p99: float
    """Milliseconds."""


async def _run_once(product: Product, requests: list[bytes], *, seconds: float) -> _Run:
    supply = itertools.cycle(requests)
    statuses: Counter[int] = Counter()
    waits: list[float] = []
    started = time.monotonic()

    async def send() -> None:
        async with product.api.connection() as connection:
            while (began := time.monotonic()) < started + seconds:
                status, _answer = await connection.exchange(next(supply))
                statuses[status] += 1
                waits.append(time.monotonic() - began)

    await asyncio.gather(*(send() for _ in range(_CONNECTIONS)))
    rate = statuses[202] / (time.monotonic() - started)
    if set(statuses) != {202}:
        raise BenchError(f"Sends were not all accepted: {dict(statuses)}")
    run = _Run(accepted=statuses[202], rate=rate, p99=percentile(sorted(waits), 0.99) * 1e3)
    say(f"sends {run.rate:.0f}/s, p99 {run.p99:.1f} ms")
    return run


async def _drain(product: Product, outboxes: dict[str, int], accepted: int) -> None:
    """Until so many more have been received; `outboxes` is how far each session's outbox was read."""
    until = time.monotonic() + _PATIENCE_SECONDS
    received = 0
    while received < accepted:
        if time.monotonic() > until:
            raise BenchError(f"Only {received} of {accepted} accepted messages were sent.")
        for session_id, after in list(outboxes.items()):
            path = f"/api/v1/whatsapp/sessions/{session_id}/sandbox/outbox?limit={_PAGE}&after={after}"
            page = await product.api.call("GET", path)
            received += len(page["messages"])
            outboxes[session_id] = page["next"]
        await asyncio.sleep(0.01)
    say(f"{received} sent")
