"""Every engine: linking a device, resuming it, removing it."""

from msgspec import structs

from relay.engines.engine import CodeShown, Connected, Linked, QrShown
from tests.engines.phones import PhoneNetwork, Recorder, link


async def test_scan_links(phones: PhoneNetwork) -> None:
    """Without auth a QR is shown; its scan links, gives auth to keep, and connects, in this order."""
    account, heard = await phones.new_account(), Recorder()
    engine = phones.engine(account, heard)

    await engine.start()
    await phones.settle()
    assert heard.names == ["QrShown"]
    await phones.scan(account, "+55 11 98765-4321")

    assert heard.names == ["QrShown", "Linked", "AuthChanged", "Connected"]
    assert heard.get(Linked).phone == heard.get(Connected).phone == "5511987654321"
    assert heard.get(Connected).lid
    await engine.stop()


async def test_nobody_scans(phones: PhoneNetwork) -> None:
    """Codes that nobody scans are used up, and the engine has stopped; started again it shows new ones, and those link."""
    account, heard = await phones.new_account(), Recorder()
    engine = phones.engine(account, heard)
    await engine.start()
    for _ in range(8):
        await phones.advance(20)
    assert set(heard.names[:-1]) == {"QrShown"}
    assert heard.names[-1] == "LinkExpired"
    expired = heard.get(QrShown).text
    await phones.scan(account)
    assert heard.names[-1] == "LinkExpired"

    await engine.start()
    await phones.settle()
    assert heard.get(QrShown).text != expired
    await phones.scan(account)
    assert heard.names[-4:] == ["QrShown", "Linked", "AuthChanged", "Connected"]


async def test_pairing_code_links(phones: PhoneNetwork) -> None:
    """With method `code` a pairing code is shown, and the phone that types it in links."""
    account, heard = await phones.new_account(link_method="code", link_phone="+5511987654321"), Recorder()
    engine = phones.engine(account, heard)
    await engine.start()
    await phones.settle()

    left, dash, right = heard.get(CodeShown).code.partition("-")
    assert (len(left), dash, len(right)) == (4, "-", 4)
    assert heard.get(CodeShown).expires_at > phones.now
    await phones.scan(account)
    assert heard.get(Connected).phone == "5511987654321"


async def test_pairing_code_expires(phones: PhoneNetwork) -> None:
    """A pairing code that nobody types in ends the attempt."""
    account, heard = await phones.new_account(link_method="code", link_phone="+5511987654321"), Recorder()
    await phones.engine(account, heard).start()
    await phones.advance(160)
    assert heard.names == ["CodeShown", "LinkExpired"]


async def test_resume(phones: PhoneNetwork) -> None:
    """With the auth that it gave, another engine connects at once as the same account, without a code."""
    account, first, second = await phones.new_account(), Recorder(), Recorder()
    engine = await link(phones, account, first)
    await engine.stop()

    resumed = phones.engine(structs.replace(account, auth=first.auth), second)
    await resumed.start()
    await phones.settle()

    assert second.names == ["Connected"]
    assert second.get(Connected) == first.get(Connected)
    await resumed.stop()


async def test_start_again_resumes(phones: PhoneNetwork) -> None:
    """An engine that was linked resumes when it is stopped and started, though its Account says nothing of it."""
    account, heard = await phones.new_account(), Recorder()
    engine = await link(phones, account, heard)
    await engine.stop()
    await engine.start()
    await phones.settle()
    assert heard.names[4:] == ["Connected"]


async def test_logout(phones: PhoneNetwork) -> None:
    """After logout the device is gone: starting again shows a code."""
    account, heard = await phones.new_account(), Recorder()
    engine = await link(phones, account, heard)
    await engine.logout()
    await engine.start()
    await phones.settle()
    assert heard.names[4:] == ["QrShown"]


async def test_stop_is_safe(phones: PhoneNetwork) -> None:
    """Stop may come before start, twice, and while a code is on show; nothing is said afterwards."""
    account, heard = await phones.new_account(), Recorder()
    engine = phones.engine(account, heard)
    await engine.stop()
    await engine.start()
    await phones.settle()
    await engine.stop()
    await engine.stop()

    await phones.advance(600)
    await phones.scan(account)
    assert heard.names == ["QrShown"]


async def test_second_connection_replaces_first(phones: PhoneNetwork) -> None:
    """The same device connected twice: the first connection is told that it was replaced."""
    account, first, second = await phones.new_account(), Recorder(), Recorder()
    await link(phones, account, first)
    again = phones.engine_elsewhere(structs.replace(account, auth=first.auth), second)
    await again.start()
    await phones.settle()

    assert first.names[-1] == "StreamReplaced"
    assert second.names == ["Connected"]
