"""Sessions: create, see, change, connect, disconnect, remove.

The API only asks: it writes what is wanted and rings; the host that holds the session does it and writes what came
of it. A call that asks waits a little for that, so that its answer is what the caller wants to know.
"""

import asyncio
from collections.abc import Callable
from typing import Annotated, Literal, TypeVar

from litestar import delete, get, patch, post
from litestar.params import FromPath, FromQuery, JSONBody
from msgspec import UNSET, Meta, UnsetType, structs

from relay.api.auth import requires, tenant_of
from relay.api.owner import Company, owner_of
from relay.api.paging import Cursor, Limit, Page
from relay.api.recipients import digits_of
from relay.api.request import Request
from relay.api.services import Services
from relay.api.session_view import SessionOut, get_callers_session, session_out
from relay.api.waiting import wait_for
from relay.api.wire import In, Out
from relay.host.budget import list_used_today
from relay.model.errors import InvalidInput, NotSupported
from relay.model.ids import SessionId, TenantId, new_session_id
from relay.model.session import BotSettings, Session, SessionLimits, SessionStatus
from relay.model.tenant import Scope
from relay.store import bot_chats, facts, outbox, sessions, tenants
from relay.store.doorbell import Channel
from relay.store.pool import Connection
from relay.store.session_locks import seize_sessions

_ENGINES = ("neonize", "sandbox")
_QR_SECONDS = 1.0
_STOP_SECONDS = 5.0
_SILENCED: tuple[Channel, ...] = ("messages", "outgoing", "events", "deliveries")
"""Rung where a bot's answers were taken back."""

Name = Annotated[str, Meta(min_length=1, max_length=200)]
Amount = Annotated[int, Meta(ge=0, le=1_000_000)]
_Settings = TypeVar("_Settings", SessionLimits, BotSettings)


class LimitsIn(In, frozen=True, kw_only=True):
    """See `SessionLimits`; what is left out stays."""

    per_minute: Amount | UnsetType = UNSET
    per_day: Amount | UnsetType = UNSET
    new_contacts_per_day: Amount | UnsetType = UNSET
    replies_per_minute: Amount | UnsetType = UNSET
    when_exceeded: Literal["queue", "reject"] | UnsetType = UNSET
    pace: bool | UnsetType = UNSET


class BotIn(In, frozen=True, kw_only=True):
    """See `BotSettings`; what is left out stays."""

    agent: Annotated[str, Meta(min_length=1, max_length=64)] | UnsetType | None = UNSET
    """The agent, by name, that gets what no rule answers; null: none."""
    pause_seconds: Annotated[float, Meta(ge=0, le=2_592_000)] | UnsetType = UNSET
    """How long the bot keeps quiet in a chat where a person has answered."""
    offline_seconds: Annotated[float, Meta(ge=0, le=86_400)] | UnsetType = UNSET
    """Messages older than this that arrive after the session was offline are not answered."""
    replies_per_minute: Annotated[int, Meta(ge=1, le=1000)] | UnsetType = UNSET
    replies_per_hour: Annotated[int, Meta(ge=1, le=10_000)] | UnsetType = UNSET
    """In one chat."""


class SessionIn(In, frozen=True, kw_only=True):
    name: Name
    company_id: str | None = None
    """The operator names the company; a company's own key may leave it out."""
    engine: str | None = None
    """`neonize`: a real phone; `sandbox`: none. Left out: `sessions.default_engine` of the server."""
    limits: LimitsIn = LimitsIn()
    automation: bool = False
    """Whether rules and bots answer in this session."""
    bot: BotIn = BotIn()
    proxy: str | None = None
    """`http://…` or `socks5://…`, with a user name and a password where it wants them."""
    connect: bool = True


class SessionPatch(In, frozen=True, kw_only=True):
    name: Name | UnsetType = UNSET
    limits: LimitsIn | UnsetType = UNSET
    automation: bool | UnsetType = UNSET
    bot: BotIn | UnsetType = UNSET
    proxy: str | UnsetType | None = UNSET
    """Null removes it."""


class ConnectIn(In, frozen=True, kw_only=True):
    method: Literal["qr", "code"] = "qr"
    phone: str | None = None
    """The account's number, which a pairing code is made for."""


class SessionList(Out, frozen=True, kw_only=True):
    sessions: list[SessionOut]
    next_cursor: str | None


@post("/sessions", opt=requires(Scope.SESSIONS), summary="Create a session and start connecting it")
async def create_session(request: Request, data: JSONBody[SessionIn]) -> SessionOut:
    services = request.services
    tenant_id = tenant_of(request.principal, data.company_id)
    engine = _engine(services, data.engine)
    session_id = new_session_id()
    async with services.pool.acquire() as conn, conn.transaction():
        await tenants.get_tenant(conn, tenant_id)
        session = await sessions.insert_session(
            conn,
            session_id=session_id,
            tenant_id=tenant_id,
            name=data.name,
            engine=engine,
            limits=_merge(SessionLimits(), data.limits),
            automation=data.automation,
            bot=_merge(BotSettings(), data.bot),
            sealed_proxy=await _seal_proxy(services, conn, tenant_id, session_id, data.proxy),
        )
        if data.connect:
            await sessions.request_connect(conn, tenant_id, session_id)
    if data.connect:
        services.doorbell.ring("sessions")
        session = await _wait(services, session, _is_linkable, seconds=_QR_SECONDS)
    return session_out(session)


@get("/sessions", opt=requires(Scope.SESSIONS), summary="List sessions, newest first")
async def list_sessions(
    request: Request,
    company_id: Company = None,
    status: FromQuery[SessionStatus | None] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> SessionList:
    page = Page.of(limit, cursor)
    principal = request.principal
    everybody = principal.tenant_id is None and company_id is None
    tenant_id = None if everybody else tenant_of(principal, company_id)
    async with request.services.pool.acquire() as conn:
        rows = await sessions.list_sessions(
            conn, tenant_id, status=status, before=page.before, limit=page.fetch
        )
        shown, next_cursor = page.cut(rows, lambda session: session.id)
        used = await list_used_today(conn, shown)
    found = [session_out(session, used_today=used[session.id]) for session in shown]
    return SessionList(sessions=found, next_cursor=next_cursor)


@get("/sessions/{session_id:str}", opt=requires(Scope.SESSIONS), summary="Read a session")
async def read_session(request: Request, session_id: FromPath[str]) -> SessionOut:
    async with request.services.pool.acquire() as conn:
        session = await get_callers_session(request, conn, session_id)
        used = await list_used_today(conn, [session])
    return session_out(session, used_today=used[session.id])


@patch(
    "/sessions/{session_id:str}",
    opt=requires(Scope.SESSIONS),
    summary="Change a session's name, limits, automation, bot or proxy",
)
async def update_session(
    request: Request, session_id: FromPath[str], data: JSONBody[SessionPatch]
) -> SessionOut:
    services = request.services
    proxy = None if data.proxy is UNSET else data.proxy
    async with services.pool.acquire() as conn, conn.transaction():
        # Whose bot is about to answer has finished then: what it has queued is taken back.
        await seize_sessions(conn, await owner_of(request, conn, session_id), SessionId(session_id))
        before = await get_callers_session(request, conn, session_id)
        session = await sessions.update_session(
            conn,
            before.tenant_id,
            before.id,
            name=None if data.name is UNSET else data.name,
            limits=None if data.limits is UNSET else _merge(before.limits, data.limits),
            automation=None if data.automation is UNSET else data.automation,
            bot=None if data.bot is UNSET else _merge(before.bot, data.bot),
            change_proxy=data.proxy is not UNSET,
            sealed_proxy=await _seal_proxy(services, conn, before.tenant_id, before.id, proxy),
        )
        silenced = data.automation is False and await _take_answers_back(services, conn, session.id)
    services.doorbell.ring("sessions")
    if silenced:
        for channel in _SILENCED:
            services.doorbell.ring(channel)
    return session_out(session)


async def _take_answers_back(services: Services, conn: Connection, session_id: SessionId) -> bool:
    """The bot is switched off: what it was about to say is not said. False where that was nothing."""
    rows = await bot_chats.cancel_all_answers(conn, session_id)
    await outbox.insert_events(conn, [facts.message_status(row, services.now()) for row in rows])
    return bool(rows)


@delete(
    "/sessions/{session_id:str}",
    opt=requires(Scope.SESSIONS),
    summary="Log a session out and remove everything of it",
)
async def delete_session(request: Request, session_id: FromPath[str]) -> None:
    services = request.services
    session = await _request_stop(request, session_id, logout=True)
    async with services.pool.acquire() as conn, conn.transaction():
        media = await sessions.delete_session(conn, session.tenant_id, session.id)
    services.doorbell.ring("sessions")
    await asyncio.to_thread(services.blobs.remove_files, media)


@post(
    "/sessions/{session_id:str}/connect",
    opt=requires(Scope.SESSIONS),
    status_code=200,
    summary="Connect a session, by QR code or by pairing code",
)
async def connect_session(
    request: Request, session_id: FromPath[str], data: JSONBody[ConnectIn | None] = None
) -> SessionOut:
    services, asked = request.services, data or ConnectIn()
    phone = asked.phone and digits_of(asked.phone, region=services.config.messages.default_region)
    if asked.method == "code" and phone is None:
        raise InvalidInput("A pairing code is made for a number: give `phone`.", path="phone")
    async with services.pool.acquire() as conn, conn.transaction():
        session = await get_callers_session(request, conn, session_id)
        fresh = await sessions.request_connect(
            conn, session.tenant_id, session.id, method=asked.method, phone=phone, switch=data is not None
        )
    if fresh:
        services.doorbell.ring("sessions")
        session = await _wait(services, session, _is_linkable, seconds=_QR_SECONDS)
    return session_out(session)


@post(
    "/sessions/{session_id:str}/disconnect",
    opt=requires(Scope.SESSIONS),
    status_code=200,
    summary="Disconnect a session; it stays linked",
)
async def disconnect_session(request: Request, session_id: FromPath[str]) -> SessionOut:
    return session_out(await _request_stop(request, session_id, logout=False))


@post(
    "/sessions/{session_id:str}/logout",
    opt=requires(Scope.SESSIONS),
    status_code=200,
    summary="Remove this device from the account; connecting again needs a new QR code",
)
async def logout_session(request: Request, session_id: FromPath[str]) -> SessionOut:
    return session_out(await _request_stop(request, session_id, logout=True))


async def _request_stop(request: Request, session_id: str, *, logout: bool) -> Session:
    """Ask the host to stop it, and wait a little for that; answers the session as it then is."""
    services = request.services
    async with services.pool.acquire() as conn, conn.transaction():
        session = await get_callers_session(request, conn, session_id)
        await sessions.request_disconnect(conn, session.tenant_id, session.id, logout=logout)
    services.doorbell.ring("sessions")
    return await _wait(services, session, _is_logged_out if logout else _is_stopped, seconds=_STOP_SECONDS)


def _is_linkable(session: Session) -> bool:
    """Its QR code or pairing code is there, or none is needed or coming."""
    shows = session.qr is not None or session.pairing_code is not None
    return shows or session.status is not SessionStatus.CONNECTING


def _is_stopped(session: Session) -> bool:
    return session.status in (SessionStatus.DISCONNECTED, SessionStatus.FAILED)


def _is_logged_out(session: Session) -> bool:
    return _is_stopped(session) and session.phone is None


async def _wait(
    services: Services, session: Session, done: Callable[[Session], bool], *, seconds: float
) -> Session:
    latest = session

    async def look() -> Session | None:
        nonlocal latest
        async with services.pool.acquire() as conn:
            latest = await sessions.get_session(conn, session.tenant_id, session.id)
        return latest if done(latest) else None

    return await wait_for(services.doorbell, "status", look, seconds=seconds) or latest


def _engine(services: Services, asked: str | None) -> str:
    """Which engine a new session gets. Raises InvalidInput, NotSupported."""
    engine = asked or services.config.sessions.default_engine
    if engine not in _ENGINES:
        raise InvalidInput(f"There is no such engine; there are {', '.join(_ENGINES)}.", path="engine")
    if engine == "sandbox" and not services.config.sandbox.enabled:
        raise NotSupported("The sandbox is switched off on this server.", code="engine_unavailable")
    return engine


def _merge(before: _Settings, given: LimitsIn | BotIn) -> _Settings:
    return structs.replace(
        before, **{key: value for key, value in structs.asdict(given).items() if value is not UNSET}
    )


async def _seal_proxy(
    services: Services, conn: Connection, tenant_id: TenantId, session_id: SessionId, url: str | None
) -> bytes | None:
    if url is None:
        return None
    try:
        checked = services.guard.check_proxy_url(url)
    except ValueError as error:
        raise InvalidInput(str(error), path="proxy", code="proxy_invalid") from None
    key = await tenants.get_data_key(conn, services.vault, tenant_id)
    return key.seal(checked.url.encode(), identity=f"session/{session_id}/proxy")
