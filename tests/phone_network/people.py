"""Everybody on a network, the owners of the accounts under test among them."""

from typing import TYPE_CHECKING

from tests.phone_network.accounts import Account
from tests.phone_network.envelopes import Mode
from tests.phone_network.groups import Group
from tests.phone_network.media_host import MediaHost
from tests.phone_network.node import Node
from tests.phone_network.phones import Addressee, Person

if TYPE_CHECKING:
    from tests.phone_network.network import WhatsApp
    from tests.phone_network.services import Services


class People:
    """One for each network; `open_post_office` makes it."""

    def __init__(self, network: "WhatsApp", services: "Services") -> None:
        self.network = network
        self.media: MediaHost = services.media
        self._clock = services.clock
        self._people: dict[Account, Person] = {}

    def new(self, phone: str, name: str = "") -> Person:
        """Somebody whose number nobody had yet."""
        return self.of(self.network.new_account(phone=phone, name=name))

    def of(self, account: Account) -> Person:
        """Whoever holds an account's phone."""
        if account not in self._people:
            self._people[account] = Person(self, account)
        return self._people[account]

    def now(self) -> str:
        return str(int(self._clock()))

    def chat(self, to: Addressee, mode: Mode | None) -> tuple[Account | Group, Mode]:
        """Where something goes, and by which names."""
        if isinstance(to, Group):
            return to, mode or to.addressing_mode
        return (to.account if isinstance(to, Person) else to), mode or "lid"

    def answer(self, author: Account, receipt: Node) -> None:
        """A receipt for all clients of an account."""
        for device in author.devices.values():
            self.network.deliver(device, receipt)
