"""The log of attempts: append-only but for `final`, which a redelivery clears."""

from collections.abc import Mapping, Sequence
from typing import Any

from relay.model.delivery import Attempt, DeliveryStatus, Outcome
from relay.model.ids import DeliveryId, EndpointId, TenantId
from relay.store.pool import Connection


def _attempt(row: Mapping[str, Any]) -> Attempt:
    final = row["final"]
    fields = dict(row)
    fields["outcome"] = Outcome(row["outcome"])
    fields["final"] = None if final is None else DeliveryStatus(final)
    return Attempt(**fields)


_LIST = "SELECT * FROM attempts WHERE tenant_id = $1 AND delivery_id = $2 ORDER BY number"


async def list_attempts(conn: Connection, tenant_id: TenantId, delivery_id: DeliveryId) -> list[Attempt]:
    """Oldest first."""
    return [_attempt(row) for row in await conn.fetch(_LIST, tenant_id, delivery_id)]


_LIST_LAST = """
    SELECT last.* FROM unnest($2::text[]) AS e (id) CROSS JOIN LATERAL (
        SELECT * FROM attempts WHERE tenant_id = $1 AND endpoint_id = e.id
        ORDER BY delivery_id DESC, number DESC LIMIT $3) AS last
    ORDER BY delivery_id DESC, number DESC
"""


async def list_last(
    conn: Connection, tenant_id: TenantId, endpoint_ids: Sequence[EndpointId], *, limit: int
) -> dict[EndpointId, list[Attempt]]:
    """Of each endpoint's newest deliveries, newest first; one without any is left out."""
    found: dict[EndpointId, list[Attempt]] = {}
    for row in await conn.fetch(_LIST_LAST, tenant_id, list(endpoint_ids), limit):
        found.setdefault(row["endpoint_id"], []).append(_attempt(row))
    return found
