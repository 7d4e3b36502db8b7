"""What a plugin sees: the message, who wrote it, and what stands around a call. Plain and frozen."""

import logging
from datetime import datetime
from typing import Any, Generic, Literal, TypeVar

from msgspec import Struct, field

from relay.plugin.storage import Storage

Settings = TypeVar("Settings")


class Message(Struct, frozen=True, kw_only=True):
    """The message that waits for an answer."""

    id: str
    session_id: str
    chat: str
    """WhatsApp's address of the chat."""
    chat_type: Literal["private", "group"]
    type: str
    """`text`, `image`, `location` …"""
    text: str
    """Of a text; the caption of a file; what was voted for; "" otherwise."""
    content: dict[str, Any]
    """As `message.received` has it."""
    sender_name: str | None
    mentioned: bool
    """In a group: it mentions the account, or answers it."""
    at: datetime


class Contact(Struct, frozen=True, kw_only=True):
    """Who wrote it."""

    id: str
    name: str | None
    phone: str | None
    """In digits; None where WhatsApp has not told it."""
    tags: frozenset[str] = frozenset()
    vars: dict[str, Any] = field(default_factory=dict)
    """Variables, as rules set them."""


class SentMessage(Struct, frozen=True, kw_only=True):
    """A message of the account's that WhatsApp has taken."""

    id: str
    session_id: str
    chat: str
    type: str
    at: datetime


class SessionChange(Struct, frozen=True, kw_only=True):
    """A session connected, disconnected or failed."""

    id: str
    status: str
    reason: str | None
    at: datetime


class WebhookEvent(Struct, frozen=True, kw_only=True):
    """What is about to be sent to an endpoint."""

    id: str
    """The `webhook-id`: the same at each attempt."""
    type: str
    timestamp: datetime
    data: dict[str, Any]
    endpoint_id: str


class Context(Struct, Generic[Settings], frozen=True, kw_only=True):
    """What stands around a call: whose it is, and what the plugin may work with."""

    tenant_id: str
    session_id: str | None
    settings: Settings
    """The module's `Settings`, as config.yaml fills it."""
    storage: Storage
    """This plugin's own values, those of this tenant."""
    log: logging.Logger
    now: datetime
    """UTC. Ask here rather than a clock: tests set it."""
