"""Deliveries: the hot table of what is still owed, claimed by lanes and settled in batches.

    outbox ──► owed ──claim──► claimed ──settle──┬─► deleted; its last attempt says how it ended
                ▲                 │              └─► owed again, due later
                └── lease over, release ◄┘

A lane is an endpoint with the number of slots it may use. The lease is `due_at`: a claim moves it to now + lease,
so a claim whose holder died is simply due again. Every change by a holder carries its claim, the fencing token, and
changes nothing when the claim is stale. At an endpoint with `order: chat` only the oldest of each chat (its head)
is claimed; those behind it are parked, and woken when it is gone.

Rows are looked up by `id = ANY (…)`: joined to a list, they are found by reading the whole table.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Literal

from msgspec import Struct

from relay.model.delivery import DeliveryStatus, Outcome
from relay.model.ids import DeliveryId, EndpointId, EventId, TenantId
from relay.store.pool import Connection


class Claimed(Struct, frozen=True, kw_only=True):
    id: DeliveryId
    tenant_id: TenantId
    endpoint_id: EndpointId
    event_id: EventId
    event_type: str
    chat: str | None
    attempt: int
    tries: int
    """Attempts of the running schedule, this one included."""
    claim: str


class Result(Struct, frozen=True, kw_only=True):
    """What became of a claimed delivery's attempt."""

    delivery: Claimed
    outcome: Outcome
    status_code: int | None = None
    duration_seconds: float = 0.0
    response: str = ""
    final: DeliveryStatus | None = None
    delay_seconds: float = 0.0
    """Until the next attempt, where it is not final."""


# A skip scan: one look into the index for each endpoint that is owed anything, however much that is. Its parameter
# is the empty text: a statement without any is planned once and for all, whatever plan_cache_mode says.
_LANES = """
    WITH RECURSIVE lane AS (
        (SELECT endpoint_id, due_at FROM deliveries WHERE endpoint_id > $1 ORDER BY endpoint_id, due_at LIMIT 1)
        UNION ALL
        SELECT next.endpoint_id, next.due_at FROM lane CROSS JOIN LATERAL (
            SELECT d.endpoint_id, d.due_at FROM deliveries d WHERE d.endpoint_id > lane.endpoint_id
            ORDER BY d.endpoint_id, d.due_at LIMIT 1) next
    )
    SELECT lane.endpoint_id, e."order" FROM lane LEFT JOIN endpoints e ON e.id = lane.endpoint_id
    WHERE lane.due_at <= now() AND coalesce(e.status, 'enabled') = 'enabled'
"""


async def list_due_lanes(conn: Connection) -> dict[EndpointId, Literal["none", "chat"] | None]:
    """Each enabled endpoint with something due, and its order; None where the endpoint itself is gone."""
    return {row[0]: row[1] for row in await conn.fetch(_LANES, "")}


_RETURNING = """
    RETURNING d.id, d.tenant_id, d.endpoint_id, d.event_id, d.event_type, d.chat, d.attempt,
              d.attempt - d.first_attempt AS tries
"""
_CLAIM = f"""
    WITH pick AS MATERIALIZED (
        SELECT c.id FROM unnest($1::text[], $2::int[]) AS lane (endpoint_id, slots)
        JOIN endpoints e ON e.id = lane.endpoint_id AND e.status = 'enabled' AND e."order" = 'none'
        CROSS JOIN LATERAL (
            SELECT d.id FROM deliveries d WHERE d.endpoint_id = lane.endpoint_id AND d.due_at <= now()
            ORDER BY d.due_at, d.id LIMIT lane.slots FOR UPDATE SKIP LOCKED) c
    )
    UPDATE deliveries d SET due_at = now() + $4 * interval '1 second', claim = $3, attempt = attempt + 1
    WHERE d.id = ANY (ARRAY (SELECT id FROM pick))
    {_RETURNING}
"""


async def claim_deliveries(
    conn: Connection, lanes: Mapping[EndpointId, int], *, claim: str, lease_seconds: float
) -> list[Claimed]:
    """Take what is due, oldest first, at most as many of each endpoint as it has slots."""
    rows = await conn.fetch(_CLAIM, list(lanes), list(lanes.values()), claim, lease_seconds)
    return [_claimed(row, claim) for row in rows]


# Looks a little past the slots, because followers of a chat lie between its heads. A follower is parked until its
# head is due, at most ten minutes: should a wake be missed, that is what it costs.
_CLAIM_HEADS = f"""
    WITH due AS MATERIALIZED (
        SELECT c.*, lane.slots FROM unnest($1::text[], $2::int[]) AS lane (endpoint_id, slots)
        JOIN endpoints e ON e.id = lane.endpoint_id AND e.status = 'enabled' AND e."order" = 'chat'
        CROSS JOIN LATERAL (
            SELECT d.id, d.endpoint_id, d.chat, d.due_at FROM deliveries d
            WHERE d.endpoint_id = lane.endpoint_id AND d.due_at <= now()
            ORDER BY d.due_at, d.id LIMIT lane.slots * 4 FOR UPDATE SKIP LOCKED) c
    ), seen AS MATERIALIZED (
        SELECT due.*, head.id AS head_id, head.due_at AS head_due_at FROM due LEFT JOIN LATERAL (
            SELECT h.id, h.due_at FROM deliveries h
            WHERE h.endpoint_id = due.endpoint_id AND h.chat = due.chat ORDER BY h.id LIMIT 1) head ON true
    ), pick AS MATERIALIZED (
        SELECT id, slots, row_number() OVER (PARTITION BY endpoint_id ORDER BY due_at, id) AS place
        FROM seen WHERE chat IS NULL OR head_id = id
    ), parked AS (
        UPDATE deliveries d SET due_at =
            least(greatest(seen.head_due_at, now() + interval '1 second'), now() + interval '10 minutes')
        FROM seen WHERE d.id = ANY (ARRAY (SELECT id FROM seen WHERE head_id <> id)) AND seen.id = d.id
    )
    UPDATE deliveries d SET due_at = now() + $4 * interval '1 second', claim = $3, attempt = attempt + 1
    WHERE d.id = ANY (ARRAY (SELECT id FROM pick WHERE place <= slots))
    {_RETURNING}
"""


async def claim_heads(
    conn: Connection, lanes: Mapping[EndpointId, int], *, claim: str, lease_seconds: float
) -> list[Claimed]:
    """The same for endpoints with `order: chat`: of each chat only its oldest, if that is due."""
    rows = await conn.fetch(_CLAIM_HEADS, list(lanes), list(lanes.values()), claim, lease_seconds)
    return [_claimed(row, claim) for row in rows]


def _claimed(row: Any, claim: str) -> Claimed:
    return Claimed(
        id=row[0],
        tenant_id=row[1],
        endpoint_id=row[2],
        event_id=row[3],
        event_type=row[4],
        chat=row[5],
        attempt=row[6],
        tries=row[7],
        claim=claim,
    )


_BODIES = "SELECT id, body FROM events WHERE id = ANY ($1::text[])"


async def list_bodies(conn: Connection, event_ids: Sequence[EventId]) -> dict[EventId, bytes]:
    """The bodies of those events that are still kept."""
    return {row[0]: row[1].encode() for row in await conn.fetch(_BODIES, event_ids)}


# One statement: what has ended leaves the table, the rest waits for its next attempt, all of it is logged, and the
# endpoints' counters are folded, in one order so that two dispatchers cannot lock each other out.
_SETTLE = """
    WITH result AS MATERIALIZED (
        SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::int[], $5::real[], $6::text[], $7::text[],
                             $8::float8[])
            AS r (id, claim, outcome, status_code, duration_seconds, response, final, delay_seconds)
    ), ended AS (
        DELETE FROM deliveries d USING result r
        WHERE d.id = ANY ($10::text[]) AND d.id = r.id AND d.claim = r.claim
        RETURNING d.tenant_id, d.id, d.attempt, d.endpoint_id, d.event_id, d.event_type,
                  r.outcome, r.status_code, r.duration_seconds, r.response, r.final
    ), kept AS (
        UPDATE deliveries d SET due_at = now() + r.delay_seconds * interval '1 second', claim = NULL
        FROM result r
        WHERE d.id = ANY ($11::text[]) AND d.id = r.id AND d.claim = r.claim
        RETURNING d.tenant_id, d.id, d.attempt, d.endpoint_id, d.event_id, d.event_type,
                  r.outcome, r.status_code, r.duration_seconds, r.response, r.final
    ), settled AS (
        SELECT * FROM ended UNION ALL SELECT * FROM kept
    ), logged AS (
        INSERT INTO attempts (tenant_id, delivery_id, number, endpoint_id, event_id, event_type, outcome,
                              status_code, duration_seconds, response, final)
        SELECT * FROM settled
    ), tally AS (
        SELECT endpoint_id, count(*) FILTER (WHERE outcome = 'succeeded') AS succeeded,
               count(*) FILTER (WHERE outcome NOT IN ('succeeded', 'cancelled')) AS failed
        FROM settled GROUP BY endpoint_id
    ), locked AS (
        SELECT id FROM endpoints WHERE id = ANY (ARRAY (SELECT endpoint_id FROM tally)) ORDER BY id FOR UPDATE
    ), counted AS (
        UPDATE endpoints e SET succeeded = e.succeeded + t.succeeded, failed = e.failed + t.failed,
            failing_since = CASE WHEN t.succeeded > 0 THEN NULL
                                 WHEN t.failed > 0 THEN coalesce(e.failing_since, now())
                                 ELSE e.failing_since END
        FROM locked JOIN tally t ON t.endpoint_id = locked.id WHERE e.id = locked.id
        RETURNING e.id, e.tenant_id, e.status, e.failing_since
    )
    SELECT id, tenant_id FROM counted
    WHERE status = 'enabled' AND failing_since < now() - $9 * interval '1 second'
"""


async def settle(
    conn: Connection, results: Sequence[Result], *, patience_seconds: float
) -> list[tuple[EndpointId, TenantId]]:
    """Record results and what follows from them, of those whose claim still holds.

    Answers the enabled endpoints that have seen nothing but failure for longer than `patience_seconds`.
    """
    freed = {(r.delivery.endpoint_id, r.delivery.chat) for r in results if r.final and r.delivery.chat}
    if not freed:
        return await _record(conn, results, patience_seconds)
    async with conn.transaction():
        failing = await _record(conn, results, patience_seconds)
        await wake_chats(conn, freed)
    return failing


async def _record(
    conn: Connection, results: Sequence[Result], patience_seconds: float
) -> list[tuple[EndpointId, TenantId]]:
    rows = await conn.fetch(
        _SETTLE,
        [r.delivery.id for r in results],
        [r.delivery.claim for r in results],
        [r.outcome.value for r in results],
        [r.status_code for r in results],
        [r.duration_seconds for r in results],
        [r.response for r in results],
        [None if r.final is None else r.final.value for r in results],
        [r.delay_seconds for r in results],
        patience_seconds,
        [r.delivery.id for r in results if r.final is not None],
        [r.delivery.id for r in results if r.final is None],
    )
    return [(row["id"], row["tenant_id"]) for row in rows]


# A chat's next one, unless it has a schedule of its own running.
_WAKE = """
    UPDATE deliveries d SET due_at = now()
    WHERE d.id = ANY (ARRAY (
        SELECT head.id FROM unnest($1::text[], $2::text[]) AS c (endpoint_id, chat) CROSS JOIN LATERAL (
            SELECT h.id FROM deliveries h WHERE h.endpoint_id = c.endpoint_id AND h.chat = c.chat
            ORDER BY h.id LIMIT 1) head))
      AND d.claim IS NULL AND d.due_at > now() AND d.attempt = d.first_attempt
"""


async def wake_chats(conn: Connection, chats: Collection[tuple[EndpointId, str]]) -> None:
    """Make the new head of each chat due, where it was parked."""
    await conn.execute(_WAKE, [endpoint for endpoint, _ in chats], [chat for _, chat in chats])


_RELEASE = """
    UPDATE deliveries d SET due_at = now(), claim = NULL, attempt = attempt - 1
    FROM unnest($1::text[], $2::text[]) AS c (id, claim)
    WHERE d.id = ANY ($1::text[]) AND d.id = c.id AND d.claim = c.claim
"""


async def release(conn: Connection, claimed: Sequence[Claimed]) -> None:
    """Give back what was not sent: due at once, and no attempt used up."""
    await conn.execute(_RELEASE, [c.id for c in claimed], [c.claim for c in claimed])


_CANCEL_ORPHANS = """
    WITH orphan AS (
        DELETE FROM deliveries WHERE endpoint_id = ANY ($1::text[])
          AND NOT EXISTS (SELECT FROM endpoints e WHERE e.id = endpoint_id)
        RETURNING *
    )
    INSERT INTO attempts (tenant_id, delivery_id, number, endpoint_id, event_id, event_type, outcome,
                          duration_seconds, final)
    SELECT tenant_id, id, attempt + 1, endpoint_id, event_id, event_type, 'cancelled', 0, 'cancelled' FROM orphan
"""


async def cancel_orphans(conn: Connection, endpoint_ids: Sequence[EndpointId]) -> None:
    """End what became owed to an endpoint in the moment of its removal."""
    await conn.execute(_CANCEL_ORPHANS, endpoint_ids)
