"""The post office: takes what clients say in messages and receipts to the phones, and to each other's clients.

<message><participants><to jid=…><enc/></to>…</participants> <enc type=skmsg/></message>
    each `to`'s own ciphertext, and in groups the one for everybody
<message [participant=…]><enc type=pkmsg|msg/></message>
    for one device alone: said again after it asked, or between an account's own devices
<receipt to=… [participant=…]>
    to the writer's phone, which answers one of type `retry`, and to the writer's clients
"""

from typing import TYPE_CHECKING

from tests.phone_network.accounts import Account, Device
from tests.phone_network.connection import IqError
from tests.phone_network.envelopes import Mode, Route
from tests.phone_network.groups import Group, NoSuchGroup
from tests.phone_network.inbox import Receipt
from tests.phone_network.key_nodes import read_bundle
from tests.phone_network.node import Attribute, Jid, Node
from tests.phone_network.people import People
from tests.phone_network.signal.keys import PreKeyBundle

if TYPE_CHECKING:
    from tests.phone_network.connection import Connection
    from tests.phone_network.network import WhatsApp
    from tests.phone_network.services import Services


class Post:
    """Registers itself with the network, beside whoever takes receipts already."""

    def __init__(self, people: People, services: "Services") -> None:
        self._people = people
        self._network = people.network
        self._groups = services.groups
        self._earlier = self._network.stanzas.get("receipt")
        self._network.stanzas["message"] = self.take_message
        self._network.stanzas["receipt"] = self.take_receipt

    async def take_message(self, connection: "Connection", node: Node) -> None:
        """Raises IqError when there is nobody to take it, or it is not the author's place to write there."""
        device = connection.device
        route = self._route(device, node)
        for jid, encs in self._addressed(route, node).items():
            reader = self._network.account_of(jid)
            if reader is None:
                continue
            if jid.device == 0:
                self._people.of(reader).take(route, node.attr("id"), device, encs)
            elif jid.device in reader.devices:
                self._forward(route, node, reader.devices[jid.device], encs)

    def _route(self, device: Device, node: Node) -> Route:
        name = node.jid("to") if "recipient" not in node.attrs else node.jid("recipient")
        to = self._chat(name)
        mode: Mode = "lid" if name.server == "lid" else "pn"
        return Route(device.account, to, to.addressing_mode if isinstance(to, Group) else mode, device.number)

    def _chat(self, jid: Jid) -> Account | Group:
        if jid.server == "g.us":
            try:
                return self._groups.get(jid)
            except NoSuchGroup:
                raise IqError(404, "item-not-found") from None
        account = self._network.account_of(jid.account)
        if account is None:
            raise IqError(404, "item-not-found")
        return account

    def _addressed(self, route: Route, node: Node) -> dict[Jid, list[Node]]:
        """What is there for each device, by its phone number."""
        listed, direct = node.find("participants"), node.all("enc")
        sealed = {to.jid("jid"): to.all("enc") for to in (listed.children if listed else [])}
        if not isinstance(route.to, Group) or "participant" in node.attrs:
            sealed |= (
                {node.jid("participant" if "participant" in node.attrs else "to"): direct} if direct else {}
            )
            return {self._by_number(jid): encs for jid, encs in sealed.items()}
        if route.author not in route.readers:
            raise IqError(403, "forbidden")
        for_all = {jid: list[Node]() for reader in route.readers for jid in _devices(reader)}
        del for_all[Jid(route.author.pn.user, device=route.device)]
        own = {self._by_number(jid): encs for jid, encs in sealed.items()}
        return {jid: own.get(jid, []) + direct for jid in for_all}

    def _by_number(self, jid: Jid) -> Jid:
        account = self._network.account_of(jid)
        return Jid(account.pn.user, device=jid.device) if account else jid

    def _forward(self, route: Route, node: Node, reader: Device, encs: list[Node]) -> None:
        """To another client, as WhatsApp would: nothing but the addresses is new."""
        attrs: dict[str, Attribute] = {
            **route.attrs(reader.account),
            **kept(node, "id", "type", "edit", "category"),
            "t": self._people.now(),
            "notify": route.author.name,
        }
        self._network.deliver(reader, Node("message", attrs, encs))

    async def take_receipt(self, connection: "Connection", node: Node) -> None:
        if self._earlier:
            await self._earlier(connection, node)
        name = node.jid("participant" if "participant" in node.attrs else "to")
        writer = self._network.account_of(name)
        if writer is None:
            return
        listed = node.find("list")
        ids = (node.attr("id"), *(item.attr("id") for item in (listed.children if listed else [])))
        receipt = Receipt(node.attr("type") or "delivered", connection.device.jid, ids)
        self._people.of(writer).receipts.put(receipt)
        if receipt.type == "retry" and name.device == 0:
            self._answer_retry(writer, connection.device, node)
        elif writer is not connection.account:
            self._pass_on(writer, connection.device, node, only=name.device)

    def _answer_retry(self, writer: Account, asker: Device, node: Node) -> None:
        retry = node.find("retry")
        count = int(retry.attr("count") or 1) if retry else 1
        self._people.of(writer).send_again(node.attr("id"), asker, self._bundle(asker, node), count)

    def _bundle(self, asker: Device, node: Node) -> PreKeyBundle:
        """The keys in the receipt, or else those that the client has uploaded."""
        registration, keys = node.find("registration"), node.find("keys")
        if registration is None or keys is None:
            return asker.prekeys.take_bundle()
        return read_bundle(registration, keys)

    def _pass_on(self, writer: Account, reader: Device, node: Node, *, only: int) -> None:
        """A receipt for the writer's clients; one that asks again, for the client that wrote."""
        mode: Mode = (
            "lid"
            if node.jid("participant" if "participant" in node.attrs else "to").server == "lid"
            else "pn"
        )
        own = reader.lid if mode == "lid" else reader.jid
        in_group = node.jid("to").server == "g.us"
        addresses: dict[str, Attribute] = (
            {"from": node.jid("to"), "participant": own} if in_group else {"from": own}
        )
        passed = Node(
            "receipt", {**addresses, **kept(node, "id", "type"), "t": self._people.now()}, node.content
        )
        for number, device in writer.devices.items():
            if node.attr("type") != "retry" or number == only:
                self._network.deliver(device, passed)


def open_post_office(network: "WhatsApp", services: "Services") -> People:
    """Give a network its people, and somebody who takes to them what clients say."""
    people = People(network, services)
    Post(people, services)
    return people


def _devices(account: Account) -> list[Jid]:
    """An account's devices by its phone number, the phone first."""
    return [Jid(account.pn.user, device=number) for number in (0, *account.devices)]


def kept(node: Node, *names: str) -> dict[str, Attribute]:
    """Those of its attributes that it has."""
    return {name: node.attrs[name] for name in names if name in node.attrs}
