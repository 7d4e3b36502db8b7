"""A tenant's own rule sets: what is in force, and every version that was.

    put ──► version n + 1 in force        the same text as in force ──► nothing changes
    roll back to 3 ──► version n + 1 with the text of 3, so that history is a line

Each change raises `tenants.rules_version` in its transaction, by which those who keep rules compiled see it; the
tenant's row, locked first, makes changes happen one after the other.
"""

from datetime import datetime
from typing import Any

import msgspec
from msgspec import Struct

from relay.model.errors import Conflict, NotFound
from relay.model.ids import TenantId
from relay.store.pool import Connection
from relay.store.tenants import raise_rules_version

SETS_MOST = 50
VERSIONS_MOST = 100
"""Of a set; the oldest go."""
_NO_SUCH = "There is no such rule set."
NO_SUCH_VERSION = f"There is no such version of a rule set; of each, the newest {VERSIONS_MOST} are kept."


class RuleSetRow(Struct, frozen=True, kw_only=True):
    """A rule set as it is in force. `created_at` is the set's, `updated_at` the version's."""

    name: str
    version: int
    source: str
    note: str
    created_at: datetime
    updated_at: datetime


class RuleSetVersion(Struct, frozen=True, kw_only=True):
    name: str
    version: int
    source: str
    note: str
    created_at: datetime


class InForce(Struct, frozen=True, kw_only=True):
    """What the tenant's bot goes by."""

    name: str
    version: int
    source: str


_LOCK = "SELECT id FROM tenants WHERE id = $1 FOR NO KEY UPDATE"


async def _lock(conn: Connection, tenant_id: TenantId) -> None:
    if await conn.fetchval(_LOCK, tenant_id) is None:
        raise NotFound("There is no such company.")


async def put_rule_set(
    conn: Connection, tenant_id: TenantId, name: str, source: str, note: str = ""
) -> tuple[RuleSetRow, bool]:
    """Put `source` in force, and whether that changed anything. The caller has checked it.

    Raises Conflict where the tenant has as many sets as it may, NotFound where there is no such tenant.
    """
    async with conn.transaction():
        await _lock(conn, tenant_id)
        before = await find_rule_set(conn, tenant_id, name)
        if before is not None and before.source == source:
            return before, False
        if before is None:
            await _check_room(conn, tenant_id)
        return await _put_in_force(conn, tenant_id, name, source, note), True


_COUNT = "SELECT count(*) FROM rule_sets WHERE tenant_id = $1"


async def _check_room(conn: Connection, tenant_id: TenantId) -> None:
    if await conn.fetchval(_COUNT, tenant_id) >= SETS_MOST:
        raise Conflict(
            f"There are {SETS_MOST} rule sets already, and no more are kept: remove one, or put the rules into another.",
            code="rule_sets_full",
        )


_PUT = """
    INSERT INTO rule_sets (tenant_id, name, version) VALUES ($1, $2, 1)
    ON CONFLICT (tenant_id, name) DO UPDATE SET version = rule_sets.version + 1, updated_at = now()
    RETURNING version, created_at, updated_at
"""
_INSERT_VERSION = """
    INSERT INTO rule_set_versions (tenant_id, name, version, source, note) VALUES ($1, $2, $3, $4, $5)
"""
_FORGET = "DELETE FROM rule_set_versions WHERE tenant_id = $1 AND name = $2 AND version <= $3"


async def _put_in_force(
    conn: Connection, tenant_id: TenantId, name: str, source: str, note: str
) -> RuleSetRow:
    row: Any = await conn.fetchrow(_PUT, tenant_id, name)
    await conn.execute(_INSERT_VERSION, tenant_id, name, row["version"], source, note)
    await conn.execute(_FORGET, tenant_id, name, row["version"] - VERSIONS_MOST)
    await raise_rules_version(conn, tenant_id)
    return RuleSetRow(name=name, source=source, note=note, **row)


async def roll_back(
    conn: Connection, tenant_id: TenantId, name: str, version: int
) -> tuple[RuleSetRow, bool]:
    """Put the text of `version` in force again, as a new version, and whether that changed anything. Raises NotFound."""
    async with conn.transaction():
        await _lock(conn, tenant_id)
        old = await get_version(conn, tenant_id, name, version)
        before = await get_rule_set(conn, tenant_id, name)
        if before.source == old.source:
            return before, False
        return await _put_in_force(conn, tenant_id, name, old.source, f"rollback to {version}"), True


_DELETE = "DELETE FROM rule_sets WHERE tenant_id = $1 AND name = $2"


async def delete_rule_set(conn: Connection, tenant_id: TenantId, name: str) -> None:
    """Remove it with all its versions. Raises NotFound."""
    async with conn.transaction():
        await _lock(conn, tenant_id)
        if await conn.execute(_DELETE, tenant_id, name) == "DELETE 0":
            raise NotFound(_NO_SUCH)
        await raise_rules_version(conn, tenant_id)


_SETS = """
    SELECT s.name, s.version, v.source, v.note, s.created_at, s.updated_at
    FROM rule_sets s JOIN rule_set_versions v USING (tenant_id, name, version)
    WHERE s.tenant_id = $1
"""
_FIND = f"{_SETS} AND s.name = $2"


async def find_rule_set(conn: Connection, tenant_id: TenantId, name: str) -> RuleSetRow | None:
    row = await conn.fetchrow(_FIND, tenant_id, name)
    return None if row is None else msgspec.convert(dict(row), RuleSetRow)


async def get_rule_set(conn: Connection, tenant_id: TenantId, name: str) -> RuleSetRow:
    """Raises NotFound."""
    found = await find_rule_set(conn, tenant_id, name)
    if found is None:
        raise NotFound(_NO_SUCH)
    return found


_LIST = f"{_SETS} AND ($2::text IS NULL OR s.name > $2) ORDER BY s.name LIMIT $3"


async def list_rule_sets(
    conn: Connection, tenant_id: TenantId, *, after: str | None, limit: int
) -> list[RuleSetRow]:
    """By name."""
    rows = await conn.fetch(_LIST, tenant_id, after, limit)
    return [msgspec.convert(dict(row), RuleSetRow) for row in rows]


_IN_FORCE = """
    SELECT s.name, s.version, v.source
    FROM rule_sets s JOIN rule_set_versions v USING (tenant_id, name, version)
    WHERE s.tenant_id = $1 ORDER BY s.name
"""


async def list_in_force(conn: Connection, tenant_id: TenantId) -> list[InForce]:
    """Every set of the tenant's, by name."""
    return [msgspec.convert(dict(row), InForce) for row in await conn.fetch(_IN_FORCE, tenant_id)]


_VERSIONS = (
    "SELECT name, version, source, note, created_at FROM rule_set_versions WHERE tenant_id = $1 AND name = $2"
)
_VERSION = f"{_VERSIONS} AND version = $3"


async def get_version(conn: Connection, tenant_id: TenantId, name: str, version: int) -> RuleSetVersion:
    """Raises NotFound."""
    row = await conn.fetchrow(_VERSION, tenant_id, name, version)
    if row is None:
        raise NotFound(NO_SUCH_VERSION)
    return msgspec.convert(dict(row), RuleSetVersion)


_LIST_VERSIONS = f"{_VERSIONS} AND ($3::integer IS NULL OR version < $3) ORDER BY version DESC LIMIT $4"


async def list_versions(
    conn: Connection, tenant_id: TenantId, name: str, *, before: int | None, limit: int
) -> list[RuleSetVersion]:
    """Newest first; empty for a set that is not there."""
    rows = await conn.fetch(_LIST_VERSIONS, tenant_id, name, before, limit)
    return [msgspec.convert(dict(row), RuleSetVersion) for row in rows]
