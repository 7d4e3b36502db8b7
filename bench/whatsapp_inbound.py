"""Inbound through everything: the phone network's stand-in → library → journal → Postgres → verified webhook."""

from bench.figures import say, show
from bench.plan import Plan
from bench.usage import spent
from bench.whatsapp import open_world, show_cpu

_TARGETS = {1: ">= 500", 50: ">= 700"}
_PATIENCE_SECONDS = 180.0


async def measure(plan: Plan) -> None:
    for sessions, target in _TARGETS.items():
        await _measure(plan, sessions, target)


async def _measure(plan: Plan, sessions: int, target: str) -> None:
    rates, notes, used = [], [], []
    count = plan.whatsapp_messages
    async with open_world(sessions) as world:
        usage = world.usage()
        await world.warm_up()
        for _ in range(plan.runs):
            before = usage.read_cpu_seconds()
            passage = await world.write_and_wait(count, seconds=_PATIENCE_SECONDS)
            used.append(spent(before, usage.read_cpu_seconds()))
            rates.append(passage.rate)
            notes.append(passage.note)
            say(f"{sessions} sessions, {passage.rate:.0f}/s: {passage.note}")
    name = f"whatsapp-inbound.{sessions}"
    show(name, rates, "messages/s", target=target, note="; ".join(notes))
    show_cpu(name, used, count)
