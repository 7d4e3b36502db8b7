"""A session: one WhatsApp account of a tenant, its states and the reasons behind them.

                    connect                    engine: connected
    disconnected ───────────► connecting ─────────────────────────► connected
         ▲   ▲                 │  ▲  │                                │  │
         │   └── qr expired ───┘  │  └── attempts used up ──► failed  │  │
         │                        └───────── connection lost ─────────┘  │
         └───────────── disconnect, logout, stream replaced ─────────────┘

`failed` is left by `connect` only. `wanted` is what the tenant asked for; `status` is what is.
"""

from datetime import datetime
from enum import StrEnum
from typing import Literal

from msgspec import Struct

from relay.model.ids import SessionId, TenantId


class SessionStatus(StrEnum):
    DISCONNECTED = "disconnected"
    CONNECTING = "connecting"
    CONNECTED = "connected"
    FAILED = "failed"


TRANSITIONS: dict[SessionStatus, frozenset[SessionStatus]] = {
    SessionStatus.DISCONNECTED: frozenset({SessionStatus.CONNECTING}),
    SessionStatus.CONNECTING: frozenset(
        {SessionStatus.CONNECTED, SessionStatus.DISCONNECTED, SessionStatus.FAILED}
    ),
    SessionStatus.CONNECTED: frozenset(
        {SessionStatus.CONNECTING, SessionStatus.DISCONNECTED, SessionStatus.FAILED}
    ),
    SessionStatus.FAILED: frozenset({SessionStatus.CONNECTING, SessionStatus.DISCONNECTED}),
}

REASONS: dict[str, str] = {
    "created": "The session has not been connected yet.",
    "starting": "The session is starting.",
    "no_host": "No host process has room for the session. The operator must start one more, or allow each more.",
    "waiting_for_scan": "Scan the QR code in WhatsApp under Linked devices.",
    "waiting_for_code": "Enter the pairing code in WhatsApp under Linked devices.",
    "linked": "The phone has accepted; the connection is being set up.",
    "reconnecting": "The connection was lost and is being restored.",
    "degraded": "WhatsApp has stopped answering; sends wait until it answers again.",
    "host_lost": "The process that ran the session is gone; another one takes over.",
    "requested": "Disconnected on request.",
    "logged_out": "The phone has removed this device. Link it again with a new QR code.",
    "qr_expired": "No phone scanned the QR code in time. Connect again for a new one.",
    "stream_replaced": "Another program opened this account's connection. Connect again to take it back.",
    "temporary_ban": "WhatsApp has restricted the account for a time; sends wait until then.",
    "client_outdated": "WhatsApp refuses this version of the engine. The operator must upgrade Relay.",
    "banned": "WhatsApp has banned the account.",
    "connect_timeout": "The session did not connect before its deadline.",
    "attempts_exhausted": "Reconnecting failed too often. Connect again when the cause is gone.",
    "engine_crashed": "The engine stopped unexpectedly.",
    "engine_unavailable": "No engine of this kind is installed on this server.",
    "passkey_required": "The account is protected by a passkey, which cannot be used for linking here. Remove the passkey"
    " in WhatsApp under Settings, Account, Passkeys and connect again, or use another account.",
    "link_refused": "WhatsApp did not link the account. Connect again; with a pairing code, check the number first.",
    "proxy_refused": "The session's proxy has an address that is not allowed. Set another proxy and connect again.",
    "connect_refused": "WhatsApp refused the connection. Connect again later, or look at the account on the phone.",
}
"""Every `reason` code with the sentence that people read."""


class SessionLimits(Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """How much a session may send. Replies in a chat that wrote in the last day are counted apart."""

    per_minute: int = 20
    per_day: int = 200
    new_contacts_per_day: int = 30
    replies_per_minute: int = 60
    when_exceeded: Literal["queue", "reject"] = "queue"
    """`queue` waits for the next window; `reject` answers 429 to the send."""
    pace: bool = False
    """Type before a send and leave uneven gaps, as a person does."""


class BotSettings(Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """How rules and agents behave in a session whose `automation` is on."""

    agent: str | None = None
    """The agent, by name, that gets what no rule answers."""
    pause_seconds: float = 7200
    """How long the bot keeps quiet in a chat where a person has answered."""
    offline_seconds: float = 300
    """Older messages that arrive late, after the session was offline, are not answered."""
    replies_per_minute: int = 5
    replies_per_hour: int = 60
    """In one chat."""


class Session(Struct, frozen=True, kw_only=True):
    id: SessionId
    tenant_id: TenantId
    name: str
    engine: str
    wanted: Literal["up", "down"]
    status: SessionStatus
    reason: str | None
    phone: str | None
    limits: SessionLimits
    automation: bool
    bot: BotSettings
    has_proxy: bool
    link_method: Literal["qr", "code"]
    link_phone: str | None
    qr: str | None
    qr_expires_at: datetime | None
    pairing_code: str | None
    banned_until: datetime | None
    last_active_at: datetime | None
    connected_at: datetime | None
    created_at: datetime
