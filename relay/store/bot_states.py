"""What bots remember of chats and contacts, written as what changed: whoever changes something else meanwhile is not
undone.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from msgspec import Struct, field

from relay.model.ids import ContactId, SessionId, TenantId
from relay.store.pool import Connection


class ChatSaid(Struct, frozen=True, kw_only=True):
    tenant_id: TenantId
    session_id: SessionId
    chat: str
    said: list[Any]
    """[[unix time, digest, unix time when it goes out], …]"""


_ADD_SAID = """
    INSERT INTO bot_chats AS b (tenant_id, session_id, chat, said)
    SELECT tenant_id, session_id, chat, said -> 'all'
    FROM unnest($1::text[], $2::text[], $3::text[], $4::jsonb[]) AS g (tenant_id, session_id, chat, said)
    ON CONFLICT (session_id, chat) DO UPDATE SET said = excluded.said || coalesce((
        SELECT jsonb_agg(one ORDER BY n) FROM jsonb_array_elements(b.said) WITH ORDINALITY AS old (one, n)
        WHERE (one ->> 0)::float8 > (excluded.said -> 0 ->> 0)::float8 - 3600 AND n <= 200), '[]')
"""


async def add_said(conn: Connection, chats: Sequence[ChatSaid]) -> None:
    """Remember what was said, for an hour, newest first; one entry for each chat."""
    if chats:
        ordered = sorted(chats, key=lambda one: (one.session_id, one.chat))
        names = ("tenant_id", "session_id", "chat")
        columns = [[getattr(one, name) for one in ordered] for name in names]
        # A list in an array would be taken for one more dimension of it.
        await conn.execute(_ADD_SAID, *columns, [{"all": one.said} for one in ordered])


_LOCK_CHAT = """
    INSERT INTO bot_chats AS b (tenant_id, session_id, chat)
    SELECT tenant_id, id, $3 FROM whatsapp_sessions WHERE tenant_id = $1 AND id = $2
    ON CONFLICT (session_id, chat) DO UPDATE SET tenant_id = b.tenant_id RETURNING paused_until
"""


class Standing(Struct, frozen=True, kw_only=True):
    paused_until: datetime | None


async def lock_chat(
    conn: Connection, tenant_id: TenantId, session_id: SessionId, chat: str
) -> Standing | None:
    """How the bot stands in the chat, until the transaction ends; None where the session is gone."""
    row = await conn.fetchrow(_LOCK_CHAT, tenant_id, session_id, chat)
    return None if row is None else Standing(paused_until=row["paused_until"])


_MAY_SPEAK = """
    SELECT s.automation AND NOT coalesce(k.ignored, false)
    FROM whatsapp_sessions s LEFT JOIN bot_contacts k ON k.tenant_id = $1 AND k.contact_id = $3
    WHERE s.tenant_id = $1 AND s.id = $2
"""


async def may_speak(
    conn: Connection, tenant_id: TenantId, session_id: SessionId, contact_id: ContactId | None
) -> bool:
    """The session's bot is on, and the contact is not ignored; a pause of the chat is `lock_chat`'s to tell."""
    return bool(await conn.fetchval(_MAY_SPEAK, tenant_id, session_id, contact_id))


class ContactChange(Struct, frozen=True, kw_only=True):
    """What is to be different about a contact."""

    contact_id: ContactId
    session_id: SessionId
    tenant_id: TenantId
    chat: str
    set: Mapping[str, Any] = field(default_factory=dict)
    """{name: {value, expires_at}}"""
    unset: Sequence[str] = ()
    tag: Sequence[str] = ()
    untag: Sequence[str] = ()
    flow: Mapping[str, Any] | None = None
    """The flow of `chat`."""
    end_flow: bool = False
    fired: Mapping[str, Any] = field(default_factory=dict)
    """{"set/rule": [fired, remembered until]}, in unix time."""
    forget: Sequence[str] = ()
    """Of `fired`."""


_ENSURE = """
    INSERT INTO bot_contacts (contact_id, session_id, tenant_id)
    SELECT c.id, c.session_id, c.tenant_id FROM whatsapp_contacts c WHERE c.id = ANY ($1) ORDER BY c.id
    ON CONFLICT DO NOTHING
"""
_CHANGE = """
    UPDATE bot_contacts k SET
        vars = (k.vars - d.unset) || d.set,
        tags = ARRAY (SELECT tag FROM unnest(k.tags || d.tag) AS tag GROUP BY tag HAVING tag <> ALL (d.untag)
                      ORDER BY tag LIMIT 100),
        flows = CASE WHEN d.flow IS NOT NULL THEN k.flows || jsonb_build_object(d.chat, d.flow)
                     WHEN d.end_flow THEN k.flows - d.chat ELSE k.flows END,
        fired = (k.fired - d.forget) || d.fired
    FROM (
        SELECT g.id, g.chat, g.body -> 'set' AS set, g.body -> 'fired' AS fired, nullif(g.body -> 'flow', 'null') AS flow,
               (g.body ->> 'end_flow')::bool AS end_flow,
               ARRAY (SELECT jsonb_array_elements_text(g.body -> 'unset')) AS unset,
               ARRAY (SELECT jsonb_array_elements_text(g.body -> 'tag')) AS tag,
               ARRAY (SELECT jsonb_array_elements_text(g.body -> 'untag')) AS untag,
               ARRAY (SELECT jsonb_array_elements_text(g.body -> 'forget')) AS forget
        FROM unnest($1::text[], $2::text[], $3::jsonb[]) AS g (id, chat, body)
    ) d
    WHERE k.contact_id = d.id
"""
_BODY = ("set", "fired", "flow", "end_flow", "unset", "tag", "untag", "forget")


async def change_contacts(conn: Connection, changes: Sequence[ContactChange]) -> None:
    """Several of one contact, in different chats, are done one after the other."""
    left = sorted(changes, key=lambda change: change.contact_id)
    while left:
        # The first of each contact: of several, a statement would do but one.
        firsts = {change.contact_id: change for change in reversed(left)}
        await _change(conn, [firsts[name] for name in sorted(firsts)])
        left = [change for change in left if firsts[change.contact_id] is not change]


async def _change(conn: Connection, changes: Sequence[ContactChange]) -> None:
    names = [change.contact_id for change in changes]
    await conn.execute(_ENSURE, names)
    bodies = [{name: getattr(change, name) for name in _BODY} for change in changes]
    await conn.execute(_CHANGE, names, [change.chat for change in changes], bodies)


# In a private chat only the other side is in a flow, and its row is found at once; in a group anybody may be.
_END_FLOWS = """
    WITH theirs AS (
        SELECT contact_id FROM whatsapp_chats WHERE tenant_id = $1 AND session_id = $2 AND jid = $3
        UNION ALL
        SELECT contact_id FROM bot_contacts
        WHERE $3::text LIKE '%@g.us' AND tenant_id = $1 AND session_id = $2 AND flows ? $3
    ), held AS (
        SELECT contact_id FROM bot_contacts
        WHERE contact_id IN (SELECT contact_id FROM theirs) AND tenant_id = $1 AND flows ? $3
        ORDER BY contact_id FOR UPDATE
    )
    UPDATE bot_contacts k SET flows = k.flows - $3::text FROM held WHERE k.contact_id = held.contact_id
"""


async def end_flows(conn: Connection, tenant_id: TenantId, session_id: SessionId, chat: str) -> None:
    """The chat is paused: nobody in it is asked on. After bot_chats and agent_turns, before messages."""
    await conn.execute(_END_FLOWS, tenant_id, session_id, chat)
