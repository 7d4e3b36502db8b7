"""What is wrong just now, found by its traces: sessions, endpoints, agents, and work that nobody does.

Each question steps into indexes: once a session, an endpoint, an agent; never through what a dead one is owed. `code`
says which problem it is; what to do about each stands in api/health_problems.py.
"""

from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

from msgspec import Struct, structs

from relay.model.ids import TenantId, floor
from relay.store import diagnosis, figures
from relay.store.pool import Connection

_COUNTED_MOST = 1000
_MOST = 200
"""Of each kind: more than that nobody reads."""
_LATE_SECONDS = 60.0
_CALLS_LOOKED_AT = 200
_DAYS_AHEAD = 2


class Problem(Struct, frozen=True, kw_only=True):
    """What is not known, or does not matter, is None; the server's own have no tenant."""

    code: str
    tenant_id: TenantId | None = None
    session_id: str | None = None
    endpoint_id: str | None = None
    agent: str | None = None
    """Its id."""
    name: str | None = None
    """Of the session, the endpoint or the agent."""
    reason: str | None = None
    count: int | None = None
    seconds: float | None = None
    """For how long."""
    until: datetime | None = None


async def list_problems(conn: Connection, tenant_id: TenantId | None, *, now: datetime) -> list[Problem]:
    """A tenant's own; None: everybody's, and the server's."""
    found = await _add_waiting(conn, tenant_id, await _list_sessions(conn, tenant_id))
    found += await _list_endpoints(conn, tenant_id)
    found += await _list_agents(conn, tenant_id, now=now)
    found += await _list_late(conn, tenant_id)
    if tenant_id is None:
        found = await _list_of_server(conn, found, now=now)
    return found


# --- sessions -------------------------------------------------------------------------------------------------------

# A process that is gone cannot write that it is: its lease says so. Ten seconds are what another takes at most.
_SESSIONS = f"""
    SELECT s.id, s.tenant_id, s.name, f.code, s.banned_until AS until,
           CASE WHEN f.code <> 'session_without_host' THEN s.reason
                WHEN l.resource IS NULL OR s.reason = 'starting' THEN 'no_host' ELSE 'host_lost' END AS reason,
           extract(epoch FROM now() - since)::float8 AS seconds
    FROM whatsapp_sessions s
    LEFT JOIN leases l ON l.resource = s.id
    CROSS JOIN LATERAL (SELECT coalesce(l.expires_at > now(), false) AS held,
                               greatest(s.wanted_at, s.last_active_at, s.connected_at) AS since) AS h
    CROSS JOIN LATERAL (SELECT CASE
        WHEN s.wanted = 'up' AND NOT held AND s.wanted_at < now() - interval '10 seconds'
             AND coalesce(l.expires_at = '-infinity' OR l.expires_at < now() - interval '10 seconds', true)
            THEN 'session_without_host'
        WHEN s.banned_until > now() THEN 'session_banned'
        WHEN s.status <> 'connected' AND s.reason = 'banned' THEN 'account_banned'
        WHEN s.status = 'failed' THEN 'session_failed'
        WHEN s.status = 'disconnected' AND s.reason = 'logged_out' THEN 'session_logged_out'
        WHEN s.status = 'disconnected' AND s.reason = 'stream_replaced' THEN 'session_replaced'
        WHEN s.status = 'disconnected' AND s.reason IN ('qr_expired', 'link_refused') THEN 'session_not_linked'
        WHEN s.status = 'connecting' AND s.reason IN ('waiting_for_scan', 'waiting_for_code') THEN
            CASE WHEN s.qr_expires_at < now() - interval '30 seconds' THEN 'session_not_linked' END
        WHEN s.status = 'connecting' AND since < now() - interval '2 minutes' THEN 'session_connecting'
        WHEN s.status = 'connected' AND s.reason = 'degraded' THEN 'session_degraded'
        END AS code) AS f
    WHERE ($1::text IS NULL OR s.tenant_id = $1) AND f.code IS NOT NULL
    ORDER BY since DESC LIMIT {_MOST}
"""


async def _list_sessions(conn: Connection, tenant_id: TenantId | None) -> list[Problem]:
    return [
        _of_session(row, reason=row["reason"], seconds=row["seconds"], until=row["until"])
        for row in await conn.fetch(_SESSIONS, tenant_id)
    ]


def _of_session(row: Any, **told: Any) -> Problem:
    return Problem(
        code=row["code"], tenant_id=row["tenant_id"], session_id=row["id"], name=row["name"], **told
    )


# What a bot waits for before it speaks is ten minutes at most, a minute's budget a minute: later is a day's budget.
_WAITING = f"""
    SELECT s.id, s.tenant_id, s.name, q.count, q.until,
           CASE WHEN up THEN 'budget_used_up' WHEN s.wanted = 'down' THEN 'messages_waiting' END AS code
    FROM whatsapp_sessions s
    LEFT JOIN leases l ON l.resource = s.id
    CROSS JOIN LATERAL (SELECT s.status = 'connected' AND s.reason IS DISTINCT FROM 'degraded'
                               AND coalesce(l.expires_at > now(), false) AS up) AS h
    CROSS JOIN LATERAL (
        SELECT count(*) AS count, min(due_at) FILTER (WHERE due_at > now() + interval '11 minutes') AS until FROM (
            SELECT m.due_at FROM whatsapp_messages m
            WHERE m.session_id = s.id AND m.status IN ('queued', 'sending') ORDER BY m.id LIMIT {_COUNTED_MOST}) AS few
    ) AS q
    WHERE ($1::text IS NULL OR s.tenant_id = $1) AND q.count > 0 AND (NOT up OR q.until IS NOT NULL)
    ORDER BY q.count DESC LIMIT {_MOST}
"""


async def _add_waiting(conn: Connection, tenant_id: TenantId | None, found: list[Problem]) -> list[Problem]:
    """With the messages that wait for their session, or for its next day; of one that is on its way nothing is said."""
    problems = {problem.session_id: problem for problem in found}
    for row in await conn.fetch(_WAITING, tenant_id):
        known = problems.get(row["id"])
        if known is not None:
            problems[row["id"]] = structs.replace(known, count=row["count"])
        elif row["code"] is not None:
            until = row["until"] if row["code"] == "budget_used_up" else None
            problems[row["id"]] = _of_session(row, count=row["count"], until=until)
    return list(problems.values())


# --- endpoints ------------------------------------------------------------------------------------------------------

_ENDPOINTS = f"""
    SELECT e.id, e.tenant_id, e.description, e.url, e.disabled_reason AS reason,
           CASE WHEN e.status = 'disabled' THEN 'endpoint_disabled' ELSE 'endpoint_failing' END AS code,
           extract(epoch FROM now() - e.failing_since)::float8 AS seconds,
           (SELECT count(*) FROM (
               SELECT FROM deliveries d WHERE d.endpoint_id = e.id LIMIT {_COUNTED_MOST}) AS few) AS count
    FROM endpoints e
    WHERE ($1::text IS NULL OR e.tenant_id = $1)
      AND CASE WHEN e.status = 'disabled' THEN e.disabled_reason IN ('failing', 'gone')
               ELSE e.failing_since IS NOT NULL END
    ORDER BY e.failing_since LIMIT {_MOST}
"""


async def _list_endpoints(conn: Connection, tenant_id: TenantId | None) -> list[Problem]:
    return [
        Problem(
            code=row["code"],
            tenant_id=row["tenant_id"],
            endpoint_id=row["id"],
            name=row["description"] or urlsplit(row["url"]).hostname,
            reason=row["reason"],
            count=row["count"],
            seconds=row["seconds"],
        )
        for row in await conn.fetch(_ENDPOINTS, tenant_id)
    ]


# --- agents ---------------------------------------------------------------------------------------------------------

# One that has answered since is mended.
_AGENTS = f"""
    SELECT a.id, a.tenant_id, a.name, c.count, c.reason
    FROM agents a CROSS JOIN LATERAL (
        SELECT count(*) FILTER (WHERE outcome = ANY ($3::text[])) AS count,
               (array_agg(outcome ORDER BY id DESC))[1] AS reason
        FROM (SELECT id, outcome FROM agent_calls
              WHERE tenant_id = a.tenant_id AND agent_id = a.id AND id >= $2 AND outcome <> 'cancelled'
              ORDER BY id DESC LIMIT {_CALLS_LOOKED_AT}) AS few
    ) AS c
    WHERE ($1::text IS NULL OR a.tenant_id = $1) AND a.enabled AND c.reason = ANY ($3::text[])
    ORDER BY c.count DESC LIMIT {_MOST}
"""
_TROUBLE = ("timeout", "refused", "throttled", "failed", "nonsense", "budget_exhausted")


async def _list_agents(conn: Connection, tenant_id: TenantId | None, *, now: datetime) -> list[Problem]:
    """Agents whose last call of the hour has failed."""
    rows = await conn.fetch(_AGENTS, tenant_id, floor("cal_", now - timedelta(hours=1)), _TROUBLE)
    return [
        Problem(
            code="agent_budget_used_up" if row["reason"] == "budget_exhausted" else "agent_failing",
            tenant_id=row["tenant_id"],
            agent=row["id"],
            name=row["name"],
            reason=row["reason"],
            count=row["count"],
        )
        for row in rows
    ]


# --- work that nobody does ------------------------------------------------------------------------------------------


async def _list_late(conn: Connection, tenant_id: TenantId | None) -> list[Problem]:
    due_seconds = await figures.find_oldest_due_seconds(conn, tenant_id, healthy=True)
    backlog = await figures.get_backlog(conn, tenant_id)
    late = []
    if due_seconds is not None and due_seconds > _LATE_SECONDS:
        late.append(Problem(code="deliveries_late", tenant_id=tenant_id, seconds=due_seconds))
    if backlog.oldest_reply_seconds > _LATE_SECONDS:
        seconds, count = backlog.oldest_reply_seconds, backlog.replies
        late.append(Problem(code="replies_late", tenant_id=tenant_id, seconds=seconds, count=count))
    return late


async def _list_of_server(conn: Connection, found: list[Problem], *, now: datetime) -> list[Problem]:
    """With the server's own; sessions without a host are one of these, however many they are."""
    homeless = [problem for problem in found if problem.code == "session_without_host"]
    found = [problem for problem in found if problem.code != "session_without_host"]
    if homeless:
        hosts = await diagnosis.read_hosts(conn)
        code = "hosts_full" if hosts.hosts else "no_host"
        found.append(Problem(code=code, count=max(hosts.orphaned, len(homeless))))
    today = now.astimezone(UTC).date()
    days = [today + timedelta(days=offset) for offset in range(_DAYS_AHEAD + 1)]
    missing = await diagnosis.list_missing_partitions(conn, ("events", "attempts"), days)
    if missing:
        found.append(Problem(code="partitions_missing", name=", ".join(missing), count=len(missing)))
    return found


_NAMES = "SELECT id, name FROM tenants WHERE id = ANY ($1::text[])"


async def list_tenant_names(conn: Connection, problems: list[Problem]) -> dict[TenantId, str]:
    """Whose these are, for the operator."""
    tenants = sorted({problem.tenant_id for problem in problems if problem.tenant_id is not None})
    return {row["id"]: row["name"] for row in await conn.fetch(_NAMES, tenants)}
