"""Agents' turns: the question of a chat, from the first message until its answer is written.

    upsert ──► waiting for more (due_at) ──claim──► the agent is called ──finish──┬─► deleted
                  ▲         ▲                              │                      │
                  │         └──── lease over, release ◄────┘                      │
                  └──────────── what arrived meanwhile, under a new id ◄──────────┘

One in each chat, so one call in each chat. A person who takes over deletes the row: whoever holds a claim on it finds
that out when renewing, or at the latest when the answer is to be written, and writes nothing.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import msgspec
from msgspec import Struct

from relay.model import ids
from relay.model.agent import DEBOUNCE_MOST_SECONDS
from relay.model.ids import ContactId, MessageId, SessionId, TenantId, TurnId
from relay.store.pool import Connection

_MESSAGES_MOST = 40
"""Of one question; the newest are kept."""


class NewTurn(Struct, frozen=True, kw_only=True):
    tenant_id: TenantId
    session_id: SessionId
    chat: str
    contact_id: ContactId | None
    agent: str
    """Its name."""
    message_id: MessageId
    debounce_seconds: float
    fallback: str | None
    cause: dict[str, Any]


class ClaimedTurn(Struct, frozen=True, kw_only=True):
    id: TurnId
    tenant_id: TenantId
    session_id: SessionId
    chat: str
    contact_id: ContactId | None
    agent: str
    message_ids: list[MessageId]
    """Oldest first."""
    fallback: str | None
    cause: dict[str, Any]
    attempt: int
    claim: str


# Under a claim, due_at is the lease: what comes then waits for its own time. `since` of what waited is the finish.
_UPSERT = f"""
    INSERT INTO agent_turns AS t (id, tenant_id, session_id, chat, contact_id, agent, message_ids, fallback, cause,
                                  due_at)
    SELECT n.id, n.tenant_id, n.session_id, n.chat, n.contact_id, n.agent, ARRAY[n.message_id], n.fallback, n.cause,
           now() + least(n.debounce, {DEBOUNCE_MOST_SECONDS}) * interval '1 second'
    FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[],
                $9::jsonb[], $10::float8[])
        AS n (id, tenant_id, session_id, chat, contact_id, agent, message_id, fallback, cause, debounce)
    ORDER BY n.session_id, n.chat
    ON CONFLICT (session_id, chat) DO UPDATE SET
        message_ids = (t.message_ids || excluded.message_ids)
                      [greatest(1, cardinality(t.message_ids) + 2 - {_MESSAGES_MOST}):],
        contact_id = excluded.contact_id, agent = excluded.agent, fallback = excluded.fallback,
        cause = excluded.cause,
        due_at = CASE WHEN t.claim IS NOT NULL THEN t.due_at
                      ELSE least(excluded.due_at, t.since + {DEBOUNCE_MOST_SECONDS} * interval '1 second') END,
        next_due_at = CASE WHEN t.claim IS NOT NULL THEN excluded.due_at END
"""


async def upsert_turns(conn: Connection, turns: Sequence[NewTurn]) -> None:
    """Make each message a question, or part of its chat's. Ring `replies` after the transaction."""
    left = list(turns)
    while left:
        # A statement changes a row once only: a chat's second message goes with the next one.
        now = {(turn.session_id, turn.chat): turn for turn in reversed(left)}
        await _upsert(conn, list(now.values()))
        done = {turn.message_id for turn in now.values()}
        left = [turn for turn in left if turn.message_id not in done]


async def _upsert(conn: Connection, turns: Sequence[NewTurn]) -> None:
    await conn.execute(
        _UPSERT,
        [ids.new_turn_id() for _ in turns],
        [turn.tenant_id for turn in turns],
        [turn.session_id for turn in turns],
        [turn.chat for turn in turns],
        [turn.contact_id for turn in turns],
        [turn.agent for turn in turns],
        [turn.message_id for turn in turns],
        [turn.fallback for turn in turns],
        [turn.cause for turn in turns],
        [turn.debounce_seconds for turn in turns],
    )


# In the order of _UPSERT, so that two processes cannot lock each other out.
_DELETE_CHATS = """
    WITH gone AS MATERIALIZED (
        SELECT t.id FROM agent_turns t JOIN unnest($1::text[], $2::text[]) AS c (session_id, chat)
            ON t.session_id = c.session_id AND t.chat = c.chat
        ORDER BY t.session_id, t.chat FOR UPDATE OF t
    )
    DELETE FROM agent_turns WHERE id = ANY (ARRAY (SELECT id FROM gone))
"""


async def delete_turns(conn: Connection, chats: Collection[tuple[SessionId, str]]) -> None:
    """Somebody else answers in these chats, or nobody: a running call is cancelled. Ring `replies` afterwards."""
    if chats:
        pairs = list(chats)
        await conn.execute(_DELETE_CHATS, [session for session, _ in pairs], [chat for _, chat in pairs])


# A skip scan, as that of deliveries: one look into the index for each tenant, however much is waiting.
_TENANTS = """
    WITH RECURSIVE lane AS (
        (SELECT tenant_id, due_at FROM agent_turns WHERE tenant_id > $1 ORDER BY tenant_id, due_at LIMIT 1)
        UNION ALL
        SELECT next.tenant_id, next.due_at FROM lane CROSS JOIN LATERAL (
            SELECT t.tenant_id, t.due_at FROM agent_turns t WHERE t.tenant_id > lane.tenant_id
            ORDER BY t.tenant_id, t.due_at LIMIT 1) next
    )
    SELECT tenant_id, extract(epoch FROM due_at - clock_timestamp())::float8 AS seconds FROM lane
"""


async def list_waiting_tenants(conn: Connection) -> dict[TenantId, float]:
    """Each tenant that has turns, and in how many seconds its first is due; below zero: it is."""
    return {row["tenant_id"]: row["seconds"] for row in await conn.fetch(_TENANTS, "")}


_CLAIM = """
    WITH pick AS MATERIALIZED (
        SELECT c.id FROM unnest($1::text[], $2::int[]) AS lane (tenant_id, slots) CROSS JOIN LATERAL (
            SELECT t.id FROM agent_turns t WHERE t.tenant_id = lane.tenant_id AND t.due_at <= now()
            ORDER BY t.due_at, t.id LIMIT lane.slots FOR UPDATE SKIP LOCKED) c
    )
    UPDATE agent_turns t SET due_at = now() + $4 * interval '1 second', claim = $3, attempt = attempt + 1,
        next_due_at = NULL
    WHERE t.id = ANY (ARRAY (SELECT id FROM pick))
    RETURNING t.id, t.tenant_id, t.session_id, t.chat, t.contact_id, t.agent, t.message_ids, t.fallback, t.cause,
              t.attempt, t.claim
"""


async def claim_turns(
    conn: Connection, slots: Mapping[TenantId, int], *, claim: str, lease_seconds: float
) -> list[ClaimedTurn]:
    """Take what is due, oldest first, at most as many of each tenant as it has slots."""
    rows = await conn.fetch(_CLAIM, list(slots), list(slots.values()), claim, lease_seconds)
    return [msgspec.convert(dict(row), ClaimedTurn) for row in rows]


_RENEW = """
    UPDATE agent_turns t SET due_at = now() + $3 * interval '1 second'
    FROM unnest($1::text[], $2::text[]) AS c (id, claim)
    WHERE t.id = ANY ($1::text[]) AND t.id = c.id AND t.claim = c.claim
    RETURNING t.id
"""


async def renew_turns(
    conn: Connection, turns: Collection[ClaimedTurn], *, lease_seconds: float
) -> set[TurnId]:
    """Those whose claim still holds; the others are somebody else's, or gone."""
    rows = await conn.fetch(
        _RENEW, [turn.id for turn in turns], [turn.claim for turn in turns], lease_seconds
    )
    return {row["id"] for row in rows}


_HELD = """
    SELECT t.id FROM agent_turns t JOIN unnest($1::text[], $2::text[]) AS c (id, claim)
        ON t.id = c.id AND t.claim = c.claim
    WHERE t.id = ANY ($1::text[])
"""


async def list_held(conn: Connection, turns: Collection[ClaimedTurn]) -> set[TurnId]:
    """As `renew_turns`, without renewing."""
    rows = await conn.fetch(_HELD, [turn.id for turn in turns], [turn.claim for turn in turns])
    return {row["id"] for row in rows}


_RELEASE = """
    UPDATE agent_turns SET due_at = now() + $3 * interval '1 second', claim = NULL, attempt = attempt - 1
    WHERE id = $1 AND claim = $2
"""


async def release_turn(conn: Connection, turn: ClaimedTurn, *, wait_seconds: float = 0.0) -> None:
    """Give it back, for any process to claim."""
    await conn.execute(_RELEASE, turn.id, turn.claim, wait_seconds)


_LOCK = """
    SELECT message_ids FROM agent_turns WHERE tenant_id = $1 AND id = $2 AND claim = $3 FOR UPDATE
"""


async def lock_turn(conn: Connection, turn: ClaimedTurn) -> list[MessageId] | None:
    """All messages that the row holds by now; None where it is gone or another's. Needs a transaction."""
    found: list[MessageId] | None = await conn.fetchval(_LOCK, turn.tenant_id, turn.id, turn.claim)
    return found


_DELETE = "DELETE FROM agent_turns WHERE tenant_id = $1 AND id = $2"
# A new id: answers are numbered by their turn.
_NEXT = """
    UPDATE agent_turns SET id = $3, message_ids = $4, claim = NULL, attempt = 0, since = now(),
        due_at = greatest(now(), coalesce(next_due_at, now())), next_due_at = NULL
    WHERE tenant_id = $1 AND id = $2
"""


async def end_turn(conn: Connection, turn: ClaimedTurn, rest: Sequence[MessageId]) -> None:
    """Under `lock_turn`: remove it, or make what arrived meanwhile the next one."""
    if rest:
        await conn.execute(_NEXT, turn.tenant_id, turn.id, ids.new_turn_id(), rest)
    else:
        await conn.execute(_DELETE, turn.tenant_id, turn.id)
