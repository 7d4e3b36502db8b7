"""Latency under a steady load: at a quarter and at half of the measured saturation, and at 1,000 messages a second."""

from bench import throughput
from bench.figures import show
from bench.load import Steady, load_steadily
from bench.plan import Plan
from bench.product import open_product
from bench.receiving import open_sink

_SESSIONS = 20


async def measure(plan: Plan) -> None:
    if not plan.saturation:
        await throughput.measure(plan)
    rates = {
        "at_quarter": plan.saturation / 4,
        "at_half": plan.saturation / 2,
        "at_1000": 1000.0,
    }
    async with open_sink() as sink, open_product() as product:
        sessions = await product.link_sessions(_SESSIONS)
        await product.add_endpoint(sink, "/all")
        for name, rate in rates.items():
            runs = [
                await load_steadily(product, sink, "/all", sessions, rate=rate, seconds=plan.seconds)
                for _ in range(plan.runs)
            ]
            _show(f"latency.{name}", rate, runs)


def _show(name: str, rate: float, runs: list[Steady]) -> None:
    note = f"{rate:.0f} messages/s; " + "; ".join(run.note for run in runs)
    target = "<= 50" if name.endswith("1000") else ""
    show(f"{name}.p50", [run.p50 for run in runs], "ms", note=note)
    show(f"{name}.p99", [run.p99 for run in runs], "ms", target=target, note=note)
    show(f"{name}.max", [run.max for run in runs], "ms", note=note)
