"""A connected account of neonize with both ends in sight, for the tests of neonize alone."""

from dataclasses import dataclass
from typing import TypeVar

from relay.engines.engine import Account, Entry
from relay.engines.remote_engine import RemoteEngine
from tests.engines.neonize_phones import NeonizePhones
from tests.engines.phones import Recorder
from tests.phone_network.accounts import Account as Phone
from tests.phone_network.accounts import Device
from tests.phone_network.groups import Group
from tests.phone_network.people import People
from tests.phone_network.phones import Person
from tests.phone_network.services import Services

MARIA = "5511912345678"
JOAO = "5511955554444"

E = TypeVar("E", bound=Entry)


@dataclass
class Desk:
    phones: NeonizePhones
    account: Account
    heard: Recorder
    engine: RemoteEngine
    phone: Phone
    """The account's own."""
    maria: Person
    joao: Person

    @property
    def services(self) -> Services:
        return self.phones.services

    @property
    def people(self) -> People:
        return self.phones.people

    @property
    def owner(self) -> Person:
        return self.people.of(self.phone)

    @property
    def device(self) -> Device:
        (device,) = self.phone.devices.values()
        return device

    def team(self, mode: str = "lid") -> Group:
        """A group of all three, which Maria has made."""
        return self.services.groups.create(
            self.maria.account, "Padaria", [self.phone, self.joao.account],
            addressing_mode="lid" if mode == "lid" else "pn",
        )  # fmt: skip

    async def says(self, name: str, number: int = 1) -> None:
        """Until the engine has signalled that so often."""
        await self.phones.until(
            self.account, lambda: self.heard.names.count(name) >= number, f"{name} ({number})"
        )

    async def hears(self, kind: type[E], number: int = 1) -> list[E]:
        """The journal's entries of a kind, once there are so many."""
        await self.phones.until(
            self.account, lambda: len(self.heard.list_of(kind)) >= number, f"{kind.__name__} ({number})"
        )
        return self.heard.list_of(kind)


async def open_desk(phones: NeonizePhones) -> Desk:
    account, heard = await phones.linked_account(), Recorder()
    engine = phones.engine(account, heard)
    await engine.start()
    await phones.settle()
    maria, joao = (phones.people.of(phones.network.accounts[number]) for number in (MARIA, JOAO))
    return Desk(phones, account, heard, engine, phones.phone_of(account), maria, joao)
