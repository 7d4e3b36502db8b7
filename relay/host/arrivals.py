"""From journal entries to rows: pure, one function a question.

Who is met, which row an entry makes, what it does to its chat, and whether a bot is to look at it.
"""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, assert_never

from relay.engines.engine import (
    Acknowledged,
    Called,
    Edited,
    Entry,
    MediaRef,
    Reacted,
    Received,
    Revoked,
    Undecryptable,
)
from relay.engines.journal_file import Record
from relay.model.event import Event
from relay.model.ids import ContactId, SessionId, new_media_id, new_message_id
from relay.model.message import MessageType, Party
from relay.store import facts
from relay.store.contacts import Known, Meeting
from relay.store.inbound import PLACEHOLDER, Change, ChatMove, NewMessage


def sender_of(party: Party, *, from_me: bool) -> str:
    """A message's sender as part of its name."""
    if from_me:
        return "me"
    return f"{party.pn}@s.whatsapp.net" if party.pn else f"{party.lid}@lid"


def meetings(records: Iterable[Record]) -> list[Meeting]:
    """Everybody who wrote, and the other side of a private chat that the owner wrote in."""
    met = []
    for record in records:
        entry = record.entry
        party, name = _who(entry)
        if party and (party.pn or party.lid):
            met.append(
                Meeting(
                    session_id=record.session_id,
                    tenant_id=record.tenant_id,
                    pn=party.pn,
                    lid=party.lid,
                    name=name,
                )
            )
    return met


def _who(entry: Entry) -> tuple[Party | None, str | None]:
    match entry:
        case Received(from_me=True) | Reacted(from_me=True):
            return party_of(entry.chat), None
        case Received() | Undecryptable() | Called():
            return entry.sender, entry.name
        case Reacted():
            return entry.sender, None
        case Edited() | Revoked() | Acknowledged():
            return None, None
        case _ as never:
            assert_never(never)


def party_of(jid: str) -> Party | None:
    """Who is behind a private chat's JID; None for a group."""
    user, _, server = jid.partition("@")
    if server == "s.whatsapp.net":
        return Party(pn=user)
    return Party(lid=user) if server == "lid" else None


def contact_of(known: Known, session_id: SessionId, party: Party | None) -> ContactId | None:
    if party is None:
        return None
    for name in (party.pn, party.lid):
        if name and (session_id, name) in known:
            return known[session_id, name]
    return None


def new_message(record: Record, known: Known) -> NewMessage | None:
    """The row that an entry makes; None for one that only changes another."""
    entry = record.entry
    match entry:
        case Received():
            row = _row(record, known, entry.sender, from_me=entry.from_me, chat=entry.chat, at=entry.sent_at)
            return NewMessage(
                **row,
                sender_name=entry.name,
                type=entry.type,
                content=entry.content if entry.media is None else _promise(entry.content, entry.media),
                wa_id=entry.wa_id,
                reply_to=entry.reply_to,
                mentions=entry.mentions,
            )
        case Undecryptable():
            row = _row(record, known, entry.sender, from_me=False, chat=entry.chat, at=entry.sent_at)
            return NewMessage(
                **row,
                sender_name=entry.name,
                type=MessageType.UNSUPPORTED,
                content=PLACEHOLDER,
                wa_id=entry.wa_id,
            )
        case Reacted():
            row = _row(record, known, entry.sender, from_me=entry.from_me, chat=entry.chat, at=entry.at)
            return NewMessage(
                **row,
                sender_name=None,
                type=MessageType.REACTION,
                content={"emoji": entry.emoji, "waMessageId": entry.wa_id},
                # WhatsApp gives a reaction no name of its own.
                wa_id=f"{entry.wa_id}/{entry.at.timestamp():.3f}",
            )
        case Called():
            chat = sender_of(entry.sender, from_me=False)
            row = _row(record, known, entry.sender, from_me=False, chat=chat, at=entry.at)
            return NewMessage(
                **row,
                sender_name=entry.name,
                type=MessageType.CALL,
                content={"video": entry.video},
                wa_id=entry.call_id,
            )
        case Edited() | Revoked() | Acknowledged():
            return None
        case _ as never:
            assert_never(never)


def _promise(content: dict[str, Any], media: MediaRef) -> dict[str, Any]:
    """The content of a message whose file is still at WhatsApp, under the id that the file will have."""
    told = {"mimetype": media.mimetype, "sizeBytes": media.size_bytes, "fileName": media.file_name}
    known = {key: value for key, value in told.items() if value is not None}
    return known | content | {"mediaId": new_media_id(), "mediaStatus": "pending"}


def _row(
    record: Record, known: Known, sender: Party, *, from_me: bool, chat: str, at: datetime
) -> dict[str, Any]:
    """The columns that every kind of new message has."""
    other = party_of(chat) if from_me else sender
    return {
        "id": new_message_id(),
        "tenant_id": record.tenant_id,
        "session_id": record.session_id,
        "chat": chat,
        "direction": "outgoing" if from_me else "inbound",
        "origin": "phone" if from_me else "contact",
        "sender": sender_of(sender, from_me=from_me),
        "sender_pn": sender.pn,
        "sender_lid": sender.lid,
        "contact_id": contact_of(known, record.session_id, other),
        "status": "sent" if from_me else "received",
        "sent_at": at.astimezone(UTC),
    }


def event_of(message: NewMessage, entry: Entry) -> Event:
    if message.type == MessageType.REACTION:
        return facts.message_reaction(message)
    offline = isinstance(entry, Received) and entry.offline
    history = isinstance(entry, Received) and entry.history
    return facts.message_received(message, offline=offline, history=history)


def asks_for_reply(entry: Entry) -> bool:
    """Whether bots look at it: not at what is past; at what the owner writes, so as to keep quiet then."""
    if not isinstance(entry, Received) or entry.history:
        return False
    return facts.chat_kind(entry.chat) in ("private", "group")


def is_news(entry: Entry) -> bool:
    """Somebody has written a message: not the account itself, and not what is past."""
    return isinstance(entry, Received) and not entry.from_me and not entry.history


def is_offline(entry: Entry) -> bool:
    """It waited at WhatsApp while the session was away."""
    return isinstance(entry, Received) and entry.offline


def moves(arrived: Sequence[tuple[NewMessage, Entry]]) -> list[ChatMove]:
    """One move a chat, of all its messages in the batch."""
    found: dict[tuple[str, str], ChatMove] = {}
    for message, _entry in arrived:
        if message.type == MessageType.REACTION:
            continue
        inbound_at = message.sent_at if message.direction == "inbound" else None
        move = found.get((message.session_id, message.chat))
        if move is None:
            private = facts.chat_kind(message.chat) == "private"
            found[message.session_id, message.chat] = ChatMove(
                tenant_id=message.tenant_id,
                session_id=message.session_id,
                jid=message.chat,
                name=message.sender_name if private and inbound_at else None,
                contact_id=message.contact_id if private else None,
                last_message_id=message.id,
                last_message_at=message.sent_at,
                last_inbound_at=inbound_at,
                unread=1 if inbound_at else 0,
                answered=inbound_at is None,
            )
            continue
        move.last_message_id = message.id
        move.last_message_at = max(move.last_message_at, message.sent_at)
        move.last_inbound_at = inbound_at or move.last_inbound_at
        move.unread = move.unread + 1 if inbound_at else 0
        move.answered |= inbound_at is None
    return list(found.values())


def change(
    record: Record, entry: Edited | Revoked | Acknowledged, wa_id: str, *, sender: str, value: str
) -> Change:
    return Change(
        session_id=record.session_id, chat=entry.chat, wa_id=wa_id, sender=sender, at=entry.at, value=value
    )
