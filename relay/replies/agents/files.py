"""Files of a question: pictures and voice notes, as far as they are here and small enough."""

import asyncio
from base64 import b64encode
from collections.abc import Iterable

from msgspec import Struct

from relay.model.agent import AnySettings, OpenAiSettings
from relay.model.ids import TenantId
from relay.store import agent_questions
from relay.store.agent_questions import ToldMessage
from relay.store.blobs import Blobs
from relay.store.pool import Pool

PICTURE_BYTES_MOST = 5 * 1024 * 1024
SOUND_BYTES_MOST = 20 * 1024 * 1024
PICTURES_MOST = 4


class File(Struct, frozen=True, kw_only=True):
    mimetype: str
    bytes: bytes

    @property
    def data_url(self) -> str:
        return f"data:{self.mimetype};base64,{b64encode(self.bytes).decode()}"


class Files:
    """Reads what the agent's settings ask for."""

    def __init__(self, pool: Pool, blobs: Blobs) -> None:
        self._pool = pool
        self._blobs = blobs

    async def find(self, tenant_id: TenantId, message: ToldMessage, *, most_bytes: int) -> File | None:
        """None where it is not there (yet), or larger."""
        media_id = message.content.get("mediaId")
        if media_id is None:
            return None
        async with self._pool.acquire() as conn:
            blob = await self._blobs.find(conn, tenant_id, media_id)
        if blob is None or blob.size_bytes > most_bytes:
            return None
        try:
            read = await asyncio.to_thread(blob.path.read_bytes)
        except FileNotFoundError:
            return None
        return File(mimetype=blob.mimetype.partition(";")[0].strip(), bytes=read)

    async def keep_words(self, tenant_id: TenantId, message: ToldMessage, words: str) -> None:
        """Of a voice note."""
        async with self._pool.acquire() as conn:
            await agent_questions.keep_transcript(conn, tenant_id, message.id, words)


def is_looked_at(message: ToldMessage, settings: AnySettings) -> bool:
    """Whether the agent is to see or hear this message's file."""
    if not isinstance(settings, OpenAiSettings):
        return False
    return (settings.vision and message.type == "image") or (settings.transcribe and message.type == "audio")


def any_awaited(messages: Iterable[ToldMessage], settings: AnySettings) -> bool:
    """Whether a file that the agent is to see is still being fetched from WhatsApp."""
    return any(
        is_looked_at(message, settings) and message.content.get("mediaStatus") == "pending"
        for message in messages
    )
