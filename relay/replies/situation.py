"""What a bot looks at: one message, who wrote it, how things stand between them. Data only; `decide.py` reads it."""

from datetime import datetime
from typing import Any, Literal

from msgspec import Struct, field

from relay.model.ids import ContactId, MessageId, SessionId, TenantId
from relay.model.session import BotSettings

ChatType = Literal["private", "group", "broadcast", "channel"]


class Incoming(Struct, frozen=True, kw_only=True):
    """The message that waits for an answer."""

    id: MessageId
    tenant_id: TenantId
    session_id: SessionId
    session_name: str
    session_phone: str | None
    chat: str
    """JID."""
    chat_type: ChatType
    type: str
    text: str
    """Of a text; the caption of a file; what was voted for; "" otherwise."""
    content: dict[str, Any]
    sender_name: str | None
    mentioned: bool
    """It mentions the account, or answers one of its messages."""
    by_owner: bool
    """Written by the account's owner, on the phone or in the console: a person takes over."""
    offline: bool
    """It arrived late, after the session had been offline."""
    answered: bool
    """A person has written in the chat after it."""
    sent_at: datetime


class FlowState(Struct, frozen=True, kw_only=True):
    """Where a contact stands in a flow. Stored as JSON."""

    set: str
    """The rule set's key, see `Compiled.key`."""
    flow: str
    step: str
    """The step that has asked."""
    tries: int = 0
    expires_at: datetime


class Variable(Struct, frozen=True, kw_only=True):
    """Stored as JSON."""

    value: Any
    expires_at: datetime


class Contact(Struct, frozen=True, kw_only=True):
    """Who wrote it. `vars` and `flow` are without what has expired; `flow` is that of the message's chat."""

    id: ContactId
    name: str | None
    pn: str | None
    lid: str | None
    first: bool
    """The first message of a private chat ever."""
    ignored: bool = False
    tags: frozenset[str] = frozenset()
    vars: dict[str, Any] = field(default_factory=dict)
    flow: FlowState | None = None
    fired: dict[str, datetime] = field(default_factory=dict)
    """When rules last fired for the contact, by `set/rule`; kept as long as their cooldown."""


class Said(Struct, frozen=True, kw_only=True, array_like=True):
    """One answer of the bot's. Stored as JSON."""

    at: float
    """When it was decided on, in unix time."""
    digest: str
    """Of the text, see `digest_of`; "" where there was none."""
    out_at: float = 0.0
    """When it goes out, after what it waits and is typed for; 0 in what was stored without."""


class ChatState(Struct, frozen=True, kw_only=True):
    """How the bot stands in the chat."""

    paused_until: datetime | None = None
    said: tuple[Said, ...] = ()
    """The answers of the last hour, oldest first."""
    agent: str | None = None
    """The agent that has a question of this chat in hand."""


class Situation(Struct, frozen=True, kw_only=True):
    """All that a decision depends on; with the same one and the same rules it is the same."""

    message: Incoming
    contact: Contact
    chat: ChatState
    settings: BotSettings
    now: datetime
    """UTC."""
