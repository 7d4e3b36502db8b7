"""kill -9 of an engine process in the middle of inbound messages, many times over: what is lost, and by whom.

    written by the stand-in ──┬─ never in the journal: lost before our callback had written it down
                              └─ in the journal ──┬─ never at the sink: lost by Relay
                                                  └─ told by two events: doubled

Each run ends a process that is at work; afterwards the server is started anew, as its host would part sessions whose
processes keep dying.
"""

import asyncio
import os
import random
import signal
import time
from collections import Counter

from msgspec import Struct

from bench.figures import say, show
from bench.journal_watch import JournalWatch, watch_journal
from bench.plan import Plan
from bench.whatsapp import PATH, World, open_world
from bench.whatsapp_resume import wait_until_back

_SESSIONS = 10
_MESSAGES = 2_000
_SEEN = (200, 1_600)
"""How many the process has journaled when it is killed, at least and at most."""
_PATIENCE_SECONDS = 60.0
_QUIET_SECONDS = 1.5


class _Run(Struct, frozen=True, kw_only=True):
    seen: int
    """In the journal when it was killed, about."""
    lost_by_engine: int
    lost_by_relay: int
    doubled: int
    back_seconds: float


async def measure(plan: Plan) -> None:
    dice = random.Random(1)
    runs = []
    async with open_world(_SESSIONS) as world:
        await world.warm_up()
        for number in range(plan.runs):
            async with watch_journal(world.product.folder / "data") as journal:
                run = await _run_once(world, journal, dice.randint(*_SEEN))
            runs.append(run)
            say(f"run {number + 1}: {run}")
            await world.phones.clear()
            await world.product.restart()
            await wait_until_back(world)
    _show(runs)


async def _run_once(world: World, journal: JournalWatch, seen: int) -> _Run:
    await world.phones.clear()
    await world.sink.clear(PATH)
    before = len(journal.read_ids())
    (pid,) = world.usage().list_pids("engines")
    await world.phones.write(world.numbers, _MESSAGES)
    while len(journal.read_ids()) - before < seen:
        await asyncio.sleep(0.002)
    killed_at = time.time()
    os.kill(pid, signal.SIGKILL)
    back_at = await wait_until_back(world)
    written, arrived = await _settle(world)
    journaled = journal.read_ids()
    report = await world.sink.report(PATH)
    return _Run(
        seen=seen,
        lost_by_engine=len(written.keys() - journaled),
        lost_by_relay=len((written.keys() & journaled) - arrived.keys()),
        doubled=round(report["doubled"]),
        back_seconds=back_at - killed_at,
    )


async def _settle(world: World) -> tuple[dict[str, float], dict[str, float]]:
    """Once all has come, or nothing has for a while and the clients have acknowledged what there was."""
    await world.phones.wait_until(
        lambda state: state.written == _MESSAGES and not state.unacknowledged, seconds=_PATIENCE_SECONDS
    )
    written = await world.phones.written()
    arrived: dict[str, float] = {}
    quiet_since = time.monotonic()
    while len(arrived) < _MESSAGES and time.monotonic() - quiet_since < _QUIET_SECONDS:
        before = len(arrived)
        arrived = await world.sink.arrivals(PATH)
        if len(arrived) > before:
            quiet_since = time.monotonic()
        await asyncio.sleep(0.1)
    return written, arrived


def _show(runs: list[_Run]) -> None:
    by_count = Counter(run.lost_by_engine for run in runs)
    of = f"of {_MESSAGES} messages to {_SESSIONS} sessions, each run"
    counted = ", ".join(f"{count} lost in {times} runs" for count, times in sorted(by_count.items()))
    show(
        "whatsapp-kills.lost_by_engine",
        [run.lost_by_engine for run in runs],
        "messages",
        note=f"{of}; {counted}",
    )
    show("whatsapp-kills.lost_by_relay", [run.lost_by_relay for run in runs], "messages", target="0", note=of)
    show("whatsapp-kills.doubled", [run.doubled for run in runs], "messages", target="0", note=of)
    show(
        "whatsapp-kills.back",
        [run.back_seconds for run in runs],
        "s",
        target="<= 10",
        note="from the kill until all sessions of the process are connected again",
    )
