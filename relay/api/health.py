"""How the server is: for people and their pages, for load balancers, for whoever restarts processes."""

from litestar import Response, get
from litestar.openapi.datastructures import ResponseSpec
from litestar.status_codes import HTTP_200_OK, HTTP_503_SERVICE_UNAVAILABLE
from psutil import Process

from relay import __version__
from relay.api.auth import PUBLIC, requires, tenant_of
from relay.api.owner import Company
from relay.api.readiness import OK
from relay.api.request import Request
from relay.api.wire import Out
from relay.model.session import SessionStatus
from relay.model.tenant import Scope
from relay.store import figures, leases, sessions


class MemoryOut(Out, frozen=True, kw_only=True):
    rss_bytes: int
    """Of the process that answers."""


class OwedOut(Out, frozen=True, kw_only=True):
    owed: int
    oldest_due_seconds: float
    """For how long the one that waits longest has been due."""


class HealthOut(Out, frozen=True, kw_only=True):
    version: str
    total_sessions: int
    connected: int
    connecting: int
    disconnected: int
    failed: int
    hosts: int
    deliveries: OwedOut
    memory: MemoryOut
    uptime_seconds: float


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
    services, principal = request.services, request.principal
    everybody = principal.tenant_id is None and company_id is None
    tenant_id = None if everybody else tenant_of(principal, company_id)
    async with services.pool.acquire() as conn:
        counts = await sessions.count_by_status(conn, tenant_id)
        owed = await figures.get_owed(conn, tenant_id)
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
        memory=MemoryOut(rss_bytes=process.memory_info().rss),
        uptime_seconds=max(0.0, round(services.now().timestamp() - process.create_time(), 1)),
    )


@get("/livez", opt=PUBLIC, summary="Whether this process runs; asks nobody", tags=["health"])
async def read_liveness() -> LivenessOut:
    return LivenessOut(status="ok")


@get(
    "/readyz",
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
