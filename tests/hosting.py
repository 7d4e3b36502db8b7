"""A host as tests run it: the real one, with the real sandbox network, on a clock of the test's own."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec

from relay.config import Config
from relay.egress.guard import AddressGuard
from relay.egress.names import SystemResolver
from relay.host.host import Host
from relay.host.journal import Journal, take_slot
from relay.model.event import EVENT_TYPES
from relay.model.ids import MessageId, SessionId, TenantId, new_message_id
from relay.model.sandbox import FaultIn, InboundIn, ScanIn
from relay.model.session import Session
from relay.store import outgoing, sessions
from relay.store.blobs import Blobs
from relay.store.doorbell import Doorbell
from relay.store.outgoing import Accepted
from relay.store.pool import Pool
from tests.accounts import AT, MARIA_CHAT
from tests.engines.sandbox_phones import SandboxPhones
from tests.owing import VAULT

Account = tuple[TenantId, SessionId]
_TURNS = 400
_PATIENCE_SECONDS = 20.0
"""A commit of what runs beside the turns may wait for a busy disk."""


class Hosting:
    """One host process without the process: `turn` does what its loops would do next."""

    def __init__(
        self, pool: Pool, url: str, folder: Path, phones: SandboxPhones, *, config: Config | None = None
    ) -> None:
        self.pool = pool
        self.phones = phones
        self.config = (config or Config()).with_server(data_dir=str(folder))
        self.slot = take_slot(folder / "journal")
        self.host = Host(
            pool=pool,
            vault=VAULT,
            doorbell=Doorbell(url, name="tests"),
            blobs=Blobs(folder / "media", max_bytes=1_000_000),
            config=self.config,
            slot=self.slot,
            journal=Journal(self.slot.path),
            guard=AddressGuard(),
            resolve=SystemResolver(),
            engines={"sandbox": phones.engine},
            monotonic=lambda: phones.monotonic,
        )

    async def turn(self) -> None:
        await self.host.work()
        await self.host.tick()
        await self.phones.network.work()
        await self.host.inbox.work()
        await self.host.requests.work()
        await self.host.sender.work()
        await asyncio.sleep(0.002)
        await self.host.sender.settle()

    async def until(self, holds: Callable[[], Awaitable[bool]]) -> None:
        """Turn until something holds; fails when it never does."""
        turns, until = 0, time.monotonic() + _PATIENCE_SECONDS
        while turns < _TURNS or time.monotonic() < until:
            if await holds():
                return
            await self.turn()
            turns += 1
        raise AssertionError("it never came to be")

    async def pass_time(self, seconds: float) -> None:
        """Let the clock run in steps short enough to renew every lease."""
        while seconds > 0:
            step = min(seconds, 4.0)
            await self.phones.advance(step)
            for _ in range(3):
                await self.turn()
            seconds -= step

    async def session(self, account: Account) -> Session:
        async with self.pool.acquire() as conn:
            return await sessions.get_session(conn, *account)

    async def reaches(self, account: Account, status: str, reason: str | None = None) -> Session:
        """Turn until the session stands so."""

        async def stands() -> bool:
            session = await self.session(account)
            return session.status == status and session.reason == reason

        try:
            await self.until(stands)
        except AssertionError:
            session = await self.session(account)
            raise AssertionError(
                f"it is {session.status} ({session.reason}), not {status} ({reason})"
            ) from None
        return await self.session(account)

    async def connect(self, account: Account, **how: Any) -> None:
        async with self.pool.acquire() as conn:
            await sessions.request_connect(conn, *account, **how)

    async def link(self, account: Account) -> Session:
        """From nothing to connected."""
        await self.connect(account)
        await self.reaches(account, "connecting", "waiting_for_scan")
        await self.ask(account, ScanIn())
        return await self.reaches(account, "connected")

    async def ask(self, account: Account, body: ScanIn | InboundIn | FaultIn) -> None:
        await self.phones.ask(self.phones.account_of(account), body)

    async def fault(self, account: Account, kind: str, **given: Any) -> None:
        await self.ask(account, msgspec.convert({"kind": kind, **given}, FaultIn))

    async def say(self, account: Account, text: str, **given: Any) -> None:
        await self.ask(
            account, msgspec.convert({"from": "+55 11 99999-0001", "text": text, **given}, InboundIn)
        )

    async def queue(
        self, account: Account, *texts: str, chat: str = MARIA_CHAT, **given: Any
    ) -> list[MessageId]:
        """Accept messages as the API does."""
        accepted = [
            Accepted(
                **{
                    "id": new_message_id(),
                    "tenant_id": account[0],
                    "session_id": account[1],
                    "chat": chat,
                    "origin": "api",
                    "type": "text",
                    "content": {"text": text},
                    "reply_to": None,
                    "mentions": [],
                    "budgeted": False,
                    "at": AT,
                    **given,
                }
            )
            for text in texts
        ]
        async with self.pool.acquire() as conn:
            await outgoing.insert_accepted(conn, accepted)
        return [message.id for message in accepted]

    async def statuses(self, messages: list[MessageId]) -> list[str]:
        rows = await self.pool.fetch("SELECT id, status FROM whatsapp_messages WHERE id = ANY ($1)", messages)
        found = {row["id"]: row["status"] for row in rows}
        return [found[message] for message in messages]

    async def settled(self, messages: list[MessageId], *statuses: str) -> None:
        """Turn until each message has its status."""

        async def have() -> bool:
            return await self.statuses(messages) == list(statuses)

        try:
            await self.until(have)
        except AssertionError:
            raise AssertionError(f"they are {await self.statuses(messages)}, not {list(statuses)}") from None

    async def events(self, event_type: str) -> list[dict[str, Any]]:
        """The data of every event of a type, in order."""
        assert event_type in EVENT_TYPES
        rows = await self.pool.fetch("SELECT body FROM events WHERE type = $1 ORDER BY id", event_type)
        return [msgspec.json.decode(row["body"])["data"] for row in rows]

    async def outbox(self, account: Account) -> list[str]:
        """The texts that the virtual phones have received, in order."""
        rows = await self.pool.fetch(
            "SELECT body FROM sandbox_outbox WHERE session_id = $1 ORDER BY id", account[1]
        )
        return [
            row["body"]["content"]["text"] for row in rows if row["body"].get("kind", "message") == "message"
        ]

    def die(self) -> None:
        """As after kill -9: nothing is released but the lock, nothing is written any more."""
        for held in self.host._held.values():
            held.mailbox.clear()
            if held.task:
                held.task.cancel()
        self.slot.release()

    async def stop(self) -> None:
        await self.host.stop()
        self.host.close()
