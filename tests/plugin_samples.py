"""What tests of plugins share: a folder that they are written into, as their authors would, and a clock."""

from pathlib import Path
from textwrap import dedent
from typing import Any

from relay.config import Plugins
from relay.model.ids import ContactId, MessageId, SessionId, TenantId
from relay.model.session import BotSettings
from relay.plugin import Message
from relay.plugin.asking import Asked
from relay.plugin.calling import Caller
from relay.plugin.loading import load_plugins
from relay.plugin.storage import MemoryStorage, Storage
from relay.plugin.testing import AT, MARIA
from relay.replies.situation import ChatState, Contact, Incoming, Situation

SITUATION = Situation(
    message=Incoming(
        id=MessageId("msg_1"),
        tenant_id=TenantId("ten_a"),
        session_id=SessionId("ses_1"),
        session_name="Shop",
        session_phone="5511900000000",
        chat="5511912345678@s.whatsapp.net",
        chat_type="private",
        type="text",
        text="Oi",
        content={"text": "Oi"},
        sender_name="Maria",
        mentioned=False,
        by_owner=False,
        offline=False,
        answered=False,
        sent_at=AT,
    ),
    contact=Contact(
        id=ContactId("ctc_1"),
        name="Maria",
        pn="5511912345678",
        lid=None,
        first=False,
        tags=frozenset({"vip"}),
    ),
    chat=ChatState(),
    settings=BotSettings(),
    now=AT,
)

IMPORTS = "from relay.plugin import *\nimport asyncio, threading, time\n"


class Shelf:
    """A folder of plugins. `seconds` is its clock."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.seconds = 0.0
        self.names: list[str] = []
        self.kept: dict[tuple[str, str], MemoryStorage] = {}

    def write(self, name: str, source: str) -> None:
        """Put a plugin there, and enable it."""
        (self.folder / f"{name}.py").write_text(IMPORTS + dedent(source))
        self.names.append(name)

    def settings(self, **given: Any) -> Plugins:
        return Plugins(**{"folder": str(self.folder), "enabled": tuple(self.names), **given})

    def storage(self, tenant_id: str, plugin: str) -> Storage:
        return self.kept.setdefault((tenant_id, plugin), MemoryStorage(lambda: AT))

    def load(self, *, watchdog: Any = None, **given: Any) -> Caller:
        settings = self.settings(**given)
        return Caller(
            load_plugins(settings),
            storage=self.storage,
            timeout_seconds=settings.timeout_seconds,
            watchdog=watchdog,
            clock=lambda: self.seconds,
            now=lambda: AT,
        )


def asked(text: str = "Oi", *, tenant_id: str = "ten_a", **given: Any) -> Asked:
    """A message of Maria's."""
    fields: dict[str, Any] = {
        "id": "msg_1",
        "session_id": "ses_1",
        "chat": "5511912345678@s.whatsapp.net",
        "chat_type": "private",
        "type": "text",
        "text": text,
        "content": {"text": text},
        "sender_name": "Maria",
        "mentioned": False,
        "at": AT,
    }
    return Asked(tenant_id=tenant_id, message=Message(**fields | given), contact=MARIA)
