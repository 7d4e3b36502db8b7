"""The people of the sandbox's phone network, and what they do, as journal entries. Pure and deterministic.

A number always has the same LID; a command always makes the same entries with the same WhatsApp ids, however often
it is carried out, so that doing it again after a crash adds nothing.
"""

import hashlib
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

from relay.engines.engine import Acknowledged, Called, Edited, Entry, Reacted, Received, Revoked
from relay.model.message import MEDIA_TYPES, MessageType, Party
from relay.model.sandbox import InboundIn, digits_of


def jid_of(phone: str) -> str:
    """The private chat with a phone number."""
    return f"{digits_of(phone)}@s.whatsapp.net"


def lid_of(phone: str) -> str:
    """A number's LID: 15 digits that tell nothing of it."""
    number = int.from_bytes(hashlib.sha256(b"lid " + phone.encode()).digest()[:8])
    return str(10**14 + number % (9 * 10**14))


def phone_of(session_id: str) -> str:
    """A session's own virtual number: +55 11 9xxxx-xxxx."""
    number = int.from_bytes(hashlib.sha256(b"phone " + session_id.encode()).digest()[:8])
    return f"55119{60_000_000 + number % 40_000_000}"


def find_jids(phones: Sequence[str]) -> dict[str, str | None]:
    """Everybody has WhatsApp, except numbers that end in 0000."""
    return {phone: None if digits_of(phone).endswith("0000") else jid_of(phone) for phone in phones}


def entries_of(
    command_id: int, command: InboundIn, *, own: Party, at: datetime, offline: bool
) -> Iterator[Entry]:
    """What reaches the account when `command` is carried out. `own` is the account, `at` when it was asked."""
    phone = digits_of(command.from_)
    chat = command.chat or jid_of(phone)
    sender = own if command.from_me else Party(pn=phone, lid=lid_of(phone))
    wa_id, text, from_me = command.wa_id or "", command.text or "", command.from_me
    match command.type:
        case "edit":
            yield Edited(wa_id=wa_id, chat=chat, sender=sender, from_me=from_me, text=text, at=at)
        case "revoke":
            yield Revoked(wa_id=wa_id, chat=chat, sender=sender, from_me=from_me, at=at)
        case "reaction":
            yield Reacted(wa_id=wa_id, chat=chat, sender=sender, from_me=from_me, emoji=text, at=at)
        case "receipt":
            status = command.status or "delivered"
            yield Acknowledged(wa_ids=command.wa_ids, chat=chat, status=status, at=at)
        case "call":
            call_id = f"SBX{command_id}N1"
            yield Called(call_id=call_id, sender=sender, video=command.video, at=at, name=command.name)
        case _:
            yield from _messages(command_id, command, chat=chat, sender=sender, at=at, offline=offline)


def _messages(
    command_id: int, command: InboundIn, *, chat: str, sender: Party, at: datetime, offline: bool
) -> Iterator[Entry]:
    kind = MessageType(command.type)
    content = _content(command, kind)
    for number in range(1, command.count + 1):
        yield Received(
            wa_id=command.wa_id or f"SBX{command_id}N{number}",
            chat=chat,
            sender=sender,
            from_me=command.from_me,
            type=kind,
            content=content if command.count == 1 else _numbered(content, number),
            sent_at=at,
            name=command.name,
            reply_to=command.reply_to,
            mentions=command.mentions,
            offline=offline,
        )


def _content(command: InboundIn, kind: MessageType) -> dict[str, Any]:
    given = command.content or {}
    content = {"text": given} if isinstance(given, str) else given
    if command.text is None:
        return content
    return {**content, "caption" if kind in MEDIA_TYPES else "text": command.text}


def _numbered(content: dict[str, Any], number: int) -> dict[str, Any]:
    for words in ("text", "caption"):
        if words in content:
            return {**content, words: f"{content[words]} {number}"}
    return content
