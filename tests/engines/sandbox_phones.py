"""The sandbox as the suite's phone network: real Postgres, the test's own clock."""

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
from msgspec import structs

from relay.config import Sandbox
from relay.engines.engine import Account, Engine, Listener
from relay.engines.sandbox_network import SandboxNetwork
from relay.model import ids
from relay.model.sandbox import FaultIn, InboundIn, ScanIn, command_of
from relay.store import sandbox as store
from relay.store.pool import Pool
from tests.engines.phones import Recorder, link


class SandboxPhones:
    def __init__(self, pool: Pool, settings: Sandbox | None = None) -> None:
        self.pool = pool
        self.settings = settings or Sandbox()
        self.now = datetime.now(UTC)
        self.monotonic = 1000.0
        self.killed = 0
        self.network = self.new_network()

    def new_network(self) -> SandboxNetwork:
        """Another process's network over the same tables."""
        return SandboxNetwork(
            self.pool,
            self.settings,
            clock=lambda: self.now,
            monotonic=lambda: self.monotonic,
            kill=self._die,
        )

    def crash(self) -> None:
        """The process dies with all it had in memory, and another one starts."""
        self.network = self.new_network()

    def _die(self) -> None:
        self.killed += 1

    async def new_account(self, **how: Any) -> Account:
        tenant_id, session_id = ids.new_tenant_id(), ids.new_session_id()
        await self.pool.execute("INSERT INTO tenants (id, name, data_key) VALUES ($1, 'Acme', '')", tenant_id)
        await self.pool.execute(
            "INSERT INTO whatsapp_sessions (id, tenant_id, name, engine) VALUES ($1, $2, 'Front desk', 'sandbox')",
            session_id,
            tenant_id,
        )
        return structs.replace(Account(session_id=session_id, tenant_id=tenant_id, auth=None), **how)

    async def linked_account(self) -> Account:
        account, heard = await self.new_account(), Recorder()
        engine = await link(self, account, heard)
        await engine.stop()
        return structs.replace(account, auth=heard.auth)

    def account_of(self, owner: tuple[ids.TenantId, ids.SessionId]) -> Account:
        """An account whose rows somebody else has made."""
        return Account(tenant_id=owner[0], session_id=owner[1], auth=None)

    def engine(self, account: Account, listener: Listener) -> Engine:
        return self.network.engine(account, listener)

    def engine_elsewhere(self, account: Account, listener: Listener) -> Engine:
        """There is one network for all who are in it."""
        return self.network.engine(account, listener)

    async def settle(self) -> None:
        while await self.network.work():
            pass

    async def advance(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)
        self.monotonic += seconds
        await self.settle()

    async def ask(self, account: Account, body: ScanIn | InboundIn | FaultIn) -> int:
        """Insert a command and leave it."""
        async with self.pool.acquire() as conn:
            return await store.insert_command(
                conn, tenant_id=account.tenant_id, session_id=account.session_id, body=command_of(body)
            )

    async def scan(self, account: Account, phone: str | None = None) -> None:
        await self.ask(account, ScanIn(phone=phone))
        await self.settle()

    async def say(self, account: Account, **inbound: Any) -> int:
        command_id = await self.ask(account, msgspec.convert(inbound, InboundIn))
        await self.settle()
        return command_id

    async def fault(self, account: Account, kind: str, **how: Any) -> None:
        await self.ask(account, msgspec.convert({"kind": kind, **how}, FaultIn))
        await self.settle()

    async def read_outbox(self, account: Account) -> list[dict[str, Any]]:
        rows = await store.list_outbox(
            self.pool, tenant_id=account.tenant_id, session_id=account.session_id, after=0, limit=1000
        )
        return [row.body for row in rows]
