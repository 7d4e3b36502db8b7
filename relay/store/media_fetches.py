"""Files that are still at WhatsApp: owed by the message that names them, fetched by whoever holds its session.

    insert ──► due ──claim──► being fetched ──► stored: the row goes, `media` has one
                ▲                  │   └──────► failed: the row stays, with its error and without its key
                └──── put off ◄────┘

A claim is a token, and moves `due_at` to its end. Of a session's files one is claimed at a time, new ones first.
"""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from msgspec import Struct

from relay.model.ids import MediaId, MessageId, SessionId, TenantId
from relay.store.pool import Connection


def identity_of(media_id: str) -> str:
    """What the sealed reference of a file is bound to."""
    return f"media/{media_id}/reference"


class NewFetch(Struct, frozen=True, kw_only=True):
    """A file that a message has promised."""

    media_id: MediaId
    tenant_id: TenantId
    session_id: SessionId
    message_id: MessageId
    kind: str
    reference: bytes
    history: bool


_INSERT = """
    INSERT INTO media_fetches (media_id, tenant_id, session_id, message_id, kind, reference, history)
    SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::bytea[], $7::bool[])
"""


async def insert_fetches(conn: Connection, fetches: Sequence[NewFetch]) -> None:
    """Ring `media` after the commit."""
    if fetches:
        columns = [[getattr(one, name) for one in fetches] for name in NewFetch.__struct_fields__]
        await conn.execute(_INSERT, *columns)


class Fetch(Struct, frozen=True, kw_only=True):
    """A file that is ours to fetch, until the claim ends."""

    media_id: MediaId
    tenant_id: TenantId
    session_id: SessionId
    message_id: MessageId
    kind: str
    reference: bytes
    attempts: int
    """This one included."""


_CLAIM = """
    WITH head AS MATERIALIZED (
        SELECT h.media_id, lane.term FROM unnest($1::text[], $2::bigint[]) AS lane (session_id, term)
        CROSS JOIN LATERAL (
            SELECT media_id, history, due_at FROM media_fetches
            WHERE session_id = lane.session_id AND error IS NULL AND due_at <= now()
            ORDER BY history, due_at LIMIT 1 FOR UPDATE SKIP LOCKED) h
        ORDER BY h.history, h.due_at LIMIT $3
    )
    UPDATE media_fetches f
    SET due_at = now() + $4, claim = $5, attempts = attempts + 1,
        term = (SELECT term FROM head WHERE head.media_id = f.media_id)
    WHERE media_id = ANY (ARRAY (SELECT media_id FROM head))
    RETURNING media_id, tenant_id, session_id, message_id, kind, reference, attempts
"""


async def claim_fetches(
    conn: Connection, terms: Mapping[SessionId, int], *, limit: int, claim: str, lasts: timedelta
) -> list[Fetch]:
    """Take up to `limit` files that are due, one of each session of `terms` (its lease's term)."""
    rows = await conn.fetch(_CLAIM, list(terms), list(terms.values()), limit, lasts, claim)
    return [Fetch(**row) for row in rows]


_RECLAIM = """
    UPDATE media_fetches f SET due_at = now(), claim = NULL, term = NULL
    FROM unnest($1::text[], $2::bigint[]) AS held (session_id, term)
    WHERE f.session_id = held.session_id AND f.error IS NULL AND f.term < held.term
"""


async def release_older(conn: Connection, terms: Mapping[SessionId, int]) -> None:
    """What earlier holders of these sessions had claimed is due again."""
    await conn.execute(_RECLAIM, list(terms), list(terms.values()))


_POSTPONE = """
    UPDATE media_fetches SET due_at = now() + $3, claim = NULL, term = NULL WHERE media_id = $1 AND claim = $2
"""


async def postpone(conn: Connection, media_id: MediaId, *, claim: str, wait: timedelta) -> None:
    await conn.execute(_POSTPONE, media_id, claim, wait)


# The message comes first, as with whoever removes it: its row of here goes after it.
_LOCK_MESSAGE = "SELECT FROM whatsapp_messages WHERE tenant_id = $1 AND id = $2 FOR NO KEY UPDATE"
_FINISH = "DELETE FROM media_fetches WHERE media_id = $1 AND claim = $2"
_FAIL = """
    UPDATE media_fetches SET error = $3, reference = NULL, claim = NULL, term = NULL
    WHERE media_id = $1 AND claim = $2
"""
_TELL = """
    UPDATE whatsapp_messages SET content = content || $4
    WHERE tenant_id = $1 AND id = $2 AND content ->> 'mediaId' = $3
    RETURNING *
"""


async def finish(conn: Connection, fetch: Fetch, *, claim: str, told: dict[str, Any]) -> Any | None:
    """The file is there: `told` goes into the message's content, whose row is the answer.

    None when it is no longer ours to say, or nobody wants the file any more. Needs a transaction with `lock_sessions`.
    """
    await conn.execute(_LOCK_MESSAGE, fetch.tenant_id, fetch.message_id)
    if await conn.execute(_FINISH, fetch.media_id, claim) != "DELETE 1":
        return None
    return await conn.fetchrow(_TELL, fetch.tenant_id, fetch.message_id, fetch.media_id, told)


async def fail(conn: Connection, fetch: Fetch, *, claim: str, error: str) -> Any | None:
    """Nobody will try again: the message says so; answers its row, None as `finish` does."""
    await conn.execute(_LOCK_MESSAGE, fetch.tenant_id, fetch.message_id)
    if await conn.execute(_FAIL, fetch.media_id, claim, error) != "UPDATE 1":
        return None
    told = {"mediaStatus": "failed", "mediaError": error}
    return await conn.fetchrow(_TELL, fetch.tenant_id, fetch.message_id, fetch.media_id, told)


class Standing(Struct, frozen=True, kw_only=True):
    """How it stands with a file that is not stored."""

    error: str | None
    """Why it never will be; None while it is still tried."""


_FIND = "SELECT error FROM media_fetches WHERE tenant_id = $1 AND media_id = $2"


async def find_standing(conn: Connection, tenant_id: TenantId, media_id: str) -> Standing | None:
    """None for a file that is stored, unknown, or another tenant's."""
    row = await conn.fetchrow(_FIND, tenant_id, media_id)
    return None if row is None else Standing(**row)


_IS_WANTED = """
    SELECT EXISTS (SELECT FROM media_fetches WHERE media_id = $1) OR EXISTS (SELECT FROM media WHERE id = $1)
"""


async def is_wanted(conn: Connection, media_id: MediaId) -> bool:
    """Whether anybody still has, or fetches, this file."""
    wanted: bool = await conn.fetchval(_IS_WANTED, media_id)
    return wanted
