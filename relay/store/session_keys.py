"""A session's own key: made with its first auth state, gone with its device or its row.

    master key ─wraps─► (tenant's data key ─seals─► the session's key) ─seals─► whatsapp_auth_state

It takes both to open it: another tenant's data key does not, and after a rotation no backup of before can be
opened with the key file of now.
"""

from relay.model.ids import SessionId, TenantId
from relay.store.master_keys import get_wrapping_key
from relay.store.pool import Connection
from relay.store.tenants import get_data_key
from relay.vault import DataKey, Vault, fresh_key


def _identity(session_id: SessionId) -> str:
    return f"session/{session_id}/key"


_FIND = "SELECT wrapped FROM whatsapp_session_keys WHERE tenant_id = $1 AND session_id = $2"


async def find_session_key(
    conn: Connection, vault: Vault, tenant_id: TenantId, session_id: SessionId
) -> DataKey | None:
    """Raises SealBroken."""
    wrapped = await conn.fetchval(_FIND, tenant_id, session_id)
    if wrapped is None:
        return None
    identity = _identity(session_id)
    data_key = await get_data_key(conn, vault, tenant_id)
    return DataKey(data_key.open(vault.unwrap_bytes(wrapped, identity=identity), identity=identity))


_INSERT = "INSERT INTO whatsapp_session_keys (session_id, tenant_id, wrapped) VALUES ($1, $2, $3)"


async def insert_session_key(
    conn: Connection, vault: Vault, tenant_id: TenantId, session_id: SessionId
) -> DataKey:
    """A fresh one. Needs a transaction, in which the session's lease is held."""
    key, identity = fresh_key(), _identity(session_id)
    data_key = await get_data_key(conn, vault, tenant_id)
    wrapped = vault.wrap(
        data_key.seal(key, identity=identity),
        identity=identity,
        key_id=await get_wrapping_key(conn, vault),
    )
    await conn.execute(_INSERT, session_id, tenant_id, wrapped)
    return DataKey(key)


_DELETE = "DELETE FROM whatsapp_session_keys WHERE session_id = $1"


async def delete_session_key(conn: Connection, session_id: SessionId) -> None:
    """What it has sealed is lost with it. Needs a transaction, in which the session's lease is held."""
    await conn.execute(_DELETE, session_id)
