"""What tests of agents work with: a company with an agent, customers who write, and a responder's loops without the loops."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any

from relay.config import Agents, Config, Server
from relay.egress.guard import AddressGuard
from relay.model.agent import AgentCall, settings_of
from relay.model.ids import MessageId, TenantId
from relay.replies.agents.turns import AgentTurns
from relay.store import agent_calls, agent_turns, agents, tenants
from relay.store.agent_turns import NewTurn
from relay.store.blobs import Blobs
from relay.store.pool import Pool
from tests.accounts import MARIA, MARIA_CHAT, add_session, received
from tests.desk import Account, Desk
from tests.owing import VAULT

_numbers = count(1)


class AgentsDesk(Desk):
    """`responder()` is one process; several of them share the work as processes would."""

    def __init__(self, pool: Pool, url: str, folder: Path) -> None:
        super().__init__(pool, url, folder)
        self.blobs = Blobs(folder / "media", max_bytes=10_000_000)
        self.slept: list[float] = []

    async def add_account(self, *, tenant_id: TenantId | None = None) -> Account:
        async with self.pool.acquire() as conn:
            return await add_session(conn, tenant_id=tenant_id, automation=True)

    async def add_agent(
        self,
        account: Account,
        *,
        name: str = "main",
        kind: str = "openai",
        secret: str | None = None,
        enabled: bool = True,
        **settings: Any,
    ) -> str:
        """Its id. Settings as on the wire."""
        if kind == "openai":
            settings.setdefault("model", "small")
        settings_of(kind, settings)  # type: ignore[arg-type]
        async with self.pool.acquire() as conn:
            agent = await agents.insert_agent(
                conn,
                await tenants.get_data_key(conn, VAULT, account[0]),
                tenant_id=account[0],
                name=name,
                kind=kind,  # type: ignore[arg-type]
                enabled=enabled,
                settings=settings,
                secret=secret,
            )
        return agent.id

    async def write(
        self,
        account: Account,
        text: str = "Oi",
        *,
        chat: str = MARIA_CHAT,
        fallback: str | None = None,
        debounce_seconds: float = 0,
        **given: Any,
    ) -> MessageId:
        """Maria writes, and a rule hands her message to the agent `main`."""
        given.setdefault("sender", MARIA)
        given.setdefault("sent_at", datetime.now(UTC))
        await self.take(account, received(f"W{next(_numbers)}", text, chat=chat, **given))
        row = await self.pool.fetchrow(
            "SELECT id, contact_id FROM whatsapp_messages WHERE session_id = $1 AND chat = $2 ORDER BY id DESC LIMIT 1",
            account[1],
            chat,
        )
        assert row is not None
        turn = NewTurn(
            tenant_id=account[0],
            session_id=account[1],
            chat=chat,
            contact_id=row["contact_id"],
            agent="main",
            message_id=row["id"],
            debounce_seconds=debounce_seconds,
            fallback=fallback,
            cause={"ruleSet": "shop", "rule": "rest", "messageId": row["id"]},
        )
        async with self.pool.acquire() as conn:
            await agent_turns.upsert_turns(conn, [turn])
        return MessageId(row["id"])

    @asynccontextmanager
    async def responder(
        self,
        *,
        plugins: dict[str, Any] | None = None,
        drain_seconds: float = 10.0,
        **budget: Any,
    ) -> AsyncIterator[AgentTurns]:
        config = Config(agents=Agents(**budget), server=Server(drain_seconds=drain_seconds))
        async with AgentTurns(
            self.pool,
            VAULT,
            self.doorbell,
            guard=AddressGuard(allow_networks=["127.0.0.0/8"]),
            blobs=self.blobs,
            config=config,
            **(plugins or {}),
            sleep=self._sleep,
        ) as turns:
            yield turns

    async def _sleep(self, seconds: float) -> None:
        self.slept.append(seconds)

    async def answer(self, **given: Any) -> None:
        """A responder comes, does all that is due, and goes."""
        async with self.responder(**given) as turns:
            while await turns.work():
                await turns.finish()

    async def said(self, account: Account, *, chat: str = MARIA_CHAT) -> list[str]:
        """The texts of what the bot has queued in a chat, oldest first."""
        rows = await self.pool.fetch(
            "SELECT content FROM whatsapp_messages WHERE session_id = $1 AND chat = $2 AND origin = 'bot' ORDER BY id",
            account[1],
            chat,
        )
        return [row["content"]["text"] for row in rows]

    async def calls(self, account: Account) -> list[AgentCall]:
        """Oldest first."""
        async with self.pool.acquire() as conn:
            rows = await conn.fetch("SELECT id FROM agents WHERE tenant_id = $1", account[0])
            found = [
                call
                for row in rows
                for call in await agent_calls.list_calls(conn, account[0], row["id"], before=None, limit=100)
            ]
        return sorted(found, key=lambda call: call.id)

    async def turns_left(self) -> int:
        left: int = await self.pool.fetchval("SELECT count(*) FROM agent_turns")
        return left
