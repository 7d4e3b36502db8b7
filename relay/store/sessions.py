"""Sessions: what a tenant asked for, and how each stands.

The API writes `wanted`, `logout` and the settings, and raises `request`; the host that holds the lease writes
`status` and what comes with it, fenced by its term. A row whose holder is gone says so when it is read.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Literal

import msgspec

from relay.model.errors import Conflict, NotFound
from relay.model.ids import SessionId, TenantId
from relay.model.session import TRANSITIONS, BotSettings, Session, SessionLimits, SessionStatus
from relay.store.pool import Connection
from relay.store.session_locks import seize_sessions

# A holder that is gone cannot write that it is, nor can one that never came: the reader sees it by the lease.
_VIEW = """
    SELECT s.*,
           CASE WHEN gone AND s.wanted = 'up' THEN 'connecting' WHEN gone THEN 'disconnected' ELSE s.status END
               AS seen_status,
           CASE WHEN waits AND s.wanted_at < now() - interval '10 seconds' THEN 'no_host'
                WHEN gone AND s.wanted = 'up' THEN 'host_lost' WHEN gone THEN 'requested' ELSE s.reason END
               AS seen_reason
    FROM whatsapp_sessions s
    LEFT JOIN leases l ON l.resource = s.id
    CROSS JOIN LATERAL (SELECT coalesce(l.expires_at < now(), true) AS free) AS lease
    CROSS JOIN LATERAL (SELECT free AND s.status = 'connecting' AND s.reason = 'starting' AS waits) AS start
    CROSS JOIN LATERAL (
        SELECT free AND l.resource IS NOT NULL AND s.status IN ('connected', 'connecting') AND NOT waits AS gone
    ) AS holder
"""
_NO_SESSION = "There is no such session."


def _session(row: Any) -> Session:
    return Session(
        id=row["id"],
        tenant_id=row["tenant_id"],
        name=row["name"],
        engine=row["engine"],
        wanted=row["wanted"],
        status=SessionStatus(row["seen_status"]),
        reason=row["seen_reason"],
        phone=row["phone"],
        limits=msgspec.convert(row["limits"], SessionLimits),
        automation=row["automation"],
        bot=msgspec.convert(row["bot"], BotSettings),
        has_proxy=row["proxy"] is not None,
        link_method=row["link_method"],
        link_phone=row["link_phone"],
        qr=row["qr"],
        qr_expires_at=row["qr_expires_at"],
        pairing_code=row["pairing_code"],
        banned_until=row["banned_until"],
        last_active_at=row["last_active_at"],
        connected_at=row["connected_at"],
        created_at=row["created_at"],
    )


_INSERT = """
    INSERT INTO whatsapp_sessions (id, tenant_id, name, engine, reason, limits, automation, bot, proxy)
    VALUES ($1, $2, $3, $4, 'created', $5, $6, $7, $8)
"""


async def insert_session(
    conn: Connection,
    *,
    session_id: SessionId,
    tenant_id: TenantId,
    name: str,
    engine: str,
    limits: SessionLimits,
    automation: bool,
    bot: BotSettings,
    sealed_proxy: bytes | None,
) -> Session:
    settings = (msgspec.to_builtins(limits), automation, msgspec.to_builtins(bot))
    await conn.execute(_INSERT, session_id, tenant_id, name, engine, *settings, sealed_proxy)
    return await get_session(conn, tenant_id, session_id)


async def get_session(conn: Connection, tenant_id: TenantId, session_id: str) -> Session:
    """Raises NotFound."""
    row = await conn.fetchrow(f"{_VIEW} WHERE s.tenant_id = $1 AND s.id = $2", tenant_id, session_id)
    if row is None:
        raise NotFound(_NO_SESSION)
    return _session(row)


_OWNER = "SELECT tenant_id FROM whatsapp_sessions WHERE id = $1"


async def find_owner(conn: Connection, session_id: str) -> TenantId | None:
    """Whose session it is, for an operator who does not say."""
    owner: TenantId | None = await conn.fetchval(_OWNER, session_id)
    return owner


async def list_sessions(
    conn: Connection,
    tenant_id: TenantId | None,
    *,
    before: str | None,
    limit: int,
    status: SessionStatus | None = None,
) -> list[Session]:
    """A tenant's sessions, newest first; None lists every tenant's, for the operator."""
    rows = await conn.fetch(
        f"SELECT * FROM ({_VIEW}) AS v WHERE ($1::text IS NULL OR tenant_id = $1)"
        " AND ($2::text IS NULL OR id < $2) AND ($3::text IS NULL OR seen_status = $3) ORDER BY id DESC LIMIT $4",
        tenant_id,
        before,
        status,
        limit,
    )
    return [_session(row) for row in rows]


_COUNT = f"""
    SELECT seen_status AS status, count(*) FROM ({_VIEW}) AS v WHERE $1::text IS NULL OR tenant_id = $1 GROUP BY 1
"""


async def count_by_status(conn: Connection, tenant_id: TenantId | None) -> dict[SessionStatus, int]:
    """How many sessions stand in each status; None counts every tenant's."""
    return {SessionStatus(row["status"]): row["count"] for row in await conn.fetch(_COUNT, tenant_id)}


_COUNT_BY_TENANT = """
    SELECT tenant_id, count(*) FROM whatsapp_sessions WHERE tenant_id = ANY($1::text[]) GROUP BY tenant_id
"""


async def count_by_tenant(conn: Connection, tenant_ids: Sequence[TenantId]) -> dict[TenantId, int]:
    """How many sessions each of them has; one without any is left out."""
    rows = await conn.fetch(_COUNT_BY_TENANT, list(tenant_ids))
    return {row["tenant_id"]: row["count"] for row in rows}


_UPDATE = """
    UPDATE whatsapp_sessions
    SET name = coalesce($3, name), limits = coalesce($4, limits), automation = coalesce($5, automation),
        bot = coalesce($6, bot), proxy = CASE WHEN $7 THEN $8 ELSE proxy END, request = request + 1
    WHERE tenant_id = $1 AND id = $2
"""


async def update_session(
    conn: Connection,
    tenant_id: TenantId,
    session_id: SessionId,
    *,
    name: str | None,
    limits: SessionLimits | None,
    automation: bool | None,
    bot: BotSettings | None,
    change_proxy: bool,
    sealed_proxy: bytes | None,
) -> Session:
    """Change settings; None leaves one as it is. Raises NotFound. Ring `sessions` after the commit."""
    # None is a null of SQL, which leaves the setting.
    settings = (msgspec.to_builtins(limits), automation, msgspec.to_builtins(bot))
    await conn.execute(_UPDATE, tenant_id, session_id, name, *settings, change_proxy, sealed_proxy)
    return await get_session(conn, tenant_id, session_id)


_CONNECT = """
    UPDATE whatsapp_sessions
    SET wanted = 'up', wanted_at = now(), request = request + 1, link_method = $3, link_phone = $4,
        status = 'connecting', reason = 'starting', qr = NULL, qr_expires_at = NULL, pairing_code = NULL
    WHERE tenant_id = $1 AND id = $2 AND NOT logout
      AND (wanted = 'down'
           OR $5 AND status = 'connecting' AND phone IS NULL
              AND (link_method, link_phone) IS DISTINCT FROM ($3, $4))
"""
_LOGS_OUT = "SELECT logout FROM whatsapp_sessions WHERE tenant_id = $1 AND id = $2"


async def request_connect(
    conn: Connection,
    tenant_id: TenantId,
    session_id: SessionId,
    *,
    method: Literal["qr", "code"] = "qr",
    phone: str | None = None,
    switch: bool = False,
) -> bool:
    """Ask for a connection; False when one is wanted already. Ring `sessions` after the commit.

    With `switch`, one that waits for a phone in another way begins again in this one. Raises Conflict while the session is
    still to be logged out.
    """
    done = await conn.execute(_CONNECT, tenant_id, session_id, method, phone, switch)
    if done == "UPDATE 1":
        return True
    if await conn.fetchval(_LOGS_OUT, tenant_id, session_id):
        raise Conflict(
            "The session is being logged out. Connect it when that is done: its status is `disconnected` then.",
            code="logout_pending",
        )
    return False


_DISCONNECT = """
    UPDATE whatsapp_sessions s
    SET wanted = 'down', request = request + 1, logout = $3,
        qr = NULL, qr_expires_at = NULL, pairing_code = NULL,
        status = CASE WHEN held THEN status ELSE 'disconnected' END,
        reason = CASE WHEN held THEN reason ELSE 'requested' END
    FROM (SELECT EXISTS (SELECT FROM leases WHERE resource = $2 AND expires_at > now()) AS held) AS l
    WHERE s.tenant_id = $1 AND s.id = $2
"""


async def request_disconnect(
    conn: Connection, tenant_id: TenantId, session_id: SessionId, *, logout: bool
) -> None:
    """Ask a running session to stop (`logout`: and remove the device); one that nobody runs is down at once."""
    await conn.execute(_DISCONNECT, tenant_id, session_id, logout)


_LOG_OUT_ALL = """
    UPDATE whatsapp_sessions SET wanted = 'down', request = request + 1, logout = true
    WHERE tenant_id = $1 AND phone IS NOT NULL
"""
_LINKED = "SELECT EXISTS (SELECT FROM whatsapp_sessions WHERE tenant_id = $1 AND phone IS NOT NULL)"


async def request_logouts(conn: Connection, tenant_id: TenantId) -> None:
    """Ask that every device of a tenant be removed from its account. Ring `sessions` after the commit."""
    await conn.execute(_LOG_OUT_ALL, tenant_id)


async def is_any_linked(conn: Connection, tenant_id: TenantId) -> bool:
    found: bool = await conn.fetchval(_LINKED, tenant_id)
    return found


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """What a host needs to know of a session that it holds."""

    id: SessionId
    tenant_id: TenantId
    engine: str
    wanted: Literal["up", "down"]
    wanted_at: datetime
    """When it was last asked to connect."""
    logout: bool
    request: int
    status: SessionStatus
    limits: SessionLimits
    proxy: bytes | None
    link_method: Literal["qr", "code"]
    link_phone: str | None
    banned_until: datetime | None


_REQUESTS = """
    SELECT s.* FROM whatsapp_sessions s
    JOIN unnest($1::text[], $2::bigint[]) AS held (id, request) ON held.id = s.id AND held.request <> s.request
"""


async def list_requests(conn: Connection, seen: dict[SessionId, int]) -> list[Request]:
    """The sessions of `seen` (id → last seen request) that were asked something since."""
    rows = await conn.fetch(_REQUESTS, list(seen), list(seen.values()))
    return [
        msgspec.convert({field: row[field] for field in Request.__struct_fields__}, Request) for row in rows
    ]


# Asked to connect since the host last looked: what it gives up is not that.
_ASKED_ANEW = (
    "$6 AND s.request <> $7 AND s.wanted = 'up' AND s.status = 'connecting' AND s.reason = 'starting'"
)
_SET_STATUS = f"""
    UPDATE whatsapp_sessions s
    SET status = CASE WHEN {_ASKED_ANEW} THEN s.status ELSE $4 END,
        reason = CASE WHEN {_ASKED_ANEW} THEN s.reason ELSE $5 END,
        wanted = CASE WHEN $6 AND s.request = $7 THEN 'down' ELSE wanted END,
        qr = $8, qr_expires_at = $9, pairing_code = $10,
        phone = coalesce($11, s.phone), lid = coalesce($12, s.lid), banned_until = $13,
        connected_at = CASE WHEN $4 = 'connected' AND s.status <> 'connected' THEN now() ELSE s.connected_at END,
        last_active_at = CASE WHEN $4 = 'connected' THEN now() ELSE s.last_active_at END
    FROM (SELECT true FROM leases WHERE resource = $1 AND term = $2 FOR SHARE) AS held
    WHERE s.id = $1 AND s.status = ANY ($3)
    RETURNING s.tenant_id
"""


class StatusChange(msgspec.Struct, frozen=True, kw_only=True):
    """A session's new status and all that comes with it; what is left out is cleared (a phone stays)."""

    status: SessionStatus
    reason: str | None = None
    gives_up: bool = False
    """The host stops trying: nothing more happens until the tenant connects again."""
    qr: str | None = None
    qr_expires_at: datetime | None = None
    pairing_code: str | None = None
    phone: str | None = None
    lid: str | None = None
    banned_until: datetime | None = None


async def set_status(
    conn: Connection, session_id: SessionId, change: StatusChange, *, term: int, request: int
) -> bool:
    """Move a session, fenced by `term`; False when the lease is another's or the move is not in TRANSITIONS.

    `request` is the last one the host saw: giving up does not undo a connect that it has not seen.
    """
    allowed = [s for s in SessionStatus if s is change.status or change.status in TRANSITIONS[s]]
    row = await conn.fetchrow(
        _SET_STATUS,
        session_id,
        term,
        allowed,
        change.status,
        change.reason,
        change.gives_up,
        request,
        change.qr,
        change.qr_expires_at,
        change.pairing_code,
        change.phone,
        change.lid,
        change.banned_until,
    )
    return row is not None


_LOGOUT_DONE = """
    UPDATE whatsapp_sessions SET logout = false, phone = NULL, lid = NULL
    WHERE id = $1 AND EXISTS (SELECT FROM leases WHERE resource = $1 AND term = $2)
"""


async def finish_logout(conn: Connection, session_id: SessionId, *, term: int) -> None:
    await conn.execute(_LOGOUT_DONE, session_id, term)


_TOUCH = "UPDATE whatsapp_sessions SET last_active_at = now() WHERE id = ANY ($1)"


async def touch(conn: Connection, sessions: list[SessionId]) -> None:
    """Note that these sessions were alive just now."""
    await conn.execute(_TOUCH, sessions)


# The messages come first: whoever is changing one of them, and tells of it, has finished then.
_DELETE_MESSAGES = "DELETE FROM whatsapp_messages WHERE tenant_id = $1 AND session_id = $2"
_DELETE = (
    "DELETE FROM events WHERE tenant_id = $1 AND session_id = $2",
    "DELETE FROM whatsapp_sessions WHERE tenant_id = $1 AND id = $2",
    "DELETE FROM leases WHERE resource = $2 AND $1::text IS NOT NULL",
)
_DELETE_OWED = """
    DELETE FROM deliveries d USING events e
    WHERE e.tenant_id = $1 AND e.session_id = $2 AND d.event_id = e.id AND d.tenant_id = $1
"""
_DELETE_ATTEMPTS = """
    DELETE FROM attempts a USING events e
    WHERE e.tenant_id = $1 AND e.session_id = $2 AND a.tenant_id = $1 AND a.event_id = e.id
"""
_MEDIA = "SELECT id FROM media WHERE tenant_id = $1 AND session_id = $2"


async def delete_session(conn: Connection, tenant_id: TenantId, session_id: SessionId) -> list[str]:
    """Remove everything of it; answers the ids of its media, whose files are the caller's to remove."""
    await seize_sessions(conn, tenant_id, session_id)
    media = [row["id"] for row in await conn.fetch(_MEDIA, tenant_id, session_id)]
    for sql in (_DELETE_MESSAGES, _DELETE_OWED, _DELETE_ATTEMPTS, *_DELETE):
        await conn.execute(sql, tenant_id, session_id)
    return media


_EXISTING = "SELECT id FROM whatsapp_sessions WHERE id = ANY ($1)"


async def list_existing(conn: Connection, session_ids: Sequence[SessionId]) -> list[SessionId]:
    """Which of these there are, whoever owns them."""
    return [row["id"] for row in await conn.fetch(_EXISTING, session_ids)]
