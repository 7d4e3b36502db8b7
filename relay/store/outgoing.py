"""Outgoing messages: accepted by the API in batches, claimed and settled by the host that holds the session.

    insert ──► queued ──claim(term)──► sending ──settle(term)──► sent | failed | unknown
                ▲  │ postpone             │ there was no connection
                └──┴──────────────────────┘

Order is kept in each chat: a chat's next message is claimed only when none of it is being sent. What a dead host
left in `sending` under an older term becomes `unknown`: it may or may not have gone out.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from msgspec import Struct

from relay.model.ids import MessageId, SessionId, TenantId
from relay.model.message import TARGETED_TYPES
from relay.store.pool import Connection


class Accepted(Struct, frozen=True, kw_only=True):
    """A message that the API (or a bot) wants sent."""

    id: MessageId
    tenant_id: TenantId
    session_id: SessionId
    chat: str
    origin: str
    type: str
    content: dict[str, Any]
    reply_to: str | None
    mentions: list[str]
    budgeted: bool
    at: datetime
    automation: dict[str, Any] | None = None
    """Why a bot says it, see Cause."""
    answers: str | None = None
    """What it answers; with `answer_number` it is there once, however often it is inserted."""
    answer_number: int | None = None
    typing_seconds: float = 0
    """Shown before it is sent."""
    due_at: datetime | None = None
    """Not sent before."""


_INSERT = """
    WITH living AS MATERIALIZED (
        -- A session that is being deleted takes no more.
        SELECT id, tenant_id, automation FROM whatsapp_sessions WHERE id = ANY ($3) ORDER BY id FOR KEY SHARE
    ), taken AS (
        INSERT INTO whatsapp_messages (id, tenant_id, session_id, chat, direction, origin, sender, type, content,
                                       status, reply_to, mentions, budgeted, sent_at, automation, answers,
                                       answer_number, typing_seconds, due_at, history)
        SELECT m.id, m.tenant_id, session_id, chat, 'outgoing', origin, 'me', type, content, 'queued', reply_to,
               ARRAY (SELECT jsonb_array_elements_text(mentions -> 'all')), budgeted, at, m.automation, answers,
               answer_number, typing_seconds,
               -- Behind a message that waits for its budget it waits as long.
               greatest(m.due_at, (
                   SELECT max(e.due_at) FROM whatsapp_messages e
                   WHERE e.session_id = m.session_id AND e.chat = m.chat AND e.status IN ('queued', 'sending'))),
               jsonb_build_array(jsonb_build_object('status', 'queued', 'at', at))
        FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::jsonb[],
                    $8::text[], $9::jsonb[], $10::bool[], $11::timestamptz[], $12::jsonb[], $13::text[],
                    $14::smallint[], $15::real[], $16::timestamptz[])
          AS m (id, tenant_id, session_id, chat, origin, type, content, reply_to, mentions, budgeted, at, automation,
                answers, answer_number, typing_seconds, due_at)
        JOIN living s ON s.id = m.session_id AND s.tenant_id = m.tenant_id
        ON CONFLICT (answers, answer_number) WHERE answers IS NOT NULL DO NOTHING
        RETURNING id, tenant_id, session_id, chat, origin
    ), asked AS (
        -- Where a person has written the bot is to keep quiet.
        INSERT INTO reply_tasks (message_id, tenant_id, session_id, chat)
        SELECT t.id, t.tenant_id, t.session_id, t.chat
        FROM taken t JOIN living s ON s.id = t.session_id WHERE t.origin = 'person' AND s.automation
    )
    SELECT id FROM taken
"""
_MENTIONS = Accepted.__struct_fields__.index("mentions")


async def insert_accepted(conn: Connection, messages: Sequence[Accepted]) -> set[MessageId]:
    """Queue a batch; answers the ids taken. Ring `outgoing` after the commit, and `replies` for a person's."""
    columns = [[getattr(message, name) for message in messages] for name in Accepted.__struct_fields__]
    # A list in an array would be taken for one more dimension of it.
    columns[_MENTIONS] = [{"all": message.mentions} for message in messages]
    return {row["id"] for row in await conn.fetch(_INSERT, *columns)}


class About(Struct, frozen=True, kw_only=True):
    """The message that another one answers, reacts to or votes on."""

    wa_id: str | None
    """None while it has not reached WhatsApp."""
    sender: str
    """Its author's JID, or `me`."""
    type: str
    content: dict[str, Any]
    sent_at: datetime


class Claimed(Struct, frozen=True, kw_only=True):
    """A message to be sent now, and what its budget depends on."""

    id: MessageId
    session_id: SessionId
    tenant_id: TenantId
    chat: str
    type: str
    content: dict[str, Any]
    about: About | None
    """None when it is about no other message, or about one that was removed."""
    mentions: list[str]
    budgeted: bool
    is_reply: bool
    """The chat has written within a day."""
    is_first: bool
    """Nothing was ever exchanged in this chat."""
    typing_seconds: float
    """Shown before it is sent."""


# A session looks at the oldest 100 of its messages that wait for nothing; of those a chat's first may go. Where a chat
# waits for its budget all of it does (`postpone`), so that it does not stand in the way of the others.
_LIST_READY = """
    SELECT m.id, m.session_id, m.tenant_id, m.chat, m.type, m.content, m.mentions, m.budgeted, m.typing_seconds,
           r.id AS about_id, r.wa_id, r.sender, r.type AS about_type, r.content AS about_content, r.sent_at,
           coalesce(c.last_inbound_at > now() - interval '1 day', false) AS is_reply,
           c.last_message_at IS NULL AS is_first
    FROM unnest($1::text[], $2::int[]) AS lane (session_id, slots)
    CROSS JOIN LATERAL (
        SELECT head.id FROM (
            SELECT DISTINCT ON (q.chat) q.* FROM (
                SELECT id, chat, status FROM whatsapp_messages
                WHERE session_id = lane.session_id AND status IN ('queued', 'sending')
                  AND (due_at IS NULL OR due_at <= now())
                ORDER BY id LIMIT 100
            ) q ORDER BY q.chat, q.id
        ) head
        -- As one look at the index for each chat: NOT EXISTS may become a join over all that the session has queued.
        WHERE head.status = 'queued' AND head.id = (
            SELECT e.id FROM whatsapp_messages e
            WHERE e.session_id = lane.session_id AND e.chat = head.chat AND e.status IN ('queued', 'sending')
            ORDER BY e.id LIMIT 1)
        ORDER BY head.id LIMIT lane.slots
    ) h
    JOIN whatsapp_messages m ON m.id = h.id
    LEFT JOIN whatsapp_chats c ON c.session_id = m.session_id AND c.jid = m.chat
    LEFT JOIN whatsapp_messages r ON r.tenant_id = m.tenant_id AND r.session_id = m.session_id
         AND r.id = CASE WHEN m.type = ANY ($3) THEN m.content ->> 'messageId' ELSE m.reply_to END
    ORDER BY m.id
"""
_OWN_COLUMNS = [name for name in Claimed.__struct_fields__ if name != "about"]


async def list_ready(conn: Connection, slots: Mapping[SessionId, int]) -> list[Claimed]:
    """Up to `slots` messages of each session that may go now, oldest first, one a chat."""
    rows = await conn.fetch(_LIST_READY, list(slots), list(slots.values()), list(TARGETED_TYPES))
    return [Claimed(**{name: row[name] for name in _OWN_COLUMNS}, about=_about(row)) for row in rows]


def _about(row: Any) -> About | None:
    if row["about_id"] is None:
        return None
    return About(
        wa_id=row["wa_id"],
        sender=row["sender"],
        type=row["about_type"],
        content=row["about_content"],
        sent_at=row["sent_at"],
    )


_CLAIM = """
    UPDATE whatsapp_messages m
    SET status = 'sending', term = l.term, due_at = NULL,
        history = m.history || jsonb_build_array(jsonb_build_object('status', 'sending', 'at', now()))
    FROM leases l
    WHERE m.id = ANY ($1) AND m.status = 'queued' AND l.resource = m.session_id AND l.holder = $2
      AND l.expires_at > now()
    RETURNING m.id, m.term
"""


async def claim_messages(
    conn: Connection, messages: Sequence[MessageId], *, holder: str
) -> dict[MessageId, int]:
    """Mark them `sending` under their session's term; one that is missing from the answer is not ours to send."""
    return {row["id"]: row["term"] for row in await conn.fetch(_CLAIM, messages, holder)}


_POSTPONE = """
    UPDATE whatsapp_messages m SET due_at = p.due_at
    FROM unnest($1::text[], $2::timestamptz[]) AS p (id, due_at) JOIN whatsapp_messages head ON head.id = p.id
    WHERE m.session_id = head.session_id AND m.chat = head.chat AND m.status = 'queued'
"""


async def postpone(conn: Connection, until: Mapping[MessageId, datetime]) -> None:
    """Let queued messages, and what is queued behind them in their chats, wait for their budget."""
    await conn.execute(_POSTPONE, list(until), list(until.values()))


_BEGIN_TYPING = """
    UPDATE whatsapp_messages m
    SET due_at = greatest(m.due_at, p.due_at), typing_seconds = CASE WHEN m.id = p.id THEN 0 ELSE m.typing_seconds END
    FROM unnest($1::text[], $2::timestamptz[]) AS p (id, due_at) JOIN whatsapp_messages head ON head.id = p.id
    WHERE m.session_id = head.session_id AND m.chat = head.chat AND m.status = 'queued'
"""


async def begin_typing(conn: Connection, until: Mapping[MessageId, datetime]) -> None:
    """Somebody types for these until then; what is queued behind them in their chats waits with them."""
    await conn.execute(_BEGIN_TYPING, list(until), list(until.values()))


_GIVE_BACK = """
    UPDATE whatsapp_messages m SET status = 'queued', term = NULL
    FROM unnest($1::text[], $2::bigint[]) AS held (session_id, term)
    WHERE m.session_id = held.session_id AND m.term = held.term AND m.status = 'sending' AND m.id <> ALL ($3)
"""


async def give_back(conn: Connection, terms: Mapping[SessionId, int], in_flight: Sequence[MessageId]) -> None:
    """Queue again what was claimed under `terms` and is not in flight: the claim's answer was lost on its way."""
    await conn.execute(_GIVE_BACK, list(terms), list(terms.values()), in_flight)


class Settlement(Struct, frozen=True, kw_only=True):
    """How one send ended."""

    id: MessageId
    term: int
    status: str
    at: datetime
    wa_id: str | None = None
    error: str | None = None
    chat: str | None = None
    """Where it went, when that is another chat than was asked for."""


_SETTLE = """
    UPDATE whatsapp_messages m
    SET status = s.status, wa_id = s.wa_id, error = s.error, contact_id = coalesce(m.contact_id, c.id),
        sent_at = s.at,
        -- What went out goes by the number where that is known: its receipts will.
        chat = CASE WHEN went LIKE '%@lid' AND s.status <> 'queued' AND c.pn IS NOT NULL
                    THEN c.pn || '@s.whatsapp.net' ELSE went END,
        history = m.history || jsonb_build_array(jsonb_build_object('status', s.status, 'at', s.at))
    FROM unnest($1::text[], $2::bigint[], $3::text[], $4::timestamptz[], $5::text[], $6::text[], $7::text[])
      AS s (id, term, status, at, wa_id, error, chat)
    JOIN whatsapp_messages q ON q.id = s.id
    CROSS JOIN LATERAL coalesce(s.chat, q.chat) AS went
    -- Two looks into an index: an OR of them reads all contacts for each message.
    LEFT JOIN LATERAL (
        SELECT id, pn FROM whatsapp_contacts
        WHERE session_id = q.session_id AND went LIKE '%@s.whatsapp.net' AND pn = split_part(went, '@', 1)
        UNION ALL
        SELECT id, pn FROM whatsapp_contacts
        WHERE session_id = q.session_id AND went LIKE '%@lid' AND lid = split_part(went, '@', 1)
    ) c ON true
    WHERE m.id = s.id AND m.status = 'sending' AND m.term = s.term
    RETURNING m.*
"""


async def settle_messages(conn: Connection, settlements: Sequence[Settlement]) -> list[Any]:
    """End sends, fenced by their terms; answers the rows that moved."""
    columns = [[getattr(item, name) for item in settlements] for name in Settlement.__struct_fields__]
    return await conn.fetch(_SETTLE, *columns)


_ABANDON = """
    UPDATE whatsapp_messages m
    SET status = 'unknown', error = 'outcome_unknown',
        history = m.history || jsonb_build_array(jsonb_build_object('status', 'unknown', 'at', now()))
    FROM unnest($1::text[], $2::bigint[]) AS held (session_id, term)
    WHERE m.session_id = held.session_id AND m.status = 'sending' AND m.term < held.term
    RETURNING m.*
"""


async def abandon_older(conn: Connection, terms: Mapping[SessionId, int]) -> list[Any]:
    """What earlier holders left in the middle of a send becomes `unknown`; answers the rows."""
    return await conn.fetch(_ABANDON, list(terms), list(terms.values()))


_CANCEL = """
    UPDATE whatsapp_messages
    SET status = 'failed', error = 'cancelled',
        history = history || jsonb_build_array(jsonb_build_object('status', 'failed', 'at', now()))
    WHERE tenant_id = $1 AND id = $2 AND status = 'queued'
    RETURNING *
"""


async def cancel_message(conn: Connection, tenant_id: TenantId, message_id: MessageId) -> Any | None:
    """Take a queued message back; None when it is no longer queued."""
    return await conn.fetchrow(_CANCEL, tenant_id, message_id)
