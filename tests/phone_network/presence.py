"""Who is online and who types, both ways; nothing of it is kept for those who are away.

A client hears of a person's presence after it has subscribed; of typing without.
"""

from typing import TYPE_CHECKING

from tests.phone_network.accounts import Account, Device
from tests.phone_network.activity import Activity, Online, Subscribed, Typing
from tests.phone_network.groups import Group
from tests.phone_network.node import Attribute, Jid, Node

if TYPE_CHECKING:
    from tests.phone_network.connection import Connection
    from tests.phone_network.network import WhatsApp


class Presences:
    def __init__(self, activity: Activity) -> None:
        self._activity = activity
        self._subscriptions: dict[Device, set[Jid]] = {}

    def register(self, network: "WhatsApp") -> None:
        network.stanzas["presence"] = self._take_presence
        network.stanzas["chatstate"] = self._take_typing

    def show(self, person: Account, *, online: bool, last_seen: int | None = None) -> None:
        """A person comes or goes; `last_seen` (seconds since 1970) is what those who subscribed are told."""
        said = {"type": "" if online else "unavailable", "last": "" if last_seen is None else str(last_seen)}
        for device, people in self._subscriptions.items():
            for jid in people & {person.pn, person.lid}:
                _send(device, Node("presence", {"from": jid, **said}))

    def type_to(self, person: Account, to: Account | Group, *, state: str = "composing") -> None:
        """A person types (`composing`), records (`recording`) or stops (`paused`), in a group or to an account."""
        media: dict[str, Attribute] = {"media": "audio"} if state == "recording" else {}
        shown = [Node("composing" if media else state, media)]
        if isinstance(to, Group):
            attrs: dict[str, Attribute] = {"from": to.jid, "participant": to.address(person)}
            readers = [member.account for member in to.members.values() if member.account is not person]
        else:
            attrs, readers = {"from": person.lid, "sender_pn": person.pn}, [to]
        for device in (device for account in readers for device in account.devices.values()):
            _send(device, Node("chatstate", attrs, list(shown)))

    async def _take_presence(self, connection: "Connection", node: Node) -> None:
        if node.attr("type") == "subscribe":
            self._subscriptions.setdefault(connection.device, set()).add(node.jid("to").account)
            self._activity.record(Subscribed(connection.device.jid, node.jid("to").account))
            return
        if node.attr("name"):
            connection.account.name = node.attr("name")
        available = node.attr("type") != "unavailable"
        self._activity.record(Online(connection.device.jid, available, node.attr("name")))

    async def _take_typing(self, connection: "Connection", node: Node) -> None:
        shown = node.children[0]
        state = "recording" if shown.attr("media") == "audio" else shown.tag
        self._activity.record(Typing(connection.device.jid, node.jid("to"), state))


def _send(device: Device, node: Node) -> None:
    if device.connection:
        device.connection.send(node)
