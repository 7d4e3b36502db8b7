"""A ledger of what was accepted, and what has become of it: kept by the test, held against the server's own word.

Traffic ── inbound, send ──► API … host … Postgres … dispatcher ──► Sink (every signature verified)
└───────────────────────────── check() ─────────────────────────────┘
"""

import asyncio
import itertools
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx
import msgspec
from aiohttp import web
from standardwebhooks import Webhook

from relay.store.pool import connect
from tests.flow.serving import until

ENDED = {"read", "unknown"}
"""Every virtual phone reads what it was sent."""
WIDE_LIMITS = {
    "perMinute": 1_000_000,
    "perDay": 1_000_000,
    "newContactsPerDay": 1_000_000,
    "repliesPerMinute": 1_000_000,
}
_ASK_SECONDS = 20.0


class Arrival(msgspec.Struct, frozen=True):
    """One webhook that was verified: its id and its body."""

    id: str
    type: str
    data: dict[str, Any]


class Sink:
    """A customer's server; each path is an endpoint with a secret of its own. `hold` keeps its answers back."""

    def __init__(self) -> None:
        self.arrived: defaultdict[str, list[Arrival]] = defaultdict(list)
        self.forged = 0
        self.url = ""
        self._secrets: dict[str, Webhook] = {}
        self._open = asyncio.Event()
        self._open.set()

    def hold(self) -> None:
        self._open.clear()

    def release(self) -> None:
        self._open.set()

    async def handle(self, request: web.Request) -> web.Response:
        raw = await request.read()
        try:
            body = self._secrets[request.path].verify(raw, dict(request.headers))
        except Exception:  # noqa: BLE001 - whatever is wrong with it, it is not ours
            self.forged += 1
            return web.Response(status=400)
        self.arrived[request.path].append(Arrival(request.headers["webhook-id"], body["type"], body["data"]))
        await self._open.wait()
        return web.Response()

    async def register(self, caller: httpx.AsyncClient, path: str, **fields: Any) -> str:
        """An endpoint of the caller's that posts to `path`; its id."""
        made = await caller.post("/api/v1/webhooks/endpoints", json={"url": self.url + path, **fields})
        assert made.status_code == 201, made.text
        self._secrets[path] = Webhook(made.json()["secret"])
        return str(made.json()["id"])


@asynccontextmanager
async def open_sink() -> AsyncIterator[Sink]:
    sink = Sink()
    app = web.Application()
    app.router.add_post("/{path:.*}", sink.handle)
    runner = web.AppRunner(app, shutdown_timeout=0)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, backlog=1024)
    await site.start()
    assert site._server is not None
    sink.url = f"http://127.0.0.1:{site._server.sockets[0].getsockname()[1]}"  # type: ignore[attr-defined]
    try:
        yield sink
    finally:
        sink.release()
        await runner.cleanup()


async def ask(caller: httpx.AsyncClient, method: str, path: str, **given: Any) -> Any:
    """A call that is made again while the server is away; its JSON."""
    async with asyncio.timeout(_ASK_SECONDS):
        while True:
            try:
                response = await caller.request(method, path, **given)
            except httpx.TransportError:
                continue
            if response.status_code == 503 or response.json().get("code") == "idempotency_in_progress":
                await asyncio.sleep(0.05)
                continue
            assert response.is_success, response.text
            return response.json()


class Traffic:
    """What one session was told by the world, and by its owner."""

    def __init__(self, caller: httpx.AsyncClient, session: str, sink: Sink, *paths: str) -> None:
        self.caller = caller
        self.session = session
        self.sink = sink
        self.paths = paths
        self.accepted: set[str] = set()
        """Texts of inbound messages that the sandbox has accepted."""
        self.maybe: set[str] = set()
        """Texts whose request was cut off."""
        self.sent: dict[str, str] = {}
        """Message ids by the text that was to be sent."""
        self._batches = itertools.count()
        self._sends = itertools.count()

    @property
    def _sandbox(self) -> str:
        return f"/api/v1/whatsapp/sessions/{self.session}/sandbox"

    async def receive(self, batches: int, *, each: int, people: int = 25) -> None:
        """Batches of inbound messages, people in turn; each batch is accepted, refused or cut off."""
        for number in itertools.islice(self._batches, batches):
            body = {
                "from": f"+55 11 99999-{number % people:04}",
                "text": f"batch {number:04} message",
                "count": each,
            }
            texts = {f"{body['text']} {n}" for n in range(1, each + 1)}
            try:
                response = await self.caller.post(f"{self._sandbox}/inbound", json=body)
            except httpx.TransportError:
                self.maybe |= texts
                await asyncio.sleep(0.05)
                continue
            if response.status_code == 202:
                self.accepted |= texts
            else:
                assert response.status_code in (500, 503), response.text
                self.maybe |= texts
                await asyncio.sleep(0.05)

    async def send(self, count: int, *, people: int = 4) -> None:
        """Sends, each made again with the same Idempotency-Key until it is answered."""
        for number in itertools.islice(self._sends, count):
            text = f"send {number:04}"
            body = {
                "sessionId": self.session,
                "to": f"+55 11 98888-{number % people:04}",
                "type": "text",
                "content": text,
            }
            headers = {"Idempotency-Key": f"{self.session}-{number}"}
            answer = await ask(self.caller, "POST", "/api/v1/whatsapp/send", json=body, headers=headers)
            self.sent[text] = answer["messageId"]

    def texts_at(self, path: str) -> set[str]:
        """The texts of the inbound messages that a path has heard of."""
        arrived = self.sink.arrived[path]
        return {one.data["content"]["text"] for one in arrived if one.type == "message.received"}

    def has_all(self) -> bool:
        return all(self.accepted <= self.texts_at(path) for path in self.paths)

    async def list_all(self, direction: str) -> list[dict[str, Any]]:
        """Every message of the session as the API lists it, oldest first."""
        found: list[dict[str, Any]] = []
        query: dict[str, Any] = {"sessionId": self.session, "direction": direction, "limit": 200}
        while True:
            page = await ask(self.caller, "GET", "/api/v1/whatsapp/messages", params=query)
            found += page["messages"]
            if page["nextCursor"] is None:
                return found[::-1]
            query["cursor"] = page["nextCursor"]

    async def list_outbox(self) -> list[dict[str, Any]]:
        """What the virtual phones were sent, oldest first."""
        found: list[dict[str, Any]] = []
        after = 0
        while True:
            page = await ask(
                self.caller, "GET", f"{self._sandbox}/outbox", params={"after": after, "limit": 200}
            )
            found += [one for one in page["messages"] if one["kind"] == "message"]
            if page["next"] == after:
                return found
            after = page["next"]

    async def settle(self, url: str, *, seconds: float = 90) -> None:
        """Wait until everything accepted has arrived, every send has ended, and nothing is owed."""
        try:
            await self._settle(url, seconds=seconds)
        except AssertionError as error:
            heard = {path: len(self.texts_at(path)) for path in self.paths}
            names = ("deliveries", "claimed", "latest due", "commands")
            still_open = dict(zip(names, await self._look(url), strict=True))
            sends = Counter(one["status"] for one in await self.list_all("outgoing"))
            error.add_note(f"sends by status: {dict(sends)}")
            error.add_note(f"accepted {len(self.accepted)}, heard of {heard}, open: {still_open}")
            raise

    async def _settle(self, url: str, *, seconds: float) -> None:

        async def arrived() -> bool:
            return self.has_all()

        await until(arrived, seconds=seconds, what="every accepted message has reached the sink")

        async def ended() -> bool:
            return all(one["status"] in ENDED for one in await self.list_all("outgoing"))

        await until(ended, seconds=seconds, what="every message sent was read, or is unknown")

        async def paid() -> bool:
            owed, _claimed, _due, commands = await self._look(url)
            return bool(owed == commands == 0)

        await until(paid, seconds=seconds, what="nothing is owed any more")

    async def _look(self, url: str) -> tuple[Any, ...]:
        """What is still open in the tables."""
        conn = await connect(url, name="tests")
        try:
            row = await conn.fetchrow(_LOOK, self.session)
        finally:
            await conn.close()
        return tuple(row or ())

    async def check(self, url: str, *, may_double: bool, may_be_unknown: bool) -> None:
        """Hold everything against everything."""
        await self._check_inbound()
        await self._check_events(url, may_double=may_double)
        for path in self.paths:
            self._check_order(path)
        await self._check_sends(may_be_unknown=may_be_unknown)

    async def _check_inbound(self) -> None:
        """Every accepted message once, nothing that was not asked for."""
        stored = Counter(one["content"]["text"] for one in await self.list_all("inbound"))
        assert set(stored.values()) <= {1}
        assert self.accepted <= stored.keys()
        assert stored.keys() <= self.accepted | self.maybe

    async def _check_events(self, url: str, *, may_double: bool) -> None:
        """Each event of the log has reached each endpoint, nothing else has, and no webhook was forged."""
        conn = await connect(url, name="tests")
        try:
            rows = await conn.fetch(_LIST_EVENTS, self.session)
        finally:
            await conn.close()
        assert self.sink.forged == 0
        for path in self.paths:
            times = Counter(one.id for one in self.sink.arrived[path])
            assert times.keys() == {row["id"] for row in rows}
            if not may_double:
                assert set(times.values()) == {1}, "a webhook came twice, and no dispatcher has died"

    def _check_order(self, path: str) -> None:
        """What a chat said comes in the order in which it was said, where that is promised."""
        if not path.startswith("/ordered"):
            return
        seen: set[str] = set()
        said: defaultdict[str, list[tuple[str, int]]] = defaultdict(list)
        for one in self.sink.arrived[path]:
            if one.type == "message.received" and one.id not in seen:
                seen.add(one.id)
                batch, _, number = one.data["content"]["text"].rpartition(" ")
                said[one.data["chat"]].append((batch, int(number)))
        for chat, order in said.items():
            assert order == sorted(order), f"{chat} is out of order"

    async def _check_sends(self, *, may_be_unknown: bool) -> None:
        """No phone has a message twice; what is called sent was sent; each chat has its own in order."""
        received = await self.list_outbox()
        times = Counter(one["content"]["text"] for one in received)
        assert set(times.values()) <= {1}, "a message was sent twice"
        messages = {one["id"]: one for one in await self.list_all("outgoing")}
        assert set(self.sent.values()) == messages.keys()
        for text, message_id in self.sent.items():
            status = messages[message_id]["status"]
            assert status in ENDED
            assert status == "unknown" or times[text] == 1
            assert status != "unknown" or may_be_unknown
        unknown = {text for text, name in self.sent.items() if messages[name]["status"] == "unknown"}
        by_chat: defaultdict[str, list[str]] = defaultdict(list)
        for one in received:
            if one["content"]["text"] not in unknown:
                by_chat[one["chat"]].append(one["content"]["text"])
        assert all(texts == sorted(texts) for texts in by_chat.values())


_LOOK = """
    WITH owed AS (SELECT d.* FROM deliveries d JOIN whatsapp_sessions s USING (tenant_id) WHERE s.id = $1)
    SELECT (SELECT count(*) FROM owed),
           (SELECT count(claim) FROM owed),
           (SELECT max(due_at) - now() FROM owed),
           (SELECT count(*) FROM sandbox_commands WHERE session_id = $1)
"""
_LIST_EVENTS = "SELECT id FROM events WHERE session_id = $1 AND type LIKE 'message.%'"


async def when(holds: Callable[[], bool], *, seconds: float, what: str) -> None:
    """`until`, for what needs no waiting to be looked at."""

    async def look() -> bool:
        return holds()

    await until(look, seconds=seconds, what=what)
