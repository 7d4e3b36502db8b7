"""How long one message takes at 100 a second: from the stand-in's writing it to the webhook whose signature was checked."""

from bench.figures import say, show
from bench.plan import Plan
from bench.whatsapp import open_world

_SESSIONS = 10
_RATE = 100.0
_PATIENCE_SECONDS = 30.0


async def measure(plan: Plan) -> None:
    p50s, p99s, notes = [], [], []
    async with open_world(_SESSIONS) as world:
        await world.warm_up()
        for _ in range(plan.runs):
            count = int(_RATE * plan.seconds)
            passage = await world.write_and_wait(count, rate=_RATE, seconds=plan.seconds + _PATIENCE_SECONDS)
            p50s.append(passage.percentile_ms(0.5))
            p99s.append(passage.percentile_ms(0.99))
            notes.append(passage.note)
            say(f"p50 {p50s[-1]:.1f} ms, p99 {p99s[-1]:.1f} ms; {passage.note}")
    note = f"{_RATE:.0f} messages/s over {_SESSIONS} sessions; " + "; ".join(notes)
    show("whatsapp-latency.p50", p50s, "ms", note=note)
    show("whatsapp-latency.p99", p99s, "ms", target="<= 100", note=note)
