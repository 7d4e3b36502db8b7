"""A local server that speaks OpenAI's API over real HTTP, and does what a test tells it to: the model that tests use.

    server.will(text("Olá!"), status(429, retry_after="1"), tool("handoff", reason="…"), hang(), …)

Each request gets the next behaviour, and `text("Olá!")` where none is left. Streams where it is asked to.
"""

import asyncio
import json
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web
from msgspec import Struct

Behaviour = Callable[["ModelServer", web.Request, Any], Awaitable[web.StreamResponse]]
USAGE = {"prompt_tokens": 30, "completion_tokens": 12, "total_tokens": 42}


class Received(Struct, frozen=True, kw_only=True):
    path: str
    headers: dict[str, str]
    body: Any
    """Decoded JSON; bytes of anything else."""


class ModelServer:
    def __init__(self) -> None:
        self.url = ""
        self.received: list[Received] = []
        self.transcript = "Qual é o horário?"
        self.hanging = asyncio.Event()
        """Set while a request is being kept waiting."""
        self.gave_up = asyncio.Event()
        """Set once a caller has gone without an answer."""
        self._script: deque[Behaviour] = deque()

    def will(self, *behaviours: Behaviour) -> None:
        """What the next requests get."""
        self._script.extend(behaviours)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        raw = await request.read()
        is_json = request.content_type == "application/json"
        body = json.loads(raw) if is_json else raw
        self.received.append(Received(path=request.path, headers=dict(request.headers), body=body))
        if self._script:
            return await self._script.popleft()(self, request, body)
        if request.path.endswith("/audio/transcriptions"):
            return web.json_response({"text": self.transcript})
        return await text("Olá!")(self, request, body)


@asynccontextmanager
async def serve_model() -> AsyncIterator[ModelServer]:
    """A server on a port of its own; `url` is an agent's `baseUrl`."""
    server = ModelServer()
    app = web.Application(client_max_size=64 * 1024 * 1024)
    app.router.add_route("*", "/{path:.*}", server.handle)
    runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    server.url = f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
    try:
        yield server
    finally:
        await runner.cleanup()


# --- behaviours -----------------------------------------------------------------------------------------------------


def text(words: str | None, *, usage: dict[str, int] | None = USAGE) -> Behaviour:
    return _completion({"role": "assistant", "content": words}, "stop", usage)


def tool(name: str, *, saying: str | None = None, raw: str | None = None, **arguments: Any) -> Behaviour:
    """It calls a tool; `raw` instead of arguments that are JSON."""
    call = {
        "id": f"call_{name}",
        "type": "function",
        "function": {"name": name, "arguments": raw if raw is not None else json.dumps(arguments)},
    }
    return _completion({"role": "assistant", "content": saying, "tool_calls": [call]}, "tool_calls", USAGE)


def status(code: int, *, retry_after: str | None = None) -> Behaviour:
    async def behave(_server: ModelServer, _request: web.Request, _body: Any) -> web.StreamResponse:
        headers = {} if retry_after is None else {"Retry-After": retry_after}
        error = {"error": {"message": "It repeats sk-secret.", "type": "some_error", "code": "some_code"}}
        return web.json_response(error, status=code, headers=headers)

    return behave


def raw(body: bytes, *, content_type: str = "application/json", code: int = 200) -> Behaviour:
    async def behave(_server: ModelServer, _request: web.Request, _body: Any) -> web.StreamResponse:
        return web.Response(body=body, content_type=content_type, status=code)

    return behave


def hang(until: asyncio.Event | None = None, *, then: str | Behaviour = "Olá!") -> Behaviour:
    """It keeps the caller waiting until `until` is set, or for ever."""

    async def behave(server: ModelServer, request: web.Request, body: Any) -> web.StreamResponse:
        server.hanging.set()
        try:
            await (until or asyncio.Event()).wait()
        except asyncio.CancelledError:
            server.gave_up.set()
            raise
        return await (text(then) if isinstance(then, str) else then)(server, request, body)

    return behave


def drop() -> Behaviour:
    """The connection breaks in the middle of the answer."""

    async def behave(_server: ModelServer, request: web.Request, body: Any) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": _type_of(body)})
        if not body.get("stream"):
            response.content_length = 1000
        await response.prepare(request)
        await response.write(_event({"content": "Ol"}, None) if body.get("stream") else b'{"choices": [')
        assert request.transport is not None
        request.transport.close()
        return response

    return behave


def _type_of(body: Any) -> str:
    return "text/event-stream" if body.get("stream") else "application/json"


def _completion(message: dict[str, Any], reason: str, usage: dict[str, int] | None) -> Behaviour:
    async def behave(_server: ModelServer, request: web.Request, body: Any) -> web.StreamResponse:
        if body.get("stream"):
            return await _stream(request, message, reason, usage)
        answer = {
            "id": "chatcmpl-1",
            "object": "chat.completion",
            "created": 1,
            "model": body["model"],
            "choices": [{"index": 0, "message": message, "finish_reason": reason}],
            "usage": usage,
        }
        return web.json_response(answer)

    return behave


async def _stream(
    request: web.Request, message: dict[str, Any], reason: str, usage: dict[str, int] | None
) -> web.StreamResponse:
    """In pieces of a few characters, tool calls too, as models send them."""
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
    await response.prepare(request)
    words = message["content"] or ""
    for at in range(0, len(words), 5):
        await response.write(_event({"content": words[at : at + 5]}, None))
    for number, call in enumerate(message.get("tool_calls", [])):
        head = {"index": number, "id": call["id"], "type": "function"}
        named = {"name": call["function"]["name"], "arguments": ""}
        await response.write(_event({"tool_calls": [head | {"function": named}]}, None))
        arguments = call["function"]["arguments"]
        for at in range(0, len(arguments), 7):
            piece = {"index": number, "function": {"arguments": arguments[at : at + 7]}}
            await response.write(_event({"tool_calls": [piece]}, None))
    await response.write(_event({}, reason))
    if usage is not None:
        await response.write(_line({"id": "chatcmpl-1", "choices": [], "usage": usage}))
    await response.write(b"data: [DONE]\n\n")
    return response


def _event(delta: dict[str, Any], reason: str | None) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": reason}
    return _line({"id": "chatcmpl-1", "object": "chat.completion.chunk", "choices": [choice]})


def _line(chunk: dict[str, Any]) -> bytes:
    return b"data: " + json.dumps(chunk).encode() + b"\n\n"
