"""The console's page and its files, as browsers get them.

    GET / ──► index.html         GET /console/js/main.js ──► js/main.js, 304 where the browser has it

Each is asked for anew (`no-cache`) and answered by its ETag, so that an upgrade is seen at once. The policy in their
headers lets the page load, run and call nothing but this server.
"""

from litestar import Response, route
from litestar.enums import HttpMethod

from relay.api.auth import PUBLIC
from relay.api.request import Request
from relay.model.errors import NotFound

# Who watches a server asks with HEAD whether its page is there.
_METHODS = (HttpMethod.GET, HttpMethod.HEAD)
_PREFIX = "/console/"
_INDEX = "index.html"
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; "
    "media-src 'self' blob:; connect-src 'self'; font-src 'self'; form-action 'self'; base-uri 'self'; "
    "frame-ancestors 'none'"
)
_HEADERS = {
    "Cache-Control": "no-cache",
    "Content-Security-Policy": _POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
}


@route("/", http_method=_METHODS, opt=PUBLIC, include_in_schema=False)
async def read_console(request: Request) -> Response[bytes]:
    """The page. It names its files relatively, and so works behind a proxy's prefix."""
    return _answer(request, _INDEX)


@route("/console/{path:path}", http_method=_METHODS, opt=PUBLIC, include_in_schema=False)
async def read_console_file(request: Request) -> Response[bytes]:
    # As it was asked for: it is a name in a list, and leads to no folder.
    return _answer(request, request.scope["path"].removeprefix(_PREFIX))


def _answer(request: Request, path: str) -> Response[bytes]:
    file = request.services.console_files.get(path)
    if file is None:
        raise NotFound("There is nothing at this path.")
    headers = {**_HEADERS, "ETag": file.etag}
    if _knows(request.headers.get("if-none-match", ""), file.etag):
        return Response(b"", status_code=304, headers=headers, media_type=file.media_type)
    return Response(file.content, headers=headers, media_type=file.media_type)


def _knows(given: str, etag: str) -> bool:
    """RFC 9110, 13.1.2: a proxy that compresses makes an ETag weak."""
    return etag in (part.strip().removeprefix("W/") for part in given.split(","))
