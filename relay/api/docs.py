"""OpenAPI at /docs/openapi.json, and a page at /docs that a person can read.

The page is plain HTML made here: the usual viewers load megabytes of script from somebody else's network, which a
server in a closed network cannot reach and a page that people paste keys into should not.

    Litestar's schema ──complete()──► + problems, security ──┬──► openapi.json
                                                             └──► page
"""

import copy
import html
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

_METHODS = ("get", "post", "put", "patch", "delete")
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
    return name if len(handler.http_methods) == 1 else f"{name}{str(method).capitalize()}"


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
        for method in _METHODS:
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


_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem;
       color: light-dark(#1c2024, #e6e8ea); background: light-dark(#fff, #16181a); color-scheme: light dark }
h2 { margin-top: 2.5rem } details { border-top: 1px solid #8884; padding: .4rem 0 } summary { cursor: pointer }
code { font: 13px ui-monospace, monospace } b { display: inline-block; width: 4.5rem; font: 600 13px ui-monospace, monospace }
table { border-collapse: collapse; margin: .3rem 0 1rem } td, th { text-align: left; padding: .15rem 1.2rem .15rem 0; vertical-align: top }
small { opacity: .7 }
"""


def page(schema: dict[str, Any]) -> str:
    """The whole of `schema` as one page without scripts."""
    title = html.escape(schema["info"]["title"])
    sections: dict[str, list[str]] = {}
    for path, item in schema.get("paths", {}).items():
        for method in _METHODS:
            if method in item:
                tag = (item[method].get("tags") or ["other"])[0]
                sections.setdefault(tag, []).append(_operation(schema, path, method, item[method]))
    sections["types"] = [
        _type(schema, name, shape) for name, shape in sorted(schema["components"]["schemas"].items())
    ]
    body = "".join(f"<h2>{html.escape(tag)}</h2>{''.join(found)}" for tag, found in sections.items())
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title>'
        f'<meta name="viewport" content="width=device-width"><style>{_STYLE}</style><h1>{title}</h1>'
        f"<p>{html.escape(schema['info'].get('description', ''))}</p>"
        f'<p>For programs: <a href="/docs/openapi.json">openapi.json</a>. Send a key as '
        f"<code>Authorization: Bearer relay_…</code>.</p>{body}</html>"
    )


def _operation(schema: dict[str, Any], path: str, method: str, operation: dict[str, Any]) -> str:
    parts = [f"<p>{html.escape(operation.get('description', ''))}</p>"]
    rows = [
        _row(given["name"], given["schema"], required=given["required"], place=given["in"])
        for given in operation.get("parameters", [])
    ]
    parts.append(_table("Parameters", rows))
    parts.extend(_bodies(schema, "Body", operation.get("requestBody", {})))
    for status, response in operation["responses"].items():
        if status.startswith("2"):
            parts.extend(_bodies(schema, f"Answer {status}", response))
    return (
        f"<details><summary><b>{method.upper()}</b> <code>{html.escape(path)}</code> "
        f"<small>{html.escape(operation.get('summary', ''))}</small></summary>{''.join(parts)}</details>"
    )


def _type(schema: dict[str, Any], name: str, shape: dict[str, Any]) -> str:
    rows = _fields(schema, shape)
    content = (
        f"<table>{''.join(rows)}</table>" if rows else f"<p><code>{html.escape(_kind(shape))}</code></p>"
    )
    return f"<details><summary><code>{html.escape(name)}</code></summary>{content}</details>"


def _bodies(schema: dict[str, Any], title: str, holder: dict[str, Any]) -> list[str]:
    return [
        _table(f"{title} <small>{html.escape(media)}</small>", _fields(schema, content.get("schema", {})))
        for media, content in holder.get("content", {}).items()
    ]


def _fields(schema: dict[str, Any], shape: dict[str, Any]) -> list[str]:
    shape = _resolve(schema, shape)
    required = shape.get("required", [])
    return [
        _row(name, inner, required=name in required) for name, inner in shape.get("properties", {}).items()
    ]


def _resolve(schema: dict[str, Any], shape: dict[str, Any]) -> dict[str, Any]:
    name = shape.get("$ref", "").rpartition("/")[2]
    if name:
        found: dict[str, Any] = schema["components"]["schemas"][name]
        return found
    # A body that may be left out is «this or null».
    choices = [inner for inner in shape.get("oneOf", []) if inner.get("type") != "null"]
    return _resolve(schema, choices[0]) if len(choices) == 1 else shape


def _row(name: str, shape: dict[str, Any], *, required: bool, place: str = "") -> str:
    note = shape.get("description", "")
    need = "required" if required else ""
    cells = (f"<code>{html.escape(name)}</code>", html.escape(_kind(shape)), need, place, html.escape(note))
    return f"<tr>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>"


def _kind(shape: dict[str, Any]) -> str:
    """A type in a word or two."""
    if "$ref" in shape:
        return str(shape["$ref"]).rpartition("/")[2]
    for choice in ("oneOf", "anyOf"):
        if choice in shape:
            return " or ".join(dict.fromkeys(_kind(inner) for inner in shape[choice]))
    if "enum" in shape:
        return " | ".join(str(value) for value in shape["enum"])
    if shape.get("type") == "array":
        return f"list of {_kind(shape.get('items', {}))}"
    kind = shape.get("type", "any")
    return " or ".join(kind) if isinstance(kind, list) else str(shape.get("format", kind))


def _table(title: str, rows: list[str]) -> str:
    return f"<h4>{title}</h4><table>{''.join(rows)}</table>" if rows else ""
