"""Many sessions: from 1 to 1,000 sandbox accounts, created and scanned through the API."""

import time

from bench.figures import say, show
from bench.plan import Plan
from bench.product import open_product
from bench.usage import Usage, spent


async def measure(plan: Plan) -> None:
    # The first start's own session needs a place too.
    async with open_product(RELAY__HOST__SESSIONS_PER_PROCESS=str(plan.sessions + 1)) as product:
        usage = Usage(product.pid)
        await product.link_sessions(1)
        memory_before = usage.read_memory_megabytes()["host"]
        cpu_before = usage.read_cpu_seconds()
        started = time.monotonic()
        await product.link_sessions(plan.sessions - 1)
        seconds = time.monotonic() - started
        grown = usage.read_memory_megabytes()["host"] - memory_before
        used = spent(cpu_before, usage.read_cpu_seconds())
    say(f"{plan.sessions} sessions in {seconds:.1f} s")
    cpu = ", ".join(f"{name} {cpu_seconds:.1f}" for name, cpu_seconds in sorted(used.items()))
    show(
        "sessions.link",
        [seconds],
        "s",
        note=f"1 to {plan.sessions}, created, scanned, seen connected; CPU s: {cpu}",
    )
    show("sessions.memory", [grown * 1e3 / (plan.sessions - 1)], "kB", note="of the host, for each session")
