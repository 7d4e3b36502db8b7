"""History: what was said before a client was linked, which the phone hands over in one file per part.

The file is a deflated, sealed `HistorySync`; the phone's message to the client says where it lies and what opens it.
"""

import zlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tests.phone_network.media_host import MediaHost
from tests.phone_network.protobufs import waCommon, waE2E, waHistorySync, waWeb

if TYPE_CHECKING:
    from tests.phone_network.phones import Person


def notification(media: MediaHost, said: "Mapping[Person, Sequence[str]]", *, now: int) -> Any:
    """The message that announces these texts, everybody's a minute apart and the last a day ago."""
    sync = waHistorySync.HistorySync(
        syncType=waHistorySync.HistorySync.RECENT,
        chunkOrder=1,
        progress=100,
        conversations=[_conversation(person, texts, now - 86_400) for person, texts in said.items()],
        pushnames=[waHistorySync.Pushname(ID=str(person.lid), pushname=person.name) for person in said],
        phoneNumberToLidMappings=[
            waHistorySync.PhoneNumberToLIDMapping(pnJID=str(person.pn), lidJID=str(person.lid))
            for person in said
        ],
    )
    sealed, stored = media.put_sealed(zlib.compress(sync.SerializeToString()), "history")
    announced = waE2E.HistorySyncNotification(
        fileSHA256=sealed.file_sha256,
        fileLength=sealed.file_length,
        mediaKey=sealed.media_key,
        fileEncSHA256=sealed.file_enc_sha256,
        directPath=stored.direct_path,
        syncType=waE2E.HistorySyncType.RECENT,
        chunkOrder=1,
        progress=100,
    )
    protocol = waE2E.ProtocolMessage(
        type=waE2E.ProtocolMessage.HISTORY_SYNC_NOTIFICATION, historySyncNotification=announced
    )
    return waE2E.Message(protocolMessage=protocol)


def _conversation(person: "Person", texts: Sequence[str], last_at: int) -> Any:
    chat = str(person.lid)
    first_at = last_at - 60 * (len(texts) - 1)
    messages = [
        waHistorySync.HistorySyncMsg(
            msgOrderID=number,
            message=waWeb.WebMessageInfo(
                key=waCommon.MessageKey(
                    remoteJID=chat, fromMe=False, ID=f"HISTORY{person.pn.user}{number:04}"
                ),
                message=waE2E.Message(conversation=text),
                messageTimestamp=first_at + 60 * number,
                pushName=person.name,
            ),
        )
        for number, text in enumerate(texts)
    ]
    return waHistorySync.Conversation(ID=chat, messages=messages, conversationTimestamp=last_at)
