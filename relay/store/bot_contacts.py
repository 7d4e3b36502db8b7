"""What bots know of a contact, as the API sets it; `bot_states.py` writes what bots themselves learn."""

from typing import Any

from msgspec import Struct

from relay.model.ids import ContactId, TenantId
from relay.store.pool import Connection


class BotContact(Struct, frozen=True, kw_only=True):
    tags: list[str]
    vars: dict[str, Any]
    """{name: {value, expires_at}}, what has expired among them."""
    ignored: bool


_LOCK = """
    INSERT INTO bot_contacts AS k (contact_id, session_id, tenant_id)
    SELECT id, session_id, tenant_id FROM whatsapp_contacts WHERE tenant_id = $1 AND id = $2
    ON CONFLICT (contact_id) DO UPDATE SET ignored = k.ignored
    RETURNING tags, vars, ignored
"""


async def lock_contact(conn: Connection, tenant_id: TenantId, contact_id: ContactId) -> BotContact:
    """What is known, which nobody else changes until the transaction ends; the contact must exist."""
    [row] = await conn.fetch(_LOCK, tenant_id, contact_id)
    return BotContact(**row)


_UPDATE = (
    "UPDATE bot_contacts SET tags = $3, vars = $4, ignored = $5 WHERE tenant_id = $1 AND contact_id = $2"
)


async def update_contact(
    conn: Connection, tenant_id: TenantId, contact_id: ContactId, known: BotContact
) -> None:
    """Under `lock_contact`."""
    await conn.execute(_UPDATE, tenant_id, contact_id, known.tags, known.vars, known.ignored)
