"""Every engine: linking a device, resuming it, removing it."""

from datetime import timedelta

from msgspec import structs

from relay.engines.engine import CodeShown, Connected, Linked, QrShown
from tests.engines.phones import PhoneNetwork, Recorder, link


async def test_scan_links(phones: PhoneNetwork) -> None:
    """Without auth a QR is shown; its scan links, gives auth to keep, and connects, in this order."""
    account, heard = await phones.new_account(), Recorder()
    engine = phones.engine(account, heard)

    await engine.start()
    await phones.settle()
    assert heard.heard() == ["QrShown"]
    await phones.scan(account, "+55 11 98765-4321")

    assert heard.heard() == ["QrShown", "Linked", "AuthChanged", "Connected"]
    assert heard.get(Linked).phone == heard.get(Connected).phone == "5511987654321"
    assert heard.get(Connected).lid
    await engine.stop()
