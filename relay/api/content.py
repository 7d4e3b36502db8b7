"""What a message may hold: each type's content, checked to the field, as it is stored and as engines take it."""

from typing import Annotated, Any

import msgspec
from msgspec import Meta

from relay.api.errors import from_msgspec
from relay.api.wire import In
from relay.model.errors import InvalidInput
from relay.model.message import MessageType

MOST_TEXT_CHARS = 65_536

Text = Annotated[str, Meta(min_length=1, max_length=MOST_TEXT_CHARS)]
Caption = Annotated[str, Meta(max_length=MOST_TEXT_CHARS)]
Label = Annotated[str, Meta(min_length=1, max_length=1000)]
FileName = Annotated[str, Meta(min_length=1, max_length=255, pattern=r"^[^/\\\x00-\x1f]+$")]
MimeType = Annotated[
    str, Meta(max_length=200, pattern=r"^[A-Za-z0-9!#$&^_.+-]+/[A-Za-z0-9!#$&^_.+-]+(\s*;.*)?$")
]


class TextContent(In, frozen=True, kw_only=True):
    text: Text


class MediaContent(In, frozen=True, kw_only=True, omit_defaults=True):
    """A file: exactly one of `url`, `base64` and `mediaId`."""

    url: Annotated[str, Meta(max_length=2048)] | None = None
    base64: str | None = None
    media_id: Annotated[str, Meta(max_length=64)] | None = None
    caption: Caption | None = None
    file_name: FileName | None = None
    mimetype: MimeType | None = None
    voice: bool = False
    """An audio that was recorded, not a file."""
    view_once: bool = False
    """An image, video or audio that the other side can open once."""


class LocationContent(In, frozen=True, kw_only=True, omit_defaults=True):
    latitude: Annotated[float, Meta(ge=-90, le=90)]
    longitude: Annotated[float, Meta(ge=-180, le=180)]
    name: Label | None = None
    address: Label | None = None


class ContactContent(In, frozen=True, kw_only=True, omit_defaults=True):
    """`name` and `phone`, or a whole `vcard`."""

    name: Label | None = None
    phone: Annotated[str, Meta(min_length=3, max_length=40)] | None = None
    vcard: Annotated[str, Meta(pattern=r"^BEGIN:VCARD", max_length=65_536)] | None = None


class PollContent(In, frozen=True, kw_only=True):
    question: Annotated[str, Meta(min_length=1, max_length=255)]
    options: Annotated[
        list[Annotated[str, Meta(min_length=1, max_length=100)]], Meta(min_length=2, max_length=12)
    ]
    selectable: Annotated[int, Meta(ge=1)] = 1
    """How many options one person may choose."""


class ReactionContent(In, frozen=True, kw_only=True):
    emoji: Annotated[str, Meta(max_length=32)]
    """Empty takes the reaction back."""
    message_id: str


class PollVoteContent(In, frozen=True, kw_only=True):
    message_id: str
    options: Annotated[list[Annotated[str, Meta(max_length=100)]], Meta(max_length=12)]
    """All that is voted for, word by word; none takes the vote back."""


def convert(content: str | dict[str, Any], wanted: type[msgspec.Struct]) -> Any:
    """`content` as the type's struct. Raises InvalidInput with the path of the field."""
    if isinstance(content, str):
        raise InvalidInput("This type's content is an object with fields of its own.", path="content")
    try:
        return msgspec.convert(content, wanted)
    except msgspec.ValidationError as error:
        raise _below_content(error) from None


def _below_content(error: msgspec.ValidationError) -> InvalidInput:
    problem = from_msgspec(error)
    return InvalidInput(problem.detail, path=f"content.{problem.path}" if problem.path else "content")


def text_of(content: str | dict[str, Any]) -> dict[str, Any]:
    """A text's content, which is mostly given as the text itself."""
    if not isinstance(content, str):
        return {"text": convert(content, TextContent).text}
    if not 1 <= len(content) <= MOST_TEXT_CHARS:
        raise InvalidInput(f"A text has 1 to {MOST_TEXT_CHARS} characters.", path="content")
    return {"text": content}


def check_vote(options: list[str], poll: dict[str, Any]) -> None:
    """Raises InvalidInput where `poll` does not allow this vote."""
    offered = poll.get("options", [])
    for place, option in enumerate(options):
        if option not in offered or option in options[:place]:
            raise InvalidInput(
                "Name options of the poll, each once, as they are written there.",
                path=f"content.options[{place}]",
            )
    # A poll that does not say how many may be chosen lets people choose all.
    most = poll.get("selectable") or len(offered)
    if len(options) > most:
        raise InvalidInput(f"In this poll one may choose {most} at most.", path="content.options")


def structured(kind: MessageType, content: str | dict[str, Any]) -> dict[str, Any]:
    """The content of a location, a contact or a poll."""
    match kind:
        case MessageType.LOCATION:
            built = convert(content, LocationContent)
        case MessageType.CONTACT:
            built = convert(content, ContactContent)
            if (built.vcard is None) == (built.name is None or built.phone is None):
                raise InvalidInput("Give `name` and `phone`, or a `vcard`.", path="content")
        case _:
            built = convert(content, PollContent)
            if len(set(built.options)) != len(built.options):
                raise InvalidInput("Each option must be another.", path="content.options")
            if built.selectable > len(built.options):
                raise InvalidInput("There are fewer options than may be chosen.", path="content.selectable")
    fields: dict[str, Any] = msgspec.to_builtins(built)
    return fields
