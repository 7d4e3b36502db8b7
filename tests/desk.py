"""A journal and its inbox, as tests of what arrives use them."""

from pathlib import Path
from typing import Any

import msgspec

from relay.host.inbox import Inbox
from relay.host.journal import Journal
from relay.model.ids import MessageId, SessionId, TenantId, new_message_id
from relay.store import messages, outgoing
from relay.store.doorbell import Doorbell
from relay.store.messages import Filter
from relay.store.outgoing import Accepted
from relay.store.pool import Pool
from tests.accounts import AT, MARIA_CHAT, record_of
from tests.owing import VAULT

Account = tuple[TenantId, SessionId]


class Desk:
    """A journal and its inbox on a test's own database."""

    def __init__(self, pool: Pool, url: str, folder: Path, *, batch: int = 100) -> None:
        folder.mkdir(exist_ok=True)
        self.pool = pool
        self.now = 0.0
        self.journal = Journal(folder)
        self.doorbell = Doorbell(url, name="tests")
        self.inbox = Inbox(pool, VAULT, self.doorbell, self.journal, batch=batch, monotonic=lambda: self.now)

    async def take(self, account: Account, *entries: Any) -> None:
        """Journal `entries` and store them."""
        for entry in entries:
            self.journal.append(record_of(account, entry))
        while await self.inbox.work():
            pass

    async def messages(self, account: Account) -> list[Any]:
        async with self.pool.acquire() as conn:
            found = await messages.list_messages(conn, account[0], Filter(), before=None, limit=200)
        return found[::-1]

    async def events(self, *types: str) -> list[dict[str, Any]]:
        rows = await self.pool.fetch("SELECT type, body FROM events ORDER BY id")
        return [msgspec.json.decode(row["body"]) for row in rows if not types or row["type"] in types]


def accepted(account: Account, *, chat: str = MARIA_CHAT, **given: Any) -> Accepted:
    """A message that the API is about to accept."""
    tenant_id, session_id = account
    fields: dict[str, Any] = {
        "id": new_message_id(),
        "tenant_id": tenant_id,
        "session_id": session_id,
        "chat": chat,
        "origin": "api",
        "type": "text",
        "content": {"text": "Bom dia"},
        "reply_to": None,
        "mentions": [],
        "budgeted": False,
        "at": AT,
    }
    return Accepted(**fields | given)


async def queued(pool: Pool, account: Account, **given: Any) -> MessageId:
    """A message that the API has accepted."""
    message = accepted(account, **given)
    async with pool.acquire() as conn:
        await outgoing.insert_accepted(conn, [message])
    return message.id


async def sent(
    pool: Pool, account: Account, wa_id: str, *, went_to: str | None = None, **given: Any
) -> MessageId:
    """A message that went out, to `went_to` when that is another chat than it was for, and is settled."""
    message_id = await queued(pool, account, **given)
    async with pool.acquire() as conn:
        await conn.execute(
            "INSERT INTO leases VALUES ($1, 'h', 1, now() + interval '1 hour') ON CONFLICT DO NOTHING",
            account[1],
        )
        terms = await outgoing.claim_messages(conn, [message_id], holder="h")
        settled = outgoing.Settlement(
            id=message_id, term=terms[message_id], status="sent", at=AT, wa_id=wa_id, chat=went_to
        )
        assert await outgoing.settle_messages(conn, [settled])
    return message_id
