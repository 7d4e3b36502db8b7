"""WhatsApp sessions that come back: after a restart of `relay serve`, and after a kill -9 of the host.

It ends when every client has logged in to the stand-in anew and the API calls every session connected.
"""

import asyncio
import time

import psutil

from bench.figures import say, show
from bench.plan import Plan
from bench.whatsapp import World, open_world
from bench.wire import BenchError

_PATIENCE_SECONDS = 120.0
_LOOK_SECONDS = 0.05


async def measure(plan: Plan) -> None:
    from_host, from_ready, from_kill = [], [], []
    async with open_world(plan.whatsapp_sessions) as world:
        for _ in range(plan.runs):
            await world.phones.clear()
            await world.product.restart()
            ready_at = time.time()
            back_at = await wait_until_back(world)
            from_host.append(back_at - psutil.Process(_host(world)).create_time())
            from_ready.append(back_at - ready_at)
            say(f"{from_host[-1]:.1f} s from the start of the host, {from_ready[-1]:.1f} s from `ready`")
        for _ in range(plan.runs):
            await world.phones.clear()
            killed_at = time.time()
            psutil.Process(_host(world)).kill()
            from_kill.append(await wait_until_back(world) - killed_at)
            say(f"{from_kill[-1]:.1f} s from the host's end")
    sessions = f"{plan.whatsapp_sessions} sessions"
    show("whatsapp-resume", from_host, "s", target="<= 15", note=f"{sessions}, from the host process's start")
    show("whatsapp-resume.from_ready", from_ready, "s", note=f"{sessions}, from `ready`")
    show("whatsapp-resume.host_killed", from_kill, "s", note=f"{sessions}, from the kill -9 of the host")


def _host(world: World) -> int:
    (pid,) = world.usage().list_pids("host")
    return pid


async def wait_until_back(world: World) -> float:
    """When it was seen."""
    count = len(world.linked)
    back = 0
    until = time.monotonic() + _PATIENCE_SECONDS
    while time.monotonic() < until:
        state = await world.phones.state()
        back = state.back
        if back == state.connected == count and await _count_connected(world) == count:
            return time.time()
        await asyncio.sleep(_LOOK_SECONDS)
    raise BenchError(f"Only {back} of {count} sessions came back in {_PATIENCE_SECONDS:.0f} s.")


async def _count_connected(world: World) -> int:
    health = await world.product.api.call("GET", "/api/v1/whatsapp/health")
    connected: int = health["connected"]
    return connected
