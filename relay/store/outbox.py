"""The outbox: events and the deliveries they owe, written in the transaction that caused them.

One statement inserts the events and joins them with the tenants' endpoints, so an endpoint that is committed
before an event is owed it. A delivery's id comes from its event's id and its endpoint: it keeps the event's time
(and so its partition and its place in the order) and one pair is one delivery, however often it is written.
Ring `deliveries` and `events` after the commit.
"""

from collections.abc import Sequence

from relay.model.event import Event
from relay.store.pool import Connection

# Also owed while an endpoint is disabled: what is owed then waits for it.
_INSERT = """
    WITH given AS MATERIALIZED (
        SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[])
            AS e (id, tenant_id, type, session_id, contact_id, chat, body)
    ), stored AS (
        INSERT INTO events (id, tenant_id, type, session_id, contact_id, chat, body)
        SELECT id, tenant_id, type, session_id, contact_id, chat, body FROM given
    )
    INSERT INTO deliveries (id, tenant_id, endpoint_id, event_id, event_type, chat)
    SELECT 'dlv_' || substr(e.id, 5, 12) || substr(md5(e.id || p.id), 1, 14), e.tenant_id, p.id, e.id, e.type,
           CASE WHEN p."order" = 'chat' THEN e.chat END
    FROM given e
    JOIN endpoints p ON p.tenant_id = e.tenant_id
     AND (p.events = '{}' OR e.type = ANY (p.events) OR split_part(e.type, '.', 1) || '.*' = ANY (p.events))
     AND (p.sessions = '{}' OR e.session_id IS NULL OR e.session_id = ANY (p.sessions))
    ORDER BY 1
"""


async def insert_events(conn: Connection, events: Sequence[Event]) -> bool:
    """Write `events` and what they owe; True when something is owed."""
    if not events:
        return False
    done = await conn.execute(
        _INSERT,
        [e.id for e in events],
        [e.tenant_id for e in events],
        [e.type for e in events],
        [e.session_id for e in events],
        [e.contact_id for e in events],
        [e.chat for e in events],
        [e.body for e in events],
    )
    return done != "INSERT 0 0"
