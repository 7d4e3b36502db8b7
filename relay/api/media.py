"""Media files: uploaded to be sent, downloaded as they came.

file stored ──► 200      still at WhatsApp ──► wait, 20 s at most ──► 409, Retry-After      never to be had ──► 404
"""

from dataclasses import dataclass
from typing import Annotated

import msgspec
from litestar import get, post
from litestar.openapi.spec import OpenAPIMediaType, Operation, RequestBody, Schema
from litestar.params import FromPath, QueryParameter
from litestar.response import File

from relay.api.auth import requires, tenant_of
from relay.api.content import FileName, MimeType
from relay.api.owner import Company, owner_of
from relay.api.request import FILE, Request
from relay.api.services import Services
from relay.api.waiting import wait_for
from relay.api.wire import Out
from relay.model.errors import InvalidInput, NotFound, NotYet
from relay.model.ids import MediaId, TenantId
from relay.model.tenant import Scope
from relay.store import media_fetches
from relay.store.blobs import Blob
from relay.store.given_media import keep_file

# A stranger's file must never run in the server's own name.
_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'; sandbox",
    "Cache-Control": "private, max-age=31536000, immutable",
}

_WAIT_SECONDS = 20.0
_RETRY_SECONDS = 10.0
_WHY_NOT = {
    "media_gone": "WhatsApp does not have this file any more.",
    "media_too_large": "This file is larger than the server takes (media.max_bytes).",
    "media_damaged": "What lies at WhatsApp is not the file that was sent; it was not kept.",
    "media_unavailable": "WhatsApp's media server could not be reached for a day; the file was given up.",
}


class MediaOut(Out, frozen=True, kw_only=True):
    media_id: MediaId
    mimetype: str
    size_bytes: int
    sha256: str
    file_name: str | None


@dataclass
class _Upload(Operation):
    """An operation whose body is a file, which no parameter of the handler tells."""

    def __post_init__(self) -> None:
        # OpenAPI 3.1: a body without a schema is any bytes.
        file = Schema(description="The file's bytes.")
        self.request_body = RequestBody(content={"*/*": OpenAPIMediaType(schema=file)}, required=True)


@post(
    "/media",
    operation_class=_Upload,
    opt={**requires(Scope.MESSAGES_SEND), **FILE},
    summary="Upload a file to be sent: its bytes as the body, its type as Content-Type",
)
async def create_media(
    request: Request,
    company_id: Company = None,
    file_name: Annotated[str | None, QueryParameter(name="fileName")] = None,
) -> MediaOut:
    tenant_id = tenant_of(request.principal, company_id)
    declared = request.headers.get("content-type")
    if declared is not None and declared.startswith("multipart/"):
        raise InvalidInput("Send the file's bytes as the body itself, not as a form.", path="Content-Type")
    services = request.services
    blob = await keep_file(
        services.pool,
        services.blobs,
        request.stream(),
        tenant_id=tenant_id,
        declared=_check(declared, MimeType, path="Content-Type"),
        file_name=_check(file_name, FileName, path="fileName"),
        path="body",
    )
    return MediaOut(
        media_id=blob.id,
        mimetype=blob.mimetype,
        size_bytes=blob.size_bytes,
        sha256=blob.sha256.hex(),
        file_name=blob.file_name,
    )


@get(
    "/media/{media_id:str}",
    opt=requires(Scope.MESSAGES_READ),
    summary="Download a file; it comes as an attachment",
    content_media_type="application/octet-stream",
)
async def read_media(request: Request, media_id: FromPath[str]) -> File:
    services = request.services
    async with services.pool.acquire() as conn:
        tenant_id = await owner_of(request, conn, media_id)
    blob = await wait_for(
        services.doorbell, "media", lambda: _look(services, tenant_id, media_id), seconds=_WAIT_SECONDS
    )
    if blob is None:
        raise NotYet(
            "The file is still being fetched from WhatsApp.",
            code="media_pending",
            retry_after_seconds=_RETRY_SECONDS,
        )
    if not blob.path.is_file():
        raise NotFound("The file is gone.")
    return File(
        blob.path,
        filename=blob.file_name or blob.id,
        media_type=blob.mimetype,
        content_disposition_type="attachment",
        headers=_HEADERS,
    )


async def _look(services: Services, tenant_id: TenantId, media_id: str) -> Blob | None:
    """None while it is being fetched. Raises NotFound."""
    async with services.pool.acquire() as conn:
        # In this order: the file's row comes in the transaction in which the other goes.
        standing = await media_fetches.find_standing(conn, tenant_id, media_id)
        blob = await services.blobs.find(conn, tenant_id, media_id)
    if blob is not None:
        return blob
    if standing is None:
        raise NotFound("There is no such media.")
    if standing.error is not None:
        raise NotFound(_WHY_NOT.get(standing.error, "The file could not be fetched."), code=standing.error)
    return None


def _check(text: str | None, wanted: object, *, path: str) -> str | None:
    """Raises InvalidInput at `path`."""
    if text is None:
        return None
    try:
        checked: str = msgspec.convert(text, wanted)
    except msgspec.ValidationError:
        raise InvalidInput(f"{path} is not well-formed.", path=path) from None
    return checked
