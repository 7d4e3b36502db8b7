"""Sealed auth states: what lets an account resume without its phone.

Each is sealed by its session's own key, which goes with it: what lingers of the rows then opens no more. One from
before sessions had keys is sealed by the tenant's data key until it is saved again.
"""

from msgspec import Struct

from relay.model.ids import SessionId, TenantId
from relay.store import leases
from relay.store.pool import Connection
from relay.store.session_keys import delete_session_key, find_session_key, insert_session_key
from relay.store.tenants import get_data_key
from relay.vault import Vault


def _identity(session_id: SessionId) -> str:
    return f"session/{session_id}/auth_state"


_SAVE = """
    INSERT INTO whatsapp_auth_state (session_id, tenant_id, sealed, term) VALUES ($1, $2, $3, $4)
    ON CONFLICT (session_id) DO UPDATE SET sealed = excluded.sealed, term = excluded.term, updated_at = now()
"""


async def save_auth_state(
    conn: Connection, vault: Vault, *, session_id: SessionId, tenant_id: TenantId, auth: bytes, term: int
) -> bool:
    """Seal and keep `auth`; False when `term` is no longer the session's. Needs a transaction. Raises SealBroken."""
    if not await leases.is_held(conn, session_id, term=term):
        return False
    key = await find_session_key(conn, vault, tenant_id, session_id)
    key = key or await insert_session_key(conn, vault, tenant_id, session_id)
    sealed = key.seal(auth, identity=_identity(session_id))
    await conn.execute(_SAVE, session_id, tenant_id, sealed, term)
    return True


class AuthState(Struct, frozen=True, kw_only=True):
    """What an engine needs to resume, and the lease's term under which it was kept."""

    auth: bytes
    term: int


_FIND = "SELECT sealed, term FROM whatsapp_auth_state WHERE tenant_id = $1 AND session_id = $2"


async def find_auth_state(
    conn: Connection, vault: Vault, tenant_id: TenantId, session_id: SessionId
) -> AuthState | None:
    """Raises SealBroken."""
    row = await conn.fetchrow(_FIND, tenant_id, session_id)
    if row is None:
        return None
    key = await find_session_key(conn, vault, tenant_id, session_id)
    key = key or await get_data_key(conn, vault, tenant_id)
    return AuthState(auth=key.open(row["sealed"], identity=_identity(session_id)), term=row["term"])


_DELETE = "DELETE FROM whatsapp_auth_state WHERE session_id = $1"


async def delete_auth_state(conn: Connection, session_id: SessionId, *, term: int) -> None:
    """With the key to it; nothing happens when `term` is no longer the session's. Needs a transaction."""
    if await leases.is_held(conn, session_id, term=term):
        await conn.execute(_DELETE, session_id)
        await delete_session_key(conn, session_id)
