"""The unmodified library against the stand-in: what becomes of a message that the servers do not acknowledge as usual."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.phone_network.accounts import Account
from tests.phone_network.clients import CallFailed, Client, Clients, jid
from tests.phone_network.network import WhatsApp
from tests.phone_network.phones import Person
from tests.phone_network.post import open_post_office
from tests.phone_network.services import Services


@dataclass
class World:
    account: Account
    client: Client
    anna: Person

    async def send(self, text: str) -> None:
        await self.client.call("send_message", jid(self.anna.pn), text)


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    """A client that is linked and connected, and somebody to write to."""
    async with WhatsApp() as network, Clients(network) as clients:
        people = open_post_office(network, Services(network))
        account = network.new_account(phone="5511999990001")
        client = await clients.open(tmp_path / "a.db")
        await account.scan(await client.qr())
        await client.event("Connected")
        yield World(account, client, people.new("5511988887777"))


async def test_a_message_that_the_servers_refuse(world: World) -> None:
    """The client's call fails with their number, and nobody gets the message."""
    world.account.refuse_messages(463)
    with pytest.raises(CallFailed, match="463"):
        await world.send("hello")
    assert not world.anna.inbox
    world.account.give_acks()
    await world.send("hello again")
    assert (await world.anna.inbox.first()).text == "hello again"


async def test_a_late_acknowledgement(world: World) -> None:
    """The message has arrived before its sender knows."""
    world.account.delay_acks(0.3)
    sending = asyncio.create_task(world.send("hello"))
    await world.anna.inbox.first()
    assert not sending.done()
    await sending


async def test_a_connection_that_is_cut_before_the_acknowledgement(world: World) -> None:
    """The client sends the same message again over its next connection; it is read once."""
    world.account.withhold_acks()
    sending = asyncio.create_task(world.send("hello"))
    await world.anna.inbox.first()
    world.account.give_acks()
    world.account.drop()
    await sending
    await world.send("after")
    assert [posted.text for posted in await world.anna.inbox.at_least(2)] == ["hello", "after"]
