"""Rates: how much happened in each minute, a row a tenant and minute.

tally.py ──add──► rates ──list──► charts
                    └── older than a day ──► removed by the janitor
"""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, Protocol, TypeAlias, get_args

import msgspec
from msgspec import Struct

from relay.model.ids import TenantId
from relay.store.pool import Connection

Kind = Literal["received", "sent", "failed", "answered", "delivered", "undelivered"]
KINDS: tuple[Kind, ...] = get_args(Kind)
Counts: TypeAlias = Mapping[tuple[TenantId, int, Kind], int]
"""By tenant, minute (of unix time) and kind."""

_KEPT = timedelta(hours=25)
"""A day can be asked for, and the minute that runs."""


class Count(Protocol):
    """What a part of the server calls when something has happened, after the commit; see `Tally`."""

    def __call__(self, tenant_id: TenantId, kind: Kind, n: int = 1, /) -> None: ...


def uncounted(_tenant_id: TenantId, _kind: Kind, _n: int = 1, /) -> None:
    pass


class Minute(Struct, frozen=True, kw_only=True):
    at: datetime
    """When it began."""
    received: int
    sent: int
    failed: int
    answered: int
    delivered: int
    undelivered: int


# The tenants first, as whoever deletes one does: those that are gone are left out, and nobody locks anybody out. It
# does not wait for the disk: should Postgres itself crash, a chart lacks a moment.
_ADD = """
    WITH living AS MATERIALIZED (
        SELECT id FROM tenants WHERE id = ANY ($1::text[]) ORDER BY id FOR KEY SHARE
    )
    INSERT INTO rates AS r (tenant_id, minute, received, sent, failed, answered, delivered, undelivered)
    SELECT n.tenant_id, to_timestamp(n.minute * 60), n.received, n.sent, n.failed, n.answered, n.delivered, n.undelivered
    FROM set_config('synchronous_commit', 'off', true),
         unnest($1::text[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[],
                $8::bigint[])
            AS n (tenant_id, minute, received, sent, failed, answered, delivered, undelivered)
    JOIN living ON living.id = n.tenant_id
    ORDER BY n.tenant_id, n.minute
    ON CONFLICT (tenant_id, minute) DO UPDATE SET
        received = r.received + excluded.received, sent = r.sent + excluded.sent,
        failed = r.failed + excluded.failed, answered = r.answered + excluded.answered,
        delivered = r.delivered + excluded.delivered, undelivered = r.undelivered + excluded.undelivered
"""


async def add(conn: Connection, counts: Counts) -> None:
    """Add to the minutes of tenants, those that are deleted left out."""
    rows = sorted({(tenant_id, minute) for tenant_id, minute, _ in counts})
    columns = [[counts.get((tenant_id, minute, kind), 0) for tenant_id, minute in rows] for kind in KINDS]
    await conn.execute(_ADD, [tenant_id for tenant_id, _ in rows], [minute for _, minute in rows], *columns)


_SUMS = ", ".join(f"coalesce(r.{kind}, 0)::bigint AS {kind}" for kind in KINDS)
_LIST = f"""
    SELECT m.at, {_SUMS}
    FROM generate_series($2::timestamptz, $3, interval '1 minute') AS m (at)
    LEFT JOIN (
        SELECT minute AS at, {", ".join(f"sum({kind}) AS {kind}" for kind in KINDS)} FROM rates
        WHERE minute BETWEEN $2 AND $3 AND ($1::text IS NULL OR tenant_id = $1) GROUP BY minute
    ) r ON r.at = m.at
    ORDER BY m.at
"""


async def list_minutes(
    conn: Connection, tenant_id: TenantId | None, *, minutes: int, now: datetime
) -> list[Minute]:
    """The last ones, oldest first, the one that runs among them; None: those of everybody together."""
    last = now.astimezone(UTC).replace(second=0, microsecond=0)
    rows: list[Any] = await conn.fetch(_LIST, tenant_id, last - timedelta(minutes=minutes - 1), last)
    return [msgspec.convert(dict(row), Minute) for row in rows]


_DELETE_OLD = "DELETE FROM rates WHERE minute < $1"


async def delete_old(conn: Connection, *, now: datetime) -> None:
    await conn.execute(_DELETE_OLD, now - _KEPT)
