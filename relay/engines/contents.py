"""What a message of WhatsApp holds: its protobuf as a type, a content and a file.

    waE2E.Message ──unwrap──► the one field that says something ──KINDS──► Content
                    (ephemeral, view once, sent by another device, …)   └─ a kind without a reader: unsupported

Every text, number and depth is a stranger's choice: nothing here raises on what it finds.
"""

import math
from collections.abc import Callable
from typing import Any, Literal
from urllib.parse import urlsplit

import msgspec
from google.protobuf.unknown_fields import UnknownFieldSet  # type: ignore[import-untyped]
from msgspec import Struct

from relay.engines.engine import MediaRef
from relay.engines.jids import words
from relay.model.message import MessageType

_WRAPPERS = frozenset({
    "deviceSentMessage", "ephemeralMessage", "viewOnceMessage", "viewOnceMessageV2", "viewOnceMessageV2Extension",
    "documentWithCaptionMessage", "editedMessage", "groupMentionedMessage", "botInvokeMessage", "lottieStickerMessage",
    "pollCreationMessageV4", "associatedChildMessage", "spoilerMessage", "botForwardedMessage",
})  # fmt: skip
_VIEW_ONCE = frozenset({"viewOnceMessage", "viewOnceMessageV2", "viewOnceMessageV2Extension"})
_SILENT = frozenset({
    # Keys and housekeeping between devices.
    "senderKeyDistributionMessage", "fastRatchetKeySenderKeyDistributionMessage", "messageContextInfo",
    "stickerSyncRmrMessage", "groupRootKeyShare", "rootSecretDistributeMessage",
    # The pictures of an album follow, each a message of its own.
    "albumMessage",
})  # fmt: skip
_MOST_WRAPPERS = 10
_MOST_PARAMS_CHARS = 65_536


class Wrapped(Struct, frozen=True, kw_only=True):
    """The field of a message that says something, and what it was wrapped in."""

    kind: str
    value: Any
    view_once: bool
    edited: bool


class Content(Struct, frozen=True, kw_only=True):
    type: MessageType
    content: dict[str, Any]
    media: MediaRef | None = None


def unwrap(message: Any) -> Wrapped | None:
    """What `message` says; None where it says nothing to people."""
    view_once = edited = False
    for _ in range(_MOST_WRAPPERS):
        kind, value = _main_field(message)
        if kind is None:
            return None
        if kind not in _WRAPPERS or not value.HasField("message"):
            return Wrapped(kind=kind, value=value, view_once=view_once, edited=edited)
        view_once |= kind in _VIEW_ONCE
        edited |= kind == "editedMessage"
        message = value.message
    return None


def _main_field(message: Any) -> tuple[str | None, Any]:
    for field, value in message.ListFields():
        if field.name not in _SILENT and value != "":
            return field.name, value
    for unknown in UnknownFieldSet(message):
        # Of a protocol newer than ours.
        return f"field {unknown.field_number}", unknown
    return None, None


def read(found: Wrapped, *, view_once: bool = False) -> Content:
    """The content of what `unwrap` found; of type `unsupported` for a kind that nobody here reads."""
    reader = _KINDS.get(found.kind)
    held = reader(found.value) if reader else None
    if held is None:
        held = Content(type=MessageType.UNSUPPORTED, content={"kind": found.kind, **_said(found)})
    if view_once or found.view_once or getattr(found.value, "viewOnce", False) is True:
        held.content["viewOnce"] = True
    context = context_of(found)
    if context is not None and context.isForwarded:
        held.content["forwarded"] = True
    return held


def context_of(found: Wrapped) -> Any:
    """Its ContextInfo: what it answers, whom it mentions; None for a kind that has none."""
    return getattr(found.value, "contextInfo", None)


def text_of_edit(message: Any) -> str | None:
    """The new words of an edited message: its text, or its file's caption."""
    found = unwrap(message)
    if found is None:
        return None
    content = read(found).content
    return str(content.get("text", content.get("caption", "")))


def _text(text: str) -> Content:
    return Content(type=MessageType.TEXT, content={"text": words(text)})


def _extended_text(value: Any) -> Content:
    return Content(type=MessageType.TEXT, content={"text": words(value.text)})


def given(**fields: Any) -> dict[str, Any]:
    """Those that say something."""
    return {name: value for name, value in fields.items() if value}


# --- files -------------------------------------------------------------------------------------------------------

_FileKind = Literal["image", "audio", "video", "document", "sticker"]


def _file(kind: _FileKind, value: Any, **fields: Any) -> Content:
    """Of any of the five; `fields` are the kind's own."""
    mimetype = words(value.mimetype)
    content = {"mimetype": mimetype, "sizeBytes": value.fileLength, **given(**fields)}
    return Content(
        type=MessageType(kind),
        content=content,
        media=_media(kind, value, mimetype, content.get("fileName")),
    )


def _media(kind: _FileKind, value: Any, mimetype: str, file_name: str | None) -> MediaRef | None:
    path = words(value.directPath) or _path_of(words(value.URL))
    if not path:
        return None
    return MediaRef(
        kind=kind,
        direct_path=path,
        key=value.mediaKey,
        sha256=value.fileSHA256,
        encrypted_sha256=value.fileEncSHA256,
        size_bytes=value.fileLength,
        mimetype=mimetype,
        file_name=file_name,
    )


def _path_of(url: str) -> str:
    """Old messages have the whole address only."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return ""
    return f"{parts.path}?{parts.query}" if parts.query else parts.path


def _image(value: Any) -> Content:
    return _file("image", value, caption=words(value.caption), width=value.width, height=value.height)


def _audio(value: Any) -> Content:
    return _file("audio", value, voice=value.PTT, seconds=value.seconds)


def _video(value: Any) -> Content:
    return _file(
        "video",
        value,
        caption=words(value.caption),
        seconds=value.seconds,
        width=value.width,
        height=value.height,
        animated=value.gifPlayback,
    )


def _document(value: Any) -> Content:
    name = words(value.fileName) or words(value.title)
    return _file("document", value, caption=words(value.caption), fileName=name)


def _sticker(value: Any) -> Content:
    return _file(
        "sticker", value, width=value.width, height=value.height, animated=value.isAnimated or value.isLottie
    )


# --- places, people, polls ---------------------------------------------------------------------------------------


def _place(value: Any, fields: dict[str, Any]) -> Content | None:
    latitude, longitude = value.degreesLatitude, value.degreesLongitude
    if not (math.isfinite(latitude) and math.isfinite(longitude)):
        return None
    content = {"latitude": latitude, "longitude": longitude, **given(**fields)}
    return Content(type=MessageType.LOCATION, content=content)


def _location(value: Any) -> Content | None:
    return _place(value, {"name": words(value.name), "address": words(value.address), "live": value.isLive})


def _live_location(value: Any) -> Content | None:
    return _place(value, {"caption": words(value.caption), "live": True})


def _card(value: Any) -> dict[str, Any]:
    vcard = words(value.vcard)
    return given(name=words(value.displayName), phone=_phone_in(vcard), vcard=vcard)


def _phone_in(vcard: str) -> str | None:
    """The first number of a vCard: `TEL;type=CELL;waid=5511955554444:+55 11 95555-4444`, or `item1.TEL…`."""
    for line in vcard.splitlines():
        name, colon, number = line.partition(":")
        if colon and name.partition(";")[0].rpartition(".")[2].upper() == "TEL":
            return number.strip()
    return None


def _contact(value: Any) -> Content:
    return Content(type=MessageType.CONTACT, content=_card(value))


def _contacts(value: Any) -> Content:
    content = {"contacts": [_card(card) for card in value.contacts]}
    return Content(type=MessageType.CONTACT, content=content)


def _poll(value: Any) -> Content:
    options = [words(option.optionName) for option in value.options]
    content = {
        "question": words(value.name),
        "options": options,
        # 0 stands for as many as one likes.
        "selectable": value.selectableOptionsCount or len(options),
    }
    return Content(type=MessageType.POLL, content=content)


# --- what was chosen, and what programs of businesses say --------------------------------------------------------


def _choice(text: Any, choice_id: Any) -> Content | None:
    """A button or a row that somebody tapped."""
    text, choice_id = words(text), words(choice_id)
    if not text and not choice_id:
        return None
    content = {"text": text or choice_id, **given(choiceId=choice_id)}
    return Content(type=MessageType.TEXT, content=content)


def _button_choice(value: Any) -> Content | None:
    return _choice(value.selectedDisplayText, value.selectedButtonID)


def _list_choice(value: Any) -> Content | None:
    return _choice(value.title, value.singleSelectReply.selectedRowID)


def _template_choice(value: Any) -> Content | None:
    return _choice(value.selectedDisplayText, value.selectedID)


def _interactive_choice(value: Any) -> Content | None:
    flow = value.nativeFlowResponseMessage
    return _choice(value.body.text, _id_in(words(flow.paramsJSON)) or flow.name)


def _id_in(params: str) -> str:
    if len(params) > _MOST_PARAMS_CHARS:
        return ""
    try:
        found = msgspec.json.decode(params).get("id")
    except (msgspec.MsgspecError, RecursionError, AttributeError):
        return ""
    return found if isinstance(found, str) else ""


_SAID: dict[str, Callable[[Any], Any]] = {
    "buttonsMessage": lambda value: value.contentText,
    "listMessage": lambda value: value.description or value.title,
    "templateMessage": lambda value: value.hydratedTemplate.hydratedContentText,
    "interactiveMessage": lambda value: value.body.text,
    "groupInviteMessage": lambda value: value.caption or value.groupName,
    "eventMessage": lambda value: value.name,
    "productMessage": lambda value: value.product.title or value.body,
    "orderMessage": lambda value: value.message or value.orderTitle,
}


def _said(found: Wrapped) -> dict[str, Any]:
    """The words of a kind that is unsupported otherwise."""
    pick = _SAID.get(found.kind)
    return given(text=words(pick(found.value))) if pick else {}


_KINDS: dict[str, Callable[[Any], Content | None]] = {
    "conversation": _text,
    "extendedTextMessage": _extended_text,
    "imageMessage": _image,
    "audioMessage": _audio,
    "videoMessage": _video,
    "ptvMessage": _video,
    "documentMessage": _document,
    "stickerMessage": _sticker,
    "locationMessage": _location,
    "liveLocationMessage": _live_location,
    "contactMessage": _contact,
    "contactsArrayMessage": _contacts,
    "pollCreationMessage": _poll,
    "pollCreationMessageV2": _poll,
    "pollCreationMessageV3": _poll,
    "pollCreationMessageV5": _poll,
    "pollCreationMessageV6": _poll,
    "buttonsResponseMessage": _button_choice,
    "listResponseMessage": _list_choice,
    "templateButtonReplyMessage": _template_choice,
    "interactiveResponseMessage": _interactive_choice,
}
