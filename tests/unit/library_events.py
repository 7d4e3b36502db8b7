"""Events as the library encodes them, with every field that it always sets."""

from datetime import UTC, datetime
from typing import Any

from relay.engines import convert
from relay.engines.engine import Received
from relay.engines.jids import empty_jid, jid_of
from relay.engines.protobufs import e2e, neonize
from relay.model.message import MessageType, Party

OWN = Party(pn="5511900000000", lid="900900900900900")
OWN_JID = "5511900000000@s.whatsapp.net"
MARIA_PN, MARIA_LID = "5511912345678", "160755973120501"
MARIA = Party(pn=MARIA_PN, lid=MARIA_LID)
MARIA_JID = f"{MARIA_PN}@s.whatsapp.net"
LID_JID = f"{MARIA_LID}@lid"
GROUP = "120363041234567890@g.us"
AT = datetime(2026, 11, 23, 2, 6, 46, tzinfo=UTC)
AT_SECONDS = int(AT.timestamp())


class Book:
    """A directory of pairs."""

    own = OWN

    def __init__(self, **lids: str) -> None:
        self.lids = {pn.removeprefix("n"): lid for pn, lid in lids.items()}

    def pn_of(self, lid: str) -> str | None:
        return next((pn for pn, known in self.lids.items() if known == lid), None)

    def lid_of(self, pn: str) -> str | None:
        return self.lids.get(pn)

    def learn(self, pn: str, lid: str) -> None:
        self.lids[pn] = lid


def jid(text: str) -> Any:
    """`user@server`, or `user:device@server`; empty for none."""
    if not text:
        return empty_jid()
    user, _, server = text.partition("@")
    user, _, device = user.partition(":")
    found = jid_of(f"{user}@{server}")
    found.Device = int(device or 0)
    return found


def source(
    chat: str = MARIA_JID,
    sender: str = "",
    *,
    from_me: bool = False,
    sender_alt: str = "",
    recipient_alt: str = "",
) -> Any:
    return neonize.MessageSource(
        Chat=jid(chat),
        Sender=jid(sender or chat),
        IsFromMe=from_me,
        IsGroup=chat.endswith(("@g.us", "@broadcast")),
        SenderAlt=jid(sender_alt),
        RecipientAlt=jid(recipient_alt),
        BroadcastListOwner=jid(""),
    )


def info(where: Any, **fields: Any) -> Any:
    given = {"ID": "3EB0A1", "Pushname": "Maria", "Timestamp": AT_SECONDS * 1000, "Type": "text", **fields}
    rest = {"ServerID": 0, "Category": "", "Multicast": False, "MediaType": "", "Edit": ""}
    return neonize.MessageInfo(MessageSource=where, **{**rest, **given})


def event(message: Any, where: Any = None, *, flags: dict[str, Any] | None = None, **fields: Any) -> Any:
    """A Message event, by way of the bytes that the library hands over."""
    unset = {
        "IsEphemeral": False,
        "IsViewOnce": False,
        "IsViewOnceV2": False,
        "IsViewOnceV2Extension": False,
        "IsDocumentWithCaption": False,
        "IsLottieSticker": False,
        "IsEdit": False,
        "UnavailableRequestID": "",
        "RetryCount": 0,
    }
    built = neonize.Message(
        Info=info(where or source(), **fields), Message=message, Raw=message, **{**unset, **(flags or {})}
    )
    return neonize.Message.FromString(built.SerializeToString())


def text(words: str) -> Any:
    return e2e.Message(conversation=words)


def wrap(wrapper: str, message: Any) -> Any:
    """`message` in another one's field."""
    outer = e2e.Message()
    getattr(outer, wrapper).message.CopyFrom(message)
    return outer


def entry(
    message: Any,
    where: Any = None,
    *,
    book: Book | None = None,
    votes: list[bytes] | None = None,
    **fields: Any,
) -> Any:
    return convert.entry_of_message(
        event(message, where, **fields), book or Book(), offline=False, decrypt_vote=lambda _: votes
    )


def content(message: Any, **fields: Any) -> tuple[MessageType, dict[str, Any]]:
    found = entry(message, **fields)
    assert isinstance(found, Received)
    return found.type, found.content


def file_of(part: Any, **fields: Any) -> Any:
    """A file's part, as phones fill it in."""
    return part(
        URL="https://mmg.whatsapp.net/v/t62/1?x=1",
        directPath="/v/t62/1?x=1",
        mediaKey=b"k" * 32,
        fileSHA256=b"s" * 32,
        fileEncSHA256=b"e" * 32,
        fileLength=1234,
        **fields,
    )


def edited(message: Any, *, at_ms: int = AT_SECONDS * 1000 + 123) -> Any:
    protocol = e2e.ProtocolMessage(
        type=e2e.ProtocolMessage.MESSAGE_EDIT, editedMessage=message, timestampMS=at_ms
    )
    protocol.key.ID, protocol.key.fromMe = "3EB0OLD", True
    return e2e.Message(protocolMessage=protocol)


def revoked(**key: Any) -> Any:
    protocol = e2e.ProtocolMessage(type=e2e.ProtocolMessage.REVOKE)
    protocol.key.ID = "3EB0OLD"
    for name, value in key.items():
        setattr(protocol.key, name, value)
    return e2e.Message(protocolMessage=protocol)
