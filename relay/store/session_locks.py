"""Who writes of a session's people, and who removes them: never both at once.

    lock_sessions (shared)  ── whoever stores messages, answers, and events of them
    seize_sessions (alone)  ── whoever removes a contact, a session or a company, or silences a bot

Both come first in their transaction, in the order of the ids, so that nobody waits in a circle. Without them a writer
that read a contact before it was removed would leave a message or an event of it behind.
"""

from collections.abc import Collection

from relay.model.ids import SessionId, TenantId
from relay.store.pool import Connection

_LOCK = "SELECT id, automation FROM whatsapp_sessions WHERE id = ANY ($1) ORDER BY id FOR KEY SHARE"


async def lock_sessions(conn: Connection, sessions: Collection[str]) -> dict[SessionId, bool]:
    """Which of `sessions` are still there, with their automation; nothing of them goes before the commit."""
    return {row["id"]: row["automation"] for row in await conn.fetch(_LOCK, list(set(sessions)))}


_SEIZE = """
    SELECT FROM whatsapp_sessions WHERE tenant_id = $1 AND ($2::text IS NULL OR id = $2) ORDER BY id FOR UPDATE
"""


async def seize_sessions(conn: Connection, tenant_id: TenantId, session_id: SessionId | None = None) -> None:
    """One, or all of the tenant's: those who write of them have finished, and others wait for the commit."""
    await conn.execute(_SEIZE, tenant_id, session_id)
