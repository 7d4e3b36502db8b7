"""The files that a bot's messages name: fetched, or found among the uploads, before the message is queued.

A message whose file cannot be had is left out, and a note says why; its caption goes out as a text.
"""

import logging
from collections.abc import Sequence
from typing import Any

import httpx
from msgspec import structs

from relay.config import Media
from relay.model.errors import InvalidInput, NotFound
from relay.model.message import MEDIA_TYPES, MessageType
from relay.replies.outcome import Note, Outcome, Planned
from relay.replies.situation import Situation
from relay.store import given_media
from relay.store.blobs import Blobs
from relay.store.pool import Pool

log = logging.getLogger(__name__)


class OutgoingFiles:
    """`fetcher` goes where the guard allows; the caller closes it."""

    def __init__(self, pool: Pool, blobs: Blobs, fetcher: httpx.AsyncClient, settings: Media) -> None:
        self._pool = pool
        self._blobs = blobs
        self._fetcher = fetcher
        self._settings = settings

    def has(self, messages: Sequence[Planned]) -> bool:
        """Whether one of them has a file that is not kept yet."""
        return any(_is_named(message) for message in messages)

    async def keep(self, situation: Situation, outcome: Outcome) -> None:
        kept: list[Planned] = []
        for message in outcome.messages:
            if not _is_named(message):
                kept.append(message)
                continue
            try:
                kept.append(structs.replace(message, content=await self._keep(situation, message)))
            except (InvalidInput, NotFound) as error:
                log.info("reply.file_failed", extra={"id": situation.message.id, "code": error.code})
                outcome.notes.append(Note(code="file_failed", detail=error.detail))
                kept += _caption_of(message)
        outcome.messages = kept

    async def _keep(self, situation: Situation, message: Planned) -> dict[str, Any]:
        tenant_id, session_id = situation.message.tenant_id, situation.message.session_id
        given, kind = message.content, MessageType(message.type)
        if "mediaId" in given:
            blob = await given_media.find_upload(
                self._pool, self._blobs, tenant_id=tenant_id, kind=kind, media_id=given["mediaId"]
            )
        else:
            blob = await given_media.keep_url(
                self._pool,
                self._blobs,
                self._fetcher,
                tenant_id=tenant_id,
                session_id=session_id,
                kind=kind,
                url=str(given.get("url", "")),
                file_name=given.get("fileName"),
                declared=given.get("mimetype"),
                max_bytes=self._settings.max_bytes,
                timeout_seconds=self._settings.fetch_timeout_seconds,
            )
        return given_media.content_of(
            blob,
            file_name=given.get("fileName"),
            caption=given.get("caption"),
            voice=bool(given.get("voice")),
        )


def _is_named(message: Planned) -> bool:
    return message.type in MEDIA_TYPES and "sizeBytes" not in message.content


def _caption_of(message: Planned) -> list[Planned]:
    caption = message.content.get("caption")
    return [structs.replace(message, type="text", content={"text": caption})] if caption else []
