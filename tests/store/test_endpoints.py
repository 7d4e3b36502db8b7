"""Endpoints on a real Postgres: sealed secrets, the tenant's wall, what enabling, disabling and deleting do."""

import base64
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest

from relay.model import ids
from relay.model.delivery import DeliveryStatus
from relay.model.endpoint import Endpoint, EndpointStatus
from relay.model.errors import NotFound
from relay.model.ids import EndpointId, TenantId
from relay.store import attempts, endpoints
from relay.store.pool import Connection, Pool
from tests.owing import VAULT, add_endpoint, add_events, add_tenant


@pytest.fixture
async def conn(pool: Pool) -> AsyncIterator[Connection]:
    async with pool.acquire() as conn:
        yield conn


async def test_an_endpoint_comes_back_as_given_and_its_secret_is_sealed(conn: Connection) -> None:
    """The row holds no secret and no header in clear; the target opens to both."""
    endpoint, secret = await add_endpoint(
        conn, events=["message.*"], headers={"X-Token": "swordfish"}, description="CRM", order="chat"
    )
    assert await endpoints.get_endpoint(conn, endpoint.tenant_id, endpoint.id) == endpoint
    assert (endpoint.events, endpoint.order, endpoint.status) == (["message.*"], "chat", "enabled")
    assert len(base64.b64decode(secret.removeprefix("whsec_"))) == 32
    row = await conn.fetchval("SELECT e::text FROM endpoints e")
    assert secret not in row
    assert b"swordfish".hex() not in row
    [target] = await endpoints.list_targets(conn, VAULT, [endpoint.id])
    assert (target.secrets, target.headers) == ((secret,), {"X-Token": "swordfish"})


async def test_anothers_id_is_not_found(conn: Connection) -> None:
    """Every call with another tenant's id answers as for an unknown one, and changes nothing."""
    endpoint, secret = await add_endpoint(conn)
    stranger, key = await add_tenant(conn)
    with pytest.raises(NotFound, match="no such"):
        await endpoints.get_endpoint(conn, stranger, endpoint.id)
    with pytest.raises(NotFound, match="no such"):
        await endpoints.update_endpoint(conn, key, stranger, endpoint.id, status=EndpointStatus.DISABLED)
    with pytest.raises(NotFound, match="no such"):
        await endpoints.rotate_secret(conn, key, stranger, endpoint.id)
    with pytest.raises(NotFound, match="no such"):
        await endpoints.delete_endpoint(conn, stranger, endpoint.id)
    with pytest.raises(NotFound, match="no such"):
        await endpoints.statistics(conn, stranger, endpoint.id)
    assert await endpoints.list_endpoints(conn, stranger, before=None, limit=10) == []
    assert await endpoints.get_endpoint(conn, endpoint.tenant_id, endpoint.id) == endpoint
    [target] = await endpoints.list_targets(conn, VAULT, [endpoint.id])
    assert target.secrets == (secret,)


async def test_the_list_is_paged_newest_first(conn: Connection) -> None:
    """A cursor goes on where the page before ended."""
    tenant = await add_tenant(conn)
    made = [(await add_endpoint(conn, tenant=tenant))[0] for _ in range(3)]
    first = await endpoints.list_endpoints(conn, tenant[0], before=None, limit=2)
    rest = await endpoints.list_endpoints(conn, tenant[0], before=first[-1].id, limit=2)
    assert first + rest == made[::-1]


async def test_update_changes_what_is_given_and_nothing_else(conn: Connection) -> None:
    """None leaves a value; an empty one empties it."""
    tenant = await add_tenant(conn)
    endpoint, secret = await add_endpoint(conn, tenant=tenant, events=["message.*"], headers={"X-A": "1"})
    changed = await endpoints.update_endpoint(conn, tenant[1], *_named(endpoint), url="https://b.example")
    assert (changed.url, changed.events) == ("https://b.example", ["message.*"])
    [target] = await endpoints.list_targets(conn, VAULT, [endpoint.id])
    assert (target.headers, target.secrets) == ({"X-A": "1"}, (secret,))
    changed = await endpoints.update_endpoint(conn, tenant[1], *_named(endpoint), events=[], headers={})
    assert changed.events == []
    assert (await endpoints.list_targets(conn, VAULT, [endpoint.id]))[0].headers == {}


async def test_enabling_makes_what_is_owed_due(conn: Connection) -> None:
    """Enabled again, an endpoint stands clean and its retries do not wait for their schedule."""
    tenant = await add_tenant(conn)
    endpoint, _ = await add_endpoint(conn, tenant=tenant)
    await add_events(conn, tenant[0], 2)
    await endpoints.disable_endpoint(conn, *_named(endpoint), reason="failing")
    await conn.execute("UPDATE deliveries SET due_at = now() + interval '1 day'")
    await conn.execute("UPDATE endpoints SET failing_since = now()")
    assert await endpoints.list_targets(conn, VAULT, [endpoint.id]) == []
    stands = await endpoints.update_endpoint(
        conn, tenant[1], *_named(endpoint), status=EndpointStatus.ENABLED
    )
    assert (stands.status, stands.disabled_reason, stands.failing_since) == ("enabled", None, None)
    assert await conn.fetchval("SELECT count(*) FROM deliveries WHERE due_at <= now()") == 2


async def test_deleting_records_what_was_owed_as_cancelled(conn: Connection) -> None:
    """Nothing is dropped silently: each owed delivery ends in the log."""
    endpoint, _ = await add_endpoint(conn)
    await add_events(conn, endpoint.tenant_id, 3)
    owed = [row["id"] for row in await conn.fetch("SELECT id FROM deliveries ORDER BY id")]
    await endpoints.delete_endpoint(conn, *_named(endpoint))
    assert await conn.fetchval("SELECT count(*) FROM deliveries") == 0
    for delivery_id in owed:
        [attempt] = await attempts.list_attempts(conn, endpoint.tenant_id, delivery_id)
        assert attempt.final is DeliveryStatus.CANCELLED


async def test_rotation_signs_with_both_until_the_overlap_is_over(conn: Connection) -> None:
    """The new secret comes first; the old one goes when its time is over."""
    tenant = await add_tenant(conn)
    endpoint, old = await add_endpoint(conn, tenant=tenant)
    new = await endpoints.rotate_secret(conn, tenant[1], *_named(endpoint))
    assert (await endpoints.list_targets(conn, VAULT, [endpoint.id]))[0].secrets == (new, old)
    newest = await endpoints.rotate_secret(conn, tenant[1], *_named(endpoint), overlap=timedelta(0))
    assert (await endpoints.list_targets(conn, VAULT, [endpoint.id]))[0].secrets == (newest,)


async def test_one_tenants_damaged_secret_leaves_the_others_working(conn: Connection) -> None:
    """A ciphertext that does not open costs its own endpoint only."""
    damaged, _ = await add_endpoint(conn)
    sound, secret = await add_endpoint(conn)
    await conn.execute("UPDATE endpoints SET secret = $2 WHERE id = $1", damaged.id, b"\x01" + b"x" * 60)
    [target] = await endpoints.list_targets(conn, VAULT, [damaged.id, sound.id])
    assert (target.id, target.secrets) == (sound.id, (secret,))


async def test_statistics_count_what_is_owed_and_since_when(conn: Connection) -> None:
    """The oldest owed event gives its age."""
    endpoint, _ = await add_endpoint(conn)
    empty = await endpoints.statistics(conn, *_named(endpoint))
    assert (empty.owed, empty.oldest_owed_at, empty.last_attempts) == (0, None, [])
    [first, *_] = await add_events(conn, endpoint.tenant_id, 4)
    figures = await endpoints.statistics(conn, *_named(endpoint))
    assert figures.owed == 4
    assert figures.oldest_owed_at == ids.made_at(first)
    assert datetime.now(UTC) - figures.oldest_owed_at < timedelta(minutes=1)


def _named(endpoint: Endpoint) -> tuple[TenantId, EndpointId]:
    return endpoint.tenant_id, endpoint.id
