"""kill -9 of responders at named points, 200 times: no answer is lost, none is given twice.

    customers ──► one server (API, host) ──► reply tasks ──┬─► a responder that dies at the point
                                                           └─► one that was stopped meanwhile, and does the rest

Each of the 200 is a real process and a real SIGKILL in the middle of its work. Two things are quicker than in life:
the dying ones are forks (see `killed_responder.py`), and the leases of the dead are ended by the test, not by waiting.
`test_bots_restarts.py` has a kill with the supervisor's own restart and the whole lease.
"""

import asyncio
import json
import os
import random
import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
from aiohttp import web
from msgspec import Struct

from relay.store.pool import Pool
from tests.api_client import OPERATOR_KEY
from tests.flow.ledger import WIDE_LIMITS, Sink, Traffic
from tests.flow.serving import Program, free_port, link, program, shared, until
from tests.flow.test_many_processes import bearer, called_by, make_tenant

ROOT = Path(__file__).parents[2]
ROUNDS = 200
PEOPLE = 4
BOT = {"repliesPerMinute": 1000, "repliesPerHour": 1000}
RULES = """
version: 1
rules:
  - id: say
    when: {starts: say}
    do: [{set: {last: "{{ message.text }}"}}, {reply: "{{ message.text }}, once"}, {reply: "{{ message.text }}, twice"}]
  - id: call
    when: {starts: call}
    do: [{http: {url: "$URL/call", method: POST, body: {text: "{{ message.text }}"}}}, {reply: "{{ http.json.reply }}"}]
  - id: ask
    when: {starts: ask}
    do: [{agent: {name: main, debounce: 0s}}]
"""


class Way(Struct, frozen=True, kw_only=True):
    """How messages that begin with a word are answered."""

    each: int
    """Messages of each person in a round; an agent would make one question of two."""
    answers: tuple[str, ...]
    points: Mapping[str, int]
    """Where responders die, at the latest at which call: so many are sure to be made."""


WAYS = {
    "say": Way(
        each=2,
        answers=("{}, once", "{}, twice"),
        points={
            "messages are claimed": 2,
            "a decision begins": 8,
            "a decision is half made": 16,
            "answers are inserted": 2,
            "tasks are to be deleted": 2,
            "tasks are deleted": 2,
            "answers are committed": 2,
        },
    ),
    "call": Way(
        each=2,
        answers=("heard {}",),
        points={
            "messages are claimed": 2,
            "a call goes out": 8,
            "during a call": 8,
            "a call is answered": 8,
            "answers are inserted": 8,
            "tasks are to be deleted": 8,
            "tasks are deleted": 8,
            "answers are committed": 8,
        },
    ),
    "ask": Way(
        each=1,
        answers=("heard {}",),
        points={
            "a turn is claimed": 1,
            "during a call": 4,
            "an agent has answered": 4,
            "answers are inserted": 4,
            "a turn is ended": 4,
            "the bell is to ring": 4,
        },
    ),
}
PLACES = [(word, point) for word, way in WAYS.items() for point in way.points]


class Outside:
    """The server that rules call, and the agent. Kills who calls, where it is told to."""

    def __init__(self) -> None:
        self.url = ""
        self.calls: Counter[str] = Counter()
        """By the key that stays the same when a crash makes a call happen again."""
        self.texts: dict[str, str] = {}
        self._kill_at = 0

    def kill_at(self, call: int) -> asyncio.Future[int]:
        """The pid of the victim is to be set as the result."""
        self._kill_at = call
        self._victim: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        return self._victim

    async def handle(self, request: web.Request) -> web.Response:
        text = (await request.json())["text"]
        key = request.headers.get("webhook-id") or request.headers["Idempotency-Key"]
        assert self.texts.setdefault(key, text) == text
        self.calls[key] += 1
        self._kill_at -= 1
        if self._kill_at == 0:
            os.kill(await self._victim, signal.SIGKILL)
        return web.json_response({"reply": f"heard {text}"})


@asynccontextmanager
async def open_outside() -> AsyncIterator[Outside]:
    outside = Outside()
    app = web.Application()
    app.router.add_post("/{path:.*}", outside.handle)
    runner = web.AppRunner(app, shutdown_timeout=0)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    assert site._server is not None
    outside.url = f"http://127.0.0.1:{site._server.sockets[0].getsockname()[1]}"  # type: ignore[attr-defined]
    try:
        yield outside
    finally:
        await runner.cleanup()


class Victims:
    """Responders that are born to die."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def bear(self, point: str | None, call: int) -> int:
        """The pid of one that runs now."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"point": point, "call": call}).encode() + b"\n")
        return int(await self._hear("born"))

    async def bury(self) -> None:
        """Return once it is dead; of the kill, not of anything else."""
        assert int(await self._hear("died")) == -signal.SIGKILL

    async def _hear(self, word: str) -> str:
        assert self._process.stdout is not None
        async with asyncio.timeout(20):
            async for line in self._process.stdout:
                said, _, rest = line.decode().strip().partition(" ")
                if said == word:
                    return rest
        raise AssertionError(f"it ended without saying «{word}»")


@asynccontextmanager
async def open_victims(folder: Path, environ: Mapping[str, str]) -> AsyncIterator[Victims]:
    process = await asyncio.create_subprocess_exec(
        *[sys.executable, "-m", "tests.flow.killed_responder", "--data-dir", str(folder)],
        cwd=folder,
        env={**environ, "PYTHONPATH": str(ROOT)},
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        start_new_session=True,
    )
    try:
        yield Victims(process)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        await process.wait()


class Rounds:
    """One session, what its customers have asked, and what they must hear."""

    def __init__(self, pool: Pool, caller: httpx.AsyncClient, session_id: str, outside: Outside) -> None:
        self.asked: list[str] = []
        self.expected: list[str] = []
        self._pool = pool
        self._caller = caller
        self._path = f"/api/v1/whatsapp/sessions/{session_id}/sandbox/inbound"
        self._outside = outside
        self._dice = random.Random(4)

    async def run(self, number: int, victims: Victims, other: Program) -> None:
        """Ask, die, and see that all is answered."""
        word, point = PLACES[number % len(PLACES)]
        call = self._dice.randint(1, WAYS[word].points[point])
        other.process.send_signal(signal.SIGSTOP)
        # Half of them find everything there, half see it come.
        if number // len(PLACES) % 2 == 0:
            await self._ask(number, word)
            await self._arrived()
            await self._die(victims, point, call)
        else:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._die(victims, point, call))
                group.create_task(self._ask(number, word))
        await self._arrived()
        await self._pool.execute(_END_LEASES)
        await self._pool.execute(_END_TURN_LEASES)
        other.process.send_signal(signal.SIGCONT)
        await self._pool.execute("NOTIFY relay_replies")
        await until(self._is_settled, seconds=15, what=f"round {number} is answered: {word}, {point}")

    async def _die(self, victims: Victims, point: str, call: int) -> None:
        if point == "during a call":
            victim = self._outside.kill_at(call)
            victim.set_result(await victims.bear(None, 0))
        else:
            await victims.bear(point, call)
        await victims.bury()

    async def _ask(self, number: int, word: str) -> None:
        for nth in range(WAYS[word].each):
            for person in range(PEOPLE):
                text = f"{word} {number:03} {person} {nth}"
                body = {"from": f"+55 11 99999-{person + 10 * len(word):04}", "text": text}
                answer = await self._caller.post(self._path, json=body)
                assert answer.status_code == 202, answer.text
                self.asked.append(text)
                self.expected += [answer.format(text) for answer in WAYS[word].answers]

    async def _arrived(self) -> None:
        async def look() -> bool:
            return bool(await self._pool.fetchval(_COUNT_INBOUND) == len(self.asked))

        await until(look, seconds=15, what="every message is stored")

    async def _is_settled(self) -> bool:
        return bool(await self._pool.fetchval(_IS_SETTLED))


_COUNT_INBOUND = "SELECT count(*) FROM whatsapp_messages WHERE direction = 'inbound'"
_END_LEASES = "UPDATE reply_tasks SET due_at = now() WHERE claim IS NOT NULL"
_END_TURN_LEASES = "UPDATE agent_turns SET due_at = now() WHERE claim IS NOT NULL"
_IS_SETTLED = "SELECT NOT EXISTS (SELECT FROM reply_tasks) AND NOT EXISTS (SELECT FROM agent_turns)"
_COUNT_WAITING = """
    SELECT count(*) FROM whatsapp_messages WHERE direction = 'outgoing' AND status NOT IN ('delivered', 'read')
"""
_LIST_ANSWERS = """
    SELECT content ->> 'text' AS text, answers, answer_number, automation ->> 'messageId' AS about
    FROM whatsapp_messages WHERE origin = 'bot' ORDER BY id
"""
_LIST_INBOUND = "SELECT id, content ->> 'text' AS text FROM whatsapp_messages WHERE direction = 'inbound'"


async def make_bot(caller: httpx.AsyncClient, outside: Outside) -> str:
    """A session whose rules and agent answer; its id."""
    session_id = await link(caller, limits=WIDE_LIMITS, automation=True, bot=BOT)
    settings = {"url": f"{outside.url}/agent", "typing": False, "historyMessages": 0}
    made = await caller.post("/api/v1/agents", json={"name": "main", "kind": "http", "settings": settings})
    assert made.status_code == 201, made.text
    put = await caller.put("/api/v1/rules/shop", content=RULES.replace("$URL", outside.url))
    assert put.status_code == 201, put.text
    return session_id


async def check(pool: Pool, caller: httpx.AsyncClient, session_id: str, rounds: Rounds) -> None:
    """Phones, the table, and what was asked for, held against each other."""

    async def all_sent() -> bool:
        return bool(await pool.fetchval(_COUNT_WAITING) == 0)

    await until(all_sent, seconds=30, what="every answer has been delivered")
    # What reached the phones, each chat in the order of its messages and of their answers.
    heard = await Traffic(caller, session_id, Sink()).list_outbox()
    times = Counter(one["content"]["text"] for one in heard)
    assert times == Counter(rounds.expected)
    chats: dict[str, list[str]] = {}
    for one in heard:
        chats.setdefault(one["chat"], []).append(one["content"]["text"])
    for texts in chats.values():
        assert texts == sorted(texts, key=rounds.expected.index)
    # The same in the table, each row with the message that it is about.
    rows = await pool.fetch(_LIST_ANSWERS)
    assert Counter(row["text"] for row in rows) == times
    assert len({(row["answers"], row["answer_number"]) for row in rows}) == len(rows)
    inbound = {row["id"]: row["text"] for row in await pool.fetch(_LIST_INBOUND)}
    assert all(inbound[row["about"]] in row["text"] for row in rows)


@asynccontextmanager
async def api_at(port: int) -> AsyncIterator[httpx.AsyncClient]:
    """The API, as the operator calls it."""
    async with httpx.AsyncClient(
        base_url=f"http://127.0.0.1:{port}", headers=bearer(OPERATOR_KEY), timeout=10, trust_env=False
    ) as operator:
        yield operator


async def test_no_answer_is_lost_or_given_twice(pool: Pool, url: str, tmp_path: Path) -> None:
    """In 200 rounds over every point of rules, calls and agents: each message has its own answers, once, in order."""
    environ = shared(url, tmp_path, logs__level="error")
    port = free_port()
    words = ["--data-dir", str(tmp_path)]
    async with (
        program(tmp_path, "run", "api", "host", "--port", str(port), *words, environ=environ) as server,
        program(tmp_path, "run", "responder", *words, environ=environ) as other,
        open_victims(tmp_path, environ) as victims,
        open_outside() as outside,
        api_at(port) as operator,
    ):
        await server.says("started")
        await other.says("started")
        async with called_by(operator, await make_tenant(operator)) as caller:
            session_id = await make_bot(caller, outside)
            rounds = Rounds(pool, caller, session_id, outside)
            for number in range(ROUNDS):
                await rounds.run(number, victims, other)
            await check(pool, caller, session_id, rounds)
        # Crashes have made calls happen again, under the same keys.
        assert len(outside.calls) == len({text for text in rounds.asked if not text.startswith("say")})
        assert max(outside.calls.values()) > 1
