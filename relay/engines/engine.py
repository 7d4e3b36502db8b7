"""What every engine does, and what it says.

    host ──start, send, stop…──► Engine ──two ways to speak──► Listener
                                            ├─ signal(): the connection's state; handled now, kept nowhere
                                            └─ journal(): something WhatsApp will not say again; durable when it returns

An engine drives one session's connection and knows nothing of leases, budgets or Postgres rows of the product. The
listener's methods may be called from any thread, return in well under a millisecond and never raise.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Literal, Protocol, TypeAlias

from msgspec import Struct

from relay.model.ids import SessionId, TenantId
from relay.model.message import MessageType, Party


class Account(Struct, frozen=True, kw_only=True):
    """Which account an engine drives, and how it is to connect."""

    session_id: SessionId
    tenant_id: TenantId
    auth: bytes | None
    """What `AuthChanged` or `snapshot` last gave; None when the account has to be linked."""
    auth_term: int | None = None
    """The lease's term under which that was."""
    term: int = 1
    """The lease's, under which the engine is to run."""
    link_method: Literal["qr", "code"] = "qr"
    link_phone: str | None = None
    proxy: str | None = None


# --- signals: how the connection stands -------------------------------------------------------------------------


class _Signal(Struct, frozen=True, kw_only=True, tag=True):
    pass


class QrShown(_Signal, frozen=True, kw_only=True):
    """A QR code is on show until `expires_at`; the next one follows, or `LinkExpired`."""

    text: str
    expires_at: datetime


class CodeShown(_Signal, frozen=True, kw_only=True):
    """A pairing code to type into the phone."""

    code: str
    expires_at: datetime


class LinkExpired(_Signal, frozen=True, kw_only=True):
    """Nobody scanned in time. The engine has stopped."""


class Linked(_Signal, frozen=True, kw_only=True):
    """A phone has accepted; `Connected` follows."""

    phone: str
    lid: str | None


class AuthChanged(_Signal, frozen=True, kw_only=True):
    """Keep these bytes: with them the account resumes without a phone."""

    auth: bytes


class Connected(_Signal, frozen=True, kw_only=True):
    phone: str
    lid: str | None


class Degraded(_Signal, frozen=True, kw_only=True):
    """WhatsApp has stopped answering on an open connection: hold sends."""


class Restored(_Signal, frozen=True, kw_only=True):
    """It answers again."""


class Disconnected(_Signal, frozen=True, kw_only=True):
    """The connection is lost. `will_retry`: the engine reconnects by itself; otherwise it has stopped."""

    will_retry: bool


class StreamReplaced(_Signal, frozen=True, kw_only=True):
    """Another program opened the account's connection. The engine has stopped: do not reconnect."""


class LoggedOut(_Signal, frozen=True, kw_only=True):
    """The phone, or WhatsApp, removed this device. The auth state is worthless; the engine has stopped."""

    banned: bool = False
    """WhatsApp says that it has banned the account."""


class TemporarilyBanned(_Signal, frozen=True, kw_only=True):
    """WhatsApp lets nobody in until then. The engine has stopped; a start before `until` ends the same way."""

    until: datetime


class ClientOutdated(_Signal, frozen=True, kw_only=True):
    """WhatsApp refuses this engine's version, for every session. The engine has stopped."""


class ConnectFailed(_Signal, frozen=True, kw_only=True):
    """WhatsApp refused for good; `reason` is one of REASONS (`banned`, `passkey_required`, …). The engine has stopped."""

    reason: str


class Crashed(_Signal, frozen=True, kw_only=True):
    """The engine broke; it has stopped."""


Signal: TypeAlias = (
    QrShown | CodeShown | LinkExpired | Linked | AuthChanged | Connected | Degraded | Restored | Disconnected
    | StreamReplaced | LoggedOut | TemporarilyBanned | ClientOutdated | ConnectFailed | Crashed
)  # fmt: skip


# --- journal entries: what WhatsApp says once --------------------------------------------------------------------


class MediaRef(Struct, frozen=True, kw_only=True):
    """A file at WhatsApp, and the key that opens it: what a message carries in the file's place."""

    kind: Literal["image", "audio", "video", "document", "sticker"]
    direct_path: str
    key: bytes
    sha256: bytes
    """Of the file itself."""
    encrypted_sha256: bytes
    """Of what lies at WhatsApp."""
    size_bytes: int
    mimetype: str
    file_name: str | None = None


class Received(Struct, frozen=True, kw_only=True, tag_field="kind", tag="message", omit_defaults=True):
    """A message, of a contact or written by the account's owner on the phone."""

    wa_id: str
    chat: str
    sender: Party
    from_me: bool
    type: MessageType
    content: dict[str, Any]
    sent_at: datetime
    name: str | None = None
    """The sender's own name for itself."""
    reply_to: str | None = None
    """The WhatsApp id of the message it answers."""
    mentions: list[str] = []
    offline: bool = False
    """It waited at WhatsApp while the session was away: stored, never a trigger."""
    history: bool = False
    """From before the account was linked: stored, never a trigger."""
    media: MediaRef | None = None
    """A file that is still to be fetched; `content` then has no `mediaId` yet."""


class Undecryptable(Struct, frozen=True, kw_only=True, tag_field="kind", tag="undecryptable"):
    """A message that could not be read yet; a `Received` of the same name follows, or never."""

    wa_id: str
    chat: str
    sender: Party
    sent_at: datetime
    name: str | None = None


class Edited(Struct, frozen=True, kw_only=True, tag_field="kind", tag="edit"):
    wa_id: str
    chat: str
    sender: Party
    text: str
    at: datetime
    from_me: bool = False


class Revoked(Struct, frozen=True, kw_only=True, tag_field="kind", tag="revoke"):
    wa_id: str
    chat: str
    sender: Party
    at: datetime
    from_me: bool = False


class Reacted(Struct, frozen=True, kw_only=True, tag_field="kind", tag="reaction"):
    """`emoji` is empty when a reaction was taken back."""

    wa_id: str
    chat: str
    sender: Party
    emoji: str
    at: datetime
    from_me: bool = False


class Acknowledged(Struct, frozen=True, kw_only=True, tag_field="kind", tag="receipt"):
    """Delivered or read by the other side."""

    wa_ids: list[str]
    chat: str
    status: Literal["delivered", "read"]
    at: datetime


class Called(Struct, frozen=True, kw_only=True, tag_field="kind", tag="call"):
    call_id: str
    sender: Party
    video: bool
    at: datetime
    name: str | None = None


Entry: TypeAlias = Received | Undecryptable | Edited | Revoked | Reacted | Acknowledged | Called


class Listener(Protocol):
    """Where one engine's words go; made by the host, one for each session."""

    def signal(self, signal: Signal) -> None:
        """The connection's state changed."""

    def journal(self, entry: Entry) -> None:
        """Durable on this machine when it returns."""


# --- what a session sends ----------------------------------------------------------------------------------------


class Media(Struct, frozen=True, kw_only=True):
    """A file to send: a path on this machine, open for reading while the send lasts."""

    path: str
    mimetype: str
    file_name: str | None
    size_bytes: int


class Target(Struct, frozen=True, kw_only=True):
    """An earlier message that a new one is about: a reply's, a reaction's, a vote's."""

    wa_id: str
    sender: str | None = None
    """Its author's JID; None for a message of the account itself."""
    type: MessageType = MessageType.TEXT
    content: dict[str, Any] = {}
    sent_at: datetime | None = None


class Outgoing(Struct, frozen=True, kw_only=True):
    """A message to send. `content` holds the type's own fields, as the API takes them."""

    chat: str
    type: MessageType
    content: dict[str, Any]
    media: Media | None = None
    target: Target | None = None
    """The message it answers, reacts to, or votes on."""
    mentions: Sequence[str] = ()


class Sent(Struct, frozen=True, kw_only=True):
    """WhatsApp has acknowledged."""

    wa_id: str
    at: datetime
    chat: str | None = None
    """Where it went, when WhatsApp knows the number by another spelling: older Brazilian accounts have no ninth digit."""


class Participant(Struct, frozen=True, kw_only=True, rename="camel"):
    pn: str | None
    lid: str | None
    is_admin: bool


class Group(Struct, frozen=True, kw_only=True, rename="camel"):
    """A group as WhatsApp describes it."""

    jid: str
    name: str
    description: str | None
    owner: Party | None
    created_at: datetime | None
    participants: list[Participant]
    announce_only: bool
    """Only admins may write."""


class Engine(Protocol):
    """One session's connection.

    `start` returns soon; what follows comes as signals. Every other call is made only while connected. Calls raise
    NotConnected (surely not done), SendRejected (WhatsApp said no), OutcomeUnknown (nobody can say) or NotSupported
    (this engine cannot).
    """

    async def start(self) -> None: ...

    async def stop(self) -> None:
        """Disconnect, hand over what is still arriving, then stop. Safe in every state, and twice."""

    async def logout(self) -> None:
        """Remove this device from the account; `LoggedOut` may follow."""

    async def forget(self) -> None:
        """Remove what this machine keeps of the account; the engine is stopped."""

    async def snapshot(self) -> bytes | None:
        """The auth state as it is now; None when it has not changed since the last time, or is none of ours."""

    async def send(self, outgoing: Outgoing) -> Sent: ...

    async def edit(self, chat: str, wa_id: str, text: str) -> None: ...

    async def revoke(self, chat: str, wa_id: str) -> None: ...

    async def mark_read(self, chat: str, sender: str, wa_ids: Sequence[str]) -> None: ...

    async def set_typing(self, chat: str, *, typing: bool) -> None: ...

    async def check_numbers(self, phones: Sequence[str]) -> dict[str, str | None]:
        """Each phone number's JID on WhatsApp, or None."""

    async def set_presence(self, *, available: bool) -> None:
        """Whether the account shows as online."""

    async def list_groups(self) -> list[Group]: ...

    async def get_group(self, jid: str) -> Group:
        """Raises NotFound."""

    async def set_profile_name(self, name: str) -> None: ...

    async def set_profile_picture(self, jpeg: bytes) -> None: ...

    async def find_profile_picture(self, jid: str) -> str | None:
        """Where somebody's picture can be fetched for a while; None where it is hidden or not set."""

    async def reject_call(self, call_id: str, caller: str) -> None: ...

    def last_sign_of_life_at(self) -> float:
        """When the connection last proved to be alive, by the monotonic clock."""
