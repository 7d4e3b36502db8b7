"""Whose a thing is, by its id: for the operator, who may name a session without naming its company."""

from relay.model.ids import TenantId
from relay.store.pool import Connection

_OWNER = "SELECT tenant_id FROM {} WHERE {} = $1 LIMIT 1"

# By the id's prefix. A delivery that has ended lives on in its attempts only, and
# a file that is still to be fetched has no row of its own yet.
_OWNERS: dict[str, tuple[str, ...]] = {
    "ses": (_OWNER.format("whatsapp_sessions", "id"),),
    "ctc": (_OWNER.format("whatsapp_contacts", "id"),),
    "msg": (_OWNER.format("whatsapp_messages", "id"),),
    "med": (_OWNER.format("media", "id"), _OWNER.format("media_fetches", "media_id")),
    "ep": (_OWNER.format("endpoints", "id"),),
    "evt": (_OWNER.format("events", "id"),),
    "dlv": (_OWNER.format("deliveries", "id"), _OWNER.format("attempts", "delivery_id")),
    "agt": (_OWNER.format("agents", "id"),),
    "key": (_OWNER.format("api_keys", "id"),),
}


async def find_owner(conn: Connection, object_id: str) -> TenantId | None:
    """None for an id that is nobody's, or not an id of ours."""
    for sql in _OWNERS.get(object_id.partition("_")[0], ()):
        owner: str | None = await conn.fetchval(sql, object_id)
        if owner is not None:
            return TenantId(owner)
    return None
