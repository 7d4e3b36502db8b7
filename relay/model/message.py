"""A message, inbound or outgoing, and what it may hold.

    outgoing:  queued ──► sending ──► sent ──► delivered ──► read
                  │          ├──► failed     (WhatsApp said no)
                  │          └──► unknown    (nobody can say; a late receipt settles it)
                  └──► failed (cancelled, media gone, session removed)
    inbound:   received ──► read (marked by us)

Status only ever moves forward: `rank` orders it.
"""

from datetime import datetime
from enum import StrEnum
from typing import Any, Literal

from msgspec import Struct

from relay.model.ids import ContactId, MessageId, SessionId, TenantId


class MessageType(StrEnum):
    TEXT = "text"
    IMAGE = "image"
    AUDIO = "audio"
    VIDEO = "video"
    DOCUMENT = "document"
    STICKER = "sticker"
    LOCATION = "location"
    CONTACT = "contact"
    POLL = "poll"
    REACTION = "reaction"
    POLL_VOTE = "poll_vote"
    CALL = "call"
    UNSUPPORTED = "unsupported"
    """A kind that Relay does not know yet; stored so that nothing is lost."""


MEDIA_TYPES = frozenset(
    {MessageType.IMAGE, MessageType.AUDIO, MessageType.VIDEO, MessageType.DOCUMENT, MessageType.STICKER}
)
SENDABLE_TYPES = MEDIA_TYPES | {
    MessageType.TEXT,
    MessageType.LOCATION,
    MessageType.CONTACT,
    MessageType.POLL,
    MessageType.REACTION,
    MessageType.POLL_VOTE,
}
TARGETED_TYPES = frozenset({MessageType.REACTION, MessageType.POLL_VOTE})
"""They are nothing without the message that they are about."""
VIEW_ONCE_TYPES = frozenset({MessageType.IMAGE, MessageType.AUDIO, MessageType.VIDEO})


class MessageStatus(StrEnum):
    RECEIVED = "received"
    QUEUED = "queued"
    SENDING = "sending"
    UNKNOWN = "unknown"
    FAILED = "failed"
    SENT = "sent"
    DELIVERED = "delivered"
    READ = "read"


RANK: dict[MessageStatus, int] = {status: rank for rank, status in enumerate(MessageStatus)}
"""Forward is up: a receipt may lift `unknown` or `failed` to `delivered`, nothing sinks back to `queued`."""


class Origin(StrEnum):
    """Who wrote a message."""

    CONTACT = "contact"
    PHONE = "phone"
    """The account's owner, on a device that is not this one."""
    API = "api"
    PERSON = "person"
    """Somebody of the tenant's, through the API: the bot keeps quiet then, as it does after `phone`."""
    BOT = "bot"


class Party(Struct, frozen=True, kw_only=True, rename="camel"):
    """Somebody on WhatsApp, known by phone number (`pn`, digits), by LID, or both."""

    pn: str | None = None
    lid: str | None = None
    contact_id: ContactId | None = None


class Message(Struct, frozen=True, kw_only=True):
    id: MessageId
    tenant_id: TenantId
    session_id: SessionId
    chat: str
    """The chat's JID: `5511999998888@s.whatsapp.net`, `…@g.us`, `…@lid`."""
    direction: Literal["inbound", "outgoing"]
    origin: Origin
    sender: Party
    sender_name: str | None
    type: MessageType
    content: dict[str, Any]
    status: MessageStatus
    error: str | None
    wa_id: str | None
    reply_to: str | None
    mentions: list[str]
    edited_at: datetime | None
    revoked_at: datetime | None
    history: list[dict[str, Any]]
    """`[{status, at}]`, oldest first."""
    automation: dict[str, Any] | None
    """Why a bot said it: rule set, rule, flow, agent … (see Cause); None for everybody else's."""
    sent_at: datetime
    """When it was written, by WhatsApp's clock; for an outgoing one, when we accepted it."""
