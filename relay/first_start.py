"""The first start: an operator's key, and a demo company with a sandbox session, printed once."""

from collections.abc import Mapping

from relay.config import Config
from relay.model.api_key import new_key
from relay.model.ids import TenantId, new_session_id, new_tenant_id
from relay.model.session import BotSettings, SessionLimits
from relay.model.tenant import Retention, Scope
from relay.store import keys, sessions, tenants
from relay.store.pool import Connection
from relay.vault import Vault

_DEMO_SCOPES = frozenset(Scope) - {Scope.ADMIN}


async def prepare(
    conn: Connection, vault: Vault, config: Config, *, address: str, environ: Mapping[str, str]
) -> list[str]:
    """Make what is missing in an empty database; answers the lines to print, none on a later start."""
    lines = []
    async with conn.transaction():
        if "RELAY_OPERATOR_KEY" not in environ and not await keys.has_operator_key(conn):
            lines += ["operator key  " + await _insert_key(conn, None, "operator", frozenset({Scope.ADMIN}))]
        if config.sandbox.enabled and not await tenants.count_tenants(conn):
            lines += await _insert_demo(conn, vault)
    if not lines:
        return []
    return [
        "",
        f"Relay starts for the first time at {address}. Keep these: they are not shown again.",
        "",
        *lines,
        "",
    ]


async def _insert_demo(conn: Connection, vault: Vault) -> list[str]:
    tenant = await tenants.insert_tenant(
        conn, vault, tenant_id=new_tenant_id(), name="Demo", retention=Retention()
    )
    key = await _insert_key(conn, tenant.id, "demo", _DEMO_SCOPES)
    session = await sessions.insert_session(
        conn,
        session_id=new_session_id(),
        tenant_id=tenant.id,
        name="Sandbox",
        engine="sandbox",
        limits=SessionLimits(),
        automation=False,
        bot=BotSettings(),
        sealed_proxy=None,
    )
    await sessions.request_connect(conn, tenant.id, session.id)
    return [f"demo company  {tenant.id}", f"demo key      {key}", f"demo session  {session.id}"]


async def _insert_key(
    conn: Connection, tenant_id: TenantId | None, name: str, scopes: frozenset[Scope]
) -> str:
    made = new_key()
    await keys.insert_key(conn, tenant_id=tenant_id, name=name, scopes=scopes, text=made)
    return made
