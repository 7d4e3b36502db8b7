"""API keys: found by their hash, listed by tenant. Ring `keys` after the commit of a change."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from relay.model.api_key import digest, hint_of
from relay.model.errors import Conflict, NotFound
from relay.model.ids import KeyId, TenantId, new_key_id
from relay.model.tenant import ApiKey, Scope
from relay.store.pool import Connection

_NO_SUCH_KEY = "There is no such key."


def _key(row: Any) -> ApiKey:
    return ApiKey(
        id=row["id"],
        tenant_id=row["tenant_id"],
        name=row["name"],
        scopes=frozenset(Scope(scope) for scope in row["scopes"]),
        hint=row["hint"],
        created_at=row["created_at"],
        expires_at=row["expires_at"],
        revoked_at=row["revoked_at"],
        last_used_at=row["last_used_at"],
    )


_INSERT = """
    INSERT INTO api_keys (id, tenant_id, name, hash, hint, scopes, expires_at)
    VALUES ($1, $2, $3, $4, $5, $6, $7)
    RETURNING *
"""


async def insert_key(
    conn: Connection,
    *,
    tenant_id: TenantId | None,
    name: str,
    scopes: frozenset[Scope],
    text: str,
    expires_at: datetime | None = None,
) -> ApiKey:
    """Store the hash of `text`; without a tenant it is an operator's key."""
    row = await conn.fetchrow(
        _INSERT, new_key_id(), tenant_id, name, digest(text), hint_of(text), sorted(scopes), expires_at
    )
    return _key(row)


_FIND_BY_HASH = "SELECT * FROM api_keys WHERE hash = $1"


async def find_key_by_hash(conn: Connection, hash_: bytes) -> ApiKey | None:
    """Revoked and expired ones too: the caller judges. The one look-up without a tenant, for it tells the tenant."""
    row = await conn.fetchrow(_FIND_BY_HASH, hash_)
    return None if row is None else _key(row)


_FIND = "SELECT * FROM api_keys WHERE id = $1"


async def find_key(conn: Connection, key_id: KeyId) -> ApiKey | None:
    """The key behind a caller who is known already; revoked and expired ones too."""
    row = await conn.fetchrow(_FIND, key_id)
    return None if row is None else _key(row)


_LIST = """
    SELECT * FROM api_keys
    WHERE (tenant_id = $1 OR $1 IS NULL) AND (id < $2 OR $2 IS NULL)
    ORDER BY id DESC LIMIT $3
"""


async def list_keys(
    conn: Connection, tenant_id: TenantId | None, *, before: str | None, limit: int
) -> list[ApiKey]:
    """Newest first; for the operator (no tenant) those of everybody."""
    return [_key(row) for row in await conn.fetch(_LIST, tenant_id, before, limit)]


_LIST_OPERATORS = """
    SELECT * FROM api_keys WHERE tenant_id IS NULL AND (id < $1 OR $1 IS NULL) ORDER BY id DESC LIMIT $2
"""


async def list_operator_keys(conn: Connection, *, before: str | None, limit: int) -> list[ApiKey]:
    """Those of no company, newest first."""
    return [_key(row) for row in await conn.fetch(_LIST_OPERATORS, before, limit)]


_REVOKE = """
    UPDATE api_keys SET revoked_at = coalesce(revoked_at, $3)
    WHERE id = $1 AND (tenant_id = $2 OR $2 IS NULL) RETURNING id
"""


async def revoke_key(conn: Connection, key_id: KeyId, tenant_id: TenantId | None, *, now: datetime) -> None:
    """From now on the key opens nothing; a second time changes nothing. Raises NotFound."""
    if await conn.fetchval(_REVOKE, key_id, tenant_id, now) is None:
        raise NotFound(_NO_SUCH_KEY)


_LOCK = "SELECT * FROM api_keys WHERE id = $1 AND (tenant_id = $2 OR $2 IS NULL) FOR UPDATE"
_SHORTEN = "UPDATE api_keys SET expires_at = least(expires_at, $2) WHERE id = $1"


async def rotate_key(
    conn: Connection,
    key_id: KeyId,
    tenant_id: TenantId | None,
    *,
    text: str,
    overlap_seconds: float,
    now: datetime,
) -> ApiKey:
    """A new key with the old one's name, scopes and expiry; the old one lives on for the overlap.

    Raises NotFound, and Conflict where the old key no longer opens anything. Needs a transaction.
    """
    row = await conn.fetchrow(_LOCK, key_id, tenant_id)
    if row is None:
        raise NotFound(_NO_SUCH_KEY)
    old = _key(row)
    if old.revoked_at is not None or (old.expires_at is not None and old.expires_at <= now):
        raise Conflict("This key is revoked or has expired; create a new one.", code="key_ended")
    await conn.execute(_SHORTEN, key_id, now + timedelta(seconds=overlap_seconds))
    return await insert_key(
        conn,
        tenant_id=old.tenant_id,
        name=old.name,
        scopes=old.scopes,
        text=text,
        expires_at=old.expires_at,
    )


# Locked in the order of their ids: several processes do this at the same time.
_MARK_USED = """
    WITH found AS (SELECT id FROM api_keys WHERE id = ANY($1::text[]) ORDER BY id FOR NO KEY UPDATE)
    UPDATE api_keys k SET last_used_at = greatest(k.last_used_at, used.at)
    FROM found JOIN unnest($1::text[], $2::timestamptz[]) AS used (id, at) USING (id)
    WHERE k.id = found.id
"""


async def mark_keys_used(conn: Connection, used: Mapping[KeyId, datetime]) -> None:
    """Write when each was last used, where that is later than what stands there; ids without a row are passed over."""
    await conn.execute(_MARK_USED, list(used), list(used.values()))


_HAS_OPERATOR_KEY = "SELECT EXISTS (SELECT FROM api_keys WHERE tenant_id IS NULL)"


async def has_operator_key(conn: Connection) -> bool:
    """Whether one was ever made; a revoked one counts, for its revocation is not to be undone by a restart."""
    found: bool = await conn.fetchval(_HAS_OPERATOR_KEY)
    return found
