"""Sends of one WhatsApp session: from the first POST to the stand-in's acknowledgement of the last."""

import asyncio
import itertools
import time

from bench.figures import say, show
from bench.plan import Plan
from bench.usage import spent
from bench.whatsapp import World, open_world, show_cpu
from bench.wire import BenchError

_CHATS = 50
_CONNECTIONS = 16
_PATIENCE_SECONDS = 120.0


async def measure(plan: Plan) -> None:
    rates, used = [], []
    count = plan.whatsapp_messages // 5
    async with open_world(1) as world:
        usage = world.usage()
        people = await world.phones.meet(_CHATS)
        # The first message to each of them asks for their keys.
        await _send(world, people, _CHATS)
        for _ in range(plan.runs):
            before = usage.read_cpu_seconds()
            rates.append(await _send(world, people, count))
            used.append(spent(before, usage.read_cpu_seconds()))
            say(f"{rates[-1]:.0f} sends/s")
    note = f"{count} texts to {_CHATS} people, accepted as fast as {_CONNECTIONS} connections can"
    show("whatsapp-sends", rates, "acknowledged/s", target=">= 150", note=note)
    show_cpu("whatsapp-sends", used, count)


async def _send(world: World, people: list[str], count: int) -> float:
    """Sends a second."""
    await world.phones.clear()
    session_id = world.linked[0].session_id
    requests = iter(
        [
            world.product.api.request_of(
                "POST",
                "/api/v1/whatsapp/send",
                {
                    "sessionId": session_id,
                    "to": f"+{phone}",
                    "type": "text",
                    "content": "Your order has left.",
                },
            )
            for phone, _ in zip(itertools.cycle(people), range(count), strict=False)
        ]
    )

    async def accept() -> None:
        async with world.product.api.connection() as connection:
            for request in requests:
                status, answer = await connection.exchange(request)
                if status != 202:
                    raise BenchError(f"A send was answered {status}: {answer.decode(errors='replace')[:500]}")

    began_at = time.time()
    await asyncio.gather(*(accept() for _ in range(_CONNECTIONS)))
    await world.phones.wait_until(lambda state: state.taken >= count, seconds=_PATIENCE_SECONDS)
    taken = await world.phones.taken()
    if len(taken) != count:
        raise BenchError(f"{len(taken)} of {count} were sent.")
    return count / (max(taken) - began_at)
