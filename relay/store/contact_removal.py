"""A contact's removal: everything of somebody goes, and nobody who was just writing of them leaves anything behind.

    hide_contact (short, the session seized)  ──commit──►  delete_contact (in its own time) ──commit──► gone

Hidden, a contact has no name: whoever writes anew is somebody new, and what is about to be said or asked is dropped.
After it only the messages that are there can still change, and they go before the events that tell of it. What a crash
leaves hidden the janitor removes.
"""

from datetime import datetime

import msgspec

from relay.model.ids import ContactId, SessionId, TenantId
from relay.store import facts, outbox
from relay.store.contacts import get_contact
from relay.store.pool import Connection
from relay.store.session_locks import seize_sessions

_CHATS = """
    SELECT jid FROM whatsapp_chats WHERE tenant_id = $1 AND session_id = $2 AND contact_id = $3
    UNION SELECT pn || '@s.whatsapp.net' FROM whatsapp_contacts WHERE tenant_id = $1 AND id = $3 AND pn IS NOT NULL
    UNION SELECT lid || '@lid' FROM whatsapp_contacts WHERE tenant_id = $1 AND id = $3 AND lid IS NOT NULL
"""
# In groups they have questions of their own. What is still to be sent, or could not be, knows no contact yet.
_HIDE = (
    "DELETE FROM bot_chats WHERE tenant_id = $1 AND session_id = $2 AND chat = ANY ($4) AND $3::text IS NOT NULL",
    "DELETE FROM agent_turns WHERE tenant_id = $1 AND session_id = $2 AND (contact_id = $3 OR chat = ANY ($4))",
    """
    DELETE FROM reply_tasks t USING whatsapp_messages m
    WHERE t.tenant_id = $1 AND t.session_id = $2 AND m.id = t.message_id
      AND (m.contact_id = $3 OR m.chat = ANY ($4))
    """,
    """
    UPDATE whatsapp_messages SET contact_id = $3
    WHERE tenant_id = $1 AND session_id = $2 AND chat = ANY ($4) AND contact_id IS NULL
    """,
    """
    UPDATE whatsapp_contacts SET pn = NULL, lid = NULL, name = NULL
    WHERE tenant_id = $1 AND session_id = $2 AND id = $3 AND $4::text[] IS NOT NULL
    """,
)


class Hidden(msgspec.Struct, frozen=True, kw_only=True):
    """A contact that nobody can find any more."""

    id: ContactId
    tenant_id: TenantId
    session_id: SessionId
    chats: list[str]
    """The JIDs that were its own."""


async def hide_contact(conn: Connection, tenant_id: TenantId, contact_id: str) -> Hidden:
    """The first step of a removal, a transaction of its own, and short: those who write of the session wait for it.

    Nobody is about to write of the contact after it, so that `delete_contact` may take its time. Ring `replies` after
    the commit. It can be done again. Raises NotFound.
    """
    contact = await get_contact(conn, tenant_id, contact_id)
    await seize_sessions(conn, tenant_id, contact.session_id)
    contact = await get_contact(conn, tenant_id, contact_id)
    found = await conn.fetch(_CHATS, tenant_id, contact.session_id, contact.id)
    hidden = Hidden(
        id=contact.id,
        tenant_id=tenant_id,
        session_id=contact.session_id,
        chats=[row["jid"] for row in found],
    )
    for sql in _HIDE:
        await conn.execute(sql, tenant_id, hidden.session_id, hidden.id, hidden.chats)
    return hidden


_LIST_HIDDEN = """
    SELECT tenant_id, id FROM whatsapp_contacts WHERE pn IS NULL AND lid IS NULL ORDER BY id LIMIT 100
"""


async def list_hidden(conn: Connection) -> list[tuple[TenantId, ContactId]]:
    """Whose removal is under way, or was broken off: a hundred of them, of any tenant."""
    return [(row["tenant_id"], row["id"]) for row in await conn.fetch(_LIST_HIDDEN)]


# What plugins and bots know of them goes with their row. Of two who remove them the second finds nothing.
_DELETE_CONTACT = """
    DELETE FROM whatsapp_contacts WHERE tenant_id = $1 AND id = $2 AND pn IS NULL AND lid IS NULL RETURNING id
"""
# Before the events: whoever is changing one of them, and tells of it, has finished then.
_DELETE_MESSAGES = """
    DELETE FROM whatsapp_messages WHERE tenant_id = $1 AND contact_id = $2 RETURNING content ->> 'mediaId' AS media_id
"""
# Files of the contact, and files that only messages with the contact carried.
_DELETE_MEDIA = """
    DELETE FROM media f WHERE f.tenant_id = $1
      AND (f.contact_id = $2 OR f.id = ANY ($3) AND NOT EXISTS (
               SELECT FROM whatsapp_messages m WHERE m.tenant_id = $1 AND m.content ->> 'mediaId' = f.id))
    RETURNING f.id
"""
# Of a message that was never sent, events name the chat and no contact.
_EVENTS = """
    SELECT id FROM events
    WHERE tenant_id = $1 AND (contact_id = $2 OR contact_id IS NULL AND chat = ANY ($3))
"""
_DELETE_OF_EVENTS = (
    "DELETE FROM deliveries WHERE tenant_id = $1 AND event_id = ANY ($2)",
    "DELETE FROM attempts WHERE tenant_id = $1 AND event_id = ANY ($2)",
    "DELETE FROM events WHERE tenant_id = $1 AND id = ANY ($2)",
)
_DELETE_RECEIPTS = "DELETE FROM early_receipts WHERE session_id = $1 AND chat = ANY ($2)"
_DELETE_DECISIONS = """
    DELETE FROM shadow_decisions
    WHERE tenant_id = $1 AND (contact_id = $2 OR session_id = $3 AND chat = ANY ($4))
"""
_DELETE_CHATS = "DELETE FROM whatsapp_chats WHERE tenant_id = $1 AND contact_id = $2"


class Removed(msgspec.Struct, frozen=True, kw_only=True):
    media: list[str]
    """Ids of files that are the caller's to remove."""
    owed: bool
    """Endpoints are to hear of it: ring `deliveries` after the commit, and `events` in any case."""


async def delete_contact(conn: Connection, hidden: Hidden, *, at: datetime) -> Removed | None:
    """Everything of somebody who is hidden, and the event that says so; None when it has been done meanwhile."""
    tenant_id, contact_id, session_id, chats = hidden.tenant_id, hidden.id, hidden.session_id, hidden.chats
    if await conn.fetchval(_DELETE_CONTACT, tenant_id, contact_id) is None:
        return None
    messages = await conn.fetch(_DELETE_MESSAGES, tenant_id, contact_id)
    carried = [row["media_id"] for row in messages if row["media_id"]]
    media = await conn.fetch(_DELETE_MEDIA, tenant_id, contact_id, carried)
    of_them = await conn.fetch(_EVENTS, tenant_id, contact_id, [f"{session_id}:{chat}" for chat in chats])
    for sql in _DELETE_OF_EVENTS:
        await conn.execute(sql, tenant_id, [row["id"] for row in of_them])
    await conn.execute(_DELETE_RECEIPTS, session_id, chats)
    await conn.execute(_DELETE_DECISIONS, tenant_id, contact_id, session_id, chats)
    await conn.execute(_DELETE_CHATS, tenant_id, contact_id)
    told = facts.contact_deleted(at=at, tenant_id=tenant_id, session_id=session_id, contact_id=contact_id)
    owed = await outbox.insert_events(conn, [told])
    return Removed(media=[row["id"] for row in media], owed=owed)
