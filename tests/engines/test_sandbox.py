"""The sandbox alone: what a crash leaves, loads, many sessions, and the faults that no phone knows."""

import asyncio
import signal
import sys

import msgspec
import pytest
from msgspec import structs

from relay.engines.engine import Acknowledged, Connected, ConnectFailed, QrShown, Received
from relay.model import ids
from relay.model.sandbox import Command, FaultIn, InboundIn, ScanIn, command_of
from relay.store import sandbox as store
from tests.engines.phones import Recorder, link
from tests.engines.sandbox_phones import SandboxPhones
from tests.engines.test_send import text

_MARIA = "+55 11 91234-5678"


def inbound(**fields: object) -> InboundIn:
    return msgspec.convert({"from": _MARIA, "text": "Oi", **fields}, InboundIn)


async def commands_left(sandbox: SandboxPhones) -> int:
    left: int = await sandbox.pool.fetchval("SELECT count(*) FROM sandbox_commands")
    return left


async def test_again_after_a_crash(sandbox: SandboxPhones, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed between journal and delete, a command is carried out again under the same WhatsApp ids."""
    account, first, second = await sandbox.new_account(), Recorder(), Recorder()
    await link(sandbox, account, first)
    await sandbox.ask(account, inbound(count=3))
    with monkeypatch.context() as patch:
        patch.setattr(store, "delete_commands", _crash)
        with pytest.raises(ConnectionError):
            await sandbox.network.work()
    assert len(first.list_of(Received)) == 3

    sandbox.crash()
    await sandbox.engine(structs.replace(account, auth=first.auth), second).start()
    await sandbox.settle()

    assert [m.wa_id for m in second.list_of(Received)] == [m.wa_id for m in first.list_of(Received)]
    assert await commands_left(sandbox) == 0


async def _crash(*_: object) -> None:
    raise ConnectionError


async def test_receipts_after_a_crash(sandbox: SandboxPhones) -> None:
    """Receipts that a dead process still owed are told by the next one; those it told are not repeated."""
    account, first, second = await sandbox.new_account(), Recorder(), Recorder()
    engine = await link(sandbox, account, first)
    await engine.send(text("Read before"))
    await sandbox.advance(2)
    owed = await engine.send(text("Owed"))

    sandbox.crash()
    await sandbox.engine(structs.replace(account, auth=first.auth), second).start()
    await sandbox.advance(2)
    assert [(r.status, r.wa_ids) for r in second.list_of(Acknowledged)] == [
        ("delivered", [owed.wa_id]), ("read", [owed.wa_id]),
    ]  # fmt: skip


async def test_qr_renews_then_expires(sandbox: SandboxPhones) -> None:
    """Each QR is another one, the first lasts 60 s and the next 20 s; after the last the engine has stopped."""
    account, heard = await sandbox.new_account(), Recorder()
    engine = sandbox.engine(account, heard)
    await engine.start()
    await sandbox.settle()
    assert (heard.get(QrShown).expires_at - sandbox.now).total_seconds() == 60

    await sandbox.advance(59)
    assert heard.names == ["QrShown"]
    await sandbox.advance(1)
    assert (heard.get(QrShown).expires_at - sandbox.now).total_seconds() == 20
    for _ in range(4):
        await sandbox.advance(20)
    assert heard.names == ["QrShown"] * 6
    assert len({qr.text for qr in heard.list_of(QrShown)}) == 6
    await sandbox.advance(20)
    assert heard.names[6:] == ["LinkExpired"]


async def test_permanent_ban(sandbox: SandboxPhones) -> None:
    """A ban for good stays, until the sandbox's `clear`."""
    account, heard = await sandbox.new_account(), Recorder()
    engine = await link(sandbox, account, heard)
    await sandbox.fault(account, "ban", permanent=True)
    await sandbox.advance(10_000_000)
    await engine.start()
    assert heard.names[4:] == ["ConnectFailed", "ConnectFailed"]
    assert heard.get(ConnectFailed).reason == "banned"

    await sandbox.fault(account, "clear")
    await engine.start()
    assert heard.names[-1] == "Connected"


async def test_send_in_silence_is_given_up(sandbox: SandboxPhones) -> None:
    """A caller that gives up on a hanging send leaves no message behind."""
    account = await sandbox.new_account()
    engine = await link(sandbox, account, Recorder())
    await sandbox.fault(account, "silent")
    sending = asyncio.create_task(engine.send(text("Are you there?")))
    await sandbox.settle()
    sending.cancel()
    with pytest.raises(asyncio.CancelledError):
        await sending
    await sandbox.fault(account, "clear")
    assert await sandbox.read_outbox(account) == []


async def test_receipts_take_their_time(sandbox: SandboxPhones) -> None:
    """A message is delivered half a second after it was sent, and read a second later."""
    account, heard = await sandbox.new_account(), Recorder()
    engine = await link(sandbox, account, heard)
    await engine.send(text("Oi"))
    await sandbox.settle()
    assert heard.entries == []
    await sandbox.advance(0.5)
    assert [r.status for r in heard.list_of(Acknowledged)] == ["delivered"]
    await sandbox.advance(1)
    assert [r.status for r in heard.list_of(Acknowledged)] == ["delivered", "read"]
    assert heard.list_of(Acknowledged)[1].at > heard.list_of(Acknowledged)[0].at


async def test_load(sandbox: SandboxPhones) -> None:
    """`count` makes numbered messages over several looks; a neighbour's message does not wait for the last."""
    busy, calm = await sandbox.new_account(), await sandbox.new_account()
    heard_busy, heard_calm = Recorder(), Recorder()
    await link(sandbox, busy, heard_busy)
    await link(sandbox, calm, heard_calm)
    await sandbox.ask(busy, inbound(count=5_000))
    await sandbox.ask(busy, inbound(text="Last"))
    await sandbox.network.work()
    assert 0 < len(heard_busy.entries) < 5_000
    await sandbox.ask(calm, inbound())
    await sandbox.network.work()
    assert len(heard_calm.entries) == 1
    assert len(heard_busy.entries) < 5_000

    await sandbox.settle()
    texts = [m.content["text"] for m in heard_busy.list_of(Received)]
    assert texts == [f"Oi {number}" for number in range(1, 5_001)] + ["Last"]
    assert len({m.wa_id for m in heard_busy.list_of(Received)}) == 5_001
    assert await commands_left(sandbox) == 0


async def test_load_cut_off(sandbox: SandboxPhones) -> None:
    """A load cut off by a lost connection is complete after the next one, and what came twice has the same ids."""
    account, heard = await sandbox.new_account(), Recorder()
    engine = await link(sandbox, account, heard)
    await sandbox.ask(account, inbound(count=2_000))
    await sandbox.network.work()
    await sandbox.ask(account, FaultIn(kind="drop"))
    await sandbox.settle()
    assert heard.names[-1] == "Disconnected"
    assert 0 < len(heard.entries) < 2_000

    await engine.start()
    await sandbox.settle()
    assert len({m.wa_id for m in heard.list_of(Received)}) == 2_000
    assert await commands_left(sandbox) == 0


async def test_silence_keeps_order(sandbox: SandboxPhones) -> None:
    """Messages around a silence that is asked for and ended in one look stay in order."""
    account, heard = await sandbox.new_account(), Recorder()
    await link(sandbox, account, heard)
    await sandbox.ask(account, FaultIn(kind="silent"))
    await sandbox.ask(account, inbound(text="1"))
    await sandbox.ask(account, FaultIn(kind="clear"))
    await sandbox.ask(account, inbound(text="2"))
    await sandbox.settle()
    await sandbox.settle()
    assert [m.content["text"] for m in heard.list_of(Received)] == ["1", "2"]


async def test_stale_scan(sandbox: SandboxPhones) -> None:
    """A scan that was asked for before the code on show was made links nobody."""
    account, heard = await sandbox.new_account(), Recorder()
    await sandbox.ask(account, ScanIn())
    await sandbox.engine(account, heard).start()
    await sandbox.settle()
    assert heard.names == ["QrShown"]
    assert await commands_left(sandbox) == 0


async def test_own_number(sandbox: SandboxPhones) -> None:
    """Without a phone in the scan, a session always has the same Brazilian mobile number."""
    account, first, second = await sandbox.new_account(), Recorder(), Recorder()
    engine = await link(sandbox, account, first)
    await engine.logout()
    await link(sandbox, account, second)
    assert first.get(Connected).phone == second.get(Connected).phone
    assert len(first.get(Connected).phone) == 13
    assert first.get(Connected).phone.startswith("55119")


async def test_unreadable_command(sandbox: SandboxPhones) -> None:
    """A command that another version wrote is passed over; the next ones are carried out."""
    account, heard = await sandbox.new_account(), Recorder()
    await link(sandbox, account, heard)
    async with sandbox.pool.acquire() as conn:
        await store.insert_command(
            conn, tenant_id=account.tenant_id, session_id=account.session_id, body={"scan": {"face": True}}
        )
    await sandbox.say(account, **{"from": _MARIA}, text="Oi")
    assert len(heard.entries) == 1
    assert await commands_left(sandbox) == 0


async def test_sends_share_a_commit(sandbox: SandboxPhones) -> None:
    """Many sessions send at once; a removed one's refusal costs the others nothing."""
    accounts = [await sandbox.new_account() for _ in range(5)]
    engines = [await link(sandbox, account, Recorder()) for account in accounts]
    await sandbox.pool.execute("DELETE FROM whatsapp_sessions WHERE id = $1", accounts[2].session_id)

    results = await asyncio.gather(*(e.send(text("Oi")) for e in engines), return_exceptions=True)

    assert [type(result).__name__ for result in results] == ["Sent", "Sent", "OutcomeUnknown", "Sent", "Sent"]
    for account in accounts[:2] + accounts[3:]:
        assert len(await sandbox.read_outbox(account)) == 1


async def test_outbox_is_the_tenants(sandbox: SandboxPhones) -> None:
    """Another tenant asking for a session's outbox sees nothing; pages follow one another."""
    account, stranger = await sandbox.new_account(), await sandbox.new_account()
    engine = await link(sandbox, account, Recorder())
    for number in range(3):
        await engine.send(text(str(number)))

    async def page(tenant_id: ids.TenantId, after: int) -> list[store.OutboxRow]:
        return await store.list_outbox(
            sandbox.pool, tenant_id=tenant_id, session_id=account.session_id, after=after, limit=2
        )

    assert await page(stranger.tenant_id, 0) == []
    first = await page(account.tenant_id, 0)
    second = await page(account.tenant_id, first[-1].id)
    assert [row.body["content"]["text"] for row in first + second] == ["0", "1", "2"]


async def test_crash_comes_last(sandbox: SandboxPhones) -> None:
    """A crash strikes after what came before it was journaled and both are gone from the table."""
    account, heard = await sandbox.new_account(), Recorder()
    await link(sandbox, account, heard)
    await sandbox.ask(account, inbound())
    await sandbox.ask(account, FaultIn(kind="crash"))
    await sandbox.ask(account, inbound())
    await sandbox.network.work()
    assert sandbox.killed == 1
    assert len(heard.entries) == 1
    assert await commands_left(sandbox) == 1


async def test_crash_kills(sandbox: SandboxPhones, url: str) -> None:
    """The fault `crash` ends the process by SIGKILL, and does not strike twice."""
    account, heard = await sandbox.new_account(), Recorder()
    await link(sandbox, account, heard)
    await sandbox.ask(account, FaultIn(kind="crash"))
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-c", _CHILD, url, account.session_id, account.tenant_id, heard.auth.decode()
    )
    assert await child.wait() == -signal.SIGKILL
    assert await commands_left(sandbox) == 0


_CHILD = """
import asyncio, sys
from relay.config import Sandbox
from relay.engines.engine import Account
from relay.engines.sandbox_network import SandboxNetwork
from relay.store.pool import open_pool
from tests.engines.phones import Recorder

async def main(url, session_id, tenant_id, auth):
    async with open_pool(url, size=1, name="child") as pool:
        network = SandboxNetwork(pool, Sandbox())
        await network.engine(
            Account(session_id=session_id, tenant_id=tenant_id, auth=auth.encode()), Recorder()
        ).start()
        await network.work()

asyncio.run(main(*sys.argv[1:]))
"""


@pytest.mark.parametrize(
    ("body", "path"),
    [
        ({"from": "Maria", "text": "Oi"}, "$.from"),
        ({"from": _MARIA}, "text"),
        ({"from": _MARIA, "type": "image"}, "content"),
        ({"from": _MARIA, "type": "edit", "text": "x"}, "waId"),
        ({"from": _MARIA, "type": "receipt", "waIds": ["A"]}, "status"),
        ({"from": _MARIA, "type": "receipt", "status": "read"}, "waIds"),
        ({"from": _MARIA, "text": "Oi", "count": 100_001}, "$.count"),
        ({"from": _MARIA, "text": "Oi", "count": 2, "waId": "A"}, "count"),
        ({"from": _MARIA, "text": "Oi", "chat": "5511@s.whatsapp.net"}, "$.chat"),
        ({"from": _MARIA, "text": "Oi", "sender": "x"}, "sender"),
    ],
)
def test_impossible_inbound(body: dict[str, object], path: str) -> None:
    """What cannot be done is refused where it is decoded, naming the field."""
    with pytest.raises(msgspec.ValidationError) as refused:
        msgspec.json.decode(msgspec.json.encode(body), type=InboundIn)
    assert path in str(refused.value)


def test_command_round_trip() -> None:
    """A body reads the same after it was stored."""
    body = inbound(type="image", content={"mediaId": "med_0"}, text="Look", fromMe=True, count=3)
    assert msgspec.convert(command_of(body), Command).inbound == body
