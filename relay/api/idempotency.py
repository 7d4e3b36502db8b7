"""`Idempotency-Key` on any POST: the same key and body get the same answer, for 24 hours.

    no header ────────────────────────────────────────────────► handler
    header ──► reserve ──► ours ──► handler ──► 2xx ──► settle ──► answer
                  │                    └──► anything else ──► release ──► answer
                  ├──► answered before ──► the stored answer, `Idempotent-Replayed: true`
                  ├──► another body ─────► 422
                  └──► being worked on ──► 409

Stored answers may hold a new key or secret, so they are sealed like every other secret of the tenant. A route whose
`opt` is `OWN_IDEMPOTENCY` keeps the rules by itself, with `read_key`, `hash_of` and `judge`.
"""

import hashlib
import logging
from typing import Any

import asyncpg
import msgspec
from litestar.types import ASGIApp, HTTPResponseStartEvent, Message, Receive, Send

from relay.api.auth import identify
from relay.api.errors import KeyReused
from relay.api.request import Request
from relay.model.errors import Conflict, InvalidInput
from relay.model.ids import TenantId
from relay.store import idempotency
from relay.store.idempotency import Answer, Place
from relay.store.owners import find_owner
from relay.store.tenants import get_data_key

log = logging.getLogger(__name__)

OWN_IDEMPOTENCY: dict[str, Any] = {"own_idempotency": True}
"""A route's `opt`: it handles `Idempotency-Key` itself."""

_HEADER = b"idempotency-key"
_MOST_CHARS = 255


def remember_answers(app: ASGIApp) -> ASGIApp:
    """The middleware of the whole app."""

    async def handle(scope: Any, receive: Receive, send: Send) -> None:
        if scope.get("method") != "POST" or not _applies(scope):
            await app(scope, receive, send)
            return
        request = Request(scope, receive, send)
        key = read_key(request)
        if key is None:
            await app(scope, receive, send)
        else:
            await _answer_once(app, request, key, send)

    return handle


def _applies(scope: Any) -> bool:
    opt = scope["route_handler"].opt
    # What only the operator does belongs to no company that an answer could be kept for.
    return not opt.keys() & {"own_idempotency", "file", "public", "operator_only"}


def read_key(request: Request) -> str | None:
    """The request's Idempotency-Key. Raises InvalidInput."""
    for name, value in request.scope["headers"]:
        if name == _HEADER:
            if not 1 <= len(value) <= _MOST_CHARS or not all(32 <= char < 127 for char in value):
                raise InvalidInput(
                    f"Idempotency-Key must be 1 to {_MOST_CHARS} printable ASCII characters.",
                    path="Idempotency-Key",
                    code="idempotency_key_invalid",
                )
            return str(value, "ascii")
    return None


def route_of(request: Request) -> str:
    return f"{request.method} {request.scope['path_template']}"


def hash_of(request: Request, body: bytes) -> bytes:
    """What makes a request the same: its path, its query and its body."""
    digest = hashlib.sha256(request.scope["path"].encode())
    digest.update(b"?" + request.scope["query_string"] + b"\n" + body)
    return digest.digest()


def judge(standing: Answer, body_hash: bytes) -> tuple[int, bytes]:
    """Status and body of an answer that may be given again. Raises KeyReused, Conflict."""
    if standing.body_hash != body_hash:
        raise KeyReused(
            "This Idempotency-Key was used with another request. Take a new key for a new request."
        )
    if standing.status_code is None or standing.body is None:
        raise Conflict(
            "A request with this Idempotency-Key is still being worked on. Try again in a moment.",
            code="idempotency_in_progress",
        )
    return standing.status_code, standing.body


async def _answer_once(app: ASGIApp, request: Request, key: str, send: Send) -> None:
    await identify(request)
    body = await request.body()
    services = request.services
    body_hash = hash_of(request, body)
    async with services.pool.acquire() as conn:
        place = Place(tenant_id=await _tenant_for(request, body, conn), route=route_of(request), key=key)
        data_key = await get_data_key(conn, services.vault, place.tenant_id)
        reserved = await idempotency.reserve(conn, place, body_hash)
    identity = f"idempotency/{place.tenant_id}/{place.route}/{place.key}"
    if isinstance(reserved, Answer):
        status, sealed = judge(reserved, body_hash)
        await replay(send, status, data_key.open(sealed, identity=identity))
        return
    kept = _Kept()
    await app(request.scope, request.receive, kept.send)
    try:
        async with services.pool.acquire() as conn:
            if 200 <= kept.status < 300:
                sealed = data_key.seal(kept.body, identity=identity)
                await idempotency.settle(conn, place, reserved, status_code=kept.status, body=sealed)
            else:
                await idempotency.release(conn, place, reserved)
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, TimeoutError) as error:
        # The work is done or refused either way, and the caller is told so.
        log.warning("idempotency.settle_failed", extra={"route": place.route, "error": type(error).__name__})
    await kept.pass_on(send)


class _Named(msgspec.Struct, frozen=True, rename="camel"):
    company_id: str | None = None


async def _tenant_for(request: Request, body: bytes, conn: Any) -> TenantId:
    """Under whom the answer is kept; for the operator, the company that the request names or touches."""
    own = request.principal.tenant_id
    if own is not None:
        return own
    named = request.query_params.get("companyId") or _company_in(body)
    if named is not None:
        return TenantId(named)
    for value in request.path_params.values():
        owner = await find_owner(conn, str(value))
        if owner is not None:
            return owner
    raise InvalidInput(
        "The operator's Idempotency-Key counts for a company: name one with companyId, or leave the key out.",
        path="companyId",
        code="company_required",
    )


def _company_in(body: bytes) -> str | None:
    try:
        return msgspec.json.decode(body, type=_Named).company_id
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return None


async def replay(send: Send, status: int, body: bytes) -> None:
    """Send a stored answer again."""
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
        (b"idempotent-replayed", b"true"),
    ]
    start: HTTPResponseStartEvent = {"type": "http.response.start", "status": status, "headers": headers}
    await send(start)
    await send({"type": "http.response.body", "body": body, "more_body": False})


class _Kept:
    """Holds an answer back until it is stored: a retry may follow the moment it is seen."""

    def __init__(self) -> None:
        self.status = 500
        self.body = b""
        self._messages: list[Message] = []

    async def send(self, message: Message) -> None:
        self._messages.append(message)
        if message["type"] == "http.response.start":
            self.status = message["status"]
        elif message["type"] == "http.response.body":
            self.body += message["body"]

    async def pass_on(self, send: Send) -> None:
        for message in self._messages:
            await send(message)
