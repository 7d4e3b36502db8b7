"""Deliveries as their tenant sees and steers them: the log, redelivery, replay, cancelling.

    deliveries (owed)      ─┐
    attempts (final, ended) ─┴─► one list, by delivery id, newest first

A delivery is in one of the two, never in both: a redelivery clears `final` in the transaction that owes it again. It
keeps its id and goes on counting its attempts, with a fresh schedule. Ring `deliveries` after what owes something.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any

from relay.model import ids
from relay.model.delivery import Delivery, DeliveryStatus
from relay.model.errors import Conflict, NotFound
from relay.model.event import Event
from relay.model.ids import DeliveryId, EndpointId, TenantId
from relay.store import deliveries, endpoints
from relay.store.pool import Connection

_FIRST, _LAST = "dlv_", "dlv_~"
_REPLAY_STEP = timedelta(hours=1)
_NO_SUCH = "There is no such delivery."

# The same name as the outbox gives it: one event and one endpoint are one delivery, however often it is owed.
_DELIVERY_ID = "'dlv_' || substr(e.id, 5, 12) || substr(md5(e.id || p.id), 1, 14)"

_LIST = """
    WITH owed AS (
        SELECT id, endpoint_id, event_id, event_type, 'pending' AS status, attempt AS attempts,
               CASE WHEN claim IS NULL THEN due_at END AS next_attempt_at
        FROM deliveries
        WHERE tenant_id = $1 AND id >= $2 AND id < $3 AND ($4::text IS NULL OR endpoint_id = $4)
          AND ($5::text IS NULL OR event_type = $5) AND ($6::text IS NULL OR $6 = 'pending')
        ORDER BY id DESC LIMIT $7
    ), ended AS (
        SELECT delivery_id, endpoint_id, event_id, event_type, final,
               CASE WHEN outcome = 'cancelled' THEN number - 1 ELSE number END, NULL::timestamptz
        FROM attempts
        WHERE tenant_id = $1 AND delivery_id >= $2 AND delivery_id < $3 AND final IS NOT NULL
          AND ($4::text IS NULL OR endpoint_id = $4) AND ($5::text IS NULL OR event_type = $5)
          AND ($6::text IS NULL OR final = $6)
        ORDER BY delivery_id DESC LIMIT $7
    )
    SELECT * FROM owed UNION ALL SELECT * FROM ended ORDER BY id DESC LIMIT $7
"""


async def list_deliveries(
    conn: Connection,
    tenant_id: TenantId,
    *,
    endpoint_id: EndpointId | None = None,
    event_type: str | None = None,
    status: DeliveryStatus | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
    before: str | None = None,
    limit: int,
) -> list[Delivery]:
    """Newest first; `before` is the last id of the page before. `since` and `until` bound the event's time."""
    start = _FIRST if since is None else ids.floor(_FIRST, since)
    end = _LAST if until is None else ids.floor(_FIRST, until)
    end = end if before is None else min(end, before)
    rows = await conn.fetch(_LIST, tenant_id, start, end, endpoint_id, event_type, status, limit)
    return [_delivery(tenant_id, row) for row in rows]


async def get_delivery(conn: Connection, tenant_id: TenantId, delivery_id: DeliveryId) -> Delivery:
    """Raises NotFound."""
    row = await conn.fetchrow(_LIST, tenant_id, delivery_id, delivery_id + "0", None, None, None, 1)
    if row is None or row["id"] != delivery_id:
        raise NotFound(_NO_SUCH)
    return _delivery(tenant_id, row)


def _delivery(tenant_id: TenantId, row: Any) -> Delivery:
    return Delivery(
        id=row["id"],
        tenant_id=tenant_id,
        endpoint_id=row["endpoint_id"],
        event_id=row["event_id"],
        event_type=row["event_type"],
        status=DeliveryStatus(row["status"]),
        attempts=row["attempts"],
        next_attempt_at=row["next_attempt_at"],
        created_at=ids.made_at(row["id"]),
    )


_OWE = f"""
    WITH p AS (
        SELECT id, "order" FROM endpoints WHERE tenant_id = $2 AND id = $8
    ), stored AS (
        INSERT INTO events (id, tenant_id, type, session_id, contact_id, chat, body)
        SELECT $1, $2, $3, $4, $5, $6, $7 FROM p
    )
    INSERT INTO deliveries (id, tenant_id, endpoint_id, event_id, event_type, chat)
    SELECT {_DELIVERY_ID}, $2, p.id, $1, $3, CASE WHEN p."order" = 'chat' THEN $6 END
    FROM p, (VALUES ($1::text)) AS e (id)
    RETURNING id
"""


async def owe_event(conn: Connection, event: Event, endpoint_id: EndpointId) -> DeliveryId:
    """Write `event` and owe it to this one endpoint, whatever its filter says: a test. Raises NotFound."""
    delivery_id: DeliveryId | None = await conn.fetchval(
        _OWE,
        event.id,
        event.tenant_id,
        event.type,
        event.session_id,
        event.contact_id,
        event.chat,
        event.body,
        endpoint_id,
    )
    if delivery_id is None:
        raise NotFound("There is no such webhook endpoint.")
    return delivery_id


_HASTEN = """
    UPDATE deliveries SET due_at = now(), first_attempt = attempt
    WHERE tenant_id = $1 AND id = $2 AND (claim IS NULL OR due_at <= now())
"""
_IS_OWED = "SELECT EXISTS (SELECT FROM deliveries WHERE tenant_id = $1 AND id = $2)"
_REVIVE = """
    WITH revived AS (
        INSERT INTO deliveries (id, tenant_id, endpoint_id, event_id, event_type, chat, attempt, first_attempt)
        SELECT a.delivery_id, a.tenant_id, a.endpoint_id, a.event_id, a.event_type,
               CASE WHEN p."order" = 'chat' THEN e.chat END, a.number, a.number
        FROM attempts a
        JOIN endpoints p ON p.tenant_id = a.tenant_id AND p.id = a.endpoint_id
        JOIN events e ON e.id = a.event_id
        WHERE a.tenant_id = $1 AND a.delivery_id = $2 AND a.final IS NOT NULL
        ON CONFLICT DO NOTHING RETURNING id
    )
    UPDATE attempts SET final = NULL
    WHERE tenant_id = $1 AND delivery_id = $2 AND final IS NOT NULL AND EXISTS (SELECT FROM revived)
"""


async def redeliver(conn: Connection, tenant_id: TenantId, delivery_id: DeliveryId) -> Delivery:
    """Owe it again with a fresh schedule, or hasten it where it is still owed. Raises NotFound, Conflict."""
    async with conn.transaction():
        if await conn.execute(_HASTEN, tenant_id, delivery_id) == "UPDATE 0":
            found = await get_delivery(conn, tenant_id, delivery_id)
            revived = await conn.execute(_REVIVE, tenant_id, delivery_id)
            if revived == "UPDATE 0" and not await conn.fetchval(_IS_OWED, tenant_id, delivery_id):
                raise Conflict(
                    f"{found.id} cannot be sent again: its event or its endpoint is gone.",
                    code="delivery_gone",
                )
        return await get_delivery(conn, tenant_id, delivery_id)


_OLDEST = "SELECT min(id) FROM events"
_REPLAY = f"""
    WITH chosen AS MATERIALIZED (
        SELECT {_DELIVERY_ID} AS id, e.tenant_id, p.id AS endpoint_id, e.id AS event_id, e.type,
               CASE WHEN p."order" = 'chat' THEN e.chat END AS chat
        FROM events e JOIN endpoints p ON p.tenant_id = e.tenant_id AND p.id = $2
        WHERE e.tenant_id = $1 AND e.id >= $3 AND e.id < $4
          AND (p.sessions = '{{}}' OR e.session_id IS NULL OR e.session_id = ANY (p.sessions))
          AND (coalesce($5, p.events) = '{{}}' OR e.type = ANY (coalesce($5, p.events))
               OR split_part(e.type, '.', 1) || '.*' = ANY (coalesce($5, p.events)))
    )
    INSERT INTO deliveries (id, tenant_id, endpoint_id, event_id, event_type, chat)
    SELECT c.* FROM chosen c ORDER BY c.id ON CONFLICT DO NOTHING RETURNING id
"""
# By a statement of its own: what ended while the first one ran is not in what that one sees.
_GO_ON = """
    WITH tried AS (
        SELECT delivery_id, max(number) AS number FROM attempts
        WHERE tenant_id = $1 AND delivery_id >= $2 AND delivery_id < $3 AND delivery_id = ANY ($4)
        GROUP BY delivery_id
    ), counted AS (
        UPDATE deliveries d SET attempt = t.number, first_attempt = t.number
        FROM tried t WHERE d.id = ANY ($4) AND d.id = t.delivery_id
    )
    UPDATE attempts SET final = NULL
    WHERE tenant_id = $1 AND delivery_id >= $2 AND delivery_id < $3 AND final IS NOT NULL AND delivery_id = ANY ($4)
"""


async def replay(
    conn: Connection,
    tenant_id: TenantId,
    endpoint_id: EndpointId,
    *,
    since: datetime,
    until: datetime,
    event_types: Sequence[str] | None = None,
) -> int:
    """Owe an endpoint again what happened from `since` to before `until`; answers how many.

    `event_types` (None: the endpoint's own filter) may hold `message.*`. What is still owed stays as it is. Each hour
    is a transaction of its own, so call it outside of one. Raises NotFound.
    """
    await endpoints.get_endpoint(conn, tenant_id, endpoint_id)
    oldest = await conn.fetchval(_OLDEST)
    if oldest is None:
        return 0
    types = None if event_types is None else list(event_types)
    count = 0
    for start, end in _steps(max(since, ids.made_at(oldest)), until):
        happened, owed = ([ids.floor(prefix, at) for at in (start, end)] for prefix in ("evt_", _FIRST))
        async with conn.transaction():
            rows = await conn.fetch(_REPLAY, tenant_id, endpoint_id, *happened, types)
            await conn.execute(_GO_ON, tenant_id, *owed, [row["id"] for row in rows])
        count += len(rows)
    return count


def _steps(since: datetime, until: datetime) -> Iterator[tuple[datetime, datetime]]:
    while since < until:
        end = min(since + _REPLAY_STEP, until)
        yield since, end
        since = end


_CANCEL = """
    WITH owed AS (
        DELETE FROM deliveries WHERE tenant_id = $1 AND id = $2 RETURNING *
    ), logged AS (
        INSERT INTO attempts (tenant_id, delivery_id, number, endpoint_id, event_id, event_type, outcome,
                              duration_seconds, final)
        SELECT tenant_id, id, attempt + 1, endpoint_id, event_id, event_type, 'cancelled', 0, 'cancelled' FROM owed
    )
    SELECT endpoint_id, chat FROM owed
"""


async def cancel(conn: Connection, tenant_id: TenantId, delivery_id: DeliveryId) -> Delivery:
    """End what is still owed. One that is being posted now may arrive all the same. Raises NotFound, Conflict."""
    async with conn.transaction():
        owed = await conn.fetchrow(_CANCEL, tenant_id, delivery_id)
        found = await get_delivery(conn, tenant_id, delivery_id)
        if owed is None:
            raise Conflict(f"{found.id} has ended already: {found.status}.", code="delivery_ended")
        if owed["chat"] is not None:
            await deliveries.wake_chats(conn, [(owed["endpoint_id"], owed["chat"])])
    return found
