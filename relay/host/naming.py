"""One name for one person: entries that name somebody by LID alone get the number that the contact is known by.

WhatsApp names the same chat now by number, now by LID. Rows go by the number as soon as it is known
(`store/chat_names.py` moves the older ones), so what arrives has to be named the same way before it is stored.
"""

from collections.abc import Iterable, Mapping

import msgspec

from relay.engines.engine import Acknowledged, Called, Entry
from relay.engines.journal_file import Record
from relay.model.ids import SessionId
from relay.model.message import Party

Numbers = Mapping[tuple[SessionId, str], str]
"""A contact's phone number by (session, LID)."""

_LID = "@lid"


def bare_lids(records: Iterable[Record]) -> set[tuple[SessionId, str]]:
    """Everybody who is named by LID alone, as a chat or as a sender."""
    found = set()
    for record in records:
        chat, sender = _names(record.entry)
        if chat is not None and chat.endswith(_LID):
            found.add((record.session_id, chat.removesuffix(_LID)))
        if sender is not None and sender.lid and not sender.pn:
            found.add((record.session_id, sender.lid))
    return found


def _names(entry: Entry) -> tuple[str | None, Party | None]:
    chat = None if isinstance(entry, Called) else entry.chat
    sender = None if isinstance(entry, Acknowledged) else entry.sender
    return chat, sender


def with_numbers(record: Record, numbers: Numbers) -> Record:
    """The record under the names that rows have."""
    chat, sender = _names(record.entry)
    changes: dict[str, object] = {}
    if chat is not None and chat.endswith(_LID):
        number = numbers.get((record.session_id, chat.removesuffix(_LID)))
        if number is not None:
            changes["chat"] = f"{number}@s.whatsapp.net"
    if sender is not None and sender.lid and not sender.pn:
        number = numbers.get((record.session_id, sender.lid))
        if number is not None:
            changes["sender"] = Party(pn=number, lid=sender.lid)
    if not changes:
        return record
    return Record(record.tenant_id, record.session_id, msgspec.structs.replace(record.entry, **changes))
