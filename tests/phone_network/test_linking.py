"""The unmodified library against the stand-in: linking by QR and by code, and coming back."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.phone_network.clients import Clients
from tests.phone_network.linking import LinkFailed
from tests.phone_network.network import WhatsApp

PHONE = "5511999990001"


@pytest.fixture
async def network() -> AsyncIterator[WhatsApp]:
    async with WhatsApp() as network:
        yield network


async def test_a_client_is_linked_by_its_qr_code_and_connects(network: WhatsApp, tmp_path: Path) -> None:
    """Transport, trust, Noise, codec, registration, pair-success, 515, login and prekeys, in one go."""
    account = network.new_account(phone=PHONE)
    async with Clients(network) as clients:
        client = await clients.open(tmp_path / "a.db")
        device = await account.scan(await client.qr())
        await client.event("Connected")
    assert (await client.event("PairStatus"))["ID"]["User"] == PHONE
    assert len(device.prekeys.one_time) == 812
    assert device.prekeys.take_bundle().is_genuine()


async def test_a_client_is_linked_by_a_pairing_code(network: WhatsApp, tmp_path: Path) -> None:
    """The code carries both one-time keys across; a wrong one is refused and the right one still works."""
    account = network.new_account(phone=PHONE)
    async with Clients(network) as clients:
        client = await clients.open(tmp_path / "a.db")
        await client.qr()
        code = await client.call("PairPhone", PHONE, True)
        await account.code_wanted()
        await account.enter_code(code)
        await client.event("Connected")


async def test_a_wrong_pairing_code_links_nobody(network: WhatsApp, tmp_path: Path) -> None:
    account = network.new_account(phone=PHONE)
    async with Clients(network) as clients:
        client = await clients.open(tmp_path / "a.db")
        await client.qr()
        await client.call("PairPhone", PHONE, True)
        with pytest.raises(LinkFailed, match="code is wrong"):
            await account.enter_code("1234-5678")
    assert not account.devices


async def test_an_expired_qr_code_links_nobody(network: WhatsApp, tmp_path: Path) -> None:
    """Whoever showed it has gone."""
    account = network.new_account(phone=PHONE)
    async with Clients(network) as clients:
        client = await clients.open(tmp_path / "a.db")
        text = await client.qr()
    with pytest.raises(LinkFailed, match="expired"):
        await account.scan(text)


async def test_an_account_that_needs_a_passkey_is_not_linked(network: WhatsApp, tmp_path: Path) -> None:
    """The library says why, through its login status only."""
    account = network.new_account(phone=PHONE)
    account.needs_passkey = True
    async with Clients(network) as clients:
        client = await clients.open(tmp_path / "a.db")
        with pytest.raises(LinkFailed, match="passkey"):
            await account.scan(await client.qr())
        assert (await client.event("login"))["status"] == "passkey-request"
    assert not account.devices


async def test_a_linked_file_connects_again_without_linking(network: WhatsApp, tmp_path: Path) -> None:
    """The second process shows no QR code, logs in with its Noise key and keeps its prekeys."""
    account = network.new_account(phone=PHONE)
    async with Clients(network) as clients:
        client = await clients.open(tmp_path / "a.db")
        device = await account.scan(await client.qr())
        await client.event("Connected")
    await account.disconnected()
    async with Clients(network) as clients:
        client = await clients.open(tmp_path / "a.db")
        await client.event("Connected")
        assert await account.connected() is device
        assert not client.qr_texts


async def test_many_clients_of_one_process_connect(network: WhatsApp, tmp_path: Path) -> None:
    """Twenty accounts linked and connected at once, on one event loop."""
    accounts = [network.new_account(phone=str(5511999990000 + number)) for number in range(20)]
    async with Clients(network) as clients:
        for account in accounts:
            client = await clients.open(tmp_path / f"{account.pn.user}.db")
            await account.scan(await client.qr())
        for account in accounts:
            await account.connected()
        assert len(network.connections) == len(accounts)
