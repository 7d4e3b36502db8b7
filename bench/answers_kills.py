"""kill -9 of the responder's process in the middle of 2,000 messages, many times over: what is lost, what is said twice.

    written ──► answered by a rule ──┬─ no answer in the sandbox's outbox: lost
       kill -9 ─┘                    └─ more than one: doubled

Nothing is helped along: the supervisor starts the process again, and the leases of the dead one run out by themselves.
Afterwards the server is started anew, for one that keeps dying is started ever more slowly.
"""

import asyncio
import os
import random
import signal
import time
from typing import TypeAlias

import asyncpg
from msgspec import Struct

from bench.figures import say, show
from bench.plan import Plan
from bench.product import Product, open_product
from bench.usage import Usage
from bench.wire import BenchError
from relay.store.embedded_running import find_running

_SESSIONS = 10
_CHATS_PER_SESSION = 20
_EACH = 10
_MESSAGES = _SESSIONS * _CHATS_PER_SESSION * _EACH
_SEEN = (100, 1_600)
"""How many are answered when it is killed, at least and at most."""
_LATER_SECONDS = 0.1
_PATIENCE_SECONDS = 90.0
_QUIET_SECONDS = 1.5
_BOT = {"repliesPerMinute": 1000, "repliesPerHour": 10_000}
_RULES = {
    "version": 1,
    "rules": [{"id": "all", "when": {"always": True}, "do": [{"reply": "Recebido: {{ message.text }}"}]}],
}
Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"


class _Run(Struct, frozen=True, kw_only=True):
    seen: int
    """Answered when it was killed, about."""
    lost: int
    doubled: int
    back_seconds: float


async def measure(plan: Plan) -> None:
    dice = random.Random(1)
    runs = []
    async with open_product() as product:
        await product.api.call("PUT", "/api/v1/rules/bench", _RULES)
        sessions = await product.link_sessions(_SESSIONS)
        for session_id in sessions:
            body = {"automation": True, "bot": _BOT}
            await product.api.call("PATCH", f"/api/v1/whatsapp/sessions/{session_id}", body)
        for number in range(plan.runs):
            runs.append(await _run_once(product, sessions, number, dice))
            say(f"run {number + 1}: {runs[-1]}")
            await product.restart()
            await _connected(product, sessions)
    _show(runs)


async def _run_once(product: Product, sessions: list[str], number: int, dice: random.Random) -> _Run:
    seen = dice.randint(*_SEEN)
    conn = await _database(product)
    before = await conn.fetchrow(_COUNT)
    assert before is not None
    (pid,) = Usage(product.pid).list_pids("responder")
    async with asyncio.TaskGroup() as group:
        group.create_task(_write(product, sessions, number))
        while await _answered(conn) - before["answered"] < seen:
            await asyncio.sleep(0.001)
        # What is seen has just been committed: the moment after that is not the one that matters.
        await asyncio.sleep(dice.uniform(0, _LATER_SECONDS))
        killed_at = time.monotonic()
        os.kill(pid, signal.SIGKILL)
    last_at = await _settle(conn, before["answered"] + _MESSAGES)
    after = await conn.fetchrow(_COUNT)
    assert after is not None
    await conn.close()
    answered, said = (after[name] - before[name] for name in ("answered", "said"))
    return _Run(
        seen=seen, lost=_MESSAGES - answered, doubled=said - answered, back_seconds=last_at - killed_at
    )


async def _write(product: Product, sessions: list[str], number: int) -> None:
    # The server closes those that were idle while the run before was awaited.
    product.api.close()
    await asyncio.gather(
        *(
            product.let_write(session, f"+55{11 + number % 80:02}9{80_000_000 + chat}", count=_EACH)
            for chat in range(_CHATS_PER_SESSION)
            for session in sessions
        )
    )


async def _settle(conn: Connection, all_answered: int) -> float:
    """When the last answer was given: nothing has come for a while, and nothing is left to be looked at."""
    until = time.monotonic() + _PATIENCE_SECONDS
    said, changed_at = -1, time.monotonic()
    while time.monotonic() < until:
        row = await conn.fetchrow(_COUNT)
        assert row is not None
        if row["said"] != said:
            said, changed_at = row["said"], time.monotonic()
        if row["answered"] == all_answered and time.monotonic() - changed_at > _QUIET_SECONDS:
            break
        await asyncio.sleep(0.1)
    return changed_at


# What has reached the phones: messages that were answered, and answers.
_COUNT = """
    SELECT count(DISTINCT m.answers) AS answered, count(*) AS said
    FROM sandbox_outbox o JOIN whatsapp_messages m ON m.session_id = o.session_id AND m.wa_id = o.body ->> 'waId'
    WHERE m.origin = 'bot' AND o.body ->> 'kind' = 'message'
"""
_ANSWERED = "SELECT count(*) FROM whatsapp_messages WHERE origin = 'bot'"


async def _answered(conn: Connection) -> int:
    count: int = await conn.fetchval(_ANSWERED)
    return count


async def _connected(product: Product, sessions: list[str]) -> None:
    for session_id in sessions:
        until = time.monotonic() + _PATIENCE_SECONDS
        while True:
            found = await product.api.call("GET", f"/api/v1/whatsapp/sessions/{session_id}")
            if found["status"] == "connected":
                break
            if time.monotonic() > until:
                raise BenchError(f"{session_id} is {found['status']} after a restart.")
            await asyncio.sleep(0.1)


async def _database(product: Product) -> Connection:
    running = find_running(product.folder / "data")
    if running is None or running.url is None:
        raise BenchError("The server's database is not to be found.")
    conn: Connection = await asyncpg.connect(running.url)
    return conn


def _show(runs: list[_Run]) -> None:
    of = f"of {_MESSAGES} messages in {_SESSIONS * _CHATS_PER_SESSION} chats, each run"
    show("bot-kills.lost", [run.lost for run in runs], "answers", target="0", note=of)
    show("bot-kills.doubled", [run.doubled for run in runs], "answers", target="0", note=of)
    show(
        "bot-kills.back",
        [run.back_seconds for run in runs],
        "s",
        note="from the kill until the last answer; a lease of 10 s is part of it",
    )
