"""Every engine: each way in which a connection or a send fails, and what the engine says of it."""

import asyncio
from typing import Any

import pytest

from relay.engines.engine import Disconnected, Received, Sent, TemporarilyBanned
from relay.model.errors import NotConnected, OutcomeUnknown, SendRejected
from tests.engines.phones import PhoneNetwork, Recorder, connect
from tests.engines.test_send import text

_MARIA = "+55 11 91234-5678"


@pytest.mark.parametrize(
    ("kind", "how", "said"),
    [
        ("logout", {}, "LoggedOut"),
        ("replaced", {}, "StreamReplaced"),
        ("outdated", {}, "ClientOutdated"),
        ("ban", {}, "TemporarilyBanned"),
    ],
)
async def test_connection_ends(phones: PhoneNetwork, kind: str, how: dict[str, Any], said: str) -> None:
    """Each end is told by its own signal, once; then the engine is stopped and nothing arrives."""
    account, heard = await phones.linked_account(), Recorder()
    engine = await connect(phones, account, heard)
    await phones.fault(account, kind, **how)
    await phones.say(account, **{"from": _MARIA}, text="Oi")

    assert (heard.names[-1], heard.names.count(said)) == (said, 1)
    assert heard.list_of(Received) == []
    with pytest.raises(NotConnected):
        await engine.send(text("Oi"))


@pytest.mark.parametrize(
    ("kind", "comes_back"),
    [("replaced", "Connected"), ("outdated", "Connected"), ("logout", "QrShown")],
)
async def test_start_after_the_end(phones: PhoneNetwork, kind: str, comes_back: str) -> None:
    """Started again, the account is back; one that was logged out has to be linked."""
    account, heard = await phones.linked_account(), Recorder()
    engine = await connect(phones, account, heard)
    await phones.fault(account, kind)
    await engine.start()
    await phones.settle()
    assert heard.names[-1] == comes_back


async def test_drop(phones: PhoneNetwork) -> None:
    """A lost connection is told; it comes back, by itself where the engine says so, with what was said meanwhile."""
    account, heard = await phones.linked_account(), Recorder()
    engine = await connect(phones, account, heard)
    await phones.fault(account, "drop")
    assert heard.names[1] == "Disconnected"
    await phones.say(account, **{"from": _MARIA}, text="Oi")
    if not heard.get(Disconnected).will_retry:
        await engine.start()
    await phones.settle()
    assert heard.names[1:] == ["Disconnected", "Connected"]
    assert [message.content["text"] for message in heard.list_of(Received)] == ["Oi"]
    await engine.send(text("Oi"))


async def test_out_of_reach(phones: PhoneNetwork) -> None:
    """While WhatsApp is out of reach each start ends disconnected, for good; afterwards one connects."""
    account, heard = await phones.linked_account(), Recorder()
    engine = await connect(phones, account, heard)
    await phones.fault(account, "drop", seconds=30)
    assert heard.names[1:] == ["Disconnected"]
    for number in range(2):
        await engine.stop()
        await engine.start()
        assert heard.names[2 + number :] == ["Disconnected"]
        assert not heard.get(Disconnected).will_retry
        with pytest.raises(NotConnected):
            await engine.send(text("Oi"))

    await phones.advance(30)
    await engine.start()
    await phones.settle()
    assert heard.names[-1] == "Connected"


async def test_temporary_ban(phones: PhoneNetwork) -> None:
    """A ban says until when; starting before ends the same way, starting then connects."""
    account, heard = await phones.linked_account(), Recorder()
    engine = await connect(phones, account, heard)
    await phones.fault(account, "ban", seconds=600)
    assert 590 <= (heard.get(TemporarilyBanned).until - phones.now).total_seconds() <= 610

    await phones.advance(300)
    await engine.start()
    assert heard.names[-1] == "TemporarilyBanned"
    await phones.advance(300)
    await engine.start()
    assert heard.names[-1] == "Connected"


async def test_rejected(phones: PhoneNetwork) -> None:
    """A send that WhatsApp refuses raises SendRejected and reaches nobody; the next one goes."""
    account = await phones.linked_account()
    engine = await connect(phones, account, Recorder())
    await phones.fault(account, "reject", count=2)
    for _ in range(2):
        with pytest.raises(SendRejected):
            await engine.send(text("No"))
    await engine.send(text("Yes"))
    assert [row["content"]["text"] for row in await phones.read_outbox(account)] == ["Yes"]


@pytest.mark.usefixtures("quick_pings")
async def test_silence(phones: PhoneNetwork) -> None:
    """A connection that stops answering is degraded: nothing arrives, sends hang, no sign of life; then all goes on."""
    account, heard = await phones.linked_account(), Recorder()
    engine = await connect(phones, account, heard)
    await phones.fault(account, "silent", seconds=45)
    assert heard.names[1:] == ["Degraded"]
    alive_at = engine.last_sign_of_life_at()
    sending = asyncio.create_task(engine.send(text("Are you there?")))
    await phones.say(account, **{"from": _MARIA}, text="Oi")
    await phones.advance(44)
    assert heard.entries == []
    assert not sending.done()
    assert engine.last_sign_of_life_at() == alive_at

    await phones.advance(1)
    assert heard.names[1:] == ["Degraded", "Restored"]
    await sending
    await phones.settle()
    assert [m.content["text"] for m in heard.list_of(Received)] == ["Oi"]
    assert [row["content"]["text"] for row in await phones.read_outbox(account)] == ["Are you there?"]
    assert engine.last_sign_of_life_at() > alive_at


async def test_drop_in_the_middle_of_a_send(phones: PhoneNetwork) -> None:
    """When the connection ends under a send, it is sent once all the same, or nobody can say; never twice."""
    account = await phones.linked_account()
    engine = await connect(phones, account, Recorder())
    await phones.fault(account, "slow", seconds=10)
    sending = asyncio.create_task(engine.send(text("Oi")))
    await phones.settle()
    await phones.fault(account, "drop")
    await phones.fault(account, "clear")
    [outcome] = await asyncio.gather(sending, return_exceptions=True)

    rows = await phones.read_outbox(account)
    assert len(rows) <= 1
    if isinstance(outcome, Sent):
        assert [row["waId"] for row in rows] == [outcome.wa_id]
    else:
        assert isinstance(outcome, OutcomeUnknown)


async def test_slow(phones: PhoneNetwork) -> None:
    """A slow WhatsApp takes its time for each send, until cleared."""
    account = await phones.linked_account()
    engine = await connect(phones, account, Recorder())
    await phones.fault(account, "slow", seconds=3)
    sending = asyncio.create_task(engine.send(text("Oi")))
    await phones.settle()
    await phones.advance(2.9)
    assert not sending.done()
    await phones.advance(0.1)
    await sending

    await phones.fault(account, "clear")
    await engine.send(text("Tchau"))
    assert len(await phones.read_outbox(account)) == 2
