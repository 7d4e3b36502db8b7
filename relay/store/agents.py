"""Agents of a tenant: their settings as they were given, and their sealed secrets.

The secret is the API key of an `openai` agent, or what signs the calls of an `http` one. It is sealed by the tenant's
data key with the agent's id as associated data; a rotation keeps the old ciphertext beside the new one until its
overlap is over. Every change raises `tenants.rules_version` in its transaction.
"""

import base64
import logging
import secrets
from datetime import timedelta
from typing import Any, Literal

import asyncpg
from msgspec import Struct

from relay.model import ids
from relay.model.agent import Agent, Kind, settings_of
from relay.model.errors import Conflict, NotFound
from relay.model.ids import AgentId, TenantId
from relay.store.pool import Connection
from relay.store.tenants import raise_rules_version
from relay.vault import DataKey, SealBroken, Vault

log = logging.getLogger(__name__)

AGENTS_MOST = 100
_SECRET_BYTES = 32
_NO_SUCH = "There is no such agent."
_COLUMNS = (
    "id, tenant_id, name, kind, enabled, settings, secret IS NOT NULL AS has_secret, created_at, updated_at"
)


class OpenedAgent(Struct, frozen=True, kw_only=True):
    """What calling an agent takes."""

    agent: Agent
    secrets: tuple[str, ...]
    """The newest first; none for an `openai` agent that needs no key, two while one is being rotated."""


def new_signing_secret() -> str:
    return "whsec_" + base64.b64encode(secrets.token_bytes(_SECRET_BYTES)).decode()


def _agent(row: Any) -> Agent:
    return Agent(
        id=row["id"],
        tenant_id=row["tenant_id"],
        name=row["name"],
        kind=row["kind"],
        enabled=row["enabled"],
        settings=settings_of(row["kind"], row["settings"]),
        has_secret=row["has_secret"],
        created_at=row["created_at"],
        updated_at=row["updated_at"],
    )


def _found(row: Any) -> Agent:
    if row is None:
        raise NotFound(_NO_SUCH)
    return _agent(row)


def _identity(agent_id: str) -> str:
    return f"agent/{agent_id}/secret"


def _seal(key: DataKey, agent_id: str, secret: str | None) -> bytes | None:
    return None if secret is None else key.seal(secret.encode(), identity=_identity(agent_id))


_COUNT = "SELECT count(*) FROM agents WHERE tenant_id = $1"
_INSERT = f"""
    INSERT INTO agents (id, tenant_id, name, kind, enabled, settings, secret) VALUES ($1, $2, $3, $4, $5, $6, $7)
    RETURNING {_COLUMNS}
"""


async def insert_agent(
    conn: Connection,
    key: DataKey,
    *,
    tenant_id: TenantId,
    name: str,
    kind: Kind,
    enabled: bool,
    settings: dict[str, Any],
    secret: str | None,
) -> Agent:
    """The caller has checked `settings`. Raises Conflict where the name is taken, or there are too many."""
    agent_id = ids.new_agent_id()
    sealed = _seal(key, agent_id, secret)
    async with conn.transaction():
        # It locks the tenant's row: agents are counted one after the other.
        await raise_rules_version(conn, tenant_id)
        if await conn.fetchval(_COUNT, tenant_id) >= AGENTS_MOST:
            raise Conflict(
                f"A company may have {AGENTS_MOST} agents. Delete one first.", code="too_many_agents"
            )
        try:
            row = await conn.fetchrow(_INSERT, agent_id, tenant_id, name, kind, enabled, settings, sealed)
        except asyncpg.UniqueViolationError:
            raise _name_taken(name) from None
    return _agent(row)


def _name_taken(name: str) -> Conflict:
    return Conflict(
        f"There is an agent {name} already: choose another name, or change that one.", code="name_taken"
    )


_GET = f"SELECT {_COLUMNS} FROM agents WHERE tenant_id = $1 AND id = $2"


async def get_agent(conn: Connection, tenant_id: TenantId, agent_id: str, *, lock: bool = False) -> Agent:
    """`lock`: nobody else changes it until the transaction ends. Raises NotFound."""
    if lock:
        # As every change does, the tenant first.
        await raise_rules_version(conn, tenant_id)
    return _found(await conn.fetchrow(_GET, tenant_id, agent_id))


_LIST = f"""
    SELECT {_COLUMNS} FROM agents WHERE tenant_id = $1 AND ($2::text IS NULL OR id < $2) ORDER BY id DESC LIMIT $3
"""


async def list_agents(
    conn: Connection, tenant_id: TenantId, *, before: str | None, limit: int
) -> list[Agent]:
    """Newest first."""
    return [_agent(row) for row in await conn.fetch(_LIST, tenant_id, before, limit)]


_UPDATE = f"""
    UPDATE agents SET name = coalesce($3, name), enabled = coalesce($4, enabled),
        settings = coalesce($5, settings), secret = CASE WHEN $6 THEN $7 ELSE secret END, updated_at = now()
    WHERE tenant_id = $1 AND id = $2 RETURNING {_COLUMNS}
"""


async def update_agent(
    conn: Connection,
    key: DataKey,
    tenant_id: TenantId,
    agent_id: str,
    *,
    name: str | None = None,
    enabled: bool | None = None,
    settings: dict[str, Any] | None = None,
    secret: str | Literal[False] | None = None,
) -> Agent:
    """Change what is given; None leaves a value as it is, a secret of False is removed.

    The caller has checked `settings`. Raises NotFound, Conflict where the name is taken.
    """
    async with conn.transaction():
        await raise_rules_version(conn, tenant_id)
        sealed = _seal(key, agent_id, secret or None)
        try:
            row = await conn.fetchrow(
                _UPDATE, tenant_id, agent_id, name, enabled, settings, secret is not None, sealed
            )
        except asyncpg.UniqueViolationError:
            raise _name_taken(name or "") from None
        return _found(row)


_DELETE = "DELETE FROM agents WHERE tenant_id = $1 AND id = $2"


async def delete_agent(conn: Connection, tenant_id: TenantId, agent_id: str) -> None:
    """Remove it; questions that it had in hand get their fallback. Raises NotFound."""
    async with conn.transaction():
        await raise_rules_version(conn, tenant_id)
        if await conn.execute(_DELETE, tenant_id, agent_id) == "DELETE 0":
            raise NotFound(_NO_SUCH)


_ROTATE = """
    UPDATE agents SET previous_secret = secret, previous_secret_until = now() + $4, secret = $3, updated_at = now()
    WHERE tenant_id = $1 AND id = $2 AND kind = 'http'
"""


async def rotate_secret(
    conn: Connection, key: DataKey, tenant_id: TenantId, agent_id: str, *, overlap: timedelta
) -> str:
    """The new secret of an `http` agent; the one before signs beside it for `overlap`. Raises NotFound, Conflict."""
    agent = await get_agent(conn, tenant_id, agent_id)
    if agent.kind != "http":
        raise Conflict(
            "Only agents of the kind http sign their calls. Change the API key with PATCH.", code="agent_kind"
        )
    secret = new_signing_secret()
    await conn.execute(_ROTATE, tenant_id, agent_id, _seal(key, agent_id, secret), overlap)
    return secret


_OPEN = f"""
    SELECT a.*, t.data_key FROM (
        SELECT {_COLUMNS}, secret, CASE WHEN previous_secret_until > now() THEN previous_secret END AS previous
        FROM agents WHERE tenant_id = $1 AND
    """
_OPEN_END = ") a JOIN tenants t ON t.id = a.tenant_id"
_OPEN_BY_NAME = _OPEN + "name = $2" + _OPEN_END
_OPEN_BY_ID = _OPEN + "id = $2" + _OPEN_END


async def find_opened(conn: Connection, vault: Vault, tenant_id: TenantId, name: str) -> OpenedAgent | None:
    """By name; None where there is none, or its secret does not open."""
    row = await conn.fetchrow(_OPEN_BY_NAME, tenant_id, name)
    if row is None:
        return None
    try:
        return _open(vault, row)
    except SealBroken as error:
        log.error("agent.seal_broken", extra={"agent": row["id"], "error": error.detail})
        return None


async def get_opened(conn: Connection, vault: Vault, tenant_id: TenantId, agent_id: AgentId) -> OpenedAgent:
    """By id. Raises NotFound, SealBroken."""
    row = await conn.fetchrow(_OPEN_BY_ID, tenant_id, agent_id)
    if row is None:
        raise NotFound(_NO_SUCH)
    return _open(vault, row)


def _open(vault: Vault, row: Any) -> OpenedAgent:
    key = vault.unwrap(row["data_key"], row["tenant_id"])
    sealed = [value for value in (row["secret"], row["previous"]) if value is not None]
    opened = tuple(key.open(value, identity=_identity(row["id"])).decode() for value in sealed)
    return OpenedAgent(agent=_agent(row), secrets=opened)
