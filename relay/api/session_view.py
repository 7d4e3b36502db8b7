"""A session as callers see it, and how a call finds it: a company its own, the operator anybody's."""

from datetime import datetime

from relay.api.owner import owner_of
from relay.api.request import Request
from relay.api.wire import Out
from relay.model.errors import Conflict
from relay.model.ids import SessionId, TenantId
from relay.model.session import REASONS, BotSettings, Session, SessionLimits, SessionStatus
from relay.store import sessions
from relay.store.pool import Connection


class SessionOut(Out, frozen=True, kw_only=True):
    id: SessionId
    session_id: SessionId
    company_id: TenantId
    name: str
    engine: str
    status: SessionStatus
    reason: str | None
    detail: str | None
    """The reason in a sentence for people."""
    phone: str | None
    last_active: datetime | None
    connected_at: datetime | None
    created_at: datetime
    limits: SessionLimits
    automation: bool
    bot: BotSettings
    has_proxy: bool
    qr_code: str | None
    qr_expires_at: datetime | None
    """Until when the QR code, or the pairing code, can be used."""
    pairing_code: str | None
    banned_until: datetime | None
    used_today: int | None
    """How much of `limits.perDay` is used; replies are not counted. Null in what answers a change."""


def session_out(session: Session, *, used_today: int | None = None) -> SessionOut:
    return SessionOut(
        id=session.id,
        session_id=session.id,
        company_id=session.tenant_id,
        name=session.name,
        engine=session.engine,
        status=session.status,
        reason=session.reason,
        detail=None if session.reason is None else REASONS.get(session.reason),
        phone=session.phone,
        last_active=session.last_active_at,
        connected_at=session.connected_at,
        created_at=session.created_at,
        limits=session.limits,
        automation=session.automation,
        bot=session.bot,
        has_proxy=session.has_proxy,
        qr_code=session.qr,
        qr_expires_at=session.qr_expires_at,
        pairing_code=session.pairing_code,
        banned_until=session.banned_until,
        used_today=used_today,
    )


async def get_callers_session(request: Request, conn: Connection, session_id: str) -> Session:
    """The session of the call, looked for among the caller's own. Raises NotFound."""
    return await sessions.get_session(conn, await owner_of(request, conn, session_id), session_id)


_NO_CODE = {
    SessionStatus.CONNECTING: "No code is on show just now. Try again in a moment.",
    SessionStatus.CONNECTED: "No code is on show: the session is connected.",
    SessionStatus.DISCONNECTED: "No code is on show: the session is disconnected. Connect it for a new one.",
    SessionStatus.FAILED: "No code is on show: the session has failed. Connect it for a new one.",
}


def no_code(session: Session) -> Conflict:
    """Why there is nothing to scan."""
    if session.pairing_code is not None:
        detail = "A pairing code is on show, not a QR code; ask for application/json."
    else:
        detail = _NO_CODE[session.status]
    return Conflict(detail, code="no_code_on_show")
