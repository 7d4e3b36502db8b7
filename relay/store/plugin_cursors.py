"""How far each plugin has been told of a tenant's events: claimed under a lease, moved on under the claim."""

from collections.abc import Collection

from msgspec import Struct

from relay.model.ids import TenantId
from relay.store.events import Position
from relay.store.pool import Connection


class Cursor(Struct, frozen=True, kw_only=True):
    tenant_id: TenantId
    position: Position


# A tenant that is new is told of from its beginning; one that was there before, from now on.
_INSERT_MISSING = """
    INSERT INTO plugin_cursors (tenant_id, plugin, xid)
    SELECT t.id, $1, CASE WHEN t.created_at > now() - interval '1 hour' THEN '0'::xid8
                          ELSE pg_snapshot_xmin(pg_current_snapshot()) END
    FROM tenants t
    WHERE ($2::text[] IS NULL OR t.id = ANY ($2))
      AND NOT EXISTS (SELECT FROM plugin_cursors c WHERE c.tenant_id = t.id AND c.plugin = $1)
    ON CONFLICT DO NOTHING
"""


async def insert_missing(conn: Connection, plugin: str, tenants: Collection[str] | None) -> None:
    """A cursor for each of `tenants` (None: all) that has none yet."""
    await conn.execute(_INSERT_MISSING, plugin, None if tenants is None else list(tenants))


_CLAIM = """
    WITH due AS (
        SELECT c.tenant_id FROM plugin_cursors c
        WHERE c.plugin = $1 AND c.due_at <= now() AND ($2::text[] IS NULL OR c.tenant_id = ANY ($2))
          AND EXISTS (SELECT FROM events e WHERE e.tenant_id = c.tenant_id AND (e.xid, e.id) > (c.xid, c.event_id)
                         AND e.xid < pg_snapshot_xmin(pg_current_snapshot()))
        ORDER BY c.due_at LIMIT $3 FOR UPDATE SKIP LOCKED
    )
    UPDATE plugin_cursors c SET claim = $4, due_at = now() + make_interval(secs => $5)
    FROM due WHERE c.plugin = $1 AND c.tenant_id = due.tenant_id
    RETURNING c.tenant_id, c.xid::text AS xid, c.event_id
"""


async def claim_cursors(
    conn: Connection,
    plugin: str,
    tenants: Collection[str] | None,
    *,
    claim: str,
    limit: int,
    lease_seconds: float,
) -> list[Cursor]:
    """Those with events behind them that the plugin has not been told of."""
    allowed = None if tenants is None else list(tenants)
    rows = await conn.fetch(_CLAIM, plugin, allowed, limit, claim, lease_seconds)
    return [
        Cursor(tenant_id=row["tenant_id"], position=Position(xid=row["xid"], id=row["event_id"]))
        for row in rows
    ]


_MOVE = """
    UPDATE plugin_cursors SET xid = $4::text::xid8, event_id = $5, claim = NULL,
           due_at = now() + make_interval(secs => $6)
    WHERE tenant_id = $1 AND plugin = $2 AND claim = $3 RETURNING true
"""


async def move_cursor(
    conn: Connection,
    tenant_id: TenantId,
    plugin: str,
    position: Position,
    *,
    claim: str,
    rest_seconds: float,
) -> bool:
    """Give a claimed cursor back, at `position`, not to be looked at for so long; False where it is another's by now."""
    return bool(await conn.fetchval(_MOVE, tenant_id, plugin, claim, position.xid, position.id, rest_seconds))
