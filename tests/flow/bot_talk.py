"""A company's bot on a running server, and the customers who write to it: what their phones receive, word by word.

async with open_shop(relay) as shop:
    await shop.obeys(rules)
    await shop.answers({"oi": ["Olá!"], …})       every line from somebody else, all at once
"""

import asyncio
import textwrap
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
from aiohttp import web
from msgspec import Struct

from relay.store.pool import Connection, connect
from tests.flow.ledger import WIDE_LIMITS
from tests.flow.serving import Relay, link, make_tenant, serving, until

WHATSAPP = "/api/v1/whatsapp"
_STORED = "SELECT count(*) FROM whatsapp_messages WHERE session_id = $1 AND origin IN ('contact', 'phone')"
_DECIDED = """
    SELECT NOT EXISTS (SELECT FROM reply_tasks WHERE session_id = $1)
       AND NOT EXISTS (SELECT FROM agent_turns WHERE session_id = $1)
"""
_SAID = """
    SELECT NOT EXISTS (SELECT FROM whatsapp_messages
                       WHERE session_id = $1 AND origin = 'bot' AND status IN ('queued', 'sending'))
"""

Given = str | Mapping[str, Any]
"""A text, or the fields of what the sandbox lets in."""


def phone(person: int) -> str:
    return f"5511977770{person:03}"


class Shop:
    def __init__(self, relay: Relay, caller: httpx.AsyncClient, session_id: str, conn: Connection) -> None:
        self.relay = relay
        self.caller = caller
        self.session_id = session_id
        self._conn = conn
        self._people = 0
        self._written = 0

    def goes_on_from(self, before: "Shop") -> None:
        """The same session, on a server that was started anew."""
        self._people, self._written = before._people, before._written

    async def obeys(self, rules: str, *, name: str = "shop", **values: str) -> None:
        """Put rules in force; `$NAME` stands for a value."""
        source = textwrap.dedent(rules)
        for word, value in values.items():
            source = source.replace(f"${word.upper()}", value)
        put = await self.caller.put(f"/api/v1/rules/{name}", content=source.encode())
        assert put.is_success, put.text

    def somebody(self) -> int:
        """Whose first message it is."""
        self._people += 1
        return self._people

    async def hears(self, person: int, given: Given) -> None:
        body = {"from": phone(person), **({"text": given} if isinstance(given, str) else given)}
        path = f"{WHATSAPP}/sessions/{self.session_id}/sandbox/inbound"
        answer = await self.caller.post(path, json=body)
        assert answer.status_code == 202, answer.text
        self._written += 1

    async def decides(self, *, seconds: float = 20) -> None:
        """Return once every message has been looked at."""

        async def look() -> bool:
            stored = await self._conn.fetchval(_STORED, self.session_id)
            return bool(stored == self._written and await self._conn.fetchval(_DECIDED, self.session_id))

        await until(look, seconds=seconds, what=f"{self._written} messages have been looked at")

    async def settles(self, *, seconds: float = 20) -> None:
        """Return once every answer has been sent as well."""
        await self.decides(seconds=seconds)

        async def look() -> bool:
            return bool(await self._conn.fetchval(_SAID, self.session_id))

        await until(look, seconds=seconds, what="every answer has been sent")

    async def says(self, person: int, given: Given) -> list[Any]:
        """What the person's phone receives for it."""
        before = len(await self.heard(phone(person)))
        await self.hears(person, given)
        await self.settles()
        return (await self.heard(phone(person)))[before:]

    async def answers(self, expected: Mapping[str, Sequence[Any]]) -> None:
        """Each text from somebody new."""
        people = {text: self.somebody() for text in expected}
        for text, person in people.items():
            await self.hears(person, text)
        await self.settles()
        for text, person in people.items():
            assert await self.heard(phone(person)) == list(expected[text]), text

    async def heard(self, chat: str, *kinds: str) -> list[Any]:
        """Texts as they are, other messages as type and content."""
        return [
            words_of(one)
            for one in await self.outbox(chat)
            if one["kind"] in (kinds or ("message",))
        ]  # fmt: skip

    async def outbox(self, chat: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        after = 0
        path = f"{WHATSAPP}/sessions/{self.session_id}/sandbox/outbox"
        while True:
            page = (await self.caller.get(path, params={"after": after, "limit": 200})).json()
            found += [one for one in page["messages"] if (one["chat"] or "").partition("@")[0] == chat]
            if page["next"] == after:
                return found
            after = page["next"]

    async def causes(self, chat: str) -> list[dict[str, Any] | None]:
        """Why the bot said what it said in a chat, as the API tells, oldest first."""
        query: dict[str, Any] = {"sessionId": self.session_id, "direction": "outgoing", "limit": 200}
        listed = (await self.caller.get(f"{WHATSAPP}/messages", params=query)).json()["messages"]
        return [one["automation"] for one in listed[::-1] if one["chat"].partition("@")[0] == chat]

    async def contact(self, person: int) -> dict[str, Any]:
        query = {"sessionId": self.session_id, "q": phone(person)}
        (found,) = (await self.caller.get(f"{WHATSAPP}/contacts", params=query)).json()["contacts"]
        return dict(found)


def words_of(one: dict[str, Any]) -> Any:
    if one["kind"] != "message":
        return one["kind"]
    return one["content"]["text"] if one["type"] == "text" else (one["type"], one["content"])


async def happens(event: asyncio.Event) -> None:
    async with asyncio.timeout(15):
        await event.wait()


@asynccontextmanager
async def serving_store(folder: Path, plugin: str) -> AsyncIterator[Relay]:
    """A server with one plugin, `store`."""
    plugins = folder / "plugins"
    plugins.mkdir()
    (plugins / "store.py").write_text(plugin)
    async with serving(folder, plugins__folder=str(plugins), plugins__enabled=["store"]) as relay:
        yield relay


@asynccontextmanager
async def open_shop(relay: Relay, **fields: Any) -> AsyncIterator[Shop]:
    """A company with a session whose automation is on."""
    async with await make_tenant(relay) as caller:
        session_id = await link(caller, automation=True, **{"limits": WIDE_LIMITS, **fields})
        async with enter_shop(relay, caller, session_id) as shop:
            yield shop


@asynccontextmanager
async def enter_shop(relay: Relay, caller: httpx.AsyncClient, session_id: str) -> AsyncIterator[Shop]:
    """With a session that there is."""
    conn = await connect(relay.database_url(), name="tests")
    try:
        yield Shop(relay, caller, session_id, conn)
    finally:
        await conn.close()


class Call(Struct, frozen=True, kw_only=True):
    """A request that somebody's server got."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


class Server:
    """A server of the company's: what its rules call, where its files lie, its agent. `answers` by path."""

    def __init__(self) -> None:
        self.url = ""
        self.calls: list[Call] = []
        self.answers: dict[str, Any] = {}
        """Bytes, JSON, a status, or None: the caller hangs."""
        self.hanging = asyncio.Event()
        self.given_up = asyncio.Event()
        """A caller that hung has gone."""

    async def handle(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        call = Call(method=request.method, path=request.path, headers=dict(request.headers), body=body)
        self.calls.append(call)
        answer = self.answers.get(request.path, 404)
        if answer is None:
            await self._hang()
        if isinstance(answer, bytes):
            return web.Response(body=answer)
        return web.Response(status=answer) if isinstance(answer, int) else web.json_response(answer)

    async def _hang(self) -> None:
        self.hanging.set()
        try:
            await asyncio.Event().wait()
        finally:
            self.given_up.set()


@asynccontextmanager
async def open_server() -> AsyncIterator[Server]:
    server = Server()
    app = web.Application(client_max_size=2**24)
    app.router.add_route("*", "/{path:.*}", server.handle)
    runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    assert site._server is not None
    server.url = f"http://127.0.0.1:{site._server.sockets[0].getsockname()[1]}"  # type: ignore[attr-defined]
    try:
        yield server
    finally:
        await runner.cleanup()
