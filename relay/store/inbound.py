"""Writing what arrived: every statement takes a whole batch, and says which of it was new.

Each is harmless when it is done again: a message has its name (session, chat, sender, WhatsApp id), an edit or a
reaction changes only what differs, a receipt only lifts. So a replay of the journal makes no second event.
"""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any, TypeAlias

from msgspec import Struct

from relay.model.ids import MessageId
from relay.store.pool import Connection

Row: TypeAlias = Any
"""A row of `whatsapp_messages`, by column name."""

_COLUMNS = {
    "id": "text",
    "tenant_id": "text",
    "session_id": "text",
    "chat": "text",
    "direction": "text",
    "origin": "text",
    "sender": "text",
    "sender_pn": "text",
    "sender_lid": "text",
    "sender_name": "text",
    "contact_id": "text",
    "type": "text",
    "content": "jsonb",
    "status": "text",
    "wa_id": "text",
    "reply_to": "text",
    "mentions": "jsonb",
    "sent_at": "timestamptz",
}
_NAMES = ", ".join(_COLUMNS)
_MENTIONS = list(_COLUMNS).index("mentions")
_VALUES = ", ".join(
    f"ARRAY (SELECT jsonb_array_elements_text({name} -> 'all'))" if name == "mentions" else name
    for name in _COLUMNS
)
_ARRAYS = ", ".join(f"${n}::{kind}[]" for n, kind in enumerate(_COLUMNS.values(), 1))
_INSERT = f"""
    INSERT INTO whatsapp_messages ({_NAMES})
    SELECT {_VALUES} FROM unnest({_ARRAYS}) AS m ({_NAMES})
    ON CONFLICT (session_id, chat, sender, wa_id) DO NOTHING
    RETURNING id
"""


class NewMessage(Struct, frozen=True, kw_only=True):
    """A row of `whatsapp_messages` that arrived; the fields are its columns, in order."""

    id: MessageId
    tenant_id: str
    session_id: str
    chat: str
    direction: str
    origin: str
    sender: str
    sender_pn: str | None
    sender_lid: str | None
    sender_name: str | None
    contact_id: str | None
    type: str
    content: dict[str, Any]
    status: str
    wa_id: str
    reply_to: str | None = None
    mentions: list[str] = []
    sent_at: datetime


async def insert_messages(conn: Connection, messages: Sequence[NewMessage]) -> set[MessageId]:
    """The ids that were new; a message that is there already, or twice in the batch, is not."""
    if not messages:
        return set()
    return {row["id"] for row in await conn.fetch(_INSERT, *_message_columns(messages))}


def _message_columns(messages: Sequence[NewMessage]) -> list[list[Any]]:
    columns = [[getattr(message, name) for message in messages] for name in _COLUMNS]
    # A list in an array would be taken for one more dimension of it.
    columns[_MENTIONS] = [{"all": message.mentions} for message in messages]
    return columns


PLACEHOLDER = {"undecryptable": True}
"""The content of a message that could not be read yet."""
# What was told for such a message is nothing; whoever replaces it tells of it for the first time.
_REPLACE = f"""
    UPDATE whatsapp_messages m
    SET type = g.type, content = g.content, reply_to = g.reply_to, sender_name = g.sender_name,
        sender_pn = g.sender_pn, sender_lid = g.sender_lid, contact_id = g.contact_id, sent_at = g.sent_at,
        mentions = ARRAY (SELECT jsonb_array_elements_text(g.mentions -> 'all'))
    FROM unnest({_ARRAYS}) AS g ({_NAMES})
    WHERE m.session_id = g.session_id AND m.chat = g.chat AND m.sender = g.sender AND m.wa_id = g.wa_id
      AND m.type = 'unsupported' AND m.content @> '{{"undecryptable": true}}'
    RETURNING m.id, g.id AS given
"""


async def replace_placeholders(
    conn: Connection, messages: Sequence[NewMessage]
) -> dict[MessageId, MessageId]:
    """Fill in what could not be read before; answers the rows' own ids by the ids given."""
    if not messages:
        return {}
    return {row["given"]: row["id"] for row in await conn.fetch(_REPLACE, *_message_columns(messages))}


_MOVE_CHATS = """
    INSERT INTO whatsapp_chats AS c
           (tenant_id, session_id, jid, name, contact_id, last_message_id, last_message_at, last_inbound_at, unread)
    SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::timestamptz[],
                         $8::timestamptz[], $9::int[])
    ON CONFLICT (session_id, jid) DO UPDATE
       SET name = coalesce(excluded.name, c.name), contact_id = coalesce(excluded.contact_id, c.contact_id),
           last_message_id = greatest(excluded.last_message_id, c.last_message_id),
           last_message_at = greatest(excluded.last_message_at, c.last_message_at),
           last_inbound_at = greatest(excluded.last_inbound_at, c.last_inbound_at),
           unread = c.unread + excluded.unread
"""


class ChatMove(Struct, kw_only=True):
    """What a batch did to one chat."""

    tenant_id: str
    session_id: str
    jid: str
    name: str | None
    contact_id: str | None
    last_message_id: str
    last_message_at: datetime
    last_inbound_at: datetime | None
    unread: int
    """Arrived since the owner last answered."""
    answered: bool = False
    """The owner answered: what was unread before is read."""


_READ_CHATS = """
    UPDATE whatsapp_chats c SET unread = 0
    FROM unnest($1::text[], $2::text[]) AS m (session_id, jid) WHERE c.session_id = m.session_id AND c.jid = m.jid
"""


async def move_chats(conn: Connection, moves: Sequence[ChatMove]) -> None:
    """One move for each chat."""
    if moves:
        ordered = sorted(moves, key=lambda move: (move.session_id, move.jid))
        answered = [move for move in ordered if move.answered]
        if answered:
            await conn.execute(_READ_CHATS, [m.session_id for m in answered], [m.jid for m in answered])
        columns = [[getattr(move, name) for move in ordered] for name in ChatMove.__struct_fields__[:-1]]
        await conn.execute(_MOVE_CHATS, *columns)


class Change(Struct, frozen=True, kw_only=True):
    """Something said about an earlier message."""

    session_id: str
    chat: str
    wa_id: str
    sender: str
    at: datetime
    value: str
    """The new text, the emoji, or the status."""


def _columns(changes: Sequence[Change]) -> list[list[Any]]:
    return [[getattr(change, name) for change in changes] for name in Change.__struct_fields__]


_CHANGES = """
    unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::timestamptz[], $6::text[])
        WITH ORDINALITY AS g (session_id, chat, wa_id, sender, at, value, n)
"""
# Only its own sender may change a message.
_EDIT = f"""
    UPDATE whatsapp_messages m
    SET content = m.content || jsonb_build_object(CASE WHEN m.type = 'text' THEN 'text' ELSE 'caption' END, g.value),
        edited_at = g.at
    FROM {_CHANGES}
    WHERE m.session_id = g.session_id AND m.chat = g.chat AND m.sender = g.sender AND m.wa_id = g.wa_id
      AND (m.edited_at IS NULL OR m.edited_at < g.at) AND NOT m.content ? 'undecryptable'
    RETURNING m.*, g.n
"""
_REVOKE = f"""
    UPDATE whatsapp_messages m SET revoked_at = g.at, content = '{{}}'
    FROM {_CHANGES}
    WHERE m.session_id = g.session_id AND m.chat = g.chat AND m.sender = g.sender AND m.wa_id = g.wa_id
      AND m.revoked_at IS NULL
    RETURNING m.*, g.n
"""


async def edit_messages(conn: Connection, edits: Sequence[Change]) -> list[Row]:
    """The rows that changed; `n` is the edit's place, from 1."""
    return await conn.fetch(_EDIT, *_columns(edits)) if edits else []


async def revoke_messages(conn: Connection, revokes: Sequence[Change]) -> list[Row]:
    """The rows that changed, without what they held; `n` is the revoke's place, from 1."""
    return await conn.fetch(_REVOKE, *_columns(revokes)) if revokes else []


# `queued` and `sending` have no WhatsApp id yet, so no receipt finds them.
_RECEIPT = f"""
    UPDATE whatsapp_messages m
    SET status = g.value, error = NULL,
        history = m.history || jsonb_build_array(jsonb_build_object('status', g.value, 'at', g.at))
    FROM {_CHANGES}
    WHERE m.session_id = g.session_id AND m.chat = g.chat AND m.sender = g.sender AND m.wa_id = g.wa_id
      AND m.direction = 'outgoing'
      AND array_position(ARRAY['unknown', 'failed', 'sent', 'delivered', 'read'], m.status)
        < array_position(ARRAY['unknown', 'failed', 'sent', 'delivered', 'read'], g.value)
    RETURNING m.*, g.n
"""
_KNOWN = """
    SELECT g.n FROM unnest($1::text[], $2::text[], $3::text[]) WITH ORDINALITY AS g (session_id, chat, wa_id, n)
    JOIN whatsapp_messages m
      ON m.session_id = g.session_id AND m.chat = g.chat AND m.sender = 'me' AND m.wa_id = g.wa_id
"""


async def lift_messages(
    conn: Connection, receipts: Sequence[Change]
) -> tuple[list[tuple[Row, Change]], list[Change]]:
    """The rows that moved forward, each with its receipt, and the receipts whose message is not known.

    All receipts of one call are of one status, so that no row is lifted twice by it.
    """
    if not receipts:
        return [], []
    moved = await _lift(conn, receipts)
    lifted = {id(receipt) for _row, receipt in moved}
    still = [receipt for receipt in receipts if id(receipt) not in lifted]
    if not still:
        return moved, []
    rows = await conn.fetch(
        _KNOWN, [r.session_id for r in still], [r.chat for r in still], [r.wa_id for r in still]
    )
    places = {row["n"] - 1 for row in rows}
    # Some of these became known between the two looks, when their sends were settled.
    moved += await _lift(conn, [receipt for place, receipt in enumerate(still) if place in places])
    return moved, [receipt for place, receipt in enumerate(still) if place not in places]


async def _lift(conn: Connection, receipts: Sequence[Change]) -> list[tuple[Row, Change]]:
    rows = await conn.fetch(_RECEIPT, *_columns(receipts)) if receipts else []
    return [(row, receipts[row["n"] - 1]) for row in rows]


_POLLS = """
    SELECT m.id, m.session_id, m.chat, m.wa_id, m.content -> 'options' AS options
    FROM unnest($1::text[], $2::text[], $3::text[]) AS g (session_id, chat, wa_id)
    JOIN whatsapp_messages m ON m.session_id = g.session_id AND m.chat = g.chat AND m.wa_id = g.wa_id
    WHERE m.type = 'poll'
"""

PollName: TypeAlias = tuple[str, str, str]
"""Session, chat, WhatsApp id."""


async def find_polls(conn: Connection, names: Collection[PollName]) -> dict[PollName, Row]:
    """Each poll's `id` and `options`; whoever asked the question."""
    columns = [list(column) for column in zip(*names, strict=True)]
    rows = await conn.fetch(_POLLS, *columns) if names else []
    return {(row["session_id"], row["chat"], row["wa_id"]): row for row in rows}


_REPLY_TASKS = """
    INSERT INTO reply_tasks (message_id, tenant_id, session_id, chat, offline)
    SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::bool[]) ON CONFLICT DO NOTHING
"""


async def insert_reply_tasks(conn: Connection, messages: Sequence[tuple[NewMessage, bool]]) -> None:
    """A bot is to look at these; each with whether it arrived late, after the session had been offline."""
    if messages:
        names = ("id", "tenant_id", "session_id", "chat")
        columns = [[getattr(message, name) for message, _ in messages] for name in names]
        await conn.execute(_REPLY_TASKS, *columns, [offline for _, offline in messages])
