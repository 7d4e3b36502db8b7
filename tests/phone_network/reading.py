"""What a phone does with ciphertexts of a client: decrypts them, learns sender keys on the way, takes off envelopes."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tests.phone_network.node import Jid, Node
from tests.phone_network.protobufs import waE2E
from tests.phone_network.signal.device import SignalDevice
from tests.phone_network.signal.errors import Malformed
from tests.phone_network.signal.kdf import unpad

ENVELOPE = ("messageContextInfo", "senderKeyDistributionMessage")


@dataclass(frozen=True)
class Opened:
    """The content, and for what was written on another device of one's own, to whom it went."""

    message: Any
    destination: Jid | None = None


def open_encs(signal: SignalDevice, address: str, group: str, encs: Sequence[Node]) -> Opened | None:
    """The content of a stanza's `<enc>`s; None when there was only a sender key. Raises Undecryptable."""
    found = None
    for enc in encs:
        kind = enc.attr("type")
        padded = (
            signal.decrypt_group(group, address, enc.data)
            if kind == "skmsg"
            else signal.decrypt(address, kind, enc.data)
        )
        message = waE2E.Message.FromString(unpad(padded))
        if message.HasField("senderKeyDistributionMessage"):
            told = message.senderKeyDistributionMessage
            signal.learn_sender_key(told.groupID, address, told.axolotlSenderKeyDistributionMessage)
        if any(field.name not in ENVELOPE for field, _ in message.ListFields()):
            found = _unwrapped(message)
    return found


def _unwrapped(message: Any) -> Opened:
    if not message.HasField("deviceSentMessage"):
        return Opened(message)
    sent = message.deviceSentMessage
    if not sent.destinationJID:
        raise Malformed("an own device's message to nobody")
    inner = sent.message
    if message.HasField("messageContextInfo") and not inner.HasField("messageContextInfo"):
        inner.messageContextInfo.CopyFrom(message.messageContextInfo)
    return Opened(inner, Jid.parse(sent.destinationJID))
