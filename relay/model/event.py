"""Events: immutable facts with a dotted type, and the JSON that carries them.

The body is made once, when the fact happens, and stored as the bytes that every attempt sends:
`{"type": …, "timestamp": …, "data": {…}}`.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import msgspec
from msgspec import Struct

from relay.model.ids import ContactId, EventId, SessionId, TenantId

EVENT_TYPES: dict[str, str] = {
    "message.received": "A message arrived, or the account's owner wrote one on the phone.",
    "message.status": "An outgoing message was sent, delivered, read, failed, or its outcome is unknown.",
    "message.media": "A received message's file was fetched from WhatsApp, or could not be.",
    "message.edited": "A message's text was changed by its sender.",
    "message.revoked": "A message was deleted for everyone.",
    "message.reaction": "Somebody reacted to a message, or took the reaction back.",
    "call.received": "Somebody is calling the account.",
    "session.status": "A session connected, disconnected or failed; `reason` says why.",
    "session.qr": "A session shows a new QR code or pairing code.",
    "automation.handoff": "A bot hands a chat over: a person is wanted.",
    "automation.paused": "The bot keeps quiet in a chat for a while; `reason` says why.",
    "automation.resumed": "The bot may speak in a chat again, before its pause was over.",
    "automation.event": "A rule says something of its own, under a name of its own.",
    "contact.deleted": "A contact was removed, and everything of it.",
    "endpoint.disabled": "An endpoint was switched off after failing for days; its events are kept.",
    "webhook.test": "A test event, sent on request.",
}
"""Every type with its one-line meaning; `docs/webhooks.md` shows each one's data."""


class Event(Struct, frozen=True, kw_only=True):
    id: EventId
    tenant_id: TenantId
    type: str
    body: str
    session_id: SessionId | None = None
    contact_id: ContactId | None = None
    chat: str | None = None
    """The chat that `order: chat` keeps in order: `session:jid`."""


class _Body(Struct, frozen=True):
    type: str
    timestamp: datetime
    data: Mapping[str, Any]


_encoder = msgspec.json.Encoder()


def body_of(event_type: str, at: datetime, data: Mapping[str, Any]) -> str:
    """The webhook body of an event."""
    return _encoder.encode(_Body(event_type, at, data)).decode()
