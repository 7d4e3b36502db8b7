"""Events as they are read: by id, and in the order in which they were committed.

    id      made before its transaction commits: a later id may be seen first
    xid     the transaction's; below the oldest one still running nothing can be added any more

So a reader's position is (xid, id), and it reads only what lies below `pg_snapshot_xmin`: what commits late comes
late, and is never missed. What callers hold is the id of the last event they have seen; its xid is looked up.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from itertools import groupby
from operator import itemgetter
from typing import Any

from msgspec import Struct

from relay.model import ids
from relay.model.errors import NotFound
from relay.model.ids import EventId, SessionId, TenantId
from relay.store.pool import Connection

_SCAN = 1000
_LATE = timedelta(seconds=60)
"""No statement of ours runs longer, so an event is committed at most this long after its id was made."""
_APART = timedelta(hours=1)
"""What is new has ids of about now: clocks of hosts may differ by less than this."""


class Position(Struct, frozen=True, kw_only=True):
    """A place in a tenant's log: everything behind it has been seen."""

    xid: str
    id: str

    @property
    def order(self) -> tuple[int, str]:
        """Sorts as the log does."""
        return int(self.xid), self.id


BEGINNING = Position(xid="0", id="")


class Filter(Struct, frozen=True, kw_only=True):
    types: tuple[str, ...] = ()
    """Types, or `message.*`; empty means all."""
    session_id: str | None = None
    since: datetime | None = None

    def takes(self, event: "StoredEvent") -> bool:
        """As `list_after` decides it."""
        return (
            (not self.types or event.type in self.types or f"{event.type.split('.')[0]}.*" in self.types)
            and (self.session_id is None or event.session_id == self.session_id)
            and event.id >= self.floor
        )

    @property
    def floor(self) -> str:
        """The least id that it takes."""
        return "" if self.since is None else ids.floor("evt_", self.since)


class StoredEvent(Struct, frozen=True, kw_only=True):
    id: EventId
    type: str
    session_id: SessionId | None
    body: str


class Found(Struct, frozen=True, kw_only=True):
    events: list[StoredEvent]
    position: Position
    """Where to go on: behind the last event looked at, whether the filter took it or not."""
    last_id: EventId | None
    """The last event looked at."""
    more: bool
    """There is more to read now."""
    held: bool
    """Something is committed behind a transaction that still runs: look again soon."""


_GET = "SELECT id, type, session_id, body FROM events WHERE tenant_id = $1 AND id = $2"


async def get_event(conn: Connection, tenant_id: TenantId, event_id: EventId) -> StoredEvent:
    """Raises NotFound."""
    row = await conn.fetchrow(_GET, tenant_id, event_id)
    if row is None:
        raise NotFound("There is no such event, or it is no longer kept.")
    return _stored(row)


# Rows that the filter leaves out come without their body. What is not settled yet sorts last.
_LIST_AFTER = """
    SELECT id, type, session_id, e.xid::text AS xid,
           CASE WHEN ($4::text[] = '{}' OR type = ANY ($4) OR split_part(type, '.', 1) || '.*' = ANY ($4))
                 AND ($5::text IS NULL OR session_id = $5) AND id >= $6 THEN body END AS body,
           e.xid < pg_snapshot_xmin(pg_current_snapshot()) AS settled
    FROM events e WHERE tenant_id = $1 AND (e.xid, id) > ($2::text::xid8, $3) ORDER BY e.xid, id LIMIT $7
"""


async def list_after(
    conn: Connection, tenant_id: TenantId, position: Position, *, wanted: Filter, limit: int
) -> Found:
    """Up to `limit` events behind `position`, oldest first."""
    scan = limit + 1 if wanted == Filter() else _SCAN
    rows = await conn.fetch(
        _LIST_AFTER, tenant_id, position.xid, position.id, wanted.types, wanted.session_id, wanted.floor, scan
    )
    events: list[StoredEvent] = []
    last_id, seen = None, 0
    for row in rows:
        if not row["settled"] or len(events) == limit:
            break
        seen += 1
        last_id, position = row["id"], Position(xid=row["xid"], id=row["id"])
        if row["body"] is not None:
            events.append(_stored(row))
    left = seen < len(rows)
    return Found(
        events=events,
        position=position,
        last_id=last_id,
        more=rows[seen]["settled"] if left else len(rows) == scan,
        held=left and not rows[seen]["settled"],
    )


class Page(Struct, frozen=True, kw_only=True):
    """News of one tenant."""

    events: list[tuple[StoredEvent, Position]]
    position: Position
    """Behind the last of them."""
    more: bool
    held: bool
    """As in `Found`."""


# The bounds of ids keep it to the partition of the day, or two. What is not settled yet sorts last.
_LIST_NEWS = """
    SELECT listened.tenant_id, e.* FROM unnest($1::text[], $2::text[], $3::text[]) AS listened (tenant_id, xid, id)
    CROSS JOIN LATERAL (
        SELECT id, type, session_id, e.xid::text AS xid, body,
               e.xid < pg_snapshot_xmin(pg_current_snapshot()) AS settled
        FROM events e
        WHERE e.tenant_id = listened.tenant_id AND (e.xid, e.id) > (listened.xid::xid8, listened.id)
          AND e.id >= $4 AND e.id < $5
        ORDER BY e.xid, e.id LIMIT $6) AS e
"""


async def list_news(
    conn: Connection, after: Mapping[TenantId, Position], *, since: datetime, now: datetime, limit: int
) -> dict[TenantId, Page]:
    """Up to `limit` events of each tenant behind its position, oldest first; without those that have none.

    `since` is when this was last asked, and the positions were up to date then.
    """
    positions = after.values()
    rows = await conn.fetch(
        _LIST_NEWS,
        list(after),
        [position.xid for position in positions],
        [position.id for position in positions],
        ids.floor("evt_", since - _APART),
        ids.floor("evt_", now + _APART),
        limit,
    )
    pages = {}
    for tenant_id, found in groupby(rows, key=itemgetter("tenant_id")):
        listed = list(found)
        settled = [(_stored(row), Position(xid=row["xid"], id=row["id"])) for row in listed if row["settled"]]
        pages[TenantId(tenant_id)] = Page(
            events=settled,
            position=settled[-1][1] if settled else after[tenant_id],
            more=len(settled) == limit,
            held=len(settled) < len(listed),
        )
    return pages


def _stored(row: Any) -> StoredEvent:
    return StoredEvent(id=row["id"], type=row["type"], session_id=row["session_id"], body=row["body"])


_NOW = "SELECT pg_snapshot_xmin(pg_current_snapshot())::text"


async def find_latest(conn: Connection) -> Position:
    """Behind everything that is settled now."""
    return Position(xid=await conn.fetchval(_NOW), id="")


# Partitions older than the id are not looked at. What still runs may commit below what is seen.
_AT = """
    SELECT least(pg_snapshot_xmin(pg_current_snapshot()),
                 (SELECT xid FROM events WHERE tenant_id = $1 AND id >= $2 ORDER BY xid, id LIMIT 1))::text
"""


async def find_position_at(conn: Connection, tenant_id: TenantId, at: datetime) -> Position:
    """Before the first event made at `at` or after; a few older ones may follow it."""
    return Position(xid=await conn.fetchval(_AT, tenant_id, ids.floor("evt_", at)), id="")


_POSITION = "SELECT xid::text FROM events WHERE tenant_id = $1 AND id = $2"


async def find_position(conn: Connection, tenant_id: TenantId, event_id: str) -> Position:
    """Behind an event. One that is no longer kept is placed by its id's time, rather too early than too late.

    Raises ValueError on what is no event id.
    """
    made_at = ids.made_at(event_id)
    if not event_id.startswith("evt_"):
        raise ValueError("not an event id")
    xid = await conn.fetchval(_POSITION, tenant_id, event_id)
    if xid is not None:
        return Position(xid=xid, id=event_id)
    return await find_position_at(conn, tenant_id, made_at - _LATE)


# An event that is still owed stays until it is delivered or exhausted.
_DELETE_BEFORE = """
    DELETE FROM events WHERE id IN (
        SELECT id FROM events e WHERE tenant_id = $1 AND id < $2
           AND NOT EXISTS (SELECT FROM deliveries d WHERE d.event_id = e.id AND d.tenant_id = $1)
        ORDER BY id LIMIT $3)
"""


async def delete_before(conn: Connection, tenant_id: TenantId, oldest: str, *, limit: int) -> int:
    """Retention: remove up to `limit` events with ids below `oldest` that nobody is owed; answers how many."""
    done = await conn.execute(_DELETE_BEFORE, tenant_id, oldest, limit)
    return int(done.rpartition(" ")[2])
