"""Media files: bytes in a folder under names of ours, rows in `media`.

    data_dir/media/ab/med_…       the first two random characters spread the folders

A row is written after its file is whole and on disk, so a row always has its file. A file whose row was never
written is swept after a day. Hosts on several machines share the folder (a network mount).
"""

import hashlib
import math
import os
import secrets
from collections.abc import AsyncIterable, Iterable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from msgspec import Struct

from relay.model.errors import InvalidInput, NotFound
from relay.model.ids import MediaId, SessionId, TenantId, new_media_id
from relay.store.pool import Connection


class Stored(Struct, frozen=True, kw_only=True):
    """A file that is whole."""

    id: MediaId
    path: Path
    sha256: bytes
    size_bytes: int


class Blob(Struct, frozen=True, kw_only=True):
    id: MediaId
    tenant_id: TenantId
    session_id: SessionId | None
    mimetype: str
    file_name: str | None
    size_bytes: int
    sha256: bytes
    path: Path


_INSERT = """
    INSERT INTO media (id, tenant_id, session_id, contact_id, sha256, mimetype, file_name, size_bytes)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
"""
_FIND = "SELECT * FROM media WHERE tenant_id = $1 AND id = $2"
_EXPIRED = "SELECT id FROM media WHERE tenant_id = $1 AND id < $2 ORDER BY id LIMIT $3"
# Over all tenants: a file knows no owner.
_KNOWN = "SELECT id FROM media WHERE id = ANY ($1)"
_DELETE = "DELETE FROM media WHERE tenant_id = $1 AND id = ANY ($2)"


class Blobs:
    """The media folder of one Relay."""

    def __init__(self, root: Path, *, max_bytes: int) -> None:
        self._root = root
        self.max_bytes = max_bytes

    def path(self, media_id: str) -> Path:
        return self._root / media_id[-2:] / media_id

    async def write(self, chunks: AsyncIterable[bytes], *, media_id: MediaId | None = None) -> Stored:
        """Stream into a new file, under a name that was promised or a new one.

        Raises InvalidInput when it grows past the limit, and what `chunks` raises; nothing is left then.
        """
        media_id = media_id or new_media_id()
        path = self.path(media_id)
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        digest, size = hashlib.sha256(), 0
        # A name of its own: a promised file may be on its way twice, when a host was thought dead.
        part = path.with_suffix(f".{secrets.token_hex(4)}.part")
        try:
            with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                async for chunk in chunks:
                    size += len(chunk)
                    if size > self.max_bytes:
                        raise InvalidInput(
                            f"The file is larger than the {self.max_bytes} bytes allowed.",
                            code="media_too_large",
                        )
                    digest.update(chunk)
                    file.write(chunk)
                file.flush()
                os.fsync(file.fileno())
            part.rename(path)
        finally:
            part.unlink(missing_ok=True)
        return Stored(id=media_id, path=path, sha256=digest.digest(), size_bytes=size)

    async def insert(
        self,
        conn: Connection,
        stored: Stored,
        *,
        tenant_id: TenantId,
        mimetype: str,
        file_name: str | None,
        session_id: SessionId | None = None,
        contact_id: str | None = None,
    ) -> Blob:
        await conn.execute(
            _INSERT,
            stored.id,
            tenant_id,
            session_id,
            contact_id,
            stored.sha256,
            mimetype,
            file_name,
            stored.size_bytes,
        )
        return await self.get(conn, tenant_id, stored.id)

    def _blob(self, row: Any) -> Blob:
        return Blob(
            id=row["id"],
            tenant_id=row["tenant_id"],
            session_id=row["session_id"],
            mimetype=row["mimetype"],
            file_name=row["file_name"],
            size_bytes=row["size_bytes"],
            sha256=row["sha256"],
            path=self.path(row["id"]),
        )

    async def find(self, conn: Connection, tenant_id: TenantId, media_id: str) -> Blob | None:
        """None for another tenant's, too."""
        row = await conn.fetchrow(_FIND, tenant_id, media_id)
        return None if row is None else self._blob(row)

    async def get(self, conn: Connection, tenant_id: TenantId, media_id: str) -> Blob:
        """Raises NotFound."""
        blob = await self.find(conn, tenant_id, media_id)
        if blob is None:
            raise NotFound("There is no such media.")
        return blob

    async def delete(self, conn: Connection, tenant_id: TenantId, media: Iterable[str]) -> None:
        """Remove rows and files."""
        ids = list(media)
        await conn.execute(_DELETE, tenant_id, ids)
        self.remove_files(ids)

    def remove_files(self, media: Iterable[str]) -> None:
        for media_id in media:
            self.path(media_id).unlink(missing_ok=True)

    async def delete_before(self, conn: Connection, tenant_id: TenantId, oldest: str, *, limit: int) -> int:
        """Retention: remove up to `limit` with ids below `oldest`; answers how many."""
        expired = [row["id"] for row in await conn.fetch(_EXPIRED, tenant_id, oldest, limit)]
        await self.delete(conn, tenant_id, expired)
        return len(expired)

    async def sweep(self, conn: Connection, *, now: datetime) -> int:
        """Remove files older than a day that no row knows: somebody died before writing it. Answers how many."""
        oldest = (now - timedelta(days=1)).timestamp()
        files = {path.stem: path for path in self._root.glob("*/med_*") if _written_at(path) < oldest}
        known = {row["id"] for row in await conn.fetch(_KNOWN, list(files))}
        for media_id in files.keys() - known:
            files[media_id].unlink(missing_ok=True)
        return len(files.keys() - known)


def _written_at(path: Path) -> float:
    """In unix time; for ever, where it has just been renamed or removed."""
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return math.inf
