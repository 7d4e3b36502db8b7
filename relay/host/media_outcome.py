"""How fetching a file ended: its row, the message's content, the event and what it owes, in one transaction."""

import re
from datetime import UTC, datetime
from typing import Any

from relay.engines.engine import MediaRef
from relay.model.ids import TenantId
from relay.store import facts, media_fetches, outbox
from relay.store.blobs import Blobs, Stored
from relay.store.media_fetches import Fetch
from relay.store.pool import Connection
from relay.store.session_locks import lock_sessions

# A stranger's words, which become headers of our answers.
_MIMETYPE = re.compile(r"[\w.+-]+/[\w.+-]+(; ?[\w.+-]+=[\w.+-]+)*", re.ASCII)
_ANY_TYPE = "application/octet-stream"
_MOST_NAME_CHARS = 255


async def keep(
    conn: Connection, blobs: Blobs, fetch: Fetch, *, claim: str, ref: MediaRef, stored: Stored
) -> bool | None:
    """The file is whole: whether its event owes something. None, and no file, when nobody wants it any more."""
    told = {"mediaStatus": "stored", "sizeBytes": stored.size_bytes}
    async with conn.transaction():
        # Held until the commit, so that whoever deletes it finds all of this or nothing.
        there = await lock_sessions(conn, [fetch.session_id])
        row = await media_fetches.finish(conn, fetch, claim=claim, told=told) if there else None
        if row is not None:
            await blobs.insert(
                conn,
                stored,
                tenant_id=TenantId(row["tenant_id"]),
                mimetype=ref.mimetype if _MIMETYPE.fullmatch(ref.mimetype) else _ANY_TYPE,
                file_name=_name_of(ref),
                session_id=fetch.session_id,
                contact_id=row["contact_id"],
            )
            return await _tell(conn, row)
    if not await media_fetches.is_wanted(conn, fetch.media_id):
        blobs.remove_files([fetch.media_id])
    return None


async def give_up(conn: Connection, fetch: Fetch, *, claim: str, error: str) -> bool | None:
    """The file will never be there: whether its event owes something; None when it was no longer ours to say."""
    async with conn.transaction():
        if not await lock_sessions(conn, [fetch.session_id]):
            return None
        row = await media_fetches.fail(conn, fetch, claim=claim, error=error)
        return None if row is None else await _tell(conn, row)


async def _tell(conn: Connection, row: Any) -> bool:
    return await outbox.insert_events(conn, [facts.message_media(row, datetime.now(UTC))])


def _name_of(ref: MediaRef) -> str | None:
    """The file's name without a path, and without what no header can carry."""
    name = re.split(r"[\\/]", ref.file_name or "")[-1]
    return "".join(char for char in name if char.isprintable())[:_MOST_NAME_CHARS] or None
