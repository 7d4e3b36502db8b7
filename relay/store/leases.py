"""Leases on sessions: one holder until `expires_at`, a higher `term` at each takeover.

    free or expired ──claim──► held (term + 1) ──renew──► held ──release──► expired
                                    └─ not renewed ─► expired, taken over by another

The term is the fencing token: `is_held` stands in the transaction of every write that only the holder may make.
"""

from collections.abc import Mapping

from relay.model.ids import SessionId
from relay.store.pool import Connection

_CLAIM = """
    WITH wanted AS (
        SELECT s.id FROM whatsapp_sessions s LEFT JOIN leases l ON l.resource = s.id
        WHERE (s.wanted = 'up' OR s.logout) AND (l.resource IS NULL OR l.expires_at < now())
        ORDER BY s.id LIMIT $2
    )
    INSERT INTO leases (resource, holder, expires_at)
    SELECT id, $1, now() + make_interval(secs => $3) FROM wanted
    ON CONFLICT (resource) DO UPDATE
       SET holder = excluded.holder, term = leases.term + 1, expires_at = excluded.expires_at
     WHERE leases.expires_at < now()
    RETURNING resource, term
"""


async def claim_sessions(
    conn: Connection, *, holder: str, limit: int, lease_seconds: float
) -> dict[SessionId, int]:
    """Take up to `limit` sessions that should run and that nobody holds; answers their terms."""
    rows = await conn.fetch(_CLAIM, holder, limit, lease_seconds)
    return {row["resource"]: row["term"] for row in rows}


_RENEW = """
    UPDATE leases l SET expires_at = now() + make_interval(secs => $4)
    FROM unnest($2::text[], $3::bigint[]) AS held (resource, term)
    WHERE l.resource = held.resource AND l.term = held.term AND l.holder = $1
      -- One that was given back while we were about to ask is nobody's, and may be claimed at once.
      AND l.expires_at > '-infinity'
    RETURNING l.resource
"""


async def renew_sessions(
    conn: Connection, held: Mapping[SessionId, int], *, holder: str, lease_seconds: float
) -> set[SessionId]:
    """Extend what we hold; a session missing from the answer is lost."""
    rows = await conn.fetch(_RENEW, holder, list(held), list(held.values()), lease_seconds)
    return {row["resource"] for row in rows}


_RELEASE = """
    UPDATE leases l SET expires_at = '-infinity'
    FROM unnest($2::text[], $3::bigint[]) AS held (resource, term)
    WHERE l.resource = held.resource AND l.term = held.term AND l.holder = $1
"""


async def release_sessions(conn: Connection, held: Mapping[SessionId, int], *, holder: str) -> None:
    """Give back (session → its term), so that another host need not wait for the expiry; what was claimed since stays."""
    await conn.execute(_RELEASE, holder, list(held), list(held.values()))


_RELEASE_ALL = "UPDATE leases SET expires_at = '-infinity' WHERE holder = $1"


async def release_all(conn: Connection, *, holder: str) -> None:
    """Give back what a dead process of the same name held."""
    await conn.execute(_RELEASE_ALL, holder)


_IS_HELD = "SELECT true FROM leases WHERE resource = $1 AND term = $2 FOR SHARE"


async def is_held(conn: Connection, session_id: SessionId, *, term: int) -> bool:
    """Whether `term` is still the session's; a takeover waits for the caller's transaction."""
    return bool(await conn.fetchval(_IS_HELD, session_id, term))


_COUNT_HOLDERS = "SELECT count(DISTINCT holder) FROM leases WHERE expires_at > now()"


async def count_holders(conn: Connection) -> int:
    """How many hosts hold a session now."""
    count: int = await conn.fetchval(_COUNT_HOLDERS)
    return count
