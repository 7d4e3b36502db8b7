"""Who and where: WhatsApp's addresses as Relay writes them.

    JID of the library ──► chat as text: the phone number's where it is known, else the LID's; never one device's
                      └──► Party {pn, lid}

WhatsApp speaks of the same person now by phone number, now by LID. An event often names both: the directory learns
the pair, and answers for events that name one.
"""

from typing import Any, Protocol

from msgspec import Struct

from relay.engines.protobufs import neonize
from relay.model.errors import InvalidInput
from relay.model.message import Party

_PN_SERVERS = frozenset({"s.whatsapp.net", "c.us", "hosted"})
"""`c.us` is the old spelling, `hosted` a number whose messages Meta's cloud keeps."""
_LID_SERVERS = frozenset({"lid", "hosted.lid"})
_GROUP_SERVERS = frozenset({"g.us", "broadcast"})


class Directory(Protocol):
    """What a session knows of who is who."""

    @property
    def own(self) -> Party:
        """The account itself."""

    def pn_of(self, lid: str, /) -> str | None: ...

    def lid_of(self, pn: str, /) -> str | None: ...

    def learn(self, pn: str, lid: str, /) -> None: ...


class Place(Struct, frozen=True, kw_only=True):
    """Where something was said, and by whom."""

    chat: str
    sender: Party
    from_me: bool
    is_group: bool


def words(value: Any) -> str:
    """A protobuf's text. Strangers may send bytes that are no UTF-8; the protobuf library hands those over as bytes."""
    return value if isinstance(value, str) else bytes(value).decode("utf-8", "replace")


def jid_of(text: str) -> Any:
    """The library's JID; all its fields are set, as it ends the process where one is missing.

    Raises InvalidInput.
    """
    user, server = _split(text)
    if not user or not server:
        raise InvalidInput("This is no WhatsApp JID.")
    return neonize.JID(User=user, Server=server, RawAgent=0, Device=0, Integrator=0, IsEmpty=False)


def empty_jid() -> Any:
    return neonize.JID(User="", Server="", RawAgent=0, Device=0, Integrator=0, IsEmpty=True)


def text_of(jid: Any) -> str:
    """`user@server`, without a device; empty for an empty JID."""
    server = words(jid.Server)
    return f"{words(jid.User)}@{server}" if server else ""


def bare(text: str) -> str:
    """A JID's text without agent and device."""
    return "@".join(_split(text))


def _split(text: str) -> tuple[str, str]:
    user, _, server = text.partition("@")
    return user.partition(":")[0].partition(".")[0], server


def named(*jids: str) -> Party:
    """Somebody as these JIDs name them, the first of each kind; neither name where none is a person's."""
    pn = lid = None
    for text in jids:
        user, server = _split(text)
        if user and server in _PN_SERVERS:
            pn = pn or user
        elif user and server in _LID_SERVERS:
            lid = lid or user
    return Party(pn=pn, lid=lid)


def party_of(jid: str, other_jid: str, directory: Directory) -> Party:
    """Somebody whom an event names by one JID, or by two, with what the directory knows besides."""
    party = named(jid, other_jid)
    if party.pn and party.lid:
        directory.learn(party.pn, party.lid)
    elif party.pn:
        return Party(pn=party.pn, lid=directory.lid_of(party.pn))
    elif party.lid:
        return Party(pn=directory.pn_of(party.lid), lid=party.lid)
    return party


def chat_of(party: Party) -> str:
    """The private chat with somebody; empty where neither name is known."""
    if party.pn:
        return f"{party.pn}@s.whatsapp.net"
    return f"{party.lid}@lid" if party.lid else ""


def canonical(text: str, directory: Directory, *, other: str = "") -> str:
    """A JID as it is written in chats and mentions; `other` is another name of the same."""
    return chat_of(party_of(text, other, directory)) or bare(text)


def is_group(text: str) -> bool:
    """Whether a chat's messages name their author: groups and broadcast lists."""
    return _split(text)[1] in _GROUP_SERVERS


def is_own(party: Party, directory: Directory) -> bool:
    own = directory.own
    return bool((party.pn and party.pn == own.pn) or (party.lid and party.lid == own.lid))


def place_of(source: Any, directory: Directory) -> Place:
    """Where an event of the library happened (types/message.go: MessageSource)."""
    chat, sender = text_of(source.Chat), text_of(source.Sender)
    person = directory.own if source.IsFromMe else party_of(sender, text_of(source.SenderAlt), directory)
    if source.IsFromMe:
        where = canonical(chat, directory, other=text_of(source.RecipientAlt))
    elif chat == sender:
        where = chat_of(person) or chat
    else:
        where = canonical(chat, directory)
    return Place(chat=where, sender=person, from_me=source.IsFromMe, is_group=is_group(chat))
