"""What a phone does for a client that was just linked: it shares the key of the account's settings.

With it the client reads the push name, without which it cannot come online nor change its name.
"""

from typing import TYPE_CHECKING
from weakref import WeakSet

from tests.phone_network.accounts import Device
from tests.phone_network.node import Node

if TYPE_CHECKING:
    from tests.phone_network.connection import Connection
    from tests.phone_network.network import WhatsApp
    from tests.phone_network.people import People
    from tests.phone_network.services import Services


def share_when_linked(network: "WhatsApp", services: "Services", people: "People") -> None:
    """From now on, with every client when it becomes active for the first time; after login.py has registered."""
    become_active = network.iq["passive", "set"]
    known: WeakSet[Device] = WeakSet()

    async def take(connection: "Connection", iq: Node) -> Node | None:
        answer = await become_active(connection, iq)
        if connection.device not in known and iq.find("active"):
            known.add(connection.device)
            key = services.app_state(connection.account).key_share(services.clock())
            people.of(connection.account).tell_clients(key)
        return answer

    network.iq["passive", "set"] = take
