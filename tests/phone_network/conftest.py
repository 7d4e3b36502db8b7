"""The library in a child process, linked to an account of a stand-in of WhatsApp's servers."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.phone_network.clients import Clients
from tests.phone_network.network import WhatsApp
from tests.phone_network.post import open_post_office
from tests.phone_network.services import Services
from tests.phone_network.world import World


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with WhatsApp() as network:
        clients = await Clients(network).__aenter__()
        services = Services(network)
        people = open_post_office(network, services)
        account = network.new_account(phone="5511999990001", name="Shop")
        client = await clients.open(tmp_path / "a.db")
        device = await account.scan(await client.qr())
        await client.event("Connected")
        await account.connected(device)
        anna = people.new("5511988887777", "Anna")
        world = World(network, services, people, clients, account, device, client, tmp_path / "a.db", anna)
        yield world
        await world.clients.kill()
