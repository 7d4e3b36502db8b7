"""What a person scans: the QR code or pairing code on show, as a stream, a picture or JSON.

    event-stream:  status … qr … qr … status {connected} ─► end       (the same with `code`)

A stream ends once the session is connected, or stops trying.
"""

import io
import time
from collections.abc import AsyncGenerator, Iterator
from datetime import datetime
from typing import Any

import msgspec
import segno
from litestar import Response, get
from litestar.exceptions import HTTPException
from litestar.params import FromPath
from litestar.response import Stream

from relay.api.auth import requires
from relay.api.request import Request
from relay.api.services import Services
from relay.api.session_view import get_callers_session, no_code
from relay.api.waiting import hung, moments
from relay.api.wire import Out
from relay.model.errors import NotFound
from relay.model.ids import SessionId, TenantId
from relay.model.session import REASONS, Session, SessionStatus
from relay.model.tenant import Scope
from relay.store import sessions

_STREAM, _SVG, _PNG, _JSON = "text/event-stream", "image/svg+xml", "image/png", "application/json"
_HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
_HEARTBEAT_SECONDS = 15.0

_encode = msgspec.json.Encoder().encode


class QrOut(Out, frozen=True, kw_only=True):
    qr: str | None
    code: str | None
    expires_at: datetime | None


@get(
    "/sessions/{session_id:str}/qr",
    opt=requires(Scope.SESSIONS),
    summary="See the QR code or pairing code: text/event-stream, image/svg+xml, image/png or application/json",
)
async def read_qr(request: Request, session_id: FromPath[str]) -> Response[Any]:
    async with request.services.pool.acquire() as conn:
        session = await get_callers_session(request, conn, session_id)
    wanted = request.accept.best_match([_STREAM, _SVG, _PNG, _JSON])
    match wanted:
        case "text/event-stream":
            stream = _stream(request.services, session.tenant_id, session.id)
            return Stream(stream, media_type=_STREAM, headers=_HEADERS)
        case "image/svg+xml" | "image/png":
            return Response(_draw(session, svg=wanted == _SVG), media_type=wanted, headers=_HEADERS)
        case "application/json":
            if session.qr is None and session.pairing_code is None:
                raise no_code(session)
            out = QrOut(qr=session.qr, code=session.pairing_code, expires_at=session.qr_expires_at)
            return Response(out, headers=_HEADERS)
        case _:
            raise HTTPException(status_code=406)


def _draw(session: Session, *, svg: bool) -> bytes:
    if session.qr is None:
        raise no_code(session)
    picture = io.BytesIO()
    code = segno.make_qr(session.qr, error="l")
    if svg:
        code.save(picture, kind="svg", scale=6, border=4, light="#ffffff")
    else:
        code.save(picture, kind="png", scale=6, border=4)
    return picture.getvalue()


async def _stream(
    services: Services, tenant_id: TenantId, session_id: SessionId
) -> AsyncGenerator[bytes, None]:
    before: Session | None = None
    quiet_since = time.monotonic()
    with hung(services.doorbell, "status") as bell:
        async for _ in moments(bell):
            try:
                async with services.pool.acquire() as conn:
                    session = await sessions.get_session(conn, tenant_id, session_id)
            except NotFound:
                return  # it was removed
            told = b"".join(_changes(before, session))
            before = session
            if not told and time.monotonic() - quiet_since >= _HEARTBEAT_SECONDS:
                told = b": still here\n\n"
            if told:
                quiet_since = time.monotonic()
                yield told
            if session.status is not SessionStatus.CONNECTING or services.draining.is_set():
                return


def _changes(before: Session | None, now: Session) -> Iterator[bytes]:
    """What to tell of a session that was seen before."""
    if before is None or (before.status, before.reason) != (now.status, now.reason):
        sentence = None if now.reason is None else REASONS.get(now.reason)
        yield _event("status", {"status": now.status, "reason": now.reason, "detail": sentence})
    expires = {"expiresAt": now.qr_expires_at}
    if now.qr is not None and (before is None or before.qr != now.qr):
        yield _event("qr", {"qr": now.qr, **expires})
    if now.pairing_code is not None and (before is None or before.pairing_code != now.pairing_code):
        yield _event("code", {"code": now.pairing_code, **expires})


def _event(name: str, data: dict[str, Any]) -> bytes:
    return b"event: %s\ndata: %s\n\n" % (name.encode(), _encode(data))
