"""A file that a message is to carry, given by the API or by a bot: taken in, judged, and kept.

url ──► egress ──► bytes ──► Blobs (a file of ours) ──► judge ──► media row ──► what the message holds of it
                    ▲                                                                 ▲
                   upload            mediaId ──► the row of an earlier upload ──► judge
"""

import asyncio
import logging
from collections.abc import AsyncIterator
from tempfile import SpooledTemporaryFile
from typing import Any

import asyncpg
import httpx

from relay.egress.fetch import FetchFailed, fetch
from relay.model.errors import InvalidInput, NotFound
from relay.model.ids import SessionId, TenantId
from relay.model.message import MessageType
from relay.store.blobs import Blob, Blobs, Stored
from relay.store.media_kinds import HEAD_BYTES, judge
from relay.store.pool import Pool

log = logging.getLogger(__name__)

_CHUNK_BYTES = 65_536


async def keep_file(
    pool: Pool,
    blobs: Blobs,
    chunks: AsyncIterator[bytes],
    *,
    tenant_id: TenantId,
    declared: str | None,
    file_name: str | None,
    path: str,
    kind: MessageType | None = None,
    session_id: SessionId | None = None,
) -> Blob:
    """Store a file of the tenant. Raises InvalidInput at `path`, NotFound; then nothing of it is left."""
    try:
        stored = await blobs.write(chunks)
    except InvalidInput as error:
        raise InvalidInput(error.detail, path=path, code=error.code) from None
    try:
        if stored.size_bytes == 0:
            raise InvalidInput("The file is empty.", path=path, code="media_empty")
        mimetype = judge(await asyncio.to_thread(_head, stored), declared=declared, kind=kind, path=path)
        async with pool.acquire() as conn:
            return await blobs.insert(
                conn,
                stored,
                tenant_id=tenant_id,
                session_id=session_id,
                mimetype=mimetype,
                file_name=file_name,
            )
    except asyncpg.ForeignKeyViolationError:
        blobs.remove_files([stored.id])
        raise NotFound("The session, or the company, is gone.") from None
    except BaseException:
        blobs.remove_files([stored.id])
        raise


async def keep_url(
    pool: Pool,
    blobs: Blobs,
    fetcher: httpx.AsyncClient,
    *,
    tenant_id: TenantId,
    session_id: SessionId,
    kind: MessageType,
    url: str,
    file_name: str | None,
    declared: str | None,
    max_bytes: int,
    timeout_seconds: float,
) -> Blob:
    """Fetch a file and store it; `declared` goes before what its server names it. Raises as `keep_file`."""
    with SpooledTemporaryFile(max_size=1_048_576) as file:
        try:
            fetched = await fetch(
                fetcher, url, max_bytes=max_bytes, into=file, timeout_seconds=timeout_seconds
            )
        except FetchFailed as error:
            log.info("media.fetch_failed", extra={"tenant": tenant_id, "reason": error.detail})
            raise InvalidInput(
                f"The file could not be fetched: {str(error).rstrip('.')}.",
                path="content.url",
                code="media_unavailable",
            ) from None
        file.seek(0)
        return await keep_file(
            pool,
            blobs,
            chunks_of(file),
            tenant_id=tenant_id,
            session_id=session_id,
            kind=kind,
            declared=declared or fetched.content_type,
            file_name=file_name,
            path="content.url",
        )


async def find_upload(
    pool: Pool, blobs: Blobs, *, tenant_id: TenantId, kind: MessageType, media_id: str
) -> Blob:
    """A file that was uploaded before, and is what `kind` wants. Raises InvalidInput."""
    path = "content.mediaId"
    async with pool.acquire() as conn:
        blob = await blobs.find(conn, tenant_id, media_id)
    if blob is None:
        raise InvalidInput("There is no such media; upload it first.", path=path, code="media_unknown")
    judge(await asyncio.to_thread(_head, blob), declared=blob.mimetype, kind=kind, path=path)
    return blob


def content_of(
    blob: Blob,
    *,
    file_name: str | None = None,
    caption: str | None = None,
    voice: bool = False,
    view_once: bool = False,
) -> dict[str, Any]:
    """What a message holds of its file."""
    kept = {
        "mediaId": blob.id,
        "mimetype": blob.mimetype,
        "fileName": file_name or blob.file_name,
        "caption": caption,
        "sizeBytes": blob.size_bytes,
        "voice": voice or None,
        "viewOnce": view_once or None,
    }
    return {key: value for key, value in kept.items() if value is not None}


async def chunks_of(source: Any) -> AsyncIterator[bytes]:
    """Of bytes, or of an open file."""
    if isinstance(source, bytes):
        yield source
        return
    while chunk := source.read(_CHUNK_BYTES):
        yield chunk


def _head(file: Stored | Blob) -> bytes:
    with file.path.open("rb") as opened:
        return opened.read(HEAD_BYTES)
