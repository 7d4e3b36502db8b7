"""The page that Prometheus reads. Open to all: it holds numbers over all tenants, and nothing that names one."""

from litestar import Response, get

from relay.api.auth import PUBLIC
from relay.api.request import Request
from relay.api.telemetry import CONTENT_TYPE


@get("/metrics", opt=PUBLIC, summary="Figures for Prometheus", tags=["health"], media_type="text/plain")
async def read_metrics(request: Request) -> Response[bytes]:
    return Response(await request.services.telemetry.render(), media_type=CONTENT_TYPE)
