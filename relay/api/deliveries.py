"""The delivery log: what was sent where, with every attempt; send again, replay a range, cancel."""

from datetime import datetime
from typing import Annotated

from litestar import get, post
from litestar.params import FromPath, FromQuery, JSONBody, QueryParameter
from litestar.status_codes import HTTP_200_OK, HTTP_202_ACCEPTED
from msgspec import Meta, structs

from relay.api.attempts import AttemptOut, attempt_out
from relay.api.auth import requires, tenant_of
from relay.api.endpoints import Events, check_events
from relay.api.instants import Since, Until, clamp, parse_instant
from relay.api.owner import Company, owner_of
from relay.api.paging import Cursor, Limit, Page
from relay.api.request import Request
from relay.api.wire import In, Out
from relay.model.delivery import Delivery, DeliveryStatus
from relay.model.errors import InvalidInput
from relay.model.event import EVENT_TYPES
from relay.model.ids import DeliveryId, EndpointId, EventId
from relay.model.tenant import Scope
from relay.store import attempts, delivery_log

_WEBHOOKS = requires(Scope.WEBHOOKS)


class ReplayIn(In, frozen=True, kw_only=True):
    since: Annotated[datetime, Meta(tz=True)]
    until: Annotated[datetime, Meta(tz=True)] | None = None
    """Up to, not including; left out: now."""
    types: Events | None = None
    """Left out: what the endpoint's own filter takes."""


class DeliveryOut(Out, frozen=True, kw_only=True):
    id: DeliveryId
    endpoint_id: EndpointId
    event_id: EventId
    """The `webhook-id` of every attempt."""
    event_type: str
    status: DeliveryStatus
    attempt_count: int
    next_attempt_at: datetime | None
    """Null while it is being sent, and once it has ended."""
    created_at: datetime


class DeliveryDetailOut(DeliveryOut, frozen=True, kw_only=True):
    attempts: list[AttemptOut]
    """Oldest first."""


class DeliveryList(Out, frozen=True, kw_only=True):
    deliveries: list[DeliveryOut]
    next_cursor: str | None


class ReplayOut(Out, frozen=True, kw_only=True):
    count: int
    """How many deliveries are owed again."""


def _out(delivery: Delivery) -> DeliveryOut:
    return DeliveryOut(
        id=delivery.id,
        endpoint_id=delivery.endpoint_id,
        event_id=delivery.event_id,
        event_type=delivery.event_type,
        status=delivery.status,
        attempt_count=delivery.attempts,
        next_attempt_at=delivery.next_attempt_at,
        created_at=delivery.created_at,
    )


@get("/deliveries", opt=_WEBHOOKS, summary="List deliveries, newest first")
async def list_deliveries(
    request: Request,
    *,
    company_id: Company = None,
    endpoint_id: Annotated[str | None, QueryParameter(name="endpointId")] = None,
    status: FromQuery[DeliveryStatus | None] = None,
    event_type: Annotated[str | None, QueryParameter(name="type")] = None,
    since: Since = None,
    until: Until = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> DeliveryList:
    page = Page.of(limit, cursor)
    tenant_id = tenant_of(request.principal, company_id)
    if event_type is not None and event_type not in EVENT_TYPES:
        raise InvalidInput("There is no such event type.", path="type", code="event_type_unknown")
    async with request.services.pool.acquire() as conn:
        rows = await delivery_log.list_deliveries(
            conn,
            tenant_id,
            endpoint_id=None if endpoint_id is None else EndpointId(endpoint_id),
            event_type=event_type,
            status=status,
            since=parse_instant(since, path="since"),
            until=parse_instant(until, path="until"),
            before=page.before,
            limit=page.fetch,
        )
    shown, next_cursor = page.cut(rows, lambda delivery: delivery.id)
    return DeliveryList(deliveries=[_out(delivery) for delivery in shown], next_cursor=next_cursor)


@get("/deliveries/{delivery_id:str}", opt=_WEBHOOKS, summary="Read a delivery with its attempts")
async def read_delivery(request: Request, delivery_id: FromPath[str]) -> DeliveryDetailOut:
    # One snapshot: a delivery moves from what is owed to the log between two statements.
    async with (
        request.services.pool.acquire() as conn,
        conn.transaction(isolation="repeatable_read", readonly=True),
    ):
        tenant_id = await owner_of(request, conn, delivery_id)
        delivery = await delivery_log.get_delivery(conn, tenant_id, DeliveryId(delivery_id))
        log = await attempts.list_attempts(conn, tenant_id, delivery.id)
    shown = structs.asdict(_out(delivery))
    return DeliveryDetailOut(attempts=[attempt_out(attempt) for attempt in log], **shown)


@post(
    "/deliveries/{delivery_id:str}/redeliver",
    opt=_WEBHOOKS,
    status_code=HTTP_202_ACCEPTED,
    summary="Send a delivery again, now and with a fresh schedule",
)
async def redeliver_delivery(request: Request, delivery_id: FromPath[str]) -> DeliveryOut:
    services = request.services
    async with services.pool.acquire() as conn:
        tenant_id = await owner_of(request, conn, delivery_id)
        delivery = await delivery_log.redeliver(conn, tenant_id, DeliveryId(delivery_id))
    services.doorbell.ring("deliveries")
    return _out(delivery)


@post(
    "/deliveries/{delivery_id:str}/cancel",
    opt=_WEBHOOKS,
    status_code=HTTP_200_OK,
    summary="Stop trying a delivery; one that is being sent now may still arrive",
)
async def cancel_delivery(request: Request, delivery_id: FromPath[str]) -> DeliveryOut:
    services = request.services
    async with services.pool.acquire() as conn:
        tenant_id = await owner_of(request, conn, delivery_id)
        delivery = await delivery_log.cancel(conn, tenant_id, DeliveryId(delivery_id))
    # The next of its chat may have waited for it.
    services.doorbell.ring("deliveries")
    return _out(delivery)


@post(
    "/endpoints/{endpoint_id:str}/replay",
    opt=_WEBHOOKS,
    status_code=HTTP_202_ACCEPTED,
    summary="Send an endpoint again what happened in a range of time",
)
async def replay_endpoint(
    request: Request, endpoint_id: FromPath[str], data: JSONBody[ReplayIn]
) -> ReplayOut:
    services = request.services
    since, until = clamp(data.since), data.until or services.now()
    if since >= until:
        raise InvalidInput("`since` must lie before `until`.", path="since")
    check_events(data.types or [], path="types")
    async with services.pool.acquire() as conn:
        tenant_id = await owner_of(request, conn, endpoint_id)
        count = await delivery_log.replay(
            conn, tenant_id, EndpointId(endpoint_id), since=since, until=until, event_types=data.types
        )
    services.doorbell.ring("deliveries")
    return ReplayOut(count=count)
