"""The unmodified library against the stand-in: linking, by QR and by code."""

from pathlib import Path

from tests.phone_network.clients import Clients
from tests.phone_network.network import WhatsApp


async def test_a_client_is_linked_by_its_qr_code_and_connects(tmp_path: Path) -> None:
    """Transport, trust, Noise, codec, registration, pair-success, 515, login and prekeys, in one go."""
    async with WhatsApp() as network, Clients(network) as clients:
        account = network.new_account(phone="5511999990001")
        client = await clients.open(tmp_path / "a.db")
        device = await account.scan(await client.qr())
        await client.event("Connected")
        await account.connected(device)
        assert len(device.prekeys.one_time) == 812
        assert (await client.event("PairStatus"))["ID"]["User"] == "5511999990001"
