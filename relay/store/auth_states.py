"""Sealed auth states: what lets an account resume without its phone."""

from relay.model.ids import SessionId, TenantId
from relay.store.pool import Connection
from relay.vault import DataKey


def _identity(session_id: SessionId) -> str:
    return f"session/{session_id}/auth_state"


_SAVE = """
    INSERT INTO whatsapp_auth_state (session_id, tenant_id, sealed, term)
    SELECT $1, $2, $3, $4 FROM leases WHERE resource = $1 AND term = $4 FOR SHARE
    ON CONFLICT (session_id) DO UPDATE SET sealed = excluded.sealed, term = excluded.term, updated_at = now()
    WHERE whatsapp_auth_state.term <= excluded.term
"""


async def save_auth_state(
    conn: Connection, key: DataKey, *, session_id: SessionId, tenant_id: TenantId, auth: bytes, term: int
) -> bool:
    """Seal and keep `auth`; False when `term` is no longer the session's."""
    sealed = key.seal(auth, identity=_identity(session_id))
    done = await conn.execute(_SAVE, session_id, tenant_id, sealed, term)
    return bool(done == "INSERT 0 1")


_FIND = "SELECT sealed FROM whatsapp_auth_state WHERE tenant_id = $1 AND session_id = $2"


async def find_auth_state(
    conn: Connection, key: DataKey, tenant_id: TenantId, session_id: SessionId
) -> bytes | None:
    """Raises SealBroken."""
    sealed = await conn.fetchval(_FIND, tenant_id, session_id)
    return None if sealed is None else key.open(sealed, identity=_identity(session_id))


_DELETE = """
    DELETE FROM whatsapp_auth_state
    WHERE session_id = $1 AND EXISTS (SELECT FROM leases WHERE resource = $1 AND term = $2)
"""


async def delete_auth_state(conn: Connection, session_id: SessionId, *, term: int) -> None:
    await conn.execute(_DELETE, session_id, term)
