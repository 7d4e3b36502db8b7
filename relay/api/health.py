"""How the server is: for people and their pages, for load balancers, for whoever restarts processes."""

from datetime import datetime
from typing import Annotated, TypeAlias

from litestar import Response, get, route
from litestar.enums import HttpMethod
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import QueryParameter
from litestar.status_codes import HTTP_200_OK, HTTP_503_SERVICE_UNAVAILABLE
from msgspec import structs
from psutil import Process

from relay import __version__
from relay.api.auth import PUBLIC, requires, tenant_of
from relay.api.owner import Company
from relay.api.readiness import OK
from relay.api.request import Request
from relay.api.wire import Out
from relay.model.ids import TenantId
from relay.model.session import SessionStatus
from relay.model.tenant import Scope
from relay.store import figures, leases, rates, sessions

# Load balancers and monitors often ask with HEAD.
_PROBED = (HttpMethod.GET, HttpMethod.HEAD)

Minutes: TypeAlias = Annotated[int, QueryParameter(ge=1, le=1440, description="How many; at most a day.")]


class MemoryOut(Out, frozen=True, kw_only=True):
    rss_bytes: int
    """Of the process that answers."""


class OwedOut(Out, frozen=True, kw_only=True):
    owed: int
    oldest_due_seconds: float
    """For how long the one that waits longest has been due."""


class RepliesOut(Out, frozen=True, kw_only=True):
    waiting: int
    """Messages that no bot has looked at yet; above 10,000 it says 10,000."""
    oldest_seconds: float
    """The age of the oldest of them."""


class HealthOut(Out, frozen=True, kw_only=True):
    version: str
    total_sessions: int
    connected: int
    connecting: int
    disconnected: int
    failed: int
    hosts: int
    deliveries: OwedOut
    queued: int
    """Messages accepted and not yet sent; above 10,000 it says 10,000."""
    replies: RepliesOut
    agent_questions: int
    """Questions that agents have in hand or will get; above 10,000 it says 10,000."""
    memory: MemoryOut
    uptime_seconds: float


class MinuteOut(Out, frozen=True, kw_only=True):
    at: datetime
    """When it began."""
    received: int
    """Messages that people have written."""
    sent: int
    """Messages that have reached WhatsApp."""
    failed: int
    """Messages that have not; what was cancelled is not among them."""
    answered: int
    """Answers of bots, however many messages each has."""
    delivered: int
    """Attempts of webhook deliveries that succeeded."""
    undelivered: int
    """Attempts that failed; most are tried again."""


class RatesOut(Out, frozen=True, kw_only=True):
    minutes: list[MinuteOut]
    """Oldest first, one for each minute; the last one runs."""


class LivenessOut(Out, frozen=True, kw_only=True):
    status: str


class ReadinessOut(Out, frozen=True, kw_only=True):
    status: str
    checks: dict[str, str]
    """What is looked at, each with `ok` or what is wrong."""


@get(
    "/api/v1/whatsapp/health",
    opt=requires(Scope.SESSIONS),
    summary="Sessions by status, what is owed, memory; a company's own, the operator's of all",
    tags=["health"],
)
async def read_health(request: Request, company_id: Company = None) -> HealthOut:
    services, tenant_id = request.services, whose(request, company_id)
    async with services.pool.acquire() as conn:
        counts = await sessions.count_by_status(conn, tenant_id)
        owed = await figures.get_owed(conn, tenant_id)
        backlog = await figures.get_backlog(conn, tenant_id)
        hosts = await leases.count_holders(conn)
    process = Process()
    return HealthOut(
        version=__version__,
        total_sessions=sum(counts.values()),
        connected=counts.get(SessionStatus.CONNECTED, 0),
        connecting=counts.get(SessionStatus.CONNECTING, 0),
        disconnected=counts.get(SessionStatus.DISCONNECTED, 0),
        failed=counts.get(SessionStatus.FAILED, 0),
        hosts=hosts,
        deliveries=OwedOut(owed=owed.owed, oldest_due_seconds=owed.oldest_due_seconds),
        queued=backlog.queued,
        replies=RepliesOut(waiting=backlog.replies, oldest_seconds=backlog.oldest_reply_seconds),
        agent_questions=backlog.agent_questions,
        memory=MemoryOut(rss_bytes=process.memory_info().rss),
        uptime_seconds=max(0.0, round(services.now().timestamp() - process.create_time(), 1)),
    )


@get(
    "/api/v1/whatsapp/health/rates",
    opt=requires(Scope.SESSIONS),
    summary="What happened in each of the last minutes; a company's own, the operator's of all",
    tags=["health"],
)
async def list_rates(request: Request, company_id: Company = None, minutes: Minutes = 60) -> RatesOut:
    services, tenant_id = request.services, whose(request, company_id)
    async with services.pool.acquire() as conn:
        found = await rates.list_minutes(conn, tenant_id, minutes=minutes, now=services.now())
    return RatesOut(minutes=[MinuteOut(**structs.asdict(minute)) for minute in found])


def whose(request: Request, company_id: str | None) -> TenantId | None:
    """None, everybody's, for an operator that names no company."""
    principal = request.principal
    everybody = principal.tenant_id is None and company_id is None
    return None if everybody else tenant_of(principal, company_id)


@route(
    "/livez",
    http_method=_PROBED,
    opt=PUBLIC,
    summary="Whether this process runs; asks nobody",
    tags=["health"],
)
async def read_liveness() -> LivenessOut:
    return LivenessOut(status="ok")


@route(
    "/readyz",
    http_method=_PROBED,
    opt=PUBLIC,
    summary="Whether requests can be served, and what is missing",
    tags=["health"],
    responses={
        HTTP_200_OK: ResponseSpec(data_container=ReadinessOut, description="Ready."),
        HTTP_503_SERVICE_UNAVAILABLE: ResponseSpec(data_container=ReadinessOut, description="Not ready."),
    },
)
async def read_readiness(request: Request) -> Response[ReadinessOut]:
    checks = await request.services.readiness.check()
    ready = all(found == OK for found in checks.values())
    return Response(
        ReadinessOut(status="ready" if ready else "not_ready", checks=checks),
        status_code=HTTP_200_OK if ready else HTTP_503_SERVICE_UNAVAILABLE,
    )
