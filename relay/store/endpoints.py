"""Endpoints: where a tenant's events go, their sealed secrets, and how they stand.

    enabled ──► disabled    on request, after days of nothing but failure, or when it answers 410
       ▲           │
       └───────────┘        on request: what is owed becomes due at once

Secret and headers are sealed by the tenant's data key with the endpoint's id as associated data. A rotation keeps
the old ciphertext beside the new one until its overlap is over; both open with the same identity.
"""

import base64
import logging
import secrets
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Literal

import msgspec
from msgspec import Struct

from relay.model import ids
from relay.model.delivery import Attempt
from relay.model.endpoint import Endpoint, EndpointStatus
from relay.model.errors import NotFound
from relay.model.ids import EndpointId, TenantId
from relay.store import attempts
from relay.store.pool import Connection
from relay.vault import DataKey, SealBroken, Vault

log = logging.getLogger(__name__)

_COLUMNS = """
    id, tenant_id, url, description, events, sessions, "order", status, disabled_reason, failing_since,
    succeeded, failed, created_at
"""
_SECRET_BYTES = 32
_LAST_ATTEMPTS = 10
_NO_SUCH = "There is no such webhook endpoint."


class Target(Struct, frozen=True, kw_only=True):
    """What sending to an endpoint takes, opened."""

    id: EndpointId
    tenant_id: TenantId
    url: str
    order: Literal["none", "chat"]
    secrets: tuple[str, ...]
    """The newest first; two while one is being rotated."""
    headers: dict[str, str]


class Statistics(Struct, frozen=True, kw_only=True):
    succeeded: int
    failed: int
    owed: int
    oldest_owed_at: datetime | None
    last_attempts: list[Attempt]


def _endpoint(row: Any) -> Endpoint:
    return msgspec.convert(dict(row), Endpoint)


def _found(row: Any) -> Endpoint:
    if row is None:
        raise NotFound(_NO_SUCH)
    return _endpoint(row)


def _new_secret() -> str:
    return "whsec_" + base64.b64encode(secrets.token_bytes(_SECRET_BYTES)).decode()


def _seal_secret(key: DataKey, endpoint_id: EndpointId, secret: str) -> bytes:
    return key.seal(secret.encode(), identity=f"endpoint/{endpoint_id}/secret")


def _seal_headers(key: DataKey, endpoint_id: EndpointId, headers: Mapping[str, str]) -> bytes | None:
    if not headers:
        return None
    return key.seal(msgspec.json.encode(headers), identity=f"endpoint/{endpoint_id}/headers")


_INSERT = f"""
    INSERT INTO endpoints (id, tenant_id, url, description, events, sessions, "order", secret, headers)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) RETURNING {_COLUMNS}
"""


async def insert_endpoint(
    conn: Connection,
    key: DataKey,
    *,
    tenant_id: TenantId,
    url: str,
    events: Sequence[str] = (),
    sessions: Sequence[str] = (),
    headers: Mapping[str, str] | None = None,
    description: str = "",
    order: Literal["none", "chat"] = "none",
) -> tuple[Endpoint, str]:
    """The endpoint and its secret, which is shown this once. The caller has checked `url` and `headers`."""
    endpoint_id, secret = ids.new_endpoint_id(), _new_secret()
    row = await conn.fetchrow(
        _INSERT,
        endpoint_id,
        tenant_id,
        url,
        description,
        list(events),
        list(sessions),
        order,
        _seal_secret(key, endpoint_id, secret),
        _seal_headers(key, endpoint_id, headers or {}),
    )
    return _endpoint(row), secret


_GET = f"SELECT {_COLUMNS} FROM endpoints WHERE tenant_id = $1 AND id = $2"


async def get_endpoint(conn: Connection, tenant_id: TenantId, endpoint_id: EndpointId) -> Endpoint:
    """Raises NotFound."""
    return _found(await conn.fetchrow(_GET, tenant_id, endpoint_id))


_LIST = f"""
    SELECT {_COLUMNS} FROM endpoints WHERE tenant_id = $1 AND ($2::text IS NULL OR id < $2)
    ORDER BY id DESC LIMIT $3
"""


async def list_endpoints(
    conn: Connection, tenant_id: TenantId, *, before: str | None, limit: int
) -> list[Endpoint]:
    """Newest first."""
    return [_endpoint(row) for row in await conn.fetch(_LIST, tenant_id, before, limit)]


_UPDATE = f"""
    UPDATE endpoints SET
        url = coalesce($3, url), description = coalesce($4, description), events = coalesce($5, events),
        sessions = coalesce($6, sessions), "order" = coalesce($7, "order"),
        headers = CASE WHEN $8 THEN $9 ELSE headers END
    WHERE tenant_id = $1 AND id = $2 RETURNING {_COLUMNS}
"""


async def update_endpoint(
    conn: Connection,
    key: DataKey,
    tenant_id: TenantId,
    endpoint_id: EndpointId,
    *,
    url: str | None = None,
    description: str | None = None,
    events: Sequence[str] | None = None,
    sessions: Sequence[str] | None = None,
    order: Literal["none", "chat"] | None = None,
    headers: Mapping[str, str] | None = None,
    status: EndpointStatus | None = None,
) -> Endpoint:
    """Change what is given; None leaves a value as it is. Ring `deliveries` after enabling. Raises NotFound."""
    async with conn.transaction():
        if status is EndpointStatus.ENABLED:
            await _enable(conn, tenant_id, endpoint_id)
        elif status is EndpointStatus.DISABLED:
            await disable_endpoint(conn, tenant_id, endpoint_id, reason="requested")
        row = await conn.fetchrow(
            _UPDATE,
            tenant_id,
            endpoint_id,
            url,
            description,
            None if events is None else list(events),
            None if sessions is None else list(sessions),
            order,
            headers is not None,
            _seal_headers(key, endpoint_id, headers or {}),
        )
    return _found(row)


# Deliveries first, then the endpoint: the order in which a settle locks them.
_MAKE_DUE = """
    UPDATE deliveries SET due_at = now()
    WHERE endpoint_id = $2 AND tenant_id = $1 AND due_at > now() AND claim IS NULL
      AND EXISTS (SELECT FROM endpoints WHERE tenant_id = $1 AND id = $2 AND status = 'disabled')
"""
_ENABLE = """
    UPDATE endpoints SET status = 'enabled', disabled_reason = NULL, failing_since = NULL
    WHERE tenant_id = $1 AND id = $2 AND status = 'disabled'
"""


async def _enable(conn: Connection, tenant_id: TenantId, endpoint_id: EndpointId) -> None:
    await conn.execute(_MAKE_DUE, tenant_id, endpoint_id)
    await conn.execute(_ENABLE, tenant_id, endpoint_id)


_DISABLE = """
    UPDATE endpoints SET status = 'disabled', disabled_reason = $3
    WHERE tenant_id = $1 AND id = $2 AND status = 'enabled'
"""


async def disable_endpoint(
    conn: Connection,
    tenant_id: TenantId,
    endpoint_id: EndpointId,
    *,
    reason: Literal["requested", "gone", "failing"],
) -> bool:
    """Stop sending; what is owed is kept. True when it was enabled."""
    return await conn.execute(_DISABLE, tenant_id, endpoint_id, reason) == "UPDATE 1"


# What an event's transaction adds at this very moment finds no endpoint any more: see cancel_orphans.
_CANCEL_OWED = """
    WITH owed AS (
        DELETE FROM deliveries WHERE endpoint_id = $2 AND tenant_id = $1 RETURNING *
    )
    INSERT INTO attempts (tenant_id, delivery_id, number, endpoint_id, event_id, event_type, outcome,
                          duration_seconds, final)
    SELECT tenant_id, id, attempt + 1, endpoint_id, event_id, event_type, 'cancelled', 0, 'cancelled' FROM owed
"""
_DELETE = "DELETE FROM endpoints WHERE tenant_id = $1 AND id = $2"


async def delete_endpoint(conn: Connection, tenant_id: TenantId, endpoint_id: EndpointId) -> None:
    """Remove it and cancel what it is owed. Raises NotFound."""
    async with conn.transaction():
        await conn.execute(_CANCEL_OWED, tenant_id, endpoint_id)
        if await conn.execute(_DELETE, tenant_id, endpoint_id) == "DELETE 0":
            raise NotFound(_NO_SUCH)


_ROTATE = """
    UPDATE endpoints SET previous_secret = secret, previous_secret_until = now() + $4, secret = $3
    WHERE tenant_id = $1 AND id = $2
"""


async def rotate_secret(
    conn: Connection,
    key: DataKey,
    tenant_id: TenantId,
    endpoint_id: EndpointId,
    *,
    overlap: timedelta = timedelta(hours=24),
) -> str:
    """The new secret; the one before it signs beside it for `overlap`. Raises NotFound."""
    secret = _new_secret()
    sealed = _seal_secret(key, endpoint_id, secret)
    if await conn.execute(_ROTATE, tenant_id, endpoint_id, sealed, overlap) == "UPDATE 0":
        raise NotFound(_NO_SUCH)
    return secret


async def statistics(conn: Connection, tenant_id: TenantId, endpoint_id: EndpointId) -> Statistics:
    """How an endpoint is doing. Raises NotFound."""
    endpoint = await get_endpoint(conn, tenant_id, endpoint_id)
    return (await list_statistics(conn, tenant_id, [endpoint]))[endpoint_id]


_OWED = """
    SELECT endpoint_id, count(*) AS owed, min(id) AS oldest FROM deliveries
    WHERE endpoint_id = ANY($2::text[]) AND tenant_id = $1 GROUP BY endpoint_id
"""


async def list_statistics(
    conn: Connection, tenant_id: TenantId, listed: Sequence[Endpoint]
) -> dict[EndpointId, Statistics]:
    """How each of the tenant's `listed` endpoints is doing, in two looks for all of them."""
    rows: Any = await conn.fetch(_OWED, tenant_id, [endpoint.id for endpoint in listed])
    owed = {row["endpoint_id"]: row for row in rows}
    # Where there is none, looking for the last ones would read all of the tenant's.
    tried = [endpoint.id for endpoint in listed if endpoint.succeeded + endpoint.failed > 0]
    last = await attempts.list_last(conn, tenant_id, tried, limit=_LAST_ATTEMPTS)
    return {
        endpoint.id: Statistics(
            succeeded=endpoint.succeeded,
            failed=endpoint.failed,
            owed=owed[endpoint.id]["owed"] if endpoint.id in owed else 0,
            oldest_owed_at=ids.made_at(owed[endpoint.id]["oldest"]) if endpoint.id in owed else None,
            last_attempts=last.get(endpoint.id, []),
        )
        for endpoint in listed
    }


_TARGETS = """
    SELECT e.id, e.tenant_id, e.url, e."order", e.secret, e.headers, t.data_key,
           CASE WHEN e.previous_secret_until > now() THEN e.previous_secret END AS previous_secret
    FROM endpoints e JOIN tenants t ON t.id = e.tenant_id
    WHERE e.id = ANY ($1::text[]) AND e.status = 'enabled'
"""


async def list_targets(conn: Connection, vault: Vault, endpoint_ids: Sequence[str]) -> list[Target]:
    """What sending takes, for those of `endpoint_ids` that are enabled and whose secrets open."""
    targets = []
    for row in await conn.fetch(_TARGETS, endpoint_ids):
        try:
            targets.append(_target(vault, row))
        except SealBroken as error:
            # One tenant's damage must not stop the others.
            log.error("endpoint.seal_broken", extra={"endpoint": row["id"], "error": error.detail})
    return targets


def _target(vault: Vault, row: Any) -> Target:
    key = vault.unwrap(row["data_key"], row["tenant_id"])
    name = f"endpoint/{row['id']}"
    sealed = [value for value in (row["secret"], row["previous_secret"]) if value is not None]
    headers = row["headers"]
    opened = b"{}" if headers is None else key.open(headers, identity=f"{name}/headers")
    return Target(
        id=row["id"],
        tenant_id=row["tenant_id"],
        url=row["url"],
        order=row["order"],
        secrets=tuple(key.open(value, identity=f"{name}/secret").decode() for value in sealed),
        headers=msgspec.json.decode(opened, type=dict[str, str]),
    )
