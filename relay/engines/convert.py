"""From the library's events to journal entries. Called on the library's thread: pure, quick, and it never raises.

    Message ──► Received | Edited | Revoked | Reacted | None (keys, housekeeping, nothing said)
    Receipt ──► Acknowledged      CallOffer ──► Called      HistorySync ──► Received, one by one
    UndecryptableMessage ──► Undecryptable, or Received where it will never be readable here

The library has unwrapped most messages already (types/events: UnwrapRaw) and says so in flags; history and what is
wrapped twice is unwrapped here. It gives instants of messages in milliseconds, of everything else in seconds.
"""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from relay.engines.contents import Wrapped, context_of, read, text_of_edit, unwrap
from relay.engines.engine import (
    Acknowledged,
    Called,
    Edited,
    Group,
    Participant,
    Reacted,
    Received,
    Revoked,
    Undecryptable,
)
from relay.engines.jids import (
    Directory,
    Place,
    canonical,
    chat_of,
    is_group,
    is_own,
    named,
    party_of,
    place_of,
    text_of,
    words,
)
from relay.engines.protobufs import e2e, neonize
from relay.model.message import MessageType

DecryptVote = Callable[[Any], list[bytes] | None]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LATEST_MS = 253_402_300_799_000
"""The last second of the year 9999; later a datetime cannot say."""
_OLDEST_CALL = timedelta(minutes=15)
_LARGEST_CLOCK_ERROR = timedelta(days=1)
_MOST_MENTIONS = 1024
"""As many as a group has members. Each may cost a look-up, and the list is a stranger's."""
_EDIT, _REVOKE = e2e.ProtocolMessage.MESSAGE_EDIT, e2e.ProtocolMessage.REVOKE
_STATUS: dict[int, Literal["delivered", "read"]] = {
    neonize.Receipt.DELIVERED: "delivered",
    neonize.Receipt.READ: "read",
    neonize.Receipt.READ_SELF: "read",
    neonize.Receipt.PLAYED: "read",
}
"""Not INACTIVE: a device that nobody looks at has it, which WhatsApp does not show as delivered either."""


# --- messages ----------------------------------------------------------------------------------------------------


def entry_of_message(
    event: Any, directory: Directory, *, offline: bool, decrypt_vote: DecryptVote
) -> Received | Edited | Revoked | Reacted | None:
    """What a Message event says; `decrypt_vote` gives the SHA-256 hashes of the options that a vote names."""
    info = event.Info
    place = place_of(info.MessageSource, directory)
    found = unwrap(event.Message)
    if found is None:
        return None
    at = _instant(info.Timestamp)
    match found.kind:
        case "protocolMessage":
            return _change(found.value, place, directory, at=at)
        case "reactionMessage":
            return _reaction(found.value, place, at=at)
    edited_at = _edited_at(event, found)
    if edited_at is not None:
        return _edit(words(info.ID), event.Message, place, at=edited_at)
    return _received(
        found,
        place,
        directory,
        wa_id=words(info.ID),
        sent_at=at,
        name=_name_of(info),
        offline=offline,
        view_once=event.IsViewOnce,
        vote=decrypt_vote(event) if found.kind == "pollUpdateMessage" else None,
    )


def _received(
    found: Wrapped,
    place: Place,
    directory: Directory,
    *,
    wa_id: str,
    sent_at: datetime,
    name: str | None,
    offline: bool = False,
    history: bool = False,
    view_once: bool = False,
    vote: list[bytes] | None = None,
) -> Received:
    if found.kind == "pollUpdateMessage":
        kind, content, media = MessageType.POLL_VOTE, _vote(found.value, vote), None
    else:
        held = read(found, view_once=view_once)
        kind, content, media = held.type, held.content, held.media
    context = context_of(found)
    return Received(
        wa_id=wa_id,
        chat=place.chat,
        sender=place.sender,
        from_me=place.from_me,
        type=kind,
        content=content,
        sent_at=sent_at,
        name=name,
        reply_to=(words(context.stanzaID) or None) if context else None,
        mentions=[canonical(words(jid), directory) for jid in context.mentionedJID[:_MOST_MENTIONS]]
        if context
        else [],
        offline=offline,
        history=history,
        media=media,
    )


def _vote(value: Any, hashes: list[bytes] | None) -> dict[str, Any]:
    """No hashes: the vote was taken back. No `optionHashes`: it cannot be read on this device."""
    content: dict[str, Any] = {"waMessageId": words(value.pollCreationMessageKey.ID)}
    if hashes is not None:
        content["optionHashes"] = [chosen.hex() for chosen in hashes]
    return content


def _change(protocol: Any, place: Place, directory: Directory, *, at: datetime) -> Edited | Revoked | None:
    """Edits and revokes; the rest is between devices, or a setting of the chat."""
    wa_id = words(protocol.key.ID)
    if not wa_id or not protocol.HasField("type"):
        return None
    if protocol.type == _EDIT and protocol.HasField("editedMessage"):
        return _edit(wa_id, protocol.editedMessage, place, at=_near(protocol.timestampMS, at))
    if protocol.type != _REVOKE:
        return None
    author, from_me = place.sender, place.from_me
    participant = words(protocol.key.participant)
    if place.is_group and not protocol.key.fromMe and participant:
        # An admin of the group took back what somebody else wrote.
        author = party_of(participant, "", directory)
        from_me = is_own(author, directory)
        author = directory.own if from_me else author
    return Revoked(wa_id=wa_id, chat=place.chat, sender=author, at=at, from_me=from_me)


def _edit(wa_id: str, message: Any, place: Place, *, at: datetime) -> Edited | None:
    text = text_of_edit(message)
    if text is None:
        return None
    return Edited(wa_id=wa_id, chat=place.chat, sender=place.sender, text=text, at=at, from_me=place.from_me)


def _edited_at(event: Any, found: Wrapped) -> datetime | None:
    """When a message was edited that comes whole under its own id, as those of channels do."""
    if event.HasField("NewsLetterMeta") and event.NewsLetterMeta.EditTS > 0:
        return _instant(event.NewsLetterMeta.EditTS * 1000)
    return _instant(event.Info.Timestamp) if event.IsEdit or found.edited else None


def _reaction(value: Any, place: Place, *, at: datetime) -> Reacted | None:
    wa_id = words(value.key.ID)
    if not wa_id:
        return None
    return Reacted(
        wa_id=wa_id,
        chat=place.chat,
        sender=place.sender,
        emoji=words(value.text),
        at=_near(value.senderTimestampMS, at),
        from_me=place.from_me,
    )


def entry_of_undecryptable(event: Any, directory: Directory) -> Undecryptable | Received | None:
    """None for what nobody would see anyway: edits, reactions and votes, whose retry comes or not.

    In a private chat, `IsUnavailable` says that this device was left out and nothing will follow; mostly it is a
    photo to be seen once. In a group it can as well mean that the sender's key is missing, and the retry brings it.
    """
    info = event.Info
    if event.DecryptFailMode == neonize.UndecryptableMessage.DECRYPT_FAIL_HIDE or info.Edit:
        return None
    if info.Category == "peer":
        return None
    place = place_of(info.MessageSource, directory)
    wa_id, sent_at, name = words(info.ID), _instant(info.Timestamp), _name_of(info)
    if event.IsUnavailable and not place.is_group:
        return Received(
            wa_id=wa_id,
            chat=place.chat,
            sender=place.sender,
            from_me=place.from_me,
            type=MessageType.UNSUPPORTED,
            content={"kind": "view_once", "unavailable": True},
            sent_at=sent_at,
            name=name,
        )
    if place.from_me:
        return None
    return Undecryptable(wa_id=wa_id, chat=place.chat, sender=place.sender, sent_at=sent_at, name=name)


def _name_of(info: Any) -> str | None:
    name = words(info.Pushname)
    if name in {"", "-"} and info.HasField("VerifiedName"):
        # A business that WhatsApp has verified.
        name = words(info.VerifiedName.Details.verifiedName)
    return name if name not in {"", "-"} else None


# --- receipts, calls ---------------------------------------------------------------------------------------------


def entry_of_receipt(event: Any, directory: Directory) -> Acknowledged | None:
    """None for what says nothing of a person: retries, other devices of our own, errors of the server."""
    status = _STATUS.get(event.Type)
    place = place_of(event.MessageSource, directory)
    if status is None or (place.from_me and event.Type == neonize.Receipt.DELIVERED):
        return None
    wa_ids = [words(wa_id) for wa_id in event.MessageIDs if wa_id]
    if not wa_ids:
        return None
    return Acknowledged(wa_ids=wa_ids, chat=place.chat, status=status, at=_instant(event.Timestamp * 1000))


def entry_of_call(event: Any, directory: Directory, *, now: datetime) -> Called | None:
    """Of a CallOffer or a CallOfferNotice; None for one that rang long ago."""
    meta = event.basicCallMeta
    at = _instant(meta.timestamp * 1000)
    creator = text_of(meta.callCreator) or text_of(getattr(meta, "from"))
    sender = party_of(creator, text_of(meta.callCreatorAlt), directory)
    if now - at > _OLDEST_CALL or not (sender.pn or sender.lid) or is_own(sender, directory):
        return None
    return Called(call_id=words(meta.callID), sender=sender, video=_is_video(event), at=at)


def _is_video(event: Any) -> bool:
    if any(field.name == "media" for field in event.DESCRIPTOR.fields):
        return bool(event.media == "video")
    return any(node.Tag == "video" for node in event.data.Nodes)


# --- history -----------------------------------------------------------------------------------------------------


def entries_of_history(event: Any, directory: Directory) -> Iterator[Received]:
    """The messages of a HistorySync event, conversation by conversation; notices of the chat are left out."""
    history = event.Data
    for pair in history.phoneNumberToLidMappings:
        party_of(words(pair.pnJID), words(pair.lidJID), directory)
    names = {words(person.ID): words(person.pushname) for person in history.pushnames}
    for conversation in history.conversations:
        jid = words(conversation.ID)
        other = words(conversation.pnJID) or words(conversation.lidJID)
        if not is_group(jid):
            # Both names of the chat's other side, for its messages.
            party_of(words(conversation.pnJID), words(conversation.lidJID), directory)
        chat = canonical(jid, directory, other="" if is_group(jid) else other)
        for one in conversation.messages:
            entry = _historical(one.message, jid, chat, names, directory)
            if entry is not None:
                yield entry


def _historical(
    message: Any, jid: str, chat: str, names: dict[str, str], directory: Directory
) -> Received | None:
    found, wa_id = unwrap(message.message), words(message.key.ID)
    if found is not None and found.kind == "protocolMessage" and found.value.type == _EDIT:
        # The phone keeps an edited message as its last edit.
        wa_id = words(found.value.key.ID) or wa_id
        found = unwrap(found.value.editedMessage)
    if (
        found is None
        or not wa_id
        or found.kind in {"protocolMessage", "reactionMessage", "pollUpdateMessage"}
    ):
        return None
    from_me = message.key.fromMe
    author = words(message.key.participant) or words(message.participant) or jid
    sender = directory.own if from_me else party_of(author, "", directory)
    return _received(
        found,
        Place(chat=chat, sender=sender, from_me=from_me, is_group=is_group(jid)),
        directory,
        wa_id=wa_id,
        sent_at=_instant(message.messageTimestamp * 1000),
        name=words(message.pushName) or names.get(author) or None,
        history=True,
    )


# --- groups ------------------------------------------------------------------------------------------------------


def group_of(info: Any) -> Group:
    """A GroupInfo, of one group or of all joined ones. The library rounds `created_at` to about a minute."""
    topic = info.GroupTopic
    owner = named(text_of(info.OwnerJID), text_of(info.OwnerPN))
    return Group(
        jid=text_of(info.JID),
        name=words(info.GroupName.Name),
        description=None if topic.TopicDeleted else words(topic.Topic) or None,
        owner=owner if chat_of(owner) else None,
        created_at=_instant(round(min(info.GroupCreated, _LATEST_MS / 1000) * 1000))
        if info.GroupCreated > 0
        else None,
        participants=[_participant(one) for one in info.Participants],
        announce_only=info.GroupAnnounce.IsAnnounce,
    )


def _participant(one: Any) -> Participant:
    party = named(text_of(one.PhoneNumber), text_of(one.LID), text_of(one.JID))
    return Participant(pn=party.pn, lid=party.lid, is_admin=one.IsAdmin or one.IsSuperAdmin)


# --- instants ----------------------------------------------------------------------------------------------------


def _instant(milliseconds: int) -> datetime:
    return _EPOCH + timedelta(milliseconds=min(max(milliseconds, 0), _LATEST_MS))


def _near(milliseconds: int, at: datetime) -> datetime:
    """The sender's clock, which is finer than the server's, unless it is far from it."""
    theirs = _instant(milliseconds)
    return theirs if abs(theirs - at) <= _LARGEST_CLOCK_ERROR else at
