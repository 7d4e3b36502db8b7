"""Tenants and their data keys."""

from typing import Any

import msgspec

from relay.model.errors import NotFound
from relay.model.ids import TenantId
from relay.model.tenant import Retention, Tenant
from relay.store.master_keys import get_wrapping_key
from relay.store.pool import Connection
from relay.store.session_locks import seize_sessions
from relay.vault import DataKey, Vault


def _tenant(row: Any) -> Tenant:
    return Tenant(
        id=row["id"],
        name=row["name"],
        retention=msgspec.convert(row["retention"], Retention),
        created_at=row["created_at"],
    )


_INSERT = "INSERT INTO tenants (id, name, data_key, retention) VALUES ($1, $2, $3, $4) RETURNING *"


async def insert_tenant(
    conn: Connection, vault: Vault, *, tenant_id: TenantId, name: str, retention: Retention
) -> Tenant:
    async with conn.transaction():
        key_id = await get_wrapping_key(conn, vault)
        data_key = vault.new_data_key(tenant_id, key_id=key_id)
        row = await conn.fetchrow(_INSERT, tenant_id, name, data_key, msgspec.to_builtins(retention))
    return _tenant(row)


_GET = "SELECT * FROM tenants WHERE id = $1"


async def get_tenant(conn: Connection, tenant_id: TenantId) -> Tenant:
    """Raises NotFound."""
    row = await conn.fetchrow(_GET, tenant_id)
    if row is None:
        raise NotFound("There is no such company.")
    return _tenant(row)


_LIST = "SELECT * FROM tenants WHERE id < $1 OR $1 IS NULL ORDER BY id DESC LIMIT $2"


async def list_tenants(conn: Connection, *, before: str | None, limit: int) -> list[Tenant]:
    """Newest first."""
    return [_tenant(row) for row in await conn.fetch(_LIST, before, limit)]


_UPDATE = """
    UPDATE tenants SET name = coalesce($2, name), retention = coalesce($3, retention) WHERE id = $1 RETURNING *
"""


async def update_tenant(
    conn: Connection, tenant_id: TenantId, *, name: str | None, retention: Retention | None
) -> Tenant:
    """Raises NotFound."""
    settings = None if retention is None else msgspec.to_builtins(retention)
    row = await conn.fetchrow(_UPDATE, tenant_id, name, settings)
    if row is None:
        raise NotFound("There is no such company.")
    return _tenant(row)


_MEDIA = "SELECT id FROM media WHERE tenant_id = $1"
# What does not hang on the tenant's row, or on its sessions', by a foreign key. The messages come first: whoever is
# changing one of them, and tells of it, has finished then.
_DELETE_LOOSE = (
    "DELETE FROM whatsapp_messages WHERE tenant_id = $1",
    "DELETE FROM leases WHERE resource IN (SELECT id FROM whatsapp_sessions WHERE tenant_id = $1)",
    "DELETE FROM deliveries WHERE tenant_id = $1",
    "DELETE FROM attempts WHERE tenant_id = $1",
    "DELETE FROM events WHERE tenant_id = $1",
)
_DELETE = "DELETE FROM tenants WHERE id = $1 RETURNING id"


async def delete_tenant(conn: Connection, tenant_id: TenantId) -> list[str]:
    """Remove everything of it, its data key and its sessions' keys among it.

    Answers the ids of its media, whose files are the caller's to remove. Raises NotFound. Needs a transaction; ring
    `keys` and `sessions` after it.
    """
    await seize_sessions(conn, tenant_id)
    media = [row["id"] for row in await conn.fetch(_MEDIA, tenant_id)]
    for sql in _DELETE_LOOSE:
        await conn.execute(sql, tenant_id)
    if await conn.fetchval(_DELETE, tenant_id) is None:
        raise NotFound("There is no such company.")
    return media


_COUNT = "SELECT count(*) FROM tenants"


async def count_tenants(conn: Connection) -> int:
    count: int = await conn.fetchval(_COUNT)
    return count


_DATA_KEY = "SELECT data_key FROM tenants WHERE id = $1"


async def get_data_key(conn: Connection, vault: Vault, tenant_id: TenantId) -> DataKey:
    """What seals and opens the tenant's secrets. Raises NotFound."""
    wrapped = await conn.fetchval(_DATA_KEY, tenant_id)
    if wrapped is None:
        raise NotFound("There is no such company.")
    return vault.unwrap(wrapped, tenant_id)


_RAISE_RULES_VERSION = "UPDATE tenants SET rules_version = rules_version + 1 WHERE id = $1"


async def raise_rules_version(conn: Connection, tenant_id: TenantId) -> None:
    """Say that the tenant's rules or agents have changed; in the transaction that changes them. Raises NotFound."""
    if await conn.execute(_RAISE_RULES_VERSION, tenant_id) == "UPDATE 0":
        raise NotFound("There is no such company.")


_RULES_VERSION = "SELECT rules_version FROM tenants WHERE id = $1"


async def get_rules_version(conn: Connection, tenant_id: TenantId) -> int:
    """A number that every change of the tenant's rules or agents raises. Raises NotFound."""
    version: int | None = await conn.fetchval(_RULES_VERSION, tenant_id)
    if version is None:
        raise NotFound("There is no such company.")
    return version
