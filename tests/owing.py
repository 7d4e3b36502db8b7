"""What tests of delivery arrange: a tenant, its endpoints, and events that are owed."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Literal

from relay.model import ids
from relay.model.endpoint import Endpoint
from relay.model.event import Event, body_of
from relay.model.ids import EventId, SessionId, TenantId
from relay.model.tenant import Retention
from relay.store import endpoints, outbox, tenants
from relay.store.pool import Connection
from relay.vault import DataKey, Vault

VAULT = Vault(b"m" * 32)


async def add_tenant(conn: Connection) -> tuple[TenantId, DataKey]:
    tenant_id = ids.new_tenant_id()
    await tenants.insert_tenant(conn, VAULT, tenant_id=tenant_id, name="Acme", retention=Retention())
    return tenant_id, await tenants.get_data_key(conn, VAULT, tenant_id)


async def add_endpoint(
    conn: Connection,
    *,
    url: str = "https://hooks.example.com/in",
    tenant: tuple[TenantId, DataKey] | None = None,
    order: Literal["none", "chat"] = "none",
    **given: Any,
) -> tuple[Endpoint, str]:
    """An endpoint (of a tenant of its own unless one is given) and its secret."""
    tenant_id, key = tenant or await add_tenant(conn)
    return await endpoints.insert_endpoint(
        conn,
        key,
        tenant_id=tenant_id,
        url=url,
        order=order,
        **given,
    )


async def add_events(
    conn: Connection,
    tenant_id: TenantId,
    count: int = 1,
    *,
    type: str = "message.received",
    chats: Sequence[str | None] = (None,),
    session_id: SessionId | None = None,
) -> list[EventId]:
    """`count` numbered events, dealt out to `chats` in turn."""
    at = datetime.now(UTC)
    events = [
        Event(
            id=ids.new_event_id(),
            tenant_id=tenant_id,
            type=type,
            session_id=session_id,
            body=body_of(type, at, {"number": number}),
            chat=chats[number % len(chats)],
        )
        for number in range(count)
    ]
    await outbox.insert_events(conn, events)
    return [event.id for event in events]
