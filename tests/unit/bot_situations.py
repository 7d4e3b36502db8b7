"""Messages, contacts and rules for the tests of bots: ordinary ones, with what a test cares about changed."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec
from msgspec import Struct

from relay.model.ids import ContactId, MessageId, SessionId, TenantId
from relay.model.session import BotSettings
from relay.replies import schema
from relay.replies.situation import ChatState, Contact, Incoming, Situation

MONDAY_NOON = datetime(2026, 1, 5, 15, 0, tzinfo=UTC)
"""In São Paulo."""


def incoming(text: str = "Olá", **changes: Any) -> Incoming:
    given: dict[str, Any] = {
        "id": MessageId("msg_1"),
        "tenant_id": TenantId("ten_1"),
        "session_id": SessionId("ses_1"),
        "session_name": "Loja São João",
        "session_phone": "5511900000000",
        "chat": "5511912345678@s.whatsapp.net",
        "chat_type": "private",
        "type": "text",
        "text": text,
        "content": {"text": text},
        "sender_name": "Maria S.",
        "mentioned": False,
        "by_owner": False,
        "offline": False,
        "answered": False,
        "sent_at": MONDAY_NOON,
    }
    return Incoming(**given | changes)


def contact(**changes: Any) -> Contact:
    given: dict[str, Any] = {
        "id": ContactId("con_1"),
        "name": "Maria Silva",
        "pn": "5511912345678",
        "lid": None,
        "first": False,
    }
    return Contact(**given | changes)


def situation(
    *, message: Incoming | None = None, who: Contact | None = None, now: datetime = MONDAY_NOON
) -> Situation:
    return Situation(
        message=message or incoming(),
        contact=who or contact(),
        chat=ChatState(),
        settings=BotSettings(),
        now=now,
    )


class Entry(Struct, frozen=True):
    """What a matcher watches."""

    rule: schema.Rule
    lists: Mapping[str, frozenset[str]] = {}


def entry(when: Mapping[str, Any], lists: Mapping[str, frozenset[str]] | None = None) -> Entry:
    """`when` as the YAML has it."""
    given = {"id": "rule", "when": when, "do": [{"stop": True}]}
    return Entry(msgspec.convert(given, schema.Rule), lists or {})
