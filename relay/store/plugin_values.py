"""What plugins keep: JSON values under keys, each plugin's for itself and each tenant's apart."""

from typing import Any

from relay.model.ids import TenantId
from relay.plugin.storage import MOST_KEYS, StorageFull, checked_key, checked_value
from relay.store.pool import Connection, Pool

_FIND = """
    SELECT value FROM plugin_values
    WHERE tenant_id = $1 AND plugin = $2 AND key = $3 AND (expires_at IS NULL OR expires_at > now())
"""


async def find_value(conn: Connection, tenant_id: TenantId, plugin: str, key: str, default: Any) -> Any:
    row = await conn.fetchrow(_FIND, tenant_id, plugin, key)
    return default if row is None else row["value"]


_UPDATE = """
    UPDATE plugin_values SET value = $4, contact_id = $5, expires_at = now() + make_interval(secs => $6)
    WHERE tenant_id = $1 AND plugin = $2 AND key = $3 RETURNING true
"""
_DELETE_EXPIRED = """
    DELETE FROM plugin_values WHERE tenant_id = $1 AND plugin = $2 AND expires_at <= now()
"""
_COUNT = "SELECT count(*) FROM plugin_values WHERE tenant_id = $1 AND plugin = $2"
_INSERT = """
    INSERT INTO plugin_values (tenant_id, plugin, key, value, contact_id, expires_at)
    VALUES ($1, $2, $3, $4, $5, now() + make_interval(secs => $6))
    ON CONFLICT (tenant_id, plugin, key) DO UPDATE
       SET value = excluded.value, contact_id = excluded.contact_id, expires_at = excluded.expires_at
"""
_HAS_CONTACT = "SELECT true FROM whatsapp_contacts WHERE tenant_id = $1 AND id = $2 FOR KEY SHARE"


async def put_value(
    conn: Connection,
    tenant_id: TenantId,
    plugin: str,
    key: str,
    value: Any,
    *,
    expires_seconds: float | None,
    contact_id: str | None,
) -> None:
    """Within a transaction. Raises StorageFull, and ValueError where the tenant has no such contact."""
    if contact_id is not None and not await conn.fetchval(_HAS_CONTACT, tenant_id, contact_id):
        raise ValueError("There is no such contact.")
    row = (tenant_id, plugin, key, value, contact_id, expires_seconds)
    if await conn.fetchval(_UPDATE, *row):
        return
    if await conn.fetchval(_COUNT, tenant_id, plugin) >= MOST_KEYS:
        await conn.execute(_DELETE_EXPIRED, tenant_id, plugin)
        if await conn.fetchval(_COUNT, tenant_id, plugin) >= MOST_KEYS:
            raise StorageFull
    await conn.execute(_INSERT, *row)


_DELETE = """
    DELETE FROM plugin_values WHERE tenant_id = $1 AND plugin = $2 AND key = $3
    RETURNING expires_at IS NULL OR expires_at > now()
"""


async def delete_value(conn: Connection, tenant_id: TenantId, plugin: str, key: str) -> bool:
    """Whether there was one."""
    return bool(await conn.fetchval(_DELETE, tenant_id, plugin, key))


_LIST = """
    SELECT key, value FROM plugin_values
    WHERE tenant_id = $1 AND plugin = $2 AND starts_with(key, $3) AND key >= $3
      AND (expires_at IS NULL OR expires_at > now())
    ORDER BY key LIMIT $4
"""


async def list_values(
    conn: Connection, tenant_id: TenantId, plugin: str, *, prefix: str, limit: int
) -> dict[str, Any]:
    rows = await conn.fetch(_LIST, tenant_id, plugin, prefix, limit)
    return {row["key"]: row["value"] for row in rows}


_SWEEP = """
    DELETE FROM plugin_values WHERE ctid = ANY (ARRAY (
        SELECT ctid FROM plugin_values WHERE expires_at <= now() ORDER BY expires_at LIMIT $1))
"""


async def delete_expired(conn: Connection, *, limit: int) -> int:
    """Of all tenants; answers how many."""
    return int((await conn.execute(_SWEEP, limit)).rpartition(" ")[2])


class StoredValues:
    """`relay.plugin.Storage` in Postgres: what one plugin keeps for one tenant."""

    def __init__(self, pool: Pool, tenant_id: str, plugin: str) -> None:
        self._pool = pool
        self._tenant_id = TenantId(tenant_id)
        self._plugin = plugin

    async def get(self, key: str, default: Any = None) -> Any:
        async with self._pool.acquire() as conn:
            return await find_value(conn, self._tenant_id, self._plugin, checked_key(key), default)

    async def set(
        self,
        key: str,
        value: Any,
        *,
        expires_seconds: float | None = None,
        contact_id: str | None = None,
    ) -> None:
        value = checked_value(value)
        async with self._pool.acquire() as conn, conn.transaction():
            await put_value(
                conn,
                self._tenant_id,
                self._plugin,
                checked_key(key),
                value,
                expires_seconds=expires_seconds,
                contact_id=contact_id or None,
            )

    async def delete(self, key: str) -> bool:
        async with self._pool.acquire() as conn:
            return await delete_value(conn, self._tenant_id, self._plugin, checked_key(key))

    async def list(self, prefix: str = "", *, limit: int = 1000) -> dict[str, Any]:
        async with self._pool.acquire() as conn:
            return await list_values(
                conn, self._tenant_id, self._plugin, prefix=prefix, limit=min(limit, MOST_KEYS)
            )
