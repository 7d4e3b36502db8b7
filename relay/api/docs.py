"""OpenAPI at /docs/openapi.json, and a page at /docs that a person can read.

What Litestar cannot know is added to what it makes:

    schema ──complete()──► + problems, security ──┬──► openapi.json
                                                  └──► docs_page.py
"""

import copy
from typing import Any

from litestar import Router
from litestar.connection import Request
from litestar.enums import MediaType, OpenAPIMediaType
from litestar.handlers import HTTPRouteHandler
from litestar.openapi.config import OpenAPIConfig
from litestar.openapi.plugins import OpenAPIRenderPlugin
from litestar.routes import HTTPRoute
from litestar.serialization import encode_json

from relay.api.auth import PUBLIC
from relay.api.docs_page import METHODS, page

_PROBLEM = {
    "type": "object",
    "description": "RFC 9457. `code` is stable and for programs, `detail` is for people.",
    "required": ["type", "title", "status", "code", "detail"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "code": {"type": "string"},
        "detail": {"type": "string"},
        "path": {"type": "string", "description": "The field that is wrong, as `content.url`."},
        "errors": {
            "type": "array",
            "description": "Of rules: all that is wrong, each with `line`, `column`, `path` and `detail`.",
            "items": {"type": "object"},
        },
    },
}
_SECURITY_SCHEMES = {
    "bearer": {
        "type": "http",
        "scheme": "bearer",
        "description": "An API key: `Authorization: Bearer relay_…`",
    },
    "apiKey": {"type": "apiKey", "in": "header", "name": "X-Api-Key"},
}
_REFUSALS = {
    "400": "The request is wrong: `code` says how, `path` where.",
    "429": "Too many requests; `Retry-After` says when again.",
    "default": "A problem.",
}
_REFUSALS_WITH_KEY = {
    "401": "No key, or one that is unknown, revoked or expired.",
    "403": "The key lacks the scope.",
    "404": "No such thing, or another company's.",
}


def openapi_config(version: str) -> OpenAPIConfig:
    return OpenAPIConfig(
        title="Relay",
        version=version,
        description="WhatsApp accounts of many companies, connected to their own systems.",
        use_handler_docstrings=True,
        operation_id_creator=_operation_id,
        render_plugins=[
            _Page(path="/"),
            _Json(path="/openapi.json", media_type=OpenAPIMediaType.OPENAPI_JSON),
        ],
        openapi_router=Router(
            "/docs", route_handlers=[], include_in_schema=False, dto=None, return_dto=None, opt=PUBLIC
        ),
    )


def _operation_id(handler: HTTPRouteHandler, method: Any, _path: list[Any]) -> str:
    """`list_tenants` is listTenants."""
    first, *rest = handler.handler_name.split("_")
    name = first + "".join(word.capitalize() for word in rest)
    is_alone = len(handler.http_methods) == 1 or (method == "GET" and handler.http_methods == {"GET", "HEAD"})
    return name if is_alone else f"{name}{str(method).capitalize()}"


class _Json(OpenAPIRenderPlugin):
    def render(self, request: Request[Any, Any, Any], openapi_schema: dict[str, Any]) -> bytes:
        return encode_json(complete(openapi_schema, public=_public_paths(request)))


class _Page(OpenAPIRenderPlugin):
    def __init__(self, *, path: str) -> None:
        super().__init__(path=path, media_type=MediaType.HTML)

    def render(self, request: Request[Any, Any, Any], openapi_schema: dict[str, Any]) -> bytes:
        return page(complete(openapi_schema, public=_public_paths(request))).encode()


def _public_paths(request: Request[Any, Any, Any]) -> set[tuple[str, str]]:
    return {
        (route.path_format, method.lower())
        for route in request.app.routes
        if isinstance(route, HTTPRoute)
        for handler in route.route_handlers
        if "public" in handler.opt
        for method in handler.http_methods
    }


def complete(schema: dict[str, Any], *, public: set[tuple[str, str]]) -> dict[str, Any]:
    """`schema` with what Litestar cannot know: how we refuse, and who needs a key."""
    done = copy.deepcopy(schema)
    components = done.setdefault("components", {})
    components.setdefault("schemas", {})["Problem"] = _PROBLEM
    components["securitySchemes"] = _SECURITY_SCHEMES
    for path, item in done.get("paths", {}).items():
        # It says nothing that GET does not.
        item.pop("head", None)
        for method in METHODS:
            operation = item.get(method)
            if operation is None:
                continue
            is_public = (path, method) in public
            operation["security"] = [] if is_public else [{"bearer": []}, {"apiKey": []}]
            for status, meaning in (_REFUSALS | ({} if is_public else _REFUSALS_WITH_KEY)).items():
                operation["responses"][status] = _refusal(meaning)
    return done


def _refusal(meaning: str) -> dict[str, Any]:
    content = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {"description": meaning, "content": content}
