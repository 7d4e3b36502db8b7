"""Receipts that came before the send that they are for was settled: kept until it is, a day at most."""

from collections.abc import Sequence
from typing import Any

from relay.store.inbound import Change
from relay.store.pool import Connection

_INSERT = """
    INSERT INTO early_receipts (session_id, chat, wa_id, at, status)
    SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::timestamptz[], $5::text[])
    ON CONFLICT DO NOTHING
"""


async def insert_early(conn: Connection, receipts: Sequence[Change]) -> None:
    if receipts:
        names = ("session_id", "chat", "wa_id", "at", "value")
        await conn.execute(_INSERT, *[[getattr(one, name) for one in receipts] for name in names])


# A settled send is known within moments. Later only whoever starts looks at what a dead process left.
# Sessions come first, as in session_locks.py; one that is just being seized is looked at the next time.
_TAKE = """
    WITH living AS MATERIALIZED (
        SELECT id FROM whatsapp_sessions
        WHERE id IN (SELECT session_id FROM early_receipts WHERE $1 OR stored_at > now() - interval '2 minutes')
        ORDER BY id FOR KEY SHARE SKIP LOCKED
    )
    DELETE FROM early_receipts e
    WHERE (session_id, chat, wa_id, status) IN (
        SELECT e.session_id, e.chat, e.wa_id, e.status FROM living s
        JOIN early_receipts e ON e.session_id = s.id
        JOIN whatsapp_messages m
          ON m.session_id = e.session_id AND m.chat = e.chat AND m.sender = 'me' AND m.wa_id = e.wa_id
        WHERE $1 OR e.stored_at > now() - interval '2 minutes'
        LIMIT 1000 FOR UPDATE OF e SKIP LOCKED)
    RETURNING session_id, chat, wa_id, at, status AS value
"""


async def take_known(conn: Connection, *, all_ages: bool) -> list[Change]:
    """Take those whose message is known by now, of any session; of all ages, or only the latest."""
    rows: list[Any] = await conn.fetch(_TAKE, all_ages)
    return [Change(**row, sender="me") for row in rows]


_DELETE_STALE = "DELETE FROM early_receipts WHERE stored_at < now() - interval '1 day'"


async def delete_stale(conn: Connection) -> None:
    """Drop those whose message nobody knows: it was sent by another device."""
    await conn.execute(_DELETE_STALE)
