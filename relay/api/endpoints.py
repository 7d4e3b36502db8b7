"""Webhook endpoints: where a company's events are sent.

    register (url, headers, filter checked) ──► secret, shown once ──► rotate ──► a new one; both sign for a while

What a caller gives is checked here, word for word, so that a mistake is heard of at once; the address guard looks
again at every connect.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Annotated, Literal

from litestar import delete, get, patch, post
from litestar.params import FromPath, JSONBody, QueryParameter
from litestar.status_codes import HTTP_200_OK, HTTP_202_ACCEPTED
from msgspec import UNSET, Meta, UnsetType, field, structs

from relay.api.attempts import AttemptOut, attempt_out
from relay.api.auth import requires, tenant_of
from relay.api.owner import Company, owner_of
from relay.api.paging import Cursor, Limit, Page
from relay.api.request import Request
from relay.api.services import Services
from relay.api.wire import In, Out
from relay.egress.urls import check_headers
from relay.model.endpoint import Endpoint, EndpointStatus
from relay.model.errors import Conflict, InvalidInput, NotFound
from relay.model.event import EVENT_TYPES, Event, body_of
from relay.model.ids import DeliveryId, EndpointId, EventId, TenantId, new_event_id
from relay.model.tenant import Scope
from relay.store import delivery_log, endpoints, sessions, tenants
from relay.store.pool import Connection

_WEBHOOKS = requires(Scope.WEBHOOKS)
_HEADERS_MOST = 20
# Set for every attempt by the dispatcher; a tenant's own value would be dropped without a word.
_OUR_HEADERS = frozenset({"content-type", "content-encoding", "user-agent"})
_PREFIXES = frozenset(name.partition(".")[0] + ".*" for name in EVENT_TYPES)

Url = Annotated[str, Meta(min_length=1, max_length=2048)]
Events = Annotated[list[str], Meta(max_length=50, description="Types, or `message.*`; empty: all.")]
Sessions = Annotated[list[str], Meta(max_length=100, description="Session ids; empty: all.")]
Headers = Annotated[dict[str, str], Meta(max_length=_HEADERS_MOST, description="Sent with every webhook.")]
Description = Annotated[str, Meta(max_length=500)]
Order = Annotated[
    Literal["none", "chat"], Meta(description="`chat`: the events of one chat arrive one after the other.")
]


class EndpointIn(In, frozen=True, kw_only=True):
    company_id: str | None = None
    url: Url
    events: Events = field(default_factory=list)
    sessions: Sessions = field(default_factory=list)
    headers: Headers = field(default_factory=dict)
    description: Description = ""
    order: Order = "none"


class EndpointPatch(In, frozen=True, kw_only=True):
    url: Url | UnsetType = UNSET
    events: Events | UnsetType = UNSET
    sessions: Sessions | UnsetType = UNSET
    headers: Headers | UnsetType = UNSET
    description: Description | UnsetType = UNSET
    order: Order | UnsetType = UNSET
    status: EndpointStatus | UnsetType = UNSET


class RotateSecretIn(In, frozen=True, kw_only=True):
    overlap_seconds: Annotated[int, Meta(ge=0, le=30 * 86_400)] = 86_400
    """How long the secret before still signs beside the new one."""


class EndpointOut(Out, frozen=True, kw_only=True):
    id: EndpointId
    company_id: TenantId
    url: str
    description: str
    events: list[str]
    sessions: list[str]
    order: Literal["none", "chat"]
    status: EndpointStatus
    disabled_reason: str | None
    failing_since: datetime | None
    created_at: datetime


class StatisticsOut(Out, frozen=True, kw_only=True):
    succeeded: int
    failed: int
    owed: int
    oldest_owed_at: datetime | None
    last_attempts: list[AttemptOut]


class ListedEndpointOut(EndpointOut, frozen=True, kw_only=True):
    statistics: StatisticsOut | UnsetType = UNSET
    """Where they were asked for."""


class NewEndpointOut(EndpointOut, frozen=True, kw_only=True):
    secret: str
    """Shown this once; a rotation makes another."""


class EndpointList(Out, frozen=True, kw_only=True):
    endpoints: list[ListedEndpointOut]
    next_cursor: str | None


class SecretOut(Out, frozen=True, kw_only=True):
    secret: str
    """Shown this once."""


class TestSentOut(Out, frozen=True, kw_only=True):
    event_id: EventId
    delivery_id: DeliveryId


def _out(endpoint: Endpoint) -> EndpointOut:
    return EndpointOut(
        id=endpoint.id,
        company_id=endpoint.tenant_id,
        url=endpoint.url,
        description=endpoint.description,
        events=endpoint.events,
        sessions=endpoint.sessions,
        order=endpoint.order,
        status=endpoint.status,
        disabled_reason=endpoint.disabled_reason,
        failing_since=endpoint.failing_since,
        created_at=endpoint.created_at,
    )


def _statistics_out(figures: endpoints.Statistics) -> StatisticsOut:
    return StatisticsOut(
        succeeded=figures.succeeded,
        failed=figures.failed,
        owed=figures.owed,
        oldest_owed_at=figures.oldest_owed_at,
        last_attempts=[attempt_out(attempt) for attempt in figures.last_attempts],
    )


def _new_out(endpoint: Endpoint, secret: str) -> NewEndpointOut:
    return NewEndpointOut(secret=secret, **structs.asdict(_out(endpoint)))


def _check_url(services: Services, url: str) -> str:
    """The URL as it is to be stored."""
    try:
        return services.guard.check_url(url).url
    except ValueError as error:
        raise InvalidInput(str(error), path="url", code="url_refused") from None


def _check_headers(headers: Mapping[str, str]) -> None:
    for name in headers:
        if name.lower() in _OUR_HEADERS or name.lower().startswith("webhook-"):
            raise InvalidInput(
                f"The header {name} is set by the server and cannot be changed.", path="headers"
            )
    if len({name.lower() for name in headers}) < len(headers):
        raise InvalidInput("A header is named twice.", path="headers")
    try:
        check_headers(headers)
    except ValueError as error:
        raise InvalidInput(str(error), path="headers") from None


def check_events(events: Sequence[str], *, path: str) -> None:
    """Hold a filter against the types there are. Raises InvalidInput."""
    for place, name in enumerate(events):
        if name not in EVENT_TYPES and name not in _PREFIXES:
            raise InvalidInput(
                f"There is no such event type; known are {', '.join(EVENT_TYPES)}, and prefixes as message.*.",
                path=f"{path}[{place}]",
                code="event_type_unknown",
            )


async def _check_sessions(conn: Connection, tenant_id: TenantId, session_ids: Sequence[str]) -> None:
    for place, session_id in enumerate(session_ids):
        try:
            await sessions.get_session(conn, tenant_id, session_id)
        except NotFound:
            raise NotFound(f"There is no such session: see sessions[{place}].") from None


@post("/endpoints", opt=_WEBHOOKS, summary="Register an endpoint; its secret is shown this once")
async def create_endpoint(request: Request, data: JSONBody[EndpointIn]) -> NewEndpointOut:
    services = request.services
    tenant_id = tenant_of(request.principal, data.company_id)
    url = _check_url(services, data.url)
    _check_headers(data.headers)
    check_events(data.events, path="events")
    async with services.pool.acquire() as conn:
        key = await tenants.get_data_key(conn, services.vault, tenant_id)
        await _check_sessions(conn, tenant_id, data.sessions)
        endpoint, secret = await endpoints.insert_endpoint(
            conn,
            key,
            tenant_id=tenant_id,
            url=url,
            events=data.events,
            sessions=data.sessions,
            headers=data.headers,
            description=data.description,
            order=data.order,
        )
    return _new_out(endpoint, secret)


@get("/endpoints", opt=_WEBHOOKS, summary="List endpoints, newest first")
async def list_endpoints(
    request: Request,
    *,
    company_id: Company = None,
    statistics: Annotated[bool, QueryParameter(description="With each endpoint's statistics.")] = False,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> EndpointList:
    page = Page.of(limit, cursor)
    tenant_id = tenant_of(request.principal, company_id)
    async with request.services.pool.acquire() as conn:
        rows = await endpoints.list_endpoints(conn, tenant_id, before=page.before, limit=page.fetch)
        shown, next_cursor = page.cut(rows, lambda endpoint: endpoint.id)
        figures = await endpoints.list_statistics(conn, tenant_id, shown) if statistics else {}
    listed = [
        ListedEndpointOut(
            statistics=_statistics_out(figures[endpoint.id]) if statistics else UNSET,
            **structs.asdict(_out(endpoint)),
        )
        for endpoint in shown
    ]
    return EndpointList(endpoints=listed, next_cursor=next_cursor)


@get("/endpoints/{endpoint_id:str}", opt=_WEBHOOKS, summary="Read an endpoint")
async def read_endpoint(request: Request, endpoint_id: FromPath[str]) -> EndpointOut:
    async with request.services.pool.acquire() as conn:
        tenant_id = await owner_of(request, conn, endpoint_id)
        return _out(await endpoints.get_endpoint(conn, tenant_id, EndpointId(endpoint_id)))


@patch("/endpoints/{endpoint_id:str}", opt=_WEBHOOKS, summary="Change an endpoint; enabling sends what waits")
async def update_endpoint(
    request: Request, endpoint_id: FromPath[str], data: JSONBody[EndpointPatch]
) -> EndpointOut:
    services = request.services
    given = {name: value for name, value in structs.asdict(data).items() if value is not UNSET}
    if data.url is not UNSET:
        given["url"] = _check_url(services, data.url)
    _check_headers(given.get("headers", {}))
    check_events(given.get("events", []), path="events")
    async with services.pool.acquire() as conn:
        tenant_id = await owner_of(request, conn, endpoint_id)
        key = await tenants.get_data_key(conn, services.vault, tenant_id)
        await _check_sessions(conn, tenant_id, given.get("sessions", []))
        endpoint = await endpoints.update_endpoint(conn, key, tenant_id, EndpointId(endpoint_id), **given)
    if data.status is EndpointStatus.ENABLED:
        services.doorbell.ring("deliveries")
    return _out(endpoint)


@delete(
    "/endpoints/{endpoint_id:str}", opt=_WEBHOOKS, summary="Remove an endpoint and cancel what it is owed"
)
async def delete_endpoint(request: Request, endpoint_id: FromPath[str]) -> None:
    async with request.services.pool.acquire() as conn:
        tenant_id = await owner_of(request, conn, endpoint_id)
        await endpoints.delete_endpoint(conn, tenant_id, EndpointId(endpoint_id))


@post(
    "/endpoints/{endpoint_id:str}/rotate",
    opt=_WEBHOOKS,
    status_code=HTTP_200_OK,
    summary="Make a new secret; the one before signs beside it for a while",
)
async def rotate_endpoint_secret(
    request: Request, endpoint_id: FromPath[str], data: JSONBody[RotateSecretIn | None] = None
) -> SecretOut:
    services = request.services
    overlap = timedelta(seconds=(data or RotateSecretIn()).overlap_seconds)
    async with services.pool.acquire() as conn:
        tenant_id = await owner_of(request, conn, endpoint_id)
        key = await tenants.get_data_key(conn, services.vault, tenant_id)
        secret = await endpoints.rotate_secret(conn, key, tenant_id, EndpointId(endpoint_id), overlap=overlap)
    return SecretOut(secret=secret)


@post(
    "/endpoints/{endpoint_id:str}/test",
    opt=_WEBHOOKS,
    status_code=HTTP_202_ACCEPTED,
    summary="Send a `webhook.test` event to this endpoint, whatever its filter",
)
async def test_endpoint(request: Request, endpoint_id: FromPath[str]) -> TestSentOut:
    services = request.services
    async with services.pool.acquire() as conn:
        tenant_id = await owner_of(request, conn, endpoint_id)
        endpoint = await endpoints.get_endpoint(conn, tenant_id, EndpointId(endpoint_id))
        if endpoint.status is EndpointStatus.DISABLED:
            raise Conflict("The endpoint is disabled: enable it, then test it.", code="endpoint_disabled")
        body = body_of("webhook.test", services.now(), {"endpointId": endpoint.id})
        event = Event(id=new_event_id(), tenant_id=tenant_id, type="webhook.test", body=body)
        delivery_id = await delivery_log.owe_event(conn, event, endpoint.id)
    services.doorbell.ring("deliveries")
    services.doorbell.ring("events")
    return TestSentOut(event_id=event.id, delivery_id=delivery_id)


@get("/endpoints/{endpoint_id:str}/statistics", opt=_WEBHOOKS, summary="How an endpoint is doing")
async def read_endpoint_statistics(request: Request, endpoint_id: FromPath[str]) -> StatisticsOut:
    async with request.services.pool.acquire() as conn:
        tenant_id = await owner_of(request, conn, endpoint_id)
        return _statistics_out(await endpoints.statistics(conn, tenant_id, EndpointId(endpoint_id)))
