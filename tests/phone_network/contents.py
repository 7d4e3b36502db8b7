"""What people write: the `waE2E.Message` of each kind, as a phone puts it together.

compose(media, image=b"…", caption="look")        a message of one kind
about(message, reply_to=…, mentions=[…])          and what it refers to
"""

import secrets
from collections.abc import Callable, Sequence
from time import time
from typing import Any

from tests.phone_network.inbox import Posted
from tests.phone_network.media_host import MediaHost
from tests.phone_network.node import Jid
from tests.phone_network.protobufs import waCommon, waE2E

PIXEL = bytes.fromhex("ffd8ffe000104a46494600010100000100010000ffd9")
"""The smallest thing that calls itself a JPEG: a thumbnail."""


def text(words: str) -> Any:
    return waE2E.Message(conversation=words)


def image(
    media: MediaHost, content: bytes, *, caption: str = "", mimetype: str = "image/jpeg", **more: Any
) -> Any:
    fields = {"caption": caption, "width": 1, "height": 1, "JPEGThumbnail": PIXEL, **more}
    return waE2E.Message(
        imageMessage=_file(media, "image", content, waE2E.ImageMessage, mimetype=mimetype, **fields)
    )


def video(
    media: MediaHost, content: bytes, *, caption: str = "", mimetype: str = "video/mp4", **more: Any
) -> Any:
    fields = {"caption": caption, "seconds": 1, "JPEGThumbnail": PIXEL, **more}
    return waE2E.Message(
        videoMessage=_file(media, "video", content, waE2E.VideoMessage, mimetype=mimetype, **fields)
    )


def audio(
    media: MediaHost, content: bytes, *, mimetype: str = "audio/mpeg", seconds: int = 1, **more: Any
) -> Any:
    fields = {"seconds": seconds, **more}
    return waE2E.Message(
        audioMessage=_file(media, "audio", content, waE2E.AudioMessage, mimetype=mimetype, **fields)
    )


def voice(media: MediaHost, content: bytes, *, seconds: int = 1) -> Any:
    """A voice note: audio that was recorded in the chat."""
    return audio(
        media, content, mimetype="audio/ogg; codecs=opus", seconds=seconds, PTT=True, waveform=bytes(64)
    )


def document(
    media: MediaHost,
    content: bytes,
    *,
    file_name: str = "file.pdf",
    mimetype: str = "application/pdf",
    caption: str = "",
) -> Any:
    """With a caption the phone wraps it once more."""
    fields = {"fileName": file_name, "title": file_name} | ({"caption": caption} if caption else {})
    inner = waE2E.Message(
        documentMessage=_file(media, "document", content, waE2E.DocumentMessage, mimetype=mimetype, **fields)
    )
    if not caption:
        return inner
    return waE2E.Message(documentWithCaptionMessage=waE2E.FutureProofMessage(message=inner))


def sticker(media: MediaHost, content: bytes, *, animated: bool = False) -> Any:
    fields = {"width": 512, "height": 512, "isAnimated": animated}
    return waE2E.Message(
        stickerMessage=_file(media, "sticker", content, waE2E.StickerMessage, mimetype="image/webp", **fields)
    )


def location(latitude: float, longitude: float, *, name: str = "", address: str = "") -> Any:
    fields = {"degreesLatitude": latitude, "degreesLongitude": longitude, "name": name, "address": address}
    return waE2E.Message(locationMessage=waE2E.LocationMessage(**fields))


def contact(name: str, phone: str) -> Any:
    vcard = (
        f"BEGIN:VCARD\nVERSION:3.0\nN:;{name};;;\nFN:{name}\nTEL;type=CELL;waid={phone}:+{phone}\nEND:VCARD"
    )
    return waE2E.Message(contactMessage=waE2E.ContactMessage(displayName=name, vcard=vcard))


def poll(question: str, options: Sequence[str], *, selectable: int = 1) -> Any:
    """Carries the secret that its votes are encrypted with."""
    creation = waE2E.PollCreationMessage(
        name=question,
        options=[waE2E.PollCreationMessage.Option(optionName=option) for option in options],
        selectableOptionsCount=selectable,
    )
    return waE2E.Message(pollCreationMessageV3=creation, messageContextInfo=context_with_secret())


def unsupported() -> Any:
    """A kind that no programme knows what to do with."""
    return waE2E.Message(requestPhoneNumberMessage=waE2E.RequestPhoneNumberMessage())


def reaction(key: Any, emoji: str) -> Any:
    """An empty emoji takes the reaction back."""
    reacted = waE2E.ReactionMessage(key=key, text=emoji, senderTimestampMS=milliseconds())
    return waE2E.Message(reactionMessage=reacted)


def edit(key: Any, words: str) -> Any:
    protocol = waE2E.ProtocolMessage(
        key=key,
        type=waE2E.ProtocolMessage.MESSAGE_EDIT,
        editedMessage=text(words),
        timestampMS=milliseconds(),
    )
    inner = waE2E.Message(protocolMessage=protocol)
    return waE2E.Message(editedMessage=waE2E.FutureProofMessage(message=inner))


def revoke(key: Any) -> Any:
    protocol = waE2E.ProtocolMessage(key=key, type=waE2E.ProtocolMessage.REVOKE)
    return waE2E.Message(protocolMessage=protocol)


def view_once(message: Any) -> Any:
    """To be looked at once: the flag stands in the file's part, and the whole is wrapped."""
    for part in (message.imageMessage, message.videoMessage, message.audioMessage):
        if part.directPath:
            part.viewOnce = True
    return waE2E.Message(viewOnceMessageV2=waE2E.FutureProofMessage(message=message))


def about(message: Any, *, reply_to: Posted | None = None, mentions: Sequence[Jid] = ()) -> Any:
    """The same with what it answers and whom it mentions; a plain text moves to the place that has room for it."""
    if reply_to is None and not mentions:
        return message
    context = waE2E.ContextInfo(mentionedJID=[str(jid) for jid in mentions])
    if reply_to is not None:
        context.stanzaID = reply_to.id
        context.participant = str(reply_to.sender.account)
        context.quotedMessage.CopyFrom(reply_to.message)
    if message.conversation:
        extended = waE2E.ExtendedTextMessage(text=message.conversation, contextInfo=context)
        return waE2E.Message(extendedTextMessage=extended)
    for field, part in message.ListFields():
        if field.name != "messageContextInfo" and hasattr(part, "contextInfo"):
            part.contextInfo.CopyFrom(context)
            return message
    raise ValueError("a message of this kind refers to nothing")


def unwrapped(message: Any) -> Any:
    """The message within: of a view-once, a captioned document, an edit."""
    for wrapper in (
        "viewOnceMessageV2",
        "viewOnceMessageV2Extension",
        "viewOnceMessage",
        "documentWithCaptionMessage",
        "editedMessage",
        "ephemeralMessage",
    ):
        if message.HasField(wrapper):
            return unwrapped(getattr(message, wrapper).message)
    return message


def file_of(message: Any) -> tuple[Any, str]:
    """The part of a message that carries a file, and the file's kind. Raises ValueError when there is none."""
    inner = unwrapped(message)
    for kind in ("image", "video", "audio", "document", "sticker"):
        if inner.HasField(f"{kind}Message"):
            return getattr(inner, f"{kind}Message"), kind
    raise ValueError("this message carries no file")


def poll_of(message: Any) -> Any:
    """The poll in a message, in whichever of its places. Raises ValueError when there is none."""
    for place in ("pollCreationMessage", "pollCreationMessageV2", "pollCreationMessageV3"):
        if message.HasField(place):
            return getattr(message, place)
    raise ValueError("this message is no poll")


def key_of(posted: Posted, *, is_group: bool) -> Any:
    """How messages refer to another one."""
    key = waCommon.MessageKey(remoteJID=str(posted.chat), fromMe=posted.from_me, ID=posted.id)
    if is_group and not posted.from_me:
        key.participant = str(posted.sender.account)
    return key


def context_with_secret() -> Any:
    return waE2E.MessageContextInfo(messageSecret=secrets.token_bytes(32))


def milliseconds() -> int:
    return int(time() * 1000)


_FILES: dict[str, Callable[..., Any]] = {
    "image": image,
    "video": video,
    "audio": audio,
    "voice": voice,
    "document": document,
    "sticker": sticker,
}
_WORDS: dict[str, Callable[..., Any]] = {"location": location, "contact": contact, "poll": poll}


def compose(media: MediaHost, **what: Any) -> Any:
    """A message of the kind that `what` names first: `text="…"`, `image=b"…"`, `location=(lat, long)`, `poll=(…, […])`.

    What else stands in `what` are that kind's own options (caption, file_name, mimetype, seconds…).
    """
    kind, value = next(iter(what.items()))
    options = {name: option for name, option in what.items() if name != kind}
    if kind == "text":
        return text(value)
    if kind in _FILES:
        return _FILES[kind](media, value, **options)
    if kind in _WORDS:
        return _WORDS[kind](*value, **options)
    if kind == "unsupported":
        return unsupported()
    raise TypeError(f"nobody can say {kind!r}")


def _file(media: MediaHost, kind: str, content: bytes, part: Any, **fields: Any) -> Any:
    sealed, stored = media.put_sealed(content, kind)
    return part(
        URL=stored.url,
        directPath=stored.direct_path,
        mediaKey=sealed.media_key,
        mediaKeyTimestamp=int(time()),
        fileSHA256=sealed.file_sha256,
        fileEncSHA256=sealed.file_enc_sha256,
        fileLength=sealed.file_length,
        **fields,
    )
