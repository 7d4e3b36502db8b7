"""What is written on a message's outside: its stanza's attributes, for whoever is to read it, and the kind of its content.

The same message is addressed in three ways:

    to its reader            from=<author>            sender_pn / sender_lid: the author's other name
    to the author's others   from=<author>            recipient=<chat>, peer_recipient_pn / peer_recipient_lid
    in a group               from=<group>             participant=<author>, participant_pn / participant_lid
"""

from dataclasses import dataclass
from typing import Any, Literal

from tests.phone_network.accounts import Account
from tests.phone_network.contents import unwrapped
from tests.phone_network.groups import Group
from tests.phone_network.node import Attribute, Jid

Mode = Literal["lid", "pn"]

MEDIA_TYPES = {
    "imageMessage": "image",
    "videoMessage": "video",
    "stickerMessage": "sticker",
    "documentMessage": "document",
    "contactMessage": "vcard",
    "locationMessage": "location",
}


@dataclass(frozen=True)
class Route:
    """Who writes, on which device, to whom, and by which of their two names everybody is called."""

    author: Account
    to: Account | Group
    mode: Mode = "lid"
    device: int = 0

    @property
    def sender(self) -> Jid:
        """The author's device."""
        name = name_of(self.author, self.mode)
        return Jid(name.user, name.server, self.device)

    def chat(self, reader: Account) -> Jid:
        """The chat in which `reader` sees it."""
        if isinstance(self.to, Group):
            return self.to.jid
        return name_of(self.to if reader is self.author else self.author, self.mode)

    def attrs(self, reader: Account) -> dict[str, Attribute]:
        """The stanza's addresses, for a device of `reader`."""
        other = "pn" if self.mode == "lid" else "lid"
        if isinstance(self.to, Group):
            return {
                "from": self.to.jid,
                "participant": self.sender,
                f"participant_{other}": name_of(self.author, other),
                "addressing_mode": self.mode,
            }
        if self.to is self.author:
            return {"from": self.sender}
        if reader is self.author:
            return {
                "from": self.sender,
                "recipient": name_of(self.to, self.mode),
                f"peer_recipient_{other}": name_of(self.to, other),
            }
        addresses = {"from": self.sender, f"sender_{other}": name_of(self.author, other)}
        return {**addresses, "addressing_mode": self.mode}

    def receipt_attrs(self, reader: Account) -> dict[str, Attribute]:
        """The addresses of what `reader`'s phone says back to the author."""
        name = name_of(reader, self.mode)
        if isinstance(self.to, Group):
            return {"from": self.to.jid, "participant": name}
        return (
            {"from": name, "recipient": name_of(self.to, self.mode)}
            if reader is self.author
            else {"from": name}
        )

    @property
    def readers(self) -> list[Account]:
        """Whose devices get it: everybody's in the chat, the author's too."""
        if isinstance(self.to, Group):
            return [member.account for member in self.to.members.values()]
        return [self.author] if self.to is self.author else [self.to, self.author]


def name_of(account: Account, mode: str) -> Jid:
    return account.lid if mode == "lid" else account.pn


def content_attrs(message: Any) -> tuple[dict[str, Attribute], dict[str, Attribute]]:
    """What a stanza and its `<enc>` tell of the content to those who cannot read it."""
    kind, part = _content(message)
    hidden: dict[str, Attribute] = {"decrypt-fail": "hide"}
    if kind == "reactionMessage":
        return {"type": "reaction"}, hidden
    if kind == "pollUpdateMessage":
        return {"type": "poll"}, hidden
    if kind.startswith("pollCreationMessage"):
        return {"type": "poll"}, {}
    if kind == "protocolMessage" and part.type == part.REVOKE:
        return {"type": "text", "edit": "7" if part.key.fromMe else "8"}, hidden
    if kind == "protocolMessage" and part.type == part.MESSAGE_EDIT:
        return {"type": "text", "edit": "1"}, hidden
    if kind == "audioMessage":
        return {"type": "media"}, {"mediatype": "ptt" if part.PTT else "audio"}
    if kind in MEDIA_TYPES:
        return {"type": "media"}, {"mediatype": MEDIA_TYPES[kind]}
    return {"type": "text"}, {}


def _content(message: Any) -> tuple[str, Any]:
    """The field with the content, and what lies in it, out of all wrapping."""
    for field, part in unwrapped(message).ListFields():
        if field.name not in ("messageContextInfo", "senderKeyDistributionMessage"):
            return field.name, part
    return "", None
