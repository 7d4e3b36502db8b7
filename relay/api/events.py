"""The tenant's events as they happen: a live stream, and the same as a list for those who pull.

    Last-Event-ID ──► position ──► list_after, to the end of the log ──► what the feed of its tenant tells
                          ▲                                                │ (event_feeds.py: one look for all)
                          └──── too slow, so that something was missed ◄───┘

A stream holds no connection of the pool while it writes, so a slow reader costs memory for one page and nothing
else. It ends at once when the key behind it is revoked, and when the server stops: readers come back with the last id.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from datetime import datetime
from typing import Annotated, Any

import msgspec
from litestar import Response, get
from litestar.exceptions import HTTPException
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import FromPath, QueryParameter
from litestar.response import Stream

from relay.api.auth import Authenticator, tenant_of
from relay.api.endpoints import check_events
from relay.api.event_feeds import chunk_of
from relay.api.instants import Since, parse_instant
from relay.api.owner import Company, owner_of
from relay.api.paging import Limit
from relay.api.request import Request
from relay.api.services import Services
from relay.api.wire import Out
from relay.model.errors import Forbidden, InvalidInput, Unauthenticated
from relay.model.ids import EventId, SessionId, TenantId
from relay.model.tenant import Principal, Scope
from relay.store import events, sessions
from relay.store.events import BEGINNING, Filter, Found, Position, StoredEvent
from relay.store.pool import DATABASE_AWAY, Connection

log = logging.getLogger(__name__)

_STREAM, _JSON = "text/event-stream", "application/json"
_HEARTBEAT_SECONDS = 15.0
_STREAM_PAGE = 100
_LOOKS = 20
"""A list looks at so many stretches of the log for the first event that its filter takes."""
_SCOPES = frozenset({Scope.MESSAGES_READ, Scope.WEBHOOKS, Scope.ADMIN})


class EventOut(Out, frozen=True, kw_only=True):
    id: EventId
    """The `webhook-id` under which endpoints get it."""
    type: str
    timestamp: datetime
    session_id: SessionId | None
    data: dict[str, Any]


class EventList(Out, frozen=True, kw_only=True):
    events: list[EventOut]
    next_cursor: str | None
    """Where to go on, also when there is nothing more yet."""
    has_more: bool


class _Body(msgspec.Struct):
    timestamp: datetime
    data: dict[str, Any]


_decode = msgspec.json.Decoder(_Body).decode


def _out(event: StoredEvent) -> EventOut:
    body = _decode(event.body)
    return EventOut(
        id=event.id,
        type=event.type,
        timestamp=body.timestamp,
        session_id=event.session_id,
        data=body.data,
    )


def _check_scope(principal: Principal) -> None:
    if not principal.scopes & _SCOPES:
        raise Forbidden("This key lacks the scope `messages:read`.", code="scope_missing")


def _wants_json(request: Request) -> bool:
    wanted = request.accept.best_match([_STREAM, _JSON])
    if wanted is None:
        raise HTTPException(status_code=406)
    return wanted == _JSON


@get(
    "/events",
    summary="Events as a live stream, resumed from Last-Event-ID; with Accept: application/json as a list",
    responses={200: ResponseSpec(data_container=EventList, description="`text/event-stream`, or a list")},
)
async def list_events(
    request: Request,
    *,
    company_id: Company = None,
    types: Annotated[
        list[str] | None, QueryParameter(description="Types, or `message.*`; commas between several.")
    ] = None,
    session_id: Annotated[str | None, QueryParameter(name="sessionId")] = None,
    since: Since = None,
    last_event_id: Annotated[
        str | None, QueryParameter(name="lastEventId", description="As the header Last-Event-ID.")
    ] = None,
    cursor: Annotated[str | None, QueryParameter(description="`nextCursor`, or any event's id.")] = None,
    limit: Limit = 50,
) -> Response[Any]:
    _check_scope(request.principal)
    tenant_id = tenant_of(request.principal, company_id)
    wanted = Filter(
        types=_split(types or ()), session_id=session_id, since=parse_instant(since, path="since")
    )
    # A reader that comes back names the last one in the header, and the rest of its address is as it was.
    after = request.headers.get("last-event-id") or cursor or last_event_id
    async with request.services.pool.acquire() as conn:
        if session_id is not None:
            await sessions.get_session(conn, tenant_id, session_id)
        if _wants_json(request):
            start = await _find_start(conn, tenant_id, after, wanted) or BEGINNING
            found = await _look(conn, tenant_id, start, wanted, limit)
            shown = [_out(event) for event in found.events]
            return Response(EventList(events=shown, next_cursor=found.last_id or after, has_more=found.more))
        start = await _find_start(conn, tenant_id, after, wanted) or await events.find_latest(conn)
    return _answer_stream(request, tenant_id, start, wanted)


def _answer_stream(request: Request, tenant_id: TenantId, start: Position, wanted: Filter) -> Stream:
    authenticator: Authenticator = request.app.state["authenticator"]
    headers = list(request.scope["headers"])
    return Stream(
        stream_events(
            request.services,
            tenant_id,
            start,
            wanted,
            still_allowed=lambda: authenticator.authenticate(headers),
        ),
        media_type=_STREAM,
        headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
    )


@get("/events/{event_id:str}", summary="Read an event")
async def read_event(request: Request, event_id: FromPath[str]) -> EventOut:
    _check_scope(request.principal)
    async with request.services.pool.acquire() as conn:
        tenant_id = await owner_of(request, conn, event_id)
        return _out(await events.get_event(conn, tenant_id, EventId(event_id)))


def _split(types: Sequence[str]) -> tuple[str, ...]:
    names = tuple(name.strip() for text in types for name in text.split(",") if name.strip())
    check_events(names, path="types")
    return names


async def _find_start(
    conn: Connection, tenant_id: TenantId, after: str | None, wanted: Filter
) -> Position | None:
    if after is not None:
        try:
            return await events.find_position(conn, tenant_id, after)
        except ValueError:
            raise InvalidInput(
                "Give the id of an event (evt_…), as it came.", path="cursor", code="cursor_invalid"
            ) from None
    if wanted.since is not None:
        return await events.find_position_at(conn, tenant_id, wanted.since)
    return None


async def _look(
    conn: Connection, tenant_id: TenantId, position: Position, wanted: Filter, limit: int
) -> Found:
    """A page; its filter may pass over long stretches."""
    found = await events.list_after(conn, tenant_id, position, wanted=wanted, limit=limit)
    for _ in range(_LOOKS):
        if found.events or not found.more:
            break
        found = await events.list_after(conn, tenant_id, found.position, wanted=wanted, limit=limit)
    return found


async def stream_events(
    services: Services,
    tenant_id: TenantId,
    position: Position,
    wanted: Filter,
    *,
    still_allowed: Callable[[], Awaitable[object]],
    heartbeat_seconds: float = _HEARTBEAT_SECONDS,
) -> AsyncGenerator[bytes, None]:
    """Chunks of an event stream (WHATWG HTML, 9.2). `still_allowed` raises Unauthenticated to end it."""
    loop = asyncio.get_running_loop()
    beat_at = loop.time() + heartbeat_seconds
    with services.event_feeds.join(tenant_id) as listener:
        # At once, so that a proxy passes the answer's head on and a reader knows that it is heard.
        yield b"retry: 2000\n: listening\n\n"
        try:
            while not services.draining.is_set():
                if listener.missed:
                    await listener.start_over(services.pool)
                    async for found in _catch_up(services, tenant_id, position, wanted):
                        position = found.position
                        if found.events:
                            yield b"".join(map(chunk_of, found.events))
                if news := listener.take(after=position):
                    position = news[-1].position
                    if text := b"".join(one.chunk for one in news if wanted.takes(one.event)):
                        yield text
                if listener.doubtful or loop.time() >= beat_at:
                    listener.doubtful = False
                    await still_allowed()
                    beat_at = loop.time() + heartbeat_seconds
                    yield b": heartbeat\n\n"
                await listener.bell.wait(beat_at - loop.time())
        except Unauthenticated:
            log.info("stream.ended", extra={"reason": "key_revoked"})
        except DATABASE_AWAY as error:
            # The reader comes back by itself, and goes on where it was.
            log.warning("stream.ended", extra={"reason": "database", "error": type(error).__name__})


async def _catch_up(
    services: Services, tenant_id: TenantId, position: Position, wanted: Filter
) -> AsyncGenerator[Found, None]:
    """The log from `position` to its settled end, a page at a time; no connection is held between two."""
    more = True
    while more and not services.draining.is_set():
        async with services.pool.acquire() as conn:
            found = await events.list_after(conn, tenant_id, position, wanted=wanted, limit=_STREAM_PAGE)
        position, more = found.position, found.more
        yield found
