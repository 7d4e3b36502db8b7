"""What can be asked of the sandbox's phone network: bodies of requests, and the commands they are stored as.

    POST …/sandbox/inbound {from, type, …} ──► InboundIn ──► command_of() ──► {"inbound": {…}} ──► Command

Somebody scans, somebody writes, something breaks. All of it is checked here, so that what is stored can be done.
"""

import re
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct, field

Phone = Annotated[
    str,
    Meta(
        pattern=r"^\+?(?:[ ().\-]?[0-9]){5,15}$",
        description="A phone number in digits, as +55 11 98765-4321.",
    ),
]
GroupJid = Annotated[str, Meta(pattern=r"^[0-9][0-9\-]{4,39}@g\.us$", description="A group's JID.")]
WaId = Annotated[str, Meta(min_length=1, max_length=128, description="A message's WhatsApp id.")]
Seconds = Annotated[float, Meta(gt=0, le=31_536_000)]

InboundType = Literal[
    "text", "image", "audio", "video", "document", "sticker", "location", "contact", "poll", "poll_vote",
    "unsupported", "reaction", "edit", "revoke", "receipt", "call",
]  # fmt: skip
"""Every `MessageType`, and what else a phone can do to a chat."""

FaultKind = Literal[
    "drop", "logout", "ban", "replaced", "outdated", "slow", "reject", "silent", "crash", "clear"
]

_NEEDED: dict[str, tuple[str, ...]] = {
    "edit": ("wa_id", "text"),
    "revoke": ("wa_id",),
    "reaction": ("wa_id", "text"),
    "receipt": ("wa_ids", "status"),
    "call": (),
    "unsupported": (),
}
_NOT_MESSAGES = frozenset({"edit", "revoke", "reaction", "receipt", "call"})


class _Body(
    Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True, omit_defaults=True
):
    pass


class ScanIn(_Body, frozen=True):
    """A phone scans the QR code, or types in the pairing code, that is on show."""

    phone: Phone | None = None
    """The account's number; without it, the session's own virtual one."""


class InboundIn(_Body, frozen=True):
    """Somebody writes, or does something else that reaches the account.

    A message's own fields go in `content`, as in a send; `text` is short for a text's content and a file's caption.
    `edit`, `revoke` and `reaction` name their message in `waId`; `text` is the new text, or the emoji (empty takes
    the reaction back). A `receipt` names messages of ours in `waIds` and what became of them in `status`.
    """

    from_: Phone = field(name="from")
    """The other side of a private chat, or who writes in a group."""
    name: Annotated[str, Meta(max_length=100)] | None = None
    type: InboundType = "text"
    text: Annotated[str, Meta(max_length=65_536)] | None = None
    content: str | dict[str, Any] | None = None
    chat: GroupJid | None = None
    """A group; without it, the private chat with `from`."""
    from_me: bool = False
    """Written by the account's owner on the phone, to `from` or into the group."""
    count: Annotated[int, Meta(ge=1, le=100_000)] = 1
    """That many messages; a text, or a caption, gets its number appended."""
    reply_to: WaId | None = None
    mentions: Annotated[list[str], Meta(max_length=1024)] = []
    wa_id: WaId | None = None
    wa_ids: Annotated[list[WaId], Meta(max_length=1000)] = []
    status: Literal["delivered", "read"] | None = None
    video: bool = False
    """A call with a picture."""

    def __post_init__(self) -> None:
        # A ValueError here is msgspec's ValidationError, with the field's path, where the body is decoded.
        if self.type in _NEEDED:
            for name in _NEEDED[self.type]:
                if getattr(self, name) in (None, []):
                    raise ValueError(f"type {self.type} needs `{_camel(name)}`")
        elif self.text is None and self.content is None:
            raise ValueError(f"type {self.type} needs `text`" if self.type == "text" else "needs `content`")
        if self.count > 1 and (self.type in _NOT_MESSAGES or self.wa_id is not None):
            raise ValueError("`count` is for new messages, whose WhatsApp ids are made here")


class FaultIn(_Body, frozen=True):
    """Something breaks.

    `drop`, `outdated` and `ban` last `seconds`: connecting again within them fails the same way; without, the first
    two happen once and a ban lasts an hour. `silent` and `slow` last until `clear`, silent also `seconds`.
    """

    kind: FaultKind
    seconds: Seconds | None = None
    """For slow: how long each send takes (5)."""
    count: Annotated[int, Meta(ge=1, le=1_000_000)] = 1
    """How many sends are rejected."""
    permanent: bool = False
    """A ban that never ends; only `clear` lifts it."""


class Command(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One row of `sandbox_commands`: exactly one of these."""

    scan: ScanIn | None = None
    inbound: InboundIn | None = None
    fault: FaultIn | None = None


def command_of(body: ScanIn | InboundIn | FaultIn) -> dict[str, Any]:
    """The body as it is stored."""
    if isinstance(body, ScanIn):
        command = Command(scan=body)
    elif isinstance(body, InboundIn):
        command = Command(inbound=body)
    else:
        command = Command(fault=body)
    built: dict[str, Any] = msgspec.to_builtins(command)
    return built


def digits_of(phone: str) -> str:
    """A phone number's digits, as WhatsApp names people."""
    return re.sub(r"\D", "", phone)


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(word.title() for word in rest)
