"""The sandbox's phones, moved through the API: scan a code, write something, break something, see what arrived.

A 2xx means that the command is durable; the host that runs the session carries it out, in order.
"""

from typing import Annotated, Any

from litestar import get, post
from litestar.params import FromPath, JSONBody, QueryParameter
from msgspec import structs

from relay.api.auth import requires
from relay.api.content import structured, text_of
from relay.api.media_source import keep_given_media
from relay.api.paging import Limit
from relay.api.request import Request
from relay.api.session_view import SessionOut, get_callers_session, no_code, session_out
from relay.api.waiting import wait_for
from relay.api.wire import Out
from relay.model.errors import Conflict, NotFound
from relay.model.message import MEDIA_TYPES, MessageType
from relay.model.sandbox import FaultIn, InboundIn, ScanIn, command_of
from relay.model.session import Session, SessionStatus
from relay.model.tenant import Scope
from relay.store import sandbox, sessions

_SCAN_SECONDS = 5.0
_MOST_WA_IDS = 100
_CHECKED = MEDIA_TYPES | {MessageType.TEXT, MessageType.LOCATION, MessageType.CONTACT, MessageType.POLL}
_MESSAGES = frozenset(MessageType) - {MessageType.REACTION, MessageType.CALL}


class InboundOut(Out, frozen=True, kw_only=True):
    accepted: int
    wa_message_ids: list[str]
    """The first hundred; empty for what is no message."""


class FaultOut(Out, frozen=True, kw_only=True):
    accepted: int


class SandboxOutbox(Out, frozen=True, kw_only=True):
    messages: list[dict[str, Any]]
    """`{id, kind, chat, at, …}`, oldest first."""
    next: int
    """Give it as `after` to see what comes next."""


@post(
    "/sessions/{session_id:str}/sandbox/scan",
    opt=requires(Scope.SESSIONS),
    status_code=200,
    summary="Scan the QR code, or type in the pairing code, that is on show",
)
async def scan_code(
    request: Request, session_id: FromPath[str], data: JSONBody[ScanIn | None] = None
) -> SessionOut:
    services = request.services
    session = await _get_sandbox_session(request, session_id)
    if session.qr is None and session.pairing_code is None:
        raise no_code(session)
    await _insert(request, session, command_of(data or ScanIn()))
    latest = session

    async def look() -> Session | None:
        nonlocal latest
        async with services.pool.acquire() as conn:
            latest = await sessions.get_session(conn, session.tenant_id, session.id)
        return latest if latest.status is not SessionStatus.CONNECTING else None

    await wait_for(services.doorbell, "status", look, seconds=_SCAN_SECONDS)
    return session_out(latest)


@post(
    "/sessions/{session_id:str}/sandbox/inbound",
    opt=requires(Scope.SESSIONS),
    status_code=202,
    summary="Let somebody write to the session, or do something else that reaches it",
)
async def create_inbound(
    request: Request, session_id: FromPath[str], data: JSONBody[InboundIn]
) -> InboundOut:
    session = await _get_sandbox_session(request, session_id)
    if session.phone is None:
        raise Conflict("The session is not linked yet: scan its code first.", code="session_not_linked")
    body = structs.replace(data, content=await _content(request, session, data))
    command_id = await _insert(request, session, command_of(body))
    return InboundOut(accepted=body.count, wa_message_ids=_wa_ids(command_id, body))


@post(
    "/sessions/{session_id:str}/sandbox/fault",
    opt=requires(Scope.SESSIONS),
    status_code=202,
    summary="Break something: drop the connection, ban the account, reject sends …",
)
async def create_fault(request: Request, session_id: FromPath[str], data: JSONBody[FaultIn]) -> FaultOut:
    session = await _get_sandbox_session(request, session_id)
    await _insert(request, session, command_of(data))
    return FaultOut(accepted=1)


@get(
    "/sessions/{session_id:str}/sandbox/outbox",
    opt=requires(Scope.SESSIONS),
    summary="See what the virtual phones received, oldest first",
)
async def list_outbox(
    request: Request,
    session_id: FromPath[str],
    after: Annotated[int, QueryParameter(ge=0, le=2**63 - 1, description="`next` of the page before.")] = 0,
    limit: Limit = 50,
) -> SandboxOutbox:
    session = await _get_sandbox_session(request, session_id)
    async with request.services.pool.acquire() as conn:
        rows = await sandbox.list_outbox(
            conn, tenant_id=session.tenant_id, session_id=session.id, after=after, limit=limit
        )
    messages = [{"id": row.id, **row.body} for row in rows]
    return SandboxOutbox(messages=messages, next=rows[-1].id if rows else after)


async def _get_sandbox_session(request: Request, session_id: str) -> Session:
    """Raises NotFound, Conflict."""
    if not request.services.config.sandbox.enabled:
        raise NotFound("The sandbox is switched off on this server.")
    async with request.services.pool.acquire() as conn:
        session = await get_callers_session(request, conn, session_id)
    if session.engine != "sandbox":
        raise Conflict("This session has a real phone: the sandbox cannot play it.", code="not_a_sandbox")
    return session


async def _content(request: Request, session: Session, data: InboundIn) -> str | dict[str, Any] | None:
    """The content as a message would hold it, its file kept. Raises InvalidInput."""
    if data.content is None or data.type not in _CHECKED:
        return data.content
    kind = MessageType(data.type)
    if kind is MessageType.TEXT:
        return text_of(data.content)
    if kind in MEDIA_TYPES:
        return await keep_given_media(request.services, session.tenant_id, session.id, kind, data.content)
    return structured(kind, data.content)


async def _insert(request: Request, session: Session, body: dict[str, Any]) -> int:
    services = request.services
    async with services.pool.acquire() as conn:
        command_id = await sandbox.insert_command(
            conn, tenant_id=session.tenant_id, session_id=session.id, body=body
        )
    services.doorbell.ring("sandbox")
    return command_id


def _wa_ids(command_id: int, inbound: InboundIn) -> list[str]:
    """The ids that the phone network gives (`engines/sandbox_people.py`): a test holds the two together."""
    if inbound.type not in _MESSAGES:
        return []
    if inbound.wa_id is not None:
        return [inbound.wa_id]
    return [f"SBX{command_id}N{number}" for number in range(1, min(inbound.count, _MOST_WA_IDS) + 1)]
