"""The JSON Schema of rule sets, for editors. It is nobody's secret, and an editor that fetches it has no key."""

from functools import cache
from typing import Any

from litestar import Response, get

from relay.api.auth import PUBLIC
from relay.replies.reading.json_schema import make_schema

_HEADERS = {"Cache-Control": "public, max-age=3600", "Access-Control-Allow-Origin": "*"}


@get(
    "/rules/schema",
    opt=PUBLIC,
    summary="The JSON Schema of a rule set, for editors",
)
async def read_rule_schema() -> Response[dict[str, Any]]:
    return Response(_schema(), media_type="application/schema+json", headers=_HEADERS)


@cache
def _schema() -> dict[str, Any]:
    return make_schema()
