"""Whose contact somebody is, by phone number or LID: for lists of people that come from WhatsApp, not from rows."""

from collections.abc import Sequence

from relay.model.ids import ContactId, SessionId, TenantId
from relay.store.pool import Connection

_FIND = """
    SELECT id, pn, lid FROM whatsapp_contacts
    WHERE tenant_id = $1 AND session_id = $2 AND (pn = ANY ($3) OR lid = ANY ($4))
"""


async def find_contact_ids(
    conn: Connection,
    tenant_id: TenantId,
    session_id: SessionId,
    *,
    pns: Sequence[str],
    lids: Sequence[str],
) -> dict[str, ContactId]:
    """By phone number and by LID; whom the session has not met is not in it."""
    rows = await conn.fetch(_FIND, tenant_id, session_id, pns, lids)
    return {name: row["id"] for row in rows for name in (row["pn"], row["lid"]) if name is not None}
