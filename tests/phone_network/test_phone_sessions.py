"""People and the library whose keys do not fit: each asks the other again, and reads it; nothing is read twice."""

import asyncio
import shutil
from pathlib import Path

import pytest

from tests.phone_network.clients import jid
from tests.phone_network.phones import Addressee
from tests.phone_network.world import World, text_of


@pytest.mark.parametrize("where", ["1:1", "group"])
async def test_the_client_asks_again(world: World, where: str) -> None:
    """What the client cannot read it asks for, and gets."""
    group = world.services.groups.create(world.anna.account, "Team", [world.account])
    chat: Addressee = world.account if where == "1:1" else group
    await world.anna.say(chat, text="before")
    said = await world.anna.say(chat, text="garbled", garbled=True)
    retry = await world.anna.receipts.first(lambda receipt: receipt.type == "retry")
    assert (retry.by, retry.ids) == (world.device.jid, (said.id,))
    assert (await world.client.event("UndecryptableMessage"))["Info"]["ID"] == said.id
    await world.anna.receipts.first(lambda receipt: receipt.type == "inactive" and said.id in receipt.ids)
    await world.anna.say(chat, text="after")
    # A group's sender key comes as a message without words.
    told = [text_of(await world.got(number)) for number in range(1, 4 if where == "1:1" else 5)]
    assert [words for words in told if words] == ["before", "garbled", "after"]


@pytest.mark.parametrize("where", ["1:1", "group"])
async def test_the_phone_asks_again(world: World, where: str) -> None:
    """A phone that has lost its keys asks, and reads it; one that does not ask has lost it."""
    group = world.services.groups.create(world.anna.account, "Team", [world.account])
    chat = world.anna.lid if where == "1:1" else group.jid
    await world.client.call("send_message", jid(chat), "before")
    await world.anna.inbox.first()
    world.anna.lose_keys()
    await world.client.call("send_message", jid(chat), "asked for")
    got = (await world.anna.inbox.at_least(2))[1]
    assert (got.text, got.retries) == ("asked for", 1)
    world.anna.asks_for_retry = False
    world.anna.lose_keys()
    await world.client.call("send_message", jid(chat), "for nobody")
    await world.anna.lost.at_least(2)
    assert [posted.text for posted in world.anna.inbox] == ["before", "asked for"]


async def test_the_owners_phone_asks_again(world: World) -> None:
    """The account's own phone too gets its copy of what the client says."""
    await world.client.call("send_message", jid(world.anna.lid), "before")
    await world.owner.inbox.first()
    world.owner.lose_keys()
    await world.client.call("send_message", jid(world.anna.lid), "asked for")
    got = (await world.owner.inbox.at_least(2))[1]
    assert (got.text, got.chat, got.from_me, got.retries) == ("asked for", world.anna.lid, True, 1)


async def age(world: World, copy: Path, *, talks: int) -> None:
    """The client's file is copied, the client says something (and talks), and then goes on with the copy."""
    await world.talk("first")
    await world.stop()
    shutil.copytree(world.path.parent, copy)
    await world.start(world.path)
    await world.client.call("send_message", jid(world.anna.lid), "second")
    await world.anna.inbox.at_least(2)
    for number in range(talks):
        await world.talk(f"talk {number}")
    await world.stop()
    await world.start(copy / world.path.name)


@pytest.mark.parametrize("asks_for_retry", [True, False])
async def test_what_an_older_copy_of_a_file_says(
    world: World, tmp_path_factory: pytest.TempPathFactory, *, asks_for_retry: bool
) -> None:
    """A ratchet that is behind writes what was written before: a phone that asks reads it, another has lost it."""
    await age(world, tmp_path_factory.mktemp("older") / "copy", talks=0)
    world.anna.asks_for_retry = asks_for_retry
    await world.client.call("send_message", jid(world.anna.lid), "from the past")
    if not asks_for_retry:
        await world.anna.lost.at_least(1)
        return
    got = await world.anna.inbox.first(lambda posted: posted.text == "from the past")
    assert got.retries == 1
    await world.anna.say(world.account, text="to the past")
    assert text_of(await world.got()) == "to the past"


@pytest.mark.parametrize("answers_retries", [True, False])
async def test_what_an_older_copy_of_a_file_is_told(
    world: World, tmp_path_factory: pytest.TempPathFactory, *, answers_retries: bool
) -> None:
    """It cannot read the phone's newer ratchet, asks, and reads it in a new session if the phone answers."""
    await age(world, tmp_path_factory.mktemp("older") / "copy", talks=2)
    world.anna.answers_retries = answers_retries
    said = await world.anna.say(world.account, text="to the past")
    assert (await world.client.event("UndecryptableMessage"))["Info"]["ID"] == said.id
    await world.anna.receipts.first(lambda receipt: receipt.type == "retry")
    if not answers_retries:
        return
    assert text_of(await world.got()) == "to the past"
    await world.client.call("send_message", jid(world.anna.lid), "from the past")
    await world.anna.inbox.first(lambda posted: posted.text == "from the past")
    await world.anna.say(world.account, text="on we go")
    assert text_of(await world.got(2)) == "on we go"


async def test_both_write_first(world: World) -> None:
    """Two sessions opened at the same moment: everything is read, then and afterwards, once each.

    The library may lose a turn of the ratchet when it reads and writes to the same person at once, so that one side or
    the other has to ask again.
    """
    written = world.client.call("send_message", jid(world.anna.lid), "a")
    await asyncio.gather(written, world.anna.say(world.account, text="b"))
    await world.anna.inbox.first()
    words = [f"{number}" for number in range(3)]
    for word in words:
        await world.talk(word)
    told = [text_of(await world.got(number)) for number in range(1, 5)]
    assert sorted(told) == sorted(["b", *words])
    assert [posted.text for posted in world.anna.inbox] == ["a", *words]


async def test_prekeys_have_run_out(world: World) -> None:
    """A session opens without a one-time prekey too."""
    world.device.prekeys.one_time.clear()
    await world.talk("hello")
    assert text_of(await world.got()) == "hello"
