"""A phone's messages on their way to linked clients: encrypted for each device, and once more when one asks again.

1:1     <message><enc type=pkmsg|msg>            the author's own clients get it wrapped in a DeviceSentMessage
group   <message><enc type=pkmsg|msg> <enc type=skmsg>
                 the phone's sender key, for      the content, the same for everybody
                 whoever does not have it yet
again   <message><enc type=pkmsg count=n>        in a new session, in groups with the sender key inside
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tests.phone_network.accounts import Device
from tests.phone_network.envelopes import Route, content_attrs, name_of
from tests.phone_network.groups import Group
from tests.phone_network.node import Attribute, Jid, Node
from tests.phone_network.protobufs import waE2E
from tests.phone_network.signal.device import SignalDevice
from tests.phone_network.signal.kdf import pad
from tests.phone_network.signal.keys import PreKeyBundle

if TYPE_CHECKING:
    from tests.phone_network.network import WhatsApp


@dataclass(frozen=True)
class Letter:
    """A message as it was given to the courier, who keeps it for those that ask again."""

    id: str
    route: Route
    message: Any
    at: str
    more: Mapping[str, Attribute] = field(default_factory=dict)
    """Further attributes of the stanza."""


class Courier:
    """Of one phone."""

    def __init__(self, network: "WhatsApp", signal: SignalDevice) -> None:
        self._network = network
        self._signal = signal
        self._letters: dict[str, Letter] = {}
        # Which devices have this phone's sender key of which group.
        self._told: set[tuple[Jid, Jid]] = set()

    def carry(self, letter: Letter, *, garbled: bool = False) -> None:
        """To every linked client in the chat; `garbled`: so that none of them can read it."""
        self._letters[letter.id] = letter
        devices = [device for reader in letter.route.readers for device in reader.devices.values()]
        if not devices:
            return
        if isinstance(letter.route.to, Group):
            self._carry_to_group(letter, letter.route.to, devices, garbled=garbled)
            return
        for device in devices:
            self._deliver(letter, device, [self._enc(letter, device, garbled=garbled)])

    def announce(self, letter: Letter) -> None:
        """Tell linked clients that there is a message which only phones get to see."""
        for reader in letter.route.readers:
            for device in reader.devices.values():
                self._deliver(letter, device, [Node("unavailable", {"type": "view_once"})])

    def carry_again(self, id: str, device: Device, bundle: PreKeyBundle, count: int) -> None:
        """To one client that could not read it. What this phone never said is not answered."""
        letter = self._letters.get(id)
        if letter is None:
            return
        self._signal.open_session(str(device.jid), bundle)
        enc = self._enc(letter, device)
        enc.attrs["count"] = str(count)
        self._deliver(letter, device, [enc])

    def _carry_to_group(self, letter: Letter, group: Group, devices: list[Device], *, garbled: bool) -> None:
        key = self._signal.sender_key(str(group.jid))
        strangers = [device for device in devices if (group.jid, device.jid) not in self._told]
        told = {device: self._sealed(device, self._distribution(group)) for device in strangers}
        self._told |= {(group.jid, device.jid) for device in strangers}
        ciphertext = key.encrypt(pad(letter.message.SerializeToString()))
        attrs = {"v": "2", "type": "skmsg", **content_attrs(letter.message)[1]}
        enc = Node("enc", attrs, spoiled(ciphertext) if garbled else ciphertext)
        for device in devices:
            self._deliver(letter, device, [told[device], enc] if device in told else [enc])

    def _distribution(self, group: Group) -> Any:
        key = self._signal.sender_key(str(group.jid)).distribution()
        distribution = waE2E.SenderKeyDistributionMessage(
            groupID=str(group.jid), axolotlSenderKeyDistributionMessage=key
        )
        return waE2E.Message(senderKeyDistributionMessage=distribution)

    def _enc(self, letter: Letter, device: Device, *, garbled: bool = False) -> Node:
        """The whole content for one device."""
        message, route = letter.message, letter.route
        if isinstance(route.to, Group):
            message = self._distribution(route.to)
            message.MergeFrom(letter.message)
        elif device.account is route.author and "category" not in letter.more:
            message = waE2E.Message(messageContextInfo=letter.message.messageContextInfo)
            message.deviceSentMessage.destinationJID = str(name_of(route.to, route.mode))
            message.deviceSentMessage.message.CopyFrom(letter.message)
        enc = self._sealed(device, message)
        enc.attrs |= content_attrs(letter.message)[1]
        if garbled:
            enc.content = spoiled(enc.data)
        return enc

    def _sealed(self, device: Device, message: Any) -> Node:
        address = str(device.jid)
        if not self._signal.has_session(address):
            self._signal.open_session(address, device.prekeys.take_bundle())
        kind, ciphertext = self._signal.encrypt(address, pad(message.SerializeToString()))
        return Node("enc", {"v": "2", "type": kind}, ciphertext)

    def _deliver(self, letter: Letter, device: Device, content: list[Node]) -> None:
        author = letter.route.author
        attrs: dict[str, Attribute] = {
            **letter.route.attrs(device.account),
            **content_attrs(letter.message)[0],
            "id": letter.id,
            "t": letter.at,
            "notify": author.name,
            **letter.more,
        }
        self._network.deliver(device, Node("message", attrs, content))


def spoiled(ciphertext: bytes) -> bytes:
    """One bit is another, at a place where every kind of message has its body, its MAC or its signature."""
    return ciphertext[:-20] + bytes([ciphertext[-20] ^ 1]) + ciphertext[-19:]
