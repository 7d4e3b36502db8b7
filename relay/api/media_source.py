"""The file of a message as callers give it: by `url`, as `base64`, or by the `mediaId` of an earlier upload."""

import binascii
from base64 import b64decode
from typing import Any

from relay.api.content import MediaContent, convert
from relay.api.services import Services
from relay.model.errors import InvalidInput
from relay.model.ids import SessionId, TenantId
from relay.model.message import VIEW_ONCE_TYPES, MessageType
from relay.store.blobs import Blob
from relay.store.given_media import chunks_of, content_of, find_upload, keep_file, keep_url


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
        blob = await keep_url(
            services.pool,
            services.blobs,
            services.fetcher,
            tenant_id=tenant_id,
            session_id=session_id,
            kind=kind,
            url=content.url,
            file_name=content.file_name,
            declared=content.mimetype,
            max_bytes=services.config.media.max_bytes,
            timeout_seconds=services.config.media.fetch_timeout_seconds,
        )
    else:
        blob = await keep_file(
            services.pool,
            services.blobs,
            chunks_of(_decode(content.base64 or "")),
            tenant_id=tenant_id,
            session_id=session_id,
            kind=kind,
            declared=content.mimetype,
            file_name=content.file_name,
            path="content.base64",
        )
    return content_of(
        blob,
        file_name=content.file_name,
        caption=content.caption,
        voice=content.voice,
        view_once=content.view_once,
    )


async def _find(services: Services, tenant_id: TenantId, kind: MessageType, content: MediaContent) -> Blob:
    blob = await find_upload(
        services.pool, services.blobs, tenant_id=tenant_id, kind=kind, media_id=content.media_id or ""
    )
    if content.mimetype is not None:
        raise InvalidInput("An uploaded file has its media type already.", path="content.mimetype")
    return blob


def _decode(text: str) -> bytes:
    # A data URL is what browsers make of a file.
    if text.startswith("data:"):
        text = text.partition(",")[2]
    try:
        return b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise InvalidInput("This is not base64.", path="content.base64") from None
