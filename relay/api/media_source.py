"""A file that a message is to carry: fetched, decoded or found, checked, and stored.

url ────► egress ──┐
base64 ────────────┼──► Blobs (a file of ours) ──► judge ──► media row ──► {mediaId, mimetype, sizeBytes, …}
upload ────────────┘                                                            ▲
mediaId ──► the row of an earlier upload ──► judge ─────────────────────────────┘
"""

import asyncio
import binascii
import logging
from base64 import b64decode
from collections.abc import AsyncIterator
from tempfile import SpooledTemporaryFile
from typing import Any

import asyncpg

from relay.api.content import MediaContent, convert
from relay.api.media_kinds import HEAD_BYTES, judge
from relay.api.services import Services
from relay.egress.fetch import FetchFailed, fetch
from relay.model.errors import InvalidInput, NotFound
from relay.model.ids import SessionId, TenantId
from relay.model.message import VIEW_ONCE_TYPES, MessageType
from relay.store.blobs import Blob, Stored

log = logging.getLogger(__name__)

_CHUNK_BYTES = 65_536


async def keep_given_media(
    services: Services,
    tenant_id: TenantId,
    session_id: SessionId,
    kind: MessageType,
    given: str | dict[str, Any],
) -> dict[str, Any]:
    """The content that is stored with a message, its file kept. Raises InvalidInput with the field's path."""
    content: MediaContent = convert(given, MediaContent)
    if sum(source is not None for source in (content.url, content.base64, content.media_id)) != 1:
        raise InvalidInput("Give exactly one of `url`, `base64` and `mediaId`.", path="content")
    if content.view_once and kind not in VIEW_ONCE_TYPES:
        raise InvalidInput("Only an image, a video or an audio can be viewed once.", path="content.viewOnce")
    if content.media_id is not None:
        blob = await _find(services, tenant_id, kind, content)
    elif content.url is not None:
        blob = await _fetch(services, tenant_id, session_id, kind, content)
    else:
        blob = await keep(
            services,
            _chunks(_decode(content.base64 or "")),
            tenant_id=tenant_id,
            session_id=session_id,
            kind=kind,
            declared=content.mimetype,
            file_name=content.file_name,
            path="content.base64",
        )
    kept = {
        "mediaId": blob.id,
        "mimetype": blob.mimetype,
        "fileName": content.file_name or blob.file_name,
        "caption": content.caption,
        "sizeBytes": blob.size_bytes,
        "voice": content.voice or None,
        "viewOnce": content.view_once or None,
    }
    return {key: value for key, value in kept.items() if value is not None}


async def keep(
    services: Services,
    chunks: AsyncIterator[bytes],
    *,
    tenant_id: TenantId,
    declared: str | None,
    file_name: str | None,
    path: str,
    kind: MessageType | None = None,
    session_id: SessionId | None = None,
) -> Blob:
    """Store a file of the tenant. Raises InvalidInput at `path`; then nothing of it is left."""
    try:
        stored = await services.blobs.write(chunks)
    except InvalidInput as error:
        raise InvalidInput(error.detail, path=path, code=error.code) from None
    try:
        if stored.size_bytes == 0:
            raise InvalidInput("The file is empty.", path=path, code="media_empty")
        mimetype = judge(await asyncio.to_thread(_head, stored), declared=declared, kind=kind, path=path)
        async with services.pool.acquire() as conn:
            return await services.blobs.insert(
                conn,
                stored,
                tenant_id=tenant_id,
                session_id=session_id,
                mimetype=mimetype,
                file_name=file_name,
            )
    except asyncpg.ForeignKeyViolationError:
        services.blobs.remove_files([stored.id])
        raise NotFound("The session, or the company, is gone.") from None
    except BaseException:
        services.blobs.remove_files([stored.id])
        raise


async def _find(services: Services, tenant_id: TenantId, kind: MessageType, content: MediaContent) -> Blob:
    path = "content.mediaId"
    async with services.pool.acquire() as conn:
        blob = await services.blobs.find(conn, tenant_id, content.media_id or "")
    if blob is None:
        raise InvalidInput("There is no such media; upload it first.", path=path, code="media_unknown")
    if content.mimetype is not None:
        raise InvalidInput("An uploaded file has its media type already.", path="content.mimetype")
    judge(await asyncio.to_thread(_head, blob), declared=blob.mimetype, kind=kind, path=path)
    return blob


async def _fetch(
    services: Services, tenant_id: TenantId, session_id: SessionId, kind: MessageType, content: MediaContent
) -> Blob:
    media = services.config.media
    with SpooledTemporaryFile(max_size=1_048_576) as file:
        try:
            fetched = await fetch(
                services.fetcher,
                content.url or "",
                max_bytes=media.max_bytes,
                into=file,
                timeout_seconds=media.fetch_timeout_seconds,
            )
        except FetchFailed as error:
            log.info("media.fetch_failed", extra={"tenant": tenant_id, "reason": error.detail})
            raise InvalidInput(
                f"The file could not be fetched: {str(error).rstrip('.')}.",
                path="content.url",
                code="media_unavailable",
            ) from None
        file.seek(0)
        return await keep(
            services,
            _chunks(file),
            tenant_id=tenant_id,
            session_id=session_id,
            kind=kind,
            declared=content.mimetype or fetched.content_type,
            file_name=content.file_name,
            path="content.url",
        )


def _decode(text: str) -> bytes:
    # A data URL is what browsers make of a file.
    if text.startswith("data:"):
        text = text.partition(",")[2]
    try:
        return b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise InvalidInput("This is not base64.", path="content.base64") from None


async def _chunks(source: Any) -> AsyncIterator[bytes]:
    if isinstance(source, bytes):
        yield source
        return
    while chunk := source.read(_CHUNK_BYTES):
        yield chunk


def _head(file: Stored | Blob) -> bytes:
    with file.path.open("rb") as opened:
        return opened.read(HEAD_BYTES)
