"""What `relay doctor` asks of a database: the operator's view, over every tenant. Nothing is written."""

from collections.abc import Collection, Sequence
from datetime import date, datetime
from typing import Any

from msgspec import Struct

from relay.model.ids import TenantId
from relay.store.pool import Connection


class Server(Struct, frozen=True, kw_only=True):
    version: str
    version_number: int
    """As 180001."""
    now: datetime


_SERVER = """
    SELECT current_setting('server_version') AS version,
           current_setting('server_version_num')::int AS version_number, clock_timestamp() AS now
"""


async def read_server(conn: Connection) -> Server:
    return Server(**_fields(await conn.fetchrow(_SERVER)))


_MISSING = """
    SELECT wanted.name FROM unnest($1::text[]) AS wanted (name) WHERE to_regclass(wanted.name) IS NULL ORDER BY 1
"""


async def list_missing_partitions(
    conn: Connection, tables: Collection[str], days: Sequence[date]
) -> list[str]:
    names = [f"{table}_{day:%Y%m%d}" for table in tables for day in days]
    return [row["name"] for row in await conn.fetch(_MISSING, names)]


_SEALED_KEY = "SELECT id, data_key FROM tenants ORDER BY id DESC LIMIT 1"


async def find_sealed_key(conn: Connection) -> tuple[TenantId, bytes] | None:
    """One tenant's data key as it is stored; None where there is no tenant."""
    row = await conn.fetchrow(_SEALED_KEY)
    return None if row is None else (TenantId(row["id"]), row["data_key"])


class Hosts(Struct, frozen=True, kw_only=True):
    hosts: int
    """That hold a session now."""
    held: int
    orphaned: int
    """Sessions that should run and that no host holds."""


_HOSTS = """
    SELECT count(DISTINCT l.holder) FILTER (WHERE l.expires_at > now()) AS hosts,
           count(*) FILTER (WHERE l.expires_at > now()) AS held,
           count(*) FILTER (WHERE s.wanted = 'up' AND (l.resource IS NULL OR l.expires_at <= now())) AS orphaned
    FROM whatsapp_sessions s LEFT JOIN leases l ON l.resource = s.id
"""


async def read_hosts(conn: Connection) -> Hosts:
    return Hosts(**_fields(await conn.fetchrow(_HOSTS)))


_COUNT_SWITCHED_OFF = """
    SELECT count(*) FROM endpoints WHERE status = 'disabled' AND disabled_reason IS DISTINCT FROM 'requested'
"""


async def count_switched_off(conn: Connection) -> int:
    """Endpoints that were disabled because they failed, not because their tenant asked."""
    count: int = await conn.fetchval(_COUNT_SWITCHED_OFF)
    return count


def _fields(row: Any) -> dict[str, Any]:
    return dict(row)
