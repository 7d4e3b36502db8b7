"""Contacts: somebody a session has met, by phone number, by LID, or by both, and always one row.

A contact first known by one name and later by the other stays one: `resolve` fills in what it learns, and merges
two rows that turn out to be the same person (the older id stays). Its chat stays one too: what went by the LID goes by
the number once that is known.
"""

from collections.abc import Collection
from datetime import datetime
from typing import Any

import msgspec

from relay.model.errors import NotFound
from relay.model.ids import ContactId, SessionId, TenantId, new_contact_id
from relay.store.chat_names import rename_lid
from relay.store.pool import Connection


class Meeting(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody as one message names them."""

    session_id: SessionId
    tenant_id: TenantId
    pn: str | None
    lid: str | None
    name: str | None = None


class Contact(msgspec.Struct, frozen=True, kw_only=True):
    id: ContactId
    tenant_id: TenantId
    session_id: SessionId
    pn: str | None
    lid: str | None
    name: str | None
    first_seen_at: datetime
    tags: list[str]
    vars: dict[str, Any]
    """{name: {value, expires_at}}, what has expired among them."""
    ignored: bool
    """By bots."""


Known = dict[tuple[SessionId, str], ContactId]
"""A contact's id by (session, pn) and by (session, lid)."""

_FIND_MANY = """
    SELECT DISTINCT c.* FROM unnest($1::text[], $2::text[], $3::text[]) AS m (session_id, pn, lid)
    JOIN whatsapp_contacts c ON c.session_id = m.session_id AND (c.pn = m.pn OR c.lid = m.lid)
    ORDER BY c.id
"""


async def resolve(conn: Connection, meetings: Collection[Meeting]) -> Known:
    """Find or make everybody met, within the caller's transaction."""
    people = _join(meetings)
    if not people:
        return {}
    found = await _find(conn, people)
    missing = [person for person in people if not _complete(found, person)]
    if missing:
        for person in missing:
            await _learn(conn, person)
        found = await _find(conn, people)
    return {key: row["id"] for key, row in found.items()}


def _join(meetings: Collection[Meeting]) -> list[Meeting]:
    """Each person once, with the last name given."""
    people: dict[tuple[str, str | None, str | None], Meeting] = {}
    for meeting in meetings:
        key = (meeting.session_id, meeting.pn, meeting.lid)
        if key not in people or meeting.name:
            people[key] = meeting
    # In one order everywhere, so that two transactions never wait for each other.
    return [people[key] for key in sorted(people, key=str)]


async def _find(conn: Connection, people: list[Meeting]) -> dict[tuple[SessionId, str], Any]:
    rows = await conn.fetch(
        _FIND_MANY, [p.session_id for p in people], [p.pn for p in people], [p.lid for p in people]
    )
    found: dict[tuple[SessionId, str], Any] = {}
    for row in rows:
        for name in (row["pn"], row["lid"]):
            if name:
                found[row["session_id"], name] = row
    return found


def _complete(found: dict[tuple[SessionId, str], Any], person: Meeting) -> bool:
    """Whether one row knows all that the message says."""
    rows = [found.get((person.session_id, name)) for name in (person.pn, person.lid) if name]
    if not rows or any(row is None for row in rows):
        return False
    first: Any = rows[0]
    return all(row == first for row in rows) and (person.name is None or first["name"] == person.name)


_LOCK_ONE = """
    SELECT id, pn, lid FROM whatsapp_contacts WHERE session_id = $1 AND (pn = $2 OR lid = $3) ORDER BY id FOR UPDATE
"""
_INSERT = """
    INSERT INTO whatsapp_contacts (id, tenant_id, session_id, pn, lid, name) VALUES ($1, $2, $3, $4, $5, $6)
    ON CONFLICT DO NOTHING
"""
_FILL_IN = """
    UPDATE whatsapp_contacts SET pn = coalesce(pn, $2), lid = coalesce(lid, $3), name = coalesce($4, name)
    WHERE id = $1
"""
# A tag, a variable or an opt-out that was given to either of the two is the person's; the survivor's own counts more.
_MERGE_KNOWN = """
    WITH gone AS (DELETE FROM bot_contacts WHERE session_id = $2 AND contact_id = ANY ($3) RETURNING *)
    INSERT INTO bot_contacts AS k (contact_id, session_id, tenant_id, ignored, tags, vars, flows, fired)
    SELECT $1, session_id, tenant_id, ignored, tags, vars, flows, fired FROM gone
    ON CONFLICT (contact_id) DO UPDATE
       SET ignored = k.ignored OR excluded.ignored, vars = excluded.vars || k.vars,
           tags = ARRAY (SELECT DISTINCT unnest(k.tags || excluded.tags) AS tag ORDER BY tag),
           flows = excluded.flows || k.flows, fired = excluded.fired || k.fired
"""
_MERGE = (
    _MERGE_KNOWN,
    "UPDATE agent_turns SET contact_id = $1 WHERE session_id = $2 AND contact_id = ANY ($3)",
    """
    UPDATE shadow_decisions SET contact_id = $1
    WHERE tenant_id = (SELECT tenant_id FROM whatsapp_sessions WHERE id = $2) AND contact_id = ANY ($3)
    """,
    """
    UPDATE plugin_values SET contact_id = $1
    WHERE tenant_id = (SELECT tenant_id FROM whatsapp_sessions WHERE id = $2) AND contact_id = ANY ($3)
    """,
    "UPDATE whatsapp_messages SET contact_id = $1 WHERE session_id = $2 AND contact_id = ANY ($3)",
    "UPDATE whatsapp_chats SET contact_id = $1 WHERE session_id = $2 AND contact_id = ANY ($3)",
    "DELETE FROM whatsapp_contacts WHERE $1 <> id AND session_id = $2 AND id = ANY ($3)",
)


async def _learn(conn: Connection, person: Meeting) -> None:
    rows = await conn.fetch(_LOCK_ONE, person.session_id, person.pn, person.lid)
    if rows:
        first, *others = [row["id"] for row in rows]
        if others:
            for sql in _MERGE:
                await conn.execute(sql, first, person.session_id, others)
        await conn.execute(_FILL_IN, first, person.pn, person.lid, person.name)
    else:
        await conn.execute(
            _INSERT, new_contact_id(), person.tenant_id, person.session_id, person.pn, person.lid, person.name
        )
    if person.pn and person.lid and (person.pn, person.lid) not in {(row["pn"], row["lid"]) for row in rows}:
        await rename_lid(conn, person.session_id, lid=person.lid, pn=person.pn)


_NUMBERS = """
    SELECT c.session_id, c.lid, c.pn FROM unnest($1::text[], $2::text[]) AS m (session_id, lid)
    JOIN whatsapp_contacts c ON c.session_id = m.session_id AND c.lid = m.lid WHERE c.pn IS NOT NULL
"""


async def list_numbers(
    conn: Connection, lids: Collection[tuple[SessionId, str]]
) -> dict[tuple[SessionId, str], str]:
    """The numbers of those of (session, LID) whose number is known."""
    rows = await conn.fetch(_NUMBERS, [session for session, _ in lids], [lid for _, lid in lids])
    return {(row["session_id"], row["lid"]): row["pn"] for row in rows}


def _contact(row: Any) -> Contact:
    return Contact(**{field: row[field] for field in Contact.__struct_fields__})


_VIEW = """
    SELECT c.*, coalesce(k.tags, '{}') AS tags, coalesce(k.vars, '{}') AS vars, coalesce(k.ignored, false) AS ignored
    FROM whatsapp_contacts c LEFT JOIN bot_contacts k ON k.contact_id = c.id
"""
_LIST = f"""
    {_VIEW}
    WHERE c.tenant_id = $1 AND ($2::text IS NULL OR c.session_id = $2) AND ($3::text IS NULL OR c.id < $3)
      AND ($4::text IS NULL OR pn = $4 OR lid = $4 OR strpos(lower(name), lower($4)) > 0)
      AND ($5::text IS NULL OR $5 = ANY (k.tags))
    ORDER BY c.id DESC LIMIT $6
"""


async def list_contacts(
    conn: Connection,
    tenant_id: TenantId,
    *,
    session_id: str | None,
    search: str | None,
    tag: str | None,
    before: str | None,
    limit: int,
) -> list[Contact]:
    """Newest first; `search` is a number, a LID or a part of the name."""
    rows = await conn.fetch(_LIST, tenant_id, session_id, before, search, tag, limit)
    return [_contact(row) for row in rows]


_GET = f"{_VIEW} WHERE c.tenant_id = $1 AND c.id = $2"


async def get_contact(conn: Connection, tenant_id: TenantId, contact_id: str) -> Contact:
    """Raises NotFound."""
    row = await conn.fetchrow(_GET, tenant_id, contact_id)
    if row is None:
        raise NotFound("There is no such contact.")
    return _contact(row)
