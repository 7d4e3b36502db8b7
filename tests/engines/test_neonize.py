"""neonize alone: what WhatsApp can do to a connection or a link, and what the engine says of each."""

import asyncio
import sqlite3
import time
from contextlib import closing
from datetime import UTC, datetime
from typing import Any

import pytest
from msgspec import structs

from relay.engines.engine import (
    ClientOutdated,
    ConnectFailed,
    Disconnected,
    Linked,
    LoggedOut,
    QrShown,
    Received,
    TemporarilyBanned,
)
from relay.engines.live_files import LiveFile
from relay.model.errors import NotConnected, OutcomeUnknown
from tests.engines.neonize_desk import MARIA, Desk
from tests.engines.neonize_phones import NeonizePhones
from tests.engines.phones import Recorder, link
from tests.engines.test_send import text
from tests.phone_network.activity import Online
from tests.phone_network.inbox import Posted
from tests.phone_network.linking import LinkFailed
from tests.phone_network.node import Jid


@pytest.mark.parametrize(
    ("code", "said"),
    [
        (401, LoggedOut()),
        (403, LoggedOut()),
        (405, ClientOutdated()),
        (406, LoggedOut(banned=True)),
        (409, ConnectFailed(reason="connect_refused")),
        (415, ConnectFailed(reason="connect_refused")),
    ],
)
async def test_refused_login(desk: Desk, code: int, said: object) -> None:
    """A refusal is told once, after the loss of the connection; nothing is tried again."""
    desk.phone.refuse_with(code)
    desk.phone.drop()
    await desk.says(type(said).__name__)
    assert desk.heard.signals[1:] == [Disconnected(will_retry=True), said]
    with pytest.raises(NotConnected):
        await desk.engine.send(text("Oi"))


@pytest.mark.parametrize("code", [500, 503])
async def test_servers_in_trouble(desk: Desk, code: int) -> None:
    """Servers that are in trouble are tried again until they take it."""
    desk.phone.refuse_with(code)
    desk.phone.drop()
    await desk.says("Disconnected")
    desk.phone.accept()
    await desk.says("Connected", 2)
    await desk.phones.settle()
    assert desk.heard.names == ["Connected", "Disconnected", "Connected"]


@pytest.mark.parametrize("code", ["500", "503", "516"])
async def test_stream_error(desk: Desk, code: str) -> None:
    """After the end of a stream it connects anew by itself, and what was said meanwhile comes."""
    desk.phone.end(code)
    await desk.maria.say(desk.phone, text="Oi")
    await desk.says("Connected", 2)
    [message] = await desk.hears(Received)
    assert message.content == {"text": "Oi"}
    assert desk.heard.names[1:-1] in ([], ["Disconnected"])


async def test_login_of_a_removed_device(desk: Desk) -> None:
    """Removed while the session was away, it is told so at the next start, and can link again."""
    await desk.engine.stop()
    desk.phone.unlink(desk.device)
    await desk.engine.start()
    await desk.says("LoggedOut")
    await desk.engine.start()
    await desk.says("QrShown")
    await desk.phone.scan(desk.heard.get(QrShown).text)
    await desk.says("Connected", 2)
    await desk.phones.settle()
    assert desk.heard.names[1:] == ["LoggedOut", "QrShown", "Linked", "AuthChanged", "Connected"]
    await desk.maria.say(desk.phone, text="Oi")
    await desk.hears(Received)


async def test_removed_and_not_yet_wiped(desk: Desk) -> None:
    """What the library leaves of a removed account, if it is slow to wipe it, is not gone on from."""
    await desk.engine.stop()
    file = desk.phones.machine.live_folder / f"{desk.account.session_id}.db"
    linked = file.read_bytes()
    desk.phone.unlink(desk.device)
    await desk.engine.start()
    await desk.says("LoggedOut")
    await desk.engine.stop()
    file.write_bytes(linked)
    await desk.engine.start()
    await desk.says("QrShown")
    assert desk.engine.is_linking


async def test_wiped_between_two_looks(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """A live account's process, which others share, is not the place to link it anew: its link is over."""
    make_ready = LiveFile.make_ready

    def make_ready_and_wipe(file: LiveFile, **known: Any) -> bool:
        ready = make_ready(file, **known)
        with closing(sqlite3.connect(file.path)) as db, db:
            db.execute("PRAGMA foreign_keys = ON")
            db.execute("DELETE FROM whatsmeow_device")
        return ready

    await desk.engine.stop()
    monkeypatch.setattr(LiveFile, "make_ready", make_ready_and_wipe)
    await desk.engine.start()
    await desk.says("LoggedOut")
    assert desk.heard.names[1:] == ["LoggedOut"]
    monkeypatch.setattr(LiveFile, "make_ready", make_ready)
    await desk.engine.start()
    await desk.says("QrShown")
    assert desk.engine.is_linking


async def test_ban_at_a_start(desk: Desk) -> None:
    """A ban says until when, whether it comes in the middle or at a start."""
    await desk.engine.stop()
    desk.phone.refuse_with(402, code="104", expire="3600")
    await desk.engine.start()
    await desk.says("TemporarilyBanned")
    left = desk.heard.get(TemporarilyBanned).until - datetime.now(UTC)
    assert 3590 < left.total_seconds() <= 3600
    assert desk.heard.names[1:] == ["TemporarilyBanned"]


@pytest.mark.usefixtures("quick_pings")
async def test_dead_line(desk: Desk) -> None:
    """A line that stays dead is left after a while; on the new one everything goes on, what was said meanwhile included."""
    desk.phone.go_silent()
    await desk.says("Degraded")
    degraded_at = time.monotonic()
    assert desk.engine.last_sign_of_life_at() <= degraded_at
    await desk.maria.say(desk.phone, text="Are you there?")
    await desk.says("Connected", 2)
    [message] = await desk.hears(Received)
    assert message.content == {"text": "Are you there?"}
    assert set(desk.heard.names[1:-1]) <= {"Degraded", "Disconnected"}
    assert desk.engine.last_sign_of_life_at() > degraded_at


async def test_stop_of_a_dead_line(desk: Desk) -> None:
    """A line that is dead can be stopped, and what hangs on it says that nobody knows."""
    desk.phone.go_silent()
    sending = asyncio.create_task(desk.engine.send(text("Oi")))
    await asyncio.wait_for(desk.engine.stop(), 10)
    with pytest.raises((OutcomeUnknown, NotConnected)):
        await sending
    assert set(desk.heard.names[1:]) <= {"Degraded"}


async def test_stop_under_a_send_without_answer(desk: Desk) -> None:
    """WhatsApp has the message and did not answer before the session stopped: nobody can say."""
    desk.phone.withhold_acks()
    sending = asyncio.create_task(desk.engine.send(text("Oi")))
    await desk.maria.inbox.first()
    await desk.engine.stop()
    with pytest.raises(OutcomeUnknown):
        await sending


async def test_dropped_under_a_send(desk: Desk) -> None:
    """It is sent once more under the same id, so the phone has it once and the caller its answer."""
    desk.phone.hold_acks()
    sending = asyncio.create_task(desk.engine.send(text("Oi")))
    posted = await desk.maria.inbox.first()
    desk.phone.drop()
    desk.phone.give_acks()
    sent = await sending
    await desk.phones.settle()
    assert [one.id for one in desk.maria.inbox] == [posted.id] == [sent.wa_id]


async def test_stays_unseen(desk: Desk) -> None:
    """An account does not show as online unless it was asked to, and after a lost connection it shows as before."""
    seen = desk.services.activity
    await seen.first(Online)
    await desk.engine.set_presence(available=True)
    desk.phone.drop()
    await desk.says("Connected", 2)
    await seen.first(Online, number=3)
    assert [act.available for act in seen.all(Online)] == [False, True, True]


# --- linking -----------------------------------------------------------------------------------------------------


async def test_link_hands_everything_over(neonize: NeonizePhones) -> None:
    """What WhatsApp hands over right after a link, history and the phone's settings too, comes to the live connection."""
    account, heard = await neonize.new_account(), Recorder()
    phone = neonize.phone_of(account)
    owner, maria = neonize.people.of(phone), neonize.people.of(neonize.network.accounts[MARIA])
    become_active = neonize.network.iq["passive", "set"]
    told: list[str | Posted] = []

    async def tell(connection: object, iq: object) -> object:
        if not told:
            told.append(owner.send_history({maria: ["Oi", "Quando?"]}))
            told.append(await maria.say(phone, text="Bom dia"))
        return await become_active(connection, iq)  # type: ignore[arg-type]

    neonize.network.iq["passive", "set"] = tell  # type: ignore[assignment]
    engine = await link(neonize, account, heard)
    await neonize.until(account, lambda: len(heard.list_of(Received)) >= 3, "history and a message")
    came = {message.content["text"]: message.history for message in heard.list_of(Received)}
    assert came == {"Oi": True, "Quando?": True, "Bom dia": False}
    await engine.set_presence(available=True)


async def test_qr_expires(neonize: NeonizePhones) -> None:
    """The first QR says that it lasts a minute; the process that shows it is another one than for live sessions."""
    account, heard = await neonize.new_account(), Recorder()
    engine = neonize.engine(account, heard)
    await engine.start()
    await neonize.settle()
    left = heard.get(QrShown).expires_at - datetime.now(UTC)
    assert 50 < left.total_seconds() <= 60
    [linking] = neonize.machine.processes.pids
    await neonize.scan(account)
    [live] = neonize.machine.processes.pids
    assert linking != live


async def test_passkey(neonize: NeonizePhones) -> None:
    """An account that asks for a passkey cannot be linked: that is said, and the code goes."""
    account, heard = await neonize.new_account(), Recorder()
    engine = neonize.engine(account, heard)
    await engine.start()
    await neonize.settle()
    phone = neonize.phone_of(account)
    phone.needs_passkey = True
    with pytest.raises(LinkFailed):
        await phone.scan(heard.get(QrShown).text)
    await neonize.until(account, lambda: len(heard.signals) > 1, "an end")
    assert heard.signals[1:] == [ConnectFailed(reason="passkey_required")]
    await engine.stop()
    assert heard.names[2:] == []


async def test_outdated_while_linking(neonize: NeonizePhones) -> None:
    """A client that is too old is told so before it has a code."""
    account, heard = await neonize.new_account(), Recorder()
    neonize.network.registration.refusal = {"reason": "405"}
    await neonize.engine(account, heard).start()
    await neonize.until(account, lambda: heard.signals, "an end")
    assert heard.signals == [ClientOutdated()]


async def test_link_without_a_network(neonize: NeonizePhones) -> None:
    """Nobody answers at the first connect: the engine has stopped, and can be started again."""
    account, heard = await neonize.new_account(), Recorder()
    neonize.network.down(True)
    engine = neonize.engine(account, heard)
    await engine.start()
    await neonize.until(account, lambda: heard.signals, "an end")
    assert heard.signals == [Disconnected(will_retry=False)]
    neonize.network.down(False)
    await engine.start()
    await neonize.scan(account)
    assert heard.names[1:] == ["QrShown", "Linked", "AuthChanged", "Connected"]


async def test_code_of_an_unknown_number(neonize: NeonizePhones) -> None:
    """WhatsApp gives no pairing code for a number that it does not know."""
    account, heard = await neonize.new_account(), Recorder()
    account = structs.replace(account, link_method="code", link_phone="5511912340000")
    await neonize.engine(account, heard).start()
    await neonize.until(account, lambda: heard.signals, "an end")
    assert heard.signals == [ConnectFailed(reason="link_refused")]


async def test_linked_names_the_account(neonize: NeonizePhones) -> None:
    """A link says the number and the LID that the phone has, before it is connected."""
    account, heard = await neonize.new_account(), Recorder()
    await link(neonize, account, heard)
    phone = neonize.phone_of(account)
    assert heard.get(Linked) == Linked(phone=phone.pn.user, lid=phone.lid.user)
    assert Jid(phone.pn.user) == phone.pn


async def test_nothing_is_printed(neonize: NeonizePhones, capfd: pytest.CaptureFixture[str]) -> None:
    """The library's own words, with numbers and texts in them, reach no log and no terminal."""
    account, heard = await neonize.new_account(link_method="code", link_phone="5511987654321"), Recorder()
    await link(neonize, account, heard)
    await neonize.say(account, **{"from": MARIA}, text="Oi")
    await neonize.fault(account, "replaced")
    assert capfd.readouterr() == ("", "")
