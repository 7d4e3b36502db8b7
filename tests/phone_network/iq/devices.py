"""Devices: the keys that open a Signal session with one (`encrypt` get), and a companion that removes itself (`md`)."""

from typing import TYPE_CHECKING

from tests.phone_network.activity import LoggedOut
from tests.phone_network.connection import IqError
from tests.phone_network.key_nodes import bundle_nodes, registration_node
from tests.phone_network.node import Jid, Node
from tests.phone_network.profiles import FindAccount
from tests.phone_network.signal.keys import PreKeyBundle

if TYPE_CHECKING:
    from tests.phone_network.connection import Connection
    from tests.phone_network.network import WhatsApp
    from tests.phone_network.services import Services


def register(network: "WhatsApp", services: "Services") -> None:
    async def give_keys(_: "Connection", iq: Node) -> Node:
        return bundles(iq.children[0], services.find, int(services.clock()))

    async def remove(connection: "Connection", iq: Node) -> None:
        asked = iq.find("remove-companion-device")
        if asked is None or asked.jid("jid").device != connection.device.number:
            raise IqError(403, "forbidden")
        del connection.account.devices[connection.device.number]
        services.activity.record(LoggedOut(connection.device.jid, asked.attr("reason")))

    network.iq["encrypt", "get", "key"] = give_keys
    network.iq["md", "set"] = remove


def bundles(wanted: Node, find: FindAccount, now: int) -> Node:
    """`<list>` with what opens a session with each device; every call uses up one-time prekeys."""
    users = []
    for user in wanted.all("user"):
        jid = user.jid("jid")
        bundle = _bundle(jid, find)
        missing = [Node("error", {"code": "404", "text": "item-not-found"})]
        known = [registration_node(bundle), *bundle_nodes(bundle)] if bundle else missing
        users.append(Node("user", {"jid": jid, "t": str(now)}, known))
    return Node("list", {}, users)


def _bundle(jid: Jid, find: FindAccount) -> PreKeyBundle | None:
    account = find(jid.account)
    if account is None:
        return None
    if jid.device == 0:
        return account.keys.bundle()
    device = account.devices.get(jid.device)
    return device.prekeys.take_bundle() if device and device.prekeys.identity else None
