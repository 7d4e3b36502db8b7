"""At rest: the memory of each process after a load, and the CPU that an idle server uses."""

import asyncio

from bench import throughput
from bench.figures import show
from bench.plan import Plan
from bench.product import open_product
from bench.receiving import open_sink
from bench.usage import Usage, spent

_SESSIONS = 20
_SETTLE_SECONDS = 5.0
_IDLE_SECONDS = 10.0


async def measure_memory(plan: Plan) -> None:
    async with open_sink() as sink, open_product() as product:
        usage = Usage(product.pid)
        sessions = await product.link_sessions(_SESSIONS)
        await product.add_endpoint(sink, "/all")
        await throughput.run_once(product, sink, sessions, plan.messages)
        for name, megabytes in sorted(usage.read_memory_megabytes().items()):
            relays = name != "postgres"
            show(
                f"memory.{name}",
                [megabytes],
                "MB",
                target="<= 120" if relays else "",
                note=f"{'resident' if relays else 'proportional share of all its processes'}, after {plan.messages} messages",
            )


async def measure_idle(_plan: Plan) -> None:
    async with open_product() as product:
        usage = Usage(product.pid)
        await product.link_sessions(_SESSIONS)
        await asyncio.sleep(_SETTLE_SECONDS)
        before = usage.read_cpu_seconds()
        await asyncio.sleep(_IDLE_SECONDS)
        used = spent(before, usage.read_cpu_seconds())
    del used["generator"], used["others"]
    note = f"of one core, over {_IDLE_SECONDS:.0f} s with {_SESSIONS} connected sessions"
    for name, seconds in sorted(used.items()):
        show(f"idle.{name}", [seconds / _IDLE_SECONDS * 100], "%", note=note)
    show("idle", [sum(used.values()) / _IDLE_SECONDS * 100], "%", target="< 2", note=f"all processes, {note}")
