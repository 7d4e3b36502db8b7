"""The memory of connected WhatsApp sessions, with every process of Relay counted; Postgres beside it.

As proportional shares: a page that several processes have in common is counted once in all.
"""

import asyncio

from bench.figures import say, show
from bench.plan import Plan
from bench.usage import Usage
from bench.whatsapp import World, open_world

_MEGABYTES_FOR_200 = 400


async def measure(plan: Plan) -> None:
    most = plan.whatsapp_sessions
    async with open_world(1) as world:
        alone = await _measure(world, plan)
        count, used = 1, alone
        for count in sorted({min(50, most), most}):
            more = await world.phones.link(world.product, count - len(world.linked))
            world.linked.extend(more)
            used = await _measure(world, plan)
    show(
        "whatsapp-memory.session",
        [(used - alone) / (count - 1)],
        "MB",
        target="<= 2",
        note=f"each of {count} beyond the first; all processes but Postgres",
    )


async def _measure(world: World, plan: Plan) -> float:
    """Each session has had messages by then. Megabytes of everything but Postgres."""
    await world.warm_up()
    await asyncio.sleep(plan.rest_seconds)
    count = len(world.linked)
    total, resident = show_memory(f"whatsapp-memory.{count}", world.usage())
    processes = len(world.usage().list_pids("engines"))
    target = f"<= {_MEGABYTES_FOR_200}" if count == 200 else ""
    note = f"all processes but Postgres, {processes} of them for engines; resident: {resident:.0f} MB"
    show(f"whatsapp-memory.{count}", [total], "MB", target=target, note=note)
    files = sum(path.stat().st_size for path in world.product.live_folder.iterdir()) / 1e6
    show(
        f"whatsapp-memory.{count}.live_files",
        [files],
        "MB",
        note="in a folder in memory, beside the processes",
    )
    say(f"{count} sessions: {total:.0f} MB")
    return total


def show_memory(name: str, usage: Usage) -> tuple[float, float]:
    """A figure for each part; answers share and resident size of all but Postgres, in megabytes."""
    shares = usage.read_shares_megabytes()
    for part, (pss, rss) in sorted(shares.items()):
        show(f"{name}.{part}", [pss], "MB", note=f"proportional share; resident: {rss:.0f} MB")
    del shares["postgres"]
    return sum(pss for pss, _ in shares.values()), sum(rss for _, rss in shares.values())
