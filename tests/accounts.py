"""What tests of the host arrange: a tenant with a session, and entries as an engine would journal them."""

from datetime import UTC, datetime
from typing import Any

from relay.engines.engine import Received
from relay.engines.journal_file import Record
from relay.model.ids import SessionId, TenantId, new_session_id
from relay.model.message import MessageType, Party
from relay.model.session import BotSettings, SessionLimits
from relay.store import sessions
from relay.store.pool import Connection
from tests.owing import add_tenant

AT = datetime(2026, 1, 1, tzinfo=UTC)
MARIA = Party(pn="5511999990001", lid="90001")
MARIA_CHAT = "5511999990001@s.whatsapp.net"


async def add_session(
    conn: Connection, *, tenant_id: TenantId | None = None, automation: bool = False, **limits: Any
) -> tuple[TenantId, SessionId]:
    """A session of the sandbox (of a tenant of its own unless one is given), not connected."""
    if tenant_id is None:
        tenant_id, _key = await add_tenant(conn)
    session = await sessions.insert_session(
        conn,
        session_id=new_session_id(),
        tenant_id=tenant_id,
        name="Shop",
        engine="sandbox",
        limits=SessionLimits(**limits),
        automation=automation,
        bot=BotSettings(),
        sealed_proxy=None,
    )
    return tenant_id, session.id


def received(wa_id: str, text: str = "Olá", **given: Any) -> Received:
    """A text from Maria, unless `given` says otherwise."""
    fields: dict[str, Any] = {
        "wa_id": wa_id,
        "chat": MARIA_CHAT,
        "sender": MARIA,
        "from_me": False,
        "type": MessageType.TEXT,
        "content": {"text": text},
        "sent_at": AT,
        "name": "Maria",
    }
    return Received(**(fields | given))


def record_of(account: tuple[TenantId, SessionId], entry: Any) -> Record:
    return Record(account[0], account[1], entry)
