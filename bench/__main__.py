"""`python -m bench [FIGURE…] [--quick] [--runs N]`: the product measured from outside, one JSON line a figure.

Each figure has a fresh server: real processes, the embedded Postgres as it always is, HTTP, and a sink that checks
every signature.
"""

import argparse
import asyncio
import os
from collections.abc import Awaitable, Callable

from bench import (
    answers,
    answers_kills,
    backlog,
    console,
    consoles,
    decision,
    latency,
    rest,
    sends,
    sessions,
    throughput,
    whatsapp_inbound,
    whatsapp_kills,
    whatsapp_latency,
    whatsapp_memory,
    whatsapp_resume,
    whatsapp_sends,
)
from bench.figures import say
from bench.plan import Plan, full, quick

FIGURES: dict[str, Callable[[Plan], Awaitable[None]]] = {
    "throughput": throughput.measure,
    "latency": latency.measure,
    "sends": sends.measure,
    "answers": answers.measure,
    "answers-hanging": answers.measure_hanging,
    "bot-kills": answers_kills.measure,
    "memory": rest.measure_memory,
    "sessions": sessions.measure,
    "backlog": backlog.measure,
    "idle": rest.measure_idle,
    "console": console.measure,
    "consoles": consoles.measure,
    "decision": decision.measure,
    "whatsapp-memory": whatsapp_memory.measure,
    "whatsapp-resume": whatsapp_resume.measure,
    "whatsapp-inbound": whatsapp_inbound.measure,
    "whatsapp-sends": whatsapp_sends.measure,
    "whatsapp-latency": whatsapp_latency.measure,
    "whatsapp-kills": whatsapp_kills.measure,
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="bench", description="Measure Relay; one JSON line a figure.")
    parser.add_argument(
        "figures", nargs="*", metavar="FIGURE", help=f"of {', '.join(FIGURES)}; all by default"
    )
    parser.add_argument("--quick", action="store_true", help="shorter runs, for a first impression")
    parser.add_argument("--runs", type=int, default=1, metavar="N", help="the median of so many runs")
    arguments = parser.parse_args()
    unknown = set(arguments.figures) - FIGURES.keys()
    if unknown:
        parser.error(f"no such figure: {', '.join(sorted(unknown))}")
    plan = (quick if arguments.quick else full)(arguments.runs)
    names = [name for name in FIGURES if name in arguments.figures or not arguments.figures]
    _run(names, plan)


def _run(names: list[str], plan: Plan) -> None:
    async def measure() -> None:
        for name in names:
            say(f"{name}; load of this machine {os.getloadavg()[0]:.1f}")
            await FIGURES[name](plan)

    try:
        import uvloop
    except ImportError:
        asyncio.run(measure())
    else:
        uvloop.run(measure())


if __name__ == "__main__":
    main()
