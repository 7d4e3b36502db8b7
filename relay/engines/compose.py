"""From what a session sends to WhatsApp's protobufs. Pure: files are uploaded already.

    Outgoing + Uploaded ──message_of──► waE2E.Message          a vote: vote_info ──► the library's BuildPollVote
    edit_of, revoke_of ──► waE2E.Message

What a message answers is quoted: phones show the quote they are sent, not the message they have.
"""

import os
from collections.abc import Callable
from datetime import datetime
from typing import Any

from relay.engines.contents import given
from relay.engines.engine import Outgoing, Target
from relay.engines.jids import Directory, bare, chat_of, empty_jid, is_group, jid_of, party_of
from relay.engines.protobufs import e2e, neonize
from relay.engines.transcode_job import Description
from relay.model.errors import NotSupported, SendRejected
from relay.model.message import MEDIA_TYPES, TARGETED_TYPES, VIEW_ONCE_TYPES, MessageType

_POLL_SECRET_BYTES = 32


class Uploaded(Description, frozen=True, kw_only=True):
    """A file that lies at WhatsApp."""

    url: str
    direct_path: str
    key: bytes
    sha256: bytes
    encrypted_sha256: bytes
    size_bytes: int
    file_name: str | None = None


def message_of(
    outgoing: Outgoing,
    own_jid: str,
    uploaded: Uploaded | None,
    *,
    now: datetime,
    randomness: Callable[[int], bytes] = os.urandom,
) -> Any:
    """The waE2E.Message of any type but a vote. Raises NotSupported, SendRejected."""
    content = outgoing.content
    context = _context(outgoing, own_jid)
    match outgoing.type:
        case MessageType.TEXT:
            return _text(content["text"], context)
        case kind if kind in MEDIA_TYPES:
            if uploaded is None:
                raise SendRejected("The file of this message is missing.", code="media_gone")
            return _media(kind, content, uploaded, context, now=now)
        case MessageType.LOCATION:
            return e2e.Message(locationMessage=_location(content, context))
        case MessageType.CONTACT:
            return e2e.Message(contactMessage=_contact(content, context))
        case MessageType.POLL:
            secret = e2e.MessageContextInfo(messageSecret=randomness(_POLL_SECRET_BYTES))
            return e2e.Message(pollCreationMessage=_poll(content, context), messageContextInfo=secret)
        case MessageType.REACTION:
            return _reaction(outgoing, now=now)
        case _:
            raise NotSupported("Messages of this type are not sent this way.")


def _context(outgoing: Outgoing, own_jid: str) -> Any:
    """The ContextInfo: what is answered and who is mentioned; None where neither is."""
    target = None if outgoing.type in TARGETED_TYPES else outgoing.target
    if target is None and not outgoing.mentions:
        return None
    context = e2e.ContextInfo(mentionedJID=[bare(jid) for jid in outgoing.mentions])
    if target is not None:
        context.stanzaID = target.wa_id
        context.participant = bare(target.sender or own_jid)
        context.quotedMessage.CopyFrom(_quote(target))
    return context


def _text(text: str, context: Any) -> Any:
    if context is None:
        return e2e.Message(conversation=text)
    return e2e.Message(extendedTextMessage=e2e.ExtendedTextMessage(text=text, contextInfo=context))


# --- files -------------------------------------------------------------------------------------------------------


def _media(
    kind: MessageType, content: dict[str, Any], uploaded: Uploaded, context: Any, *, now: datetime
) -> Any:
    common = given(
        URL=uploaded.url,
        directPath=uploaded.direct_path,
        mediaKey=uploaded.key,
        mediaKeyTimestamp=int(now.timestamp()),
        fileSHA256=uploaded.sha256,
        fileEncSHA256=uploaded.encrypted_sha256,
        fileLength=uploaded.size_bytes,
        mimetype=uploaded.mimetype,
        contextInfo=context,
    )
    view_once = bool(content.get("viewOnce")) and kind in VIEW_ONCE_TYPES
    if view_once:
        common["viewOnce"] = True
    message = _FILES[kind](content, uploaded, common)
    return _wrapped_once(message, kind) if view_once else message


def _wrapped_once(message: Any, kind: MessageType) -> Any:
    """Phones wrap what is to be seen once, and sound in a wrapper of its own."""
    wrapped = e2e.FutureProofMessage(message=message)
    if kind == MessageType.AUDIO:
        return e2e.Message(viewOnceMessageV2Extension=wrapped)
    return e2e.Message(viewOnceMessageV2=wrapped)


def _image(content: dict[str, Any], uploaded: Uploaded, common: dict[str, Any]) -> Any:
    own = given(
        caption=content.get("caption"),
        width=uploaded.width,
        height=uploaded.height,
        JPEGThumbnail=uploaded.thumbnail,
    )
    return e2e.Message(imageMessage=e2e.ImageMessage(**common, **own))


def _video(content: dict[str, Any], uploaded: Uploaded, common: dict[str, Any]) -> Any:
    own = given(
        caption=content.get("caption"),
        seconds=uploaded.seconds,
        width=uploaded.width,
        height=uploaded.height,
        JPEGThumbnail=uploaded.thumbnail,
        gifPlayback=uploaded.animated,
    )
    return e2e.Message(videoMessage=e2e.VideoMessage(**common, **own))


def _audio(content: dict[str, Any], uploaded: Uploaded, common: dict[str, Any]) -> Any:
    own = given(PTT=bool(content.get("voice")), seconds=uploaded.seconds, waveform=uploaded.waveform)
    return e2e.Message(audioMessage=e2e.AudioMessage(**common, **own))


def _document(content: dict[str, Any], uploaded: Uploaded, common: dict[str, Any]) -> Any:
    name = uploaded.file_name or content.get("fileName")
    caption = content.get("caption")
    own = given(title=name, fileName=name, caption=caption, JPEGThumbnail=uploaded.thumbnail)
    message = e2e.Message(documentMessage=e2e.DocumentMessage(**common, **own))
    if not caption:
        return message
    # Without the wrapper phones show no caption.
    return e2e.Message(documentWithCaptionMessage=e2e.FutureProofMessage(message=message))


def _sticker(_content: dict[str, Any], uploaded: Uploaded, common: dict[str, Any]) -> Any:
    own = given(width=uploaded.width, height=uploaded.height, isAnimated=uploaded.animated)
    return e2e.Message(stickerMessage=e2e.StickerMessage(**common, **own))


_FILES: dict[MessageType, Callable[[dict[str, Any], Uploaded, dict[str, Any]], Any]] = {
    MessageType.IMAGE: _image,
    MessageType.VIDEO: _video,
    MessageType.AUDIO: _audio,
    MessageType.DOCUMENT: _document,
    MessageType.STICKER: _sticker,
}


# --- places, people, polls, reactions ----------------------------------------------------------------------------


def _location(content: dict[str, Any], context: Any = None) -> Any:
    return e2e.LocationMessage(
        degreesLatitude=content.get("latitude", 0),
        degreesLongitude=content.get("longitude", 0),
        **given(name=content.get("name"), address=content.get("address"), contextInfo=context),
    )


def _contact(content: dict[str, Any], context: Any = None) -> Any:
    vcard = content.get("vcard") or _vcard(content.get("name", ""), content.get("phone", ""))
    name = content.get("name") or _name_in(vcard)
    return e2e.ContactMessage(displayName=name, vcard=vcard, **given(contextInfo=context))


def _vcard(name: str, phone: str) -> str:
    """A card of version 3.0 (RFC 2426); `waid` is what makes a phone offer to write to the number."""
    written = " ".join(name.splitlines()).replace("\\", r"\\").replace(";", r"\;").replace(",", r"\,")
    digits = "".join(letter for letter in phone if letter in "0123456789")
    number = " ".join(phone.split())
    lines = [
        "BEGIN:VCARD",
        "VERSION:3.0",
        f"N:;{written};;;",
        f"FN:{written}",
        f"TEL;type=CELL;type=VOICE;waid={digits}:{number}",
        "END:VCARD",
    ]
    return "\n".join(lines)


def _name_in(vcard: str) -> str:
    for line in vcard.splitlines():
        field, colon, value = line.partition(":")
        if colon and field.partition(";")[0].upper() == "FN":
            return value.strip()
    return ""


def _poll(content: dict[str, Any], context: Any = None) -> Any:
    """The first version of polls: for the later ones the library marks the message as a text, not as a poll."""
    options, selectable = content.get("options", []), content.get("selectable", 1)
    return e2e.PollCreationMessage(
        name=content.get("question", ""),
        options=[e2e.PollCreationMessage.Option(optionName=option) for option in options],
        # 0 stands for as many as one likes.
        selectableOptionsCount=0 if selectable >= len(options) else selectable,
        **given(contextInfo=context),
    )


def _reaction(outgoing: Outgoing, *, now: datetime) -> Any:
    target = outgoing.target
    if target is None:
        raise SendRejected("The message to react to is not known.", code="target_missing")
    message = e2e.Message()
    key = message.reactionMessage.key
    key.remoteJID, key.ID, key.fromMe = bare(outgoing.chat), target.wa_id, target.sender is None
    if target.sender and is_group(outgoing.chat):
        key.participant = bare(target.sender)
    message.reactionMessage.text = outgoing.content.get("emoji", "")
    message.reactionMessage.senderTimestampMS = int(now.timestamp() * 1000)
    return message


# --- quotes ------------------------------------------------------------------------------------------------------


def _quote(target: Target) -> Any:
    """The answered message as far as it is kept: its words, or its kind in place of a file."""
    content = target.content
    caption = given(caption=content.get("caption"), mimetype=content.get("mimetype"))
    match target.type:
        case MessageType.IMAGE:
            return e2e.Message(imageMessage=e2e.ImageMessage(**caption))
        case MessageType.VIDEO:
            return e2e.Message(videoMessage=e2e.VideoMessage(**caption))
        case MessageType.AUDIO:
            voice = given(PTT=bool(content.get("voice")), seconds=content.get("seconds"))
            return e2e.Message(audioMessage=e2e.AudioMessage(**voice))
        case MessageType.DOCUMENT:
            name = given(title=content.get("fileName"), fileName=content.get("fileName"))
            return e2e.Message(documentMessage=e2e.DocumentMessage(**caption, **name))
        case MessageType.STICKER:
            return e2e.Message(stickerMessage=e2e.StickerMessage())
        case MessageType.LOCATION:
            return e2e.Message(locationMessage=_location(content))
        case MessageType.CONTACT:
            return e2e.Message(contactMessage=_contact(_first_card(content)))
        case MessageType.POLL:
            return e2e.Message(pollCreationMessage=_poll(content))
        case _:
            return e2e.Message(conversation=content.get("text") or "")


def _first_card(content: dict[str, Any]) -> dict[str, Any]:
    cards = content.get("contacts")
    return cards[0] if cards else content


# --- changes and votes -------------------------------------------------------------------------------------------


def edit_of(chat: str, wa_id: str, text: str, now: datetime) -> Any:
    """New words for a text of our own."""
    inner = e2e.Message()
    protocol = inner.protocolMessage
    _name_own(protocol, chat, wa_id)
    protocol.type = e2e.ProtocolMessage.MESSAGE_EDIT
    protocol.editedMessage.conversation = text
    protocol.timestampMS = int(now.timestamp() * 1000)
    return e2e.Message(editedMessage=e2e.FutureProofMessage(message=inner))


def revoke_of(chat: str, wa_id: str) -> Any:
    """Delete a message of our own for everyone."""
    message = e2e.Message()
    _name_own(message.protocolMessage, chat, wa_id)
    message.protocolMessage.type = e2e.ProtocolMessage.REVOKE
    return message


def _name_own(protocol: Any, chat: str, wa_id: str) -> None:
    protocol.key.remoteJID, protocol.key.fromMe, protocol.key.ID = bare(chat), True, wa_id


def vote_info(target: Target, chat: str, directory: Directory, *, by_number: bool = False) -> Any:
    """The poll as the library's BuildPollVote takes it.

    A vote is sealed with the names of author and voter. The library takes the voter's own LID or number after the
    author's: the LID, which messages go by, wherever it is known; the number in a group that still goes `by_number`.
    """
    author = directory.own if target.sender is None else party_of(target.sender, "", directory)
    sender = f"{author.lid}@lid" if author.lid and not (by_number and author.pn) else chat_of(author)
    if not sender:
        raise SendRejected("The author of the poll is not known.", code="target_missing")
    source = neonize.MessageSource(
        Chat=jid_of(chat),
        Sender=jid_of(sender),
        IsFromMe=target.sender is None,
        IsGroup=is_group(chat),
        SenderAlt=empty_jid(),
        RecipientAlt=empty_jid(),
        BroadcastListOwner=empty_jid(),
    )
    # The library ends the process where a field is missing.
    return neonize.MessageInfo(
        MessageSource=source,
        ID=target.wa_id,
        ServerID=0,
        Type="poll",
        Pushname="",
        Timestamp=int(target.sent_at.timestamp() * 1000) if target.sent_at else 0,
        Category="",
        Multicast=False,
        MediaType="",
        Edit="",
    )
