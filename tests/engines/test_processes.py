"""Engine processes: accounts resume and move with nothing to ask again, processes die, hang, fill up and are replaced."""

import asyncio
import os
import signal
import sqlite3
import subprocess
import sys
import zlib
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import pytest

from relay.engines import process as one_process
from relay.engines import processes as module
from relay.engines.engine import Connected, Crashed, LoggedOut, QrShown
from relay.engines.engine_process import take_lock
from relay.model.errors import Conflict, NotConnected, OutcomeUnknown
from tests.engines.machines import Ear, World, forgotten, gone, open_world


@pytest.fixture
async def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[World]:
    async with open_world(tmp_path, monkeypatch) as world:
        yield world


async def test_a_restart_on_the_same_machine_asks_for_nothing_again(world: World) -> None:
    """The live file's ratchets go on: phones that neither ask nor answer read, and are read, in 1:1 chats and groups."""
    machine = world.machine("a")
    shop = await world.link(machine)
    old = shop.ear.auth
    maria = world.person("Maria")
    team = world.services.groups.create(maria.account, "Team", [shop.phone])
    for group in (None, team):
        await shop.hears(maria, f"before {group}", group)
        await shop.tells(maria, f"before too {group}", group)
    await shop.engine.stop()
    await machine.processes.close()
    maria.answers_retries = False
    shop = await shop.resume(world.machine("a"), term=2, auth=old, auth_term=1)
    for group in (None, team):
        await shop.hears(maria, f"after {group}", group)
        await shop.tells(maria, f"after too {group}", group)
    assert "retry" not in {receipt.type for receipt in maria.receipts}
    assert shop.device.replaced == 0


@pytest.mark.parametrize("kept", ["newest", "older"])
async def test_an_account_moves_after_its_machine_is_gone(world: World, kept: str) -> None:
    """From the snapshot alone, however old: the first message each way is read at once, in 1:1 chats and groups."""
    machine = world.machine("a")
    shop = await world.link(machine)
    maria, ana = world.person("Maria"), world.person("Ana")
    team = world.services.groups.create(maria.account, "Team", [shop.phone, ana.account])
    pairs = [(maria, None), (maria, team), (ana, team), (ana, None)]

    async def talk(words: str) -> None:
        for number, (somebody, group) in enumerate(pairs):
            await shop.hears(somebody, f"{words} {number}", group)
            await shop.tells(somebody, f"{words} {number} too", group)
        await shop.owner.say(team, text=f"{words} of the owner")
        await shop.ear.has(f"{words} of the owner")

    await talk("first")
    auth = await shop.engine.snapshot()
    if kept == "older":
        await talk("second")
    await machine.kill()
    await shop.phone.disconnected()
    shop = await shop.resume(world.machine("b"), term=2, auth=auth, auth_term=1)
    assert shop.ear.names == ["Connected"]
    await talk("moved")
    assert Counter(shop.ear.texts).most_common(1)[0][1] == 1
    assert [len(somebody.lost) for somebody in (maria, ana)] == [0, 0]


async def test_a_snapshot_of_a_working_engine_is_a_good_copy(world: World, tmp_path: Path) -> None:
    """Taken in the middle of messages, each is a whole database, and an account resumes from one of them."""
    machine = world.machine("a")
    shop = await world.link(machine)
    maria = world.person("Maria")
    images: list[bytes] = []
    while len(images) < 6:
        before, said = len(shop.ear.texts), 200
        talking = asyncio.create_task(maria.say_many(shop.phone, said))
        while len(shop.ear.texts) < before + said:
            image = await shop.engine.snapshot()
            if image is not None:
                images.append(zlib.decompress(image))
            await asyncio.sleep(0.02)
        await talking
    copy = tmp_path / "copy.db"
    for image in images:
        copy.write_bytes(image)
        with closing(sqlite3.connect(copy)) as db:
            assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    await machine.kill()
    await shop.phone.disconnected()
    middle = zlib.compress(images[len(images) // 2])
    shop = await shop.resume(world.machine("b"), term=2, auth=middle, auth_term=1)
    await shop.hears(maria, "and now?")
    await shop.tells(maria, "still here")


async def test_an_engine_process_that_is_killed_takes_its_accounts_and_no_other(world: World) -> None:
    """Both of its accounts hear that it crashed, and come back in a new one; a call under way says that nobody knows."""
    machine = world.machine("a", capacity=2)
    one, two, other = [await world.link(machine) for _ in range(3)]
    maria = world.person("Maria")
    await one.tells(maria, "hello")
    first, second = machine.processes.pids
    one.phone.withhold_acks()
    sending = asyncio.create_task(one.tells(maria, "under way"))
    await maria.inbox.first(lambda posted: posted.text == "under way")
    os.kill(first, signal.SIGKILL)
    with pytest.raises(OutcomeUnknown):
        await sending
    one.phone.give_acks()
    for shop in (one, two):
        await shop.ear.says(Crashed)
        with pytest.raises(NotConnected):
            await shop.tells(maria, "not now")
        await shop.phone.disconnected()
        await shop.engine.stop()
        back = await shop.resume(machine, term=1, auth=None, auth_term=1)
        await back.hears(maria, f"back {shop.account.session_id}")
    assert other.ear.names[-1] == "Connected"
    assert second in machine.processes.pids
    assert first not in machine.processes.pids
    assert other.device.replaced == one.device.replaced == two.device.replaced == 0


async def test_an_engine_process_that_hangs_is_killed(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """It no longer answers: after the patience it is gone, its account hears of a crash and comes back."""
    monkeypatch.setattr(one_process, "_HUNG_SECONDS", 1.0)
    machine = world.machine("a")
    shop = await world.link(machine)
    (pid,) = machine.processes.pids
    os.kill(pid, signal.SIGSTOP)
    asked = asyncio.create_task(shop.engine.check_numbers(["5511988887777"]))
    while not shop.ear.list_of(Crashed):
        await machine.processes.work()
        await asyncio.sleep(0.1)
    with pytest.raises(OutcomeUnknown):
        await asked
    await gone(pid)
    await shop.engine.stop()
    shop = await shop.resume(machine, term=1, auth=None, auth_term=1)
    await shop.hears(world.person("Maria"), "are you there?")


async def test_an_account_that_hangs_when_it_is_to_stop_is_gone_in_the_end(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody may believe it stopped while it goes on: when `stop` returns, its process is dead."""
    monkeypatch.setattr(module, "_STOP_SECONDS", 0.5)
    machine = world.machine("a")
    shop = await world.link(machine)
    (pid,) = machine.processes.pids
    os.kill(pid, signal.SIGSTOP)
    await shop.engine.stop()
    await gone(pid)
    await shop.phone.disconnected()


async def test_a_host_that_is_gone_is_told_everything(world: World) -> None:
    """Its processes leave WhatsApp and write down what was coming; whoever reads the journal next has each message once."""
    machine = world.machine("a")
    shop = await world.link(machine)
    maria = world.person("Maria")
    saying = asyncio.create_task(maria.say_many(shop.phone, 1500))
    await shop.ear.until(lambda: len(shop.ear.texts) > 200, "messages flow")
    # A host that is killed reads nothing more; what it has committed is in the journal's head.
    machine.processes._journaled = lambda: None
    (pid,) = machine.processes.pids
    for process in machine.processes._processes:
        process._journaled = lambda: None
        process.close()
    again = world.machine("a")
    back = await shop.resume(again, term=2, auth=None, auth_term=1)
    await gone(pid)
    await saying
    heard = Counter(shop.ear.texts)

    def has_all() -> bool:
        return len((heard + Counter(back.ear.texts)).keys()) == 1500

    await back.ear.until(has_all, "everything is in the journal")
    twice = sum((heard + Counter(back.ear.texts)).values()) - 1500
    print(f"heard before {len(heard)}, after {len(back.ear.texts)}, twice {twice}")
    assert twice == 0
    assert shop.device.replaced == 0
    assert {one.number for one in again.journal._streams.values()} == {1}


async def test_two_processes_never_work_with_one_account(world: World) -> None:
    """The host is killed, its engine process is still at it: the next one waits for the file, however long that takes."""
    machine = world.machine("a")
    shop = await world.link(machine)
    (pid,) = machine.processes.pids
    os.kill(pid, signal.SIGSTOP)
    for process in machine.processes._processes:
        process.close()
    resuming = asyncio.create_task(shop.resume(world.machine("a"), term=2, auth=None, auth_term=1))
    assert not (await asyncio.wait([resuming], timeout=2))[0]
    assert shop.device.is_connected
    os.kill(pid, signal.SIGCONT)
    shop = await resuming
    assert shop.device.replaced == 0
    await shop.hears(world.person("Maria"), "which one are you?")


async def test_a_stop_under_load_loses_nothing(world: World) -> None:
    """Everything that the phones say while it stops and starts again comes, once and in order."""
    machine = world.machine("a")
    shop = await world.link(machine)
    maria = world.person("Maria")
    saying = asyncio.create_task(maria.say_many(shop.phone, 1500))
    await shop.ear.until(lambda: len(shop.ear.texts) > 200, "messages flow")
    await shop.engine.stop()
    machine.take()
    heard = list(shop.ear.texts)
    back = await shop.resume(machine, term=1, auth=None, auth_term=1)
    await saying
    await back.ear.until(lambda: len(heard) + len(back.ear.texts) >= 1500, "the rest comes")
    assert heard + back.ear.texts == [f"message {number}" for number in range(1500)]


async def test_a_process_that_has_seen_many_starts_is_let_go(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The library leaks at each start: a process that has had its share gets no more, and ends with its last account."""
    monkeypatch.setattr(module, "_STARTS_IN_A_LIFE", 2)
    machine = world.machine("a")
    one, two = [await world.link(machine) for _ in range(2)]
    (first,) = machine.processes.pids
    await one.engine.stop()
    one = await one.resume(machine, term=1, auth=None, auth_term=1)
    assert len(machine.processes.pids) == 2
    await two.engine.stop()
    await gone(first)
    await forgotten(machine.processes, first)
    assert len(machine.processes.pids) == 1
    await one.hears(world.person("Maria"), "still there?")


async def test_a_link_that_is_given_up_leaves_nothing(world: World) -> None:
    """Stopped while its QR code is on show: its process is dead, and no file is left."""
    machine = world.machine("a")
    ear = Ear()
    engine = machine.engine(world.new_account(), ear)
    await engine.start()
    await ear.says(QrShown)
    (pid,) = machine.processes.pids
    assert await engine.snapshot() is None
    await engine.stop()
    await gone(pid)
    assert list(machine.live.iterdir()) == []
    assert ear.names == ["QrShown"]


async def test_a_removed_device_is_forgotten(world: World) -> None:
    """After the phone has removed it, `forget` leaves no file, and the account can only be linked again."""
    machine = world.machine("a")
    shop = await world.link(machine)
    shop.phone.unlink(shop.device)
    await shop.ear.says(LoggedOut)
    assert await shop.engine.snapshot() is None
    await shop.engine.stop()
    await shop.engine.forget()
    assert list(machine.live.iterdir()) == []
    ear = Ear()
    engine = machine.engine(shop.account, ear)
    await engine.start()
    await ear.says(QrShown)
    assert not ear.list_of(Connected)
    await engine.stop()
    assert list(machine.live.iterdir()) == []


def test_the_lock_of_a_live_file_is_held_by_one_process(tmp_path: Path) -> None:
    """Another one waits for it; it is free as soon as its holder is dead, however it died."""
    script = (
        "import sys; from pathlib import Path; from relay.engines.engine_process import take_lock\n"
        "take_lock(Path(sys.argv[1]), patience_seconds=1); print('held', flush=True); sys.stdin.read()"
    )
    path = tmp_path / "ses_1.lock"
    holder = subprocess.Popen(
        [sys.executable, "-c", script, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    with holder:
        assert holder.stdout
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(Conflict, match="still works with this account"):
            take_lock(path, patience_seconds=0.1)
        holder.kill()
        os.close(take_lock(path, patience_seconds=5))
