"""The unmodified library against the stand-in: what can go wrong, and what each looks like from the client."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.phone_network.accounts import Account, Device
from tests.phone_network.clients import Client, Clients
from tests.phone_network.connection import SERVER
from tests.phone_network.network import WhatsApp
from tests.phone_network.node import Node

PHONE = "5511999990001"


@pytest.fixture
async def network() -> AsyncIterator[WhatsApp]:
    async with WhatsApp() as network:
        yield network


@pytest.fixture
def account(network: WhatsApp) -> Account:
    return network.new_account(phone=PHONE)


@pytest.fixture
async def clients(network: WhatsApp) -> AsyncIterator[Clients]:
    async with Clients(network) as clients:
        yield clients


@pytest.fixture
async def client(clients: Clients, account: Account, tmp_path: Path) -> Client:
    """A client that is linked and connected."""
    client = await clients.open(tmp_path / "a.db")
    await account.scan(await client.qr())
    await client.event("Connected")
    return client


def only(account: Account) -> Device:
    (device,) = account.devices.values()
    return device


def news(account: Account, id: str) -> Node:
    """Something that the client acknowledges and nobody has to encrypt."""
    changed = Node("set", {"jid": account.pn, "id": "1", "author": account.pn})
    return Node("notification", {"from": SERVER, "type": "picture", "id": id, "t": "1700000000"}, [changed])


async def test_a_dropped_connection_comes_back(client: Client, account: Account) -> None:
    account.drop()
    assert not only(account).is_connected
    await client.event("Disconnected")
    await client.event("Connected", 2)


@pytest.mark.parametrize("code", [401, 403, 406])
async def test_a_refusal_that_logs_out(client: Client, account: Account, code: int) -> None:
    account.refuse_with(code)
    account.drop()
    told = await client.event("LoggedOut")
    assert told["OnConnect"] is True


async def test_a_temporary_ban(client: Client, account: Account) -> None:
    account.refuse_with(402, code="104", expire="3600")
    account.drop()
    told = await client.event("TemporaryBan")
    assert (told["Code"], int(told["Expire"])) == ("SENT_TOO_MANY_SAME_MESSAGE", 3600)


async def test_a_client_that_is_too_old(client: Client, account: Account) -> None:
    account.refuse_with(405)
    account.drop()
    await client.event("ClientOutdated")


async def test_an_unknown_refusal(client: Client, account: Account) -> None:
    account.refuse_with(409)
    account.drop()
    await client.event("ConnectFailure")


async def test_servers_in_trouble_are_tried_again(client: Client, account: Account) -> None:
    account.refuse_with(503)
    account.drop()
    await client.event("Disconnected", 2)
    account.accept()
    await client.event("Connected", 2)


async def test_a_login_with_another_key_is_refused(client: Client, account: Account) -> None:
    """As for a device that was removed and whose number now belongs to somebody else."""
    only(account).noise_key = bytes(32)
    account.drop()
    await client.event("LoggedOut")


async def test_a_device_that_the_phone_removed(client: Client, account: Account) -> None:
    """At once, and for good: its next login would be refused as well."""
    account.unlink(only(account))
    told = await client.event("LoggedOut")
    assert not told.get("OnConnect")
    assert not account.devices


async def test_a_stream_error_is_followed_by_a_new_connection(client: Client, account: Account) -> None:
    account.end("503")
    await client.event("Connected", 2)


async def test_another_process_with_the_same_device_replaces_the_first(
    client: Client, clients: Clients, account: Account, tmp_path: Path
) -> None:
    await clients.open(tmp_path / "a.db", "second")
    await client.event("StreamReplaced")
    await account.connected()


async def test_servers_that_are_down(client: Client, network: WhatsApp, account: Account) -> None:
    """Everybody is cut and nobody gets in, until they are up again."""
    network.down(True)
    await client.event("Disconnected")
    await account.disconnected()
    network.down(False)
    await client.event("Connected", 2)


async def test_a_first_connection_that_fails_is_not_tried_again(
    network: WhatsApp, clients: Clients, tmp_path: Path
) -> None:
    network.down(True)
    client = await clients.open(tmp_path / "a.db")
    assert (await client.event("ended"))["error"]


async def test_what_came_meanwhile_waits_for_the_login(
    network: WhatsApp, account: Account, tmp_path: Path
) -> None:
    """It is announced, sent with its place in the queue, and gone once it is acknowledged."""
    async with Clients(network) as clients:
        client = await clients.open(tmp_path / "a.db")
        await account.scan(await client.qr())
        await client.event("Connected")
    await account.disconnected()
    device = only(account)
    for name in ("one", "two", "three"):
        network.deliver(device, news(account, name))
    assert len(device.pending) == 3
    async with Clients(network) as clients:
        client = await clients.open(tmp_path / "a.db")
        assert (await client.event("OfflineSyncPreview"))["Total"] == 3
        assert (await client.event("OfflineSyncCompleted"))["Count"] == 3
        await account.acknowledged()
        assert [name for name, _ in client.events].count("Picture") == 3


async def test_a_silent_line_takes_nothing_and_keeps_what_was_sent(
    client: Client, network: WhatsApp, account: Account
) -> None:
    account.go_silent()
    network.deliver(only(account), news(account, "lost"))
    account.drop()
    await client.event("Picture")
    await account.acknowledged()
