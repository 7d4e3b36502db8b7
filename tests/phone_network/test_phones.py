"""Virtual people and the unmodified library: each reads what the other wrote, whatever happened to their keys."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.phone_network.accounts import Account, Device
from tests.phone_network.clients import Client, Clients, jid
from tests.phone_network.network import WhatsApp
from tests.phone_network.phones import People, Person
from tests.phone_network.post import open_post_office
from tests.phone_network.services import Services


@dataclass
class World:
    """A linked client, and somebody it knows nothing of."""

    network: WhatsApp
    services: Services
    people: People
    clients: Clients
    account: Account
    device: Device
    client: Client
    path: Path
    anna: Person

    @property
    def owner(self) -> Person:
        return self.people.of(self.account)

    async def got(self, number: int = 1) -> dict[str, Any]:
        """The client's nth message."""
        return await self.client.event("Message", number)


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with WhatsApp() as network, Clients(network) as clients:
        services = Services(network)
        people = open_post_office(network, services)
        account = network.new_account(phone="5511999990001", name="Shop")
        client = await clients.open(tmp_path / "a.db")
        device = await account.scan(await client.qr())
        await client.event("Connected")
        await account.connected(device)
        anna = people.new("5511988887777", "Anna")
        yield World(network, services, people, clients, account, device, client, tmp_path / "a.db", anna)


def text_of(event: dict[str, Any]) -> str:
    message = event["Message"]
    return str(message.get("conversation") or message.get("extendedTextMessage", {}).get("text", ""))


async def test_texts_both_ways(world: World) -> None:
    """A first message opens a session, the answer turns it, receipts go both ways."""
    said = await world.anna.say(world.account, text="hello")
    event = await world.got()
    assert text_of(event) == "hello"
    assert event["Info"]["ID"] == said.id
    await world.client.call("send_message", jid(world.anna.pn), "hi Anna")
    got = await world.anna.inbox.first()
    assert (got.text, got.chat, got.from_me) == ("hi Anna", world.account.lid, False)
    own = await world.owner.inbox.first(lambda posted: posted.from_me)
    assert (own.text, own.chat, own.from_me) == ("hi Anna", world.anna.lid, True)
    world.anna.read(got)
    receipts = [await world.client.event("Receipt", number) for number in (1, 2)]
    assert [receipt["MessageIDs"] for receipt in receipts] == [[got.id], [got.id]]
    delivered = await world.anna.receipts.first()
    assert (delivered.type, delivered.ids) == ("inactive", (said.id,))
