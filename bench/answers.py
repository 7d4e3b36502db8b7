"""Bots: messages in, a rule decides, answers out; and what a neighbour whose agent hangs does to that.

let_write ──► inbox ──► reply task ──► rule ──► queued ──► sent to the virtual phone; each step durable
"""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import asyncpg

from bench.figures import percentile, say, show
from bench.plan import Plan
from bench.product import Product, open_product
from bench.wire import BenchError
from relay.store.embedded_running import find_running

_SESSIONS = 20
_CHATS_PER_SESSION = 50
_PATIENCE_SECONDS = 120.0
_RATE = 50
"""Messages a second of the quiet neighbour."""
_HANGING_CHATS = 200
_SETTINGS = {"repliesPerMinute": 1000, "repliesPerHour": 10_000}
# JSON is YAML.
_RULES = {
    "version": 1,
    "rules": [
        {
            "id": "order",
            "priority": 10,
            "when": {"regex": r"^pedido (?P<order>\d+)$"},
            "do": [{"reply": "Pedido {{ match.order }}"}],
        },
        {
            "id": "bench",
            "when": {"keyword": "bench"},
            "do": [{"reply": "Olá {{ contact.first_name }}, recebemos: {{ message.text }}"}],
        },
    ],
}
_HANDED_ON = {
    "version": 1,
    "rules": [{"id": "all", "when": {"always": True}, "do": [{"agent": {"name": "main", "debounce": 0}}]}],
}


async def measure(plan: Plan) -> None:
    async with open_product() as product:
        sessions = await _open_bots(product, _SESSIONS, _RULES)
        await _run_once(product, sessions, plan.messages // 20)
        rates = [await _run_once(product, sessions, plan.messages // 4) for _ in range(plan.runs)]
    note = f"{plan.messages // 4} messages, {_SESSIONS} sessions, {_SESSIONS * _CHATS_PER_SESSION} chats"
    show("answers", rates, "answered/s", target=">= 800", note=note)


async def measure_hanging(plan: Plan) -> None:
    """p99 of one company's answers, alone and beside a company whose agent hangs 30 s in 200 chats."""
    async with open_product() as product, _hanging_server() as where:
        quiet = await _open_bots(product, 4, _RULES)
        alone = [await _p99(product, quiet, plan.seconds) for _ in range(plan.runs)]
        neighbour = await product.another_company()
        agent = {"name": "main", "kind": "http", "settings": {"url": where, "timeoutSeconds": 30}}
        await neighbour.api.call("POST", "/api/v1/agents", agent)
        loud = await _open_bots(neighbour, 4, _HANDED_ON)
        beside = []
        for _ in range(plan.runs):
            await asyncio.gather(
                *(
                    neighbour.let_write(loud[chat % len(loud)], f"+55117{70_000_000 + chat}", count=1)
                    for chat in range(_HANGING_CHATS)
                )
            )
            beside.append(await _p99(product, quiet, plan.seconds))
    note = f"{_RATE} messages a second"
    show("answers.p99", alone, "ms", note=note)
    show(
        "answers.p99.beside_hanging",
        beside,
        "ms",
        note=f"{note}; {_HANGING_CHATS} chats with a hanging agent",
    )
    ratios = [one / other for one, other in zip(beside, alone, strict=True)]
    show("answers.p99.ratio", ratios, "times", target="<= 2", note=note)


@asynccontextmanager
async def _hanging_server() -> AsyncIterator[str]:
    """Takes every request and answers none; its address."""

    async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    server = await asyncio.start_server(hang, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"


async def _open_bots(product: Product, count: int, rules: object) -> list[str]:
    await product.api.call("PUT", "/api/v1/rules/bench", rules)
    sessions = await product.link_sessions(count)
    for session_id in sessions:
        body = {"automation": True, "bot": _SETTINGS}
        await product.api.call("PATCH", f"/api/v1/whatsapp/sessions/{session_id}", body)
    return sessions


async def _run_once(product: Product, sessions: Sequence[str], messages: int) -> float:
    """Answers a second, from the first message written to the last answer sent."""
    conn = await _database(product)
    before = await _sent(conn)
    each = max(1, messages // (len(sessions) * _CHATS_PER_SESSION))
    # The server closes those that were idle while the run before was awaited.
    product.api.close()
    began, began_at = time.monotonic(), await conn.fetchval("SELECT now()")
    written = await asyncio.gather(
        *(
            product.let_write(session, f"+55119{80_000_000 + chat}", count=each)
            for chat in range(_CHATS_PER_SESSION)
            for session in sessions
        )
    )
    total = sum(count for _, count in written)
    while (sent := await _sent(conn) - before) < total:
        if time.monotonic() - began > _PATIENCE_SECONDS:
            raise BenchError(f"Only {sent} of {total} messages were answered.")
        # Counting shares the cores.
        await asyncio.sleep(0.2)
    rate = total / float(await conn.fetchval(_LASTED, began_at))
    await conn.close()
    say(f"answers {rate:.0f}/s: {sent} of {total} sent")
    if sent != total:
        raise BenchError(f"{sent} answers to {total} messages.")
    return rate


async def _p99(product: Product, sessions: Sequence[str], seconds: float) -> float:
    """Milliseconds from the phone network's taking a message to its answer's having been sent."""
    conn = await _database(product)
    since = await conn.fetchval("SELECT now()")
    before = await _sent(conn)
    count = round(_RATE * seconds)
    started = time.monotonic()
    for number in range(count):
        await asyncio.sleep(max(0.0, started + number / _RATE - time.monotonic()))
        phone = f"+55118{80_000_000 + number % 200}"
        await product.let_write(sessions[number % len(sessions)], phone, count=1)
    until = time.monotonic() + _PATIENCE_SECONDS
    while await _sent(conn) - before < count and time.monotonic() < until:
        await asyncio.sleep(0.05)
    rows = await conn.fetch(_LATENCIES, sessions, since)
    await conn.close()
    if len(rows) != count:
        raise BenchError(f"{len(rows)} answers to {count} messages.")
    waits = sorted(float(row["seconds"]) for row in rows)
    p99 = percentile(waits, 0.99) * 1e3
    say(f"answers p50 {percentile(waits, 0.5) * 1e3:.0f} ms, p99 {p99:.0f} ms")
    return p99


_LASTED = "SELECT extract(epoch FROM max(sent_at) - $1) FROM whatsapp_messages WHERE origin = 'bot'"
_LATENCIES = """
    SELECT extract(epoch FROM a.sent_at - m.sent_at) AS seconds
    FROM whatsapp_messages a JOIN whatsapp_messages m ON m.id = a.answers
    WHERE a.origin = 'bot' AND a.session_id = ANY ($1) AND m.sent_at >= $2 AND a.wa_id IS NOT NULL
"""


async def _sent(conn: "asyncpg.Connection[asyncpg.Record]") -> int:
    count: int = await conn.fetchval(
        "SELECT count(*) FROM whatsapp_messages WHERE origin = 'bot' AND wa_id IS NOT NULL"
    )
    return count


async def _database(product: Product) -> "asyncpg.Connection[asyncpg.Record]":
    running = find_running(product.folder / "data")
    if running is None or running.url is None:
        raise BenchError("The server's database is not to be found.")
    conn: asyncpg.Connection[asyncpg.Record] = await asyncpg.connect(running.url)
    return conn
