"""Virtual people and the unmodified library: each reads what the other wrote, of every kind."""

from base64 import b64decode
from hashlib import sha256
from typing import Any

import pytest

from tests.phone_network.clients import jid
from tests.phone_network.contents import unwrapped
from tests.phone_network.world import World, text_of


async def test_texts_both_ways(world: World) -> None:
    """A first message opens a session, the answer turns it, receipts go both ways."""
    said = await world.anna.say(world.account, text="hello")
    event = await world.got()
    assert text_of(event) == "hello"
    assert event["Info"]["ID"] == said.id
    await world.client.call("send_message", jid(world.anna.pn), "hi Anna")
    got = await world.anna.inbox.first()
    assert (got.text, got.chat, got.from_me) == ("hi Anna", world.account.lid, False)
    own = await world.owner.inbox.first(lambda posted: posted.from_me)
    assert (own.text, own.chat, own.from_me) == ("hi Anna", world.anna.lid, True)
    world.anna.read(got)
    receipts = [await world.client.event("Receipt", number) for number in (1, 2)]
    assert [receipt["MessageIDs"] for receipt in receipts] == [[got.id], [got.id]]
    delivered = await world.anna.receipts.first()
    assert (delivered.type, delivered.ids) == ("inactive", (said.id,))
    chat, read = jid(world.anna.lid), {"enum": "ReceiptType", "name": "READ"}
    await world.client.call("mark_read", said.id, chat=chat, sender=chat, receipt=read)
    assert (await world.anna.receipts.at_least(2))[1].type == "read"


KINDS: dict[str, tuple[dict[str, Any], str]] = {
    "image": ({"image": b"picture", "caption": "look"}, "imageMessage"),
    "video": ({"video": b"film", "caption": "look"}, "videoMessage"),
    "audio": ({"audio": b"song"}, "audioMessage"),
    "voice": ({"voice": b"words"}, "audioMessage"),
    "document": ({"document": b"%PDF", "file_name": "a.pdf"}, "documentMessage"),
    "captioned document": ({"document": b"%PDF", "caption": "read"}, "documentWithCaptionMessage"),
    "sticker": ({"sticker": b"RIFF"}, "stickerMessage"),
    "location": ({"location": (1.5, 2.5), "name": "Here"}, "locationMessage"),
    "contact": ({"contact": ("Ben", "5511977776666")}, "contactMessage"),
    "poll": ({"poll": ("Lunch?", ["yes", "no"])}, "pollCreationMessageV3"),
    "unsupported": ({"unsupported": True}, "requestPhoneNumberMessage"),
}


async def test_every_kind_arrives(world: World) -> None:
    """In one chat, in order, each as what it is; files can be downloaded and opened."""
    for what, _ in KINDS.values():
        await world.anna.say(world.account, **what)
    for number, (what, field) in enumerate(KINDS.values(), 1):
        event = await world.got(number)
        raw = event["Raw"] if "Raw" in event else event["Message"]
        assert field in raw or field.replace("WithCaption", "") in raw, (field, event)
        content = next(iter(what.values()))
        if isinstance(content, bytes):
            file = {"proto": "written", "fields": event["Message"]}
            assert await world.client.call("download_any", file) == {"bytes": content.hex()}


async def test_what_refers_to_another_message(world: World) -> None:
    """A reply, a mention, a reaction, an edit, a view-once and a revoke name the message or person they are about."""
    await world.client.call("send_message", jid(world.anna.pn), "which one?")
    asked = await world.anna.inbox.first()
    said = await world.anna.say(world.account, text="this", reply_to=asked, mentions=[world.account.lid])
    await world.anna.react(asked, "👍")
    await world.anna.edit(said, "that")
    await world.anna.say(world.account, image=b"secret", view_once=True)
    await world.anna.revoke(said)
    reply, reaction, edit, once, revoke = [(await world.got(number))["Message"] for number in range(1, 6)]
    context = reply["extendedTextMessage"]["contextInfo"]
    assert context["stanzaID"] == asked.id
    assert context["mentionedJID"] == [str(world.account.lid)]
    assert context["quotedMessage"]["extendedTextMessage"]["text"] == "which one?"
    assert (reaction["reactionMessage"]["key"]["ID"], reaction["reactionMessage"]["text"]) == (asked.id, "👍")
    protocol = edit["protocolMessage"]
    assert (protocol["key"]["ID"], protocol["editedMessage"]) == (said.id, {"conversation": "that"})
    assert once["imageMessage"]["viewOnce"]
    assert (revoke["protocolMessage"]["key"]["ID"], revoke["protocolMessage"]["type"]) == (said.id, "REVOKE")


async def test_votes_both_ways(world: World) -> None:
    """Each side reads what the other voted for, on its own poll."""
    poll = await world.anna.say(world.account, poll=("Lunch?", ["yes", "no"]))
    event = await world.got()
    info = {"proto": "info", "fields": event["Info"]}
    vote = await world.client.call("build_poll_vote", info, ["no"])
    await world.client.call("send_message", jid(world.anna.lid), {"proto": "written", "fields": vote})
    assert world.anna.open_vote(await world.anna.inbox.first(), poll) == ["no"]

    one = {"enum": "VoteType", "name": "SINGLE"}
    mine = await world.client.call("build_poll_vote_creation", "Coffee?", ["hot", "cold"], one)
    await world.client.call("send_message", jid(world.anna.lid), {"proto": "written", "fields": mine})
    theirs = await world.anna.inbox.first(lambda posted: posted.kind.startswith("pollCreation"))
    await world.anna.vote(theirs, "cold")
    told = {"proto": "told", "fields": await world.got(2)}
    selected = await world.client.call("decrypt_vote", told)
    hashes = [b64decode(option) for option in selected["selectedOptions"]]
    assert hashes == [sha256(b"cold").digest()]


async def test_files_of_the_client(world: World) -> None:
    """A phone downloads and opens what a client uploaded."""
    await world.client.call(
        "send_document", jid(world.anna.pn), {"bytes": b"%PDF-1".hex()}, "cap", "t", "a.pdf"
    )
    got = await world.anna.inbox.first()
    assert await world.anna.open_media(got) == b"%PDF-1"


@pytest.mark.parametrize("mode", ["lid", "pn"])
async def test_either_name(world: World, mode: Any) -> None:
    """Who writes by number and who writes by LID is told by both names, and is answered."""
    await world.anna.say(world.account, text="hello", mode=mode)
    source = (await world.got())["Info"]["MessageSource"]
    names = {source["Sender"]["User"], source["SenderAlt"]["User"]}
    assert names == {world.anna.pn.user, world.anna.lid.user}
    assert source["Sender"]["User"] == (world.anna.lid if mode == "lid" else world.anna.pn).user
    await world.client.call("send_message", jid(world.anna.lid), "hi")
    assert (await world.anna.inbox.first()).text == "hi"
    await world.anna.say(world.account, text="again")
    assert text_of(await world.got(2)) == "again"


@pytest.mark.parametrize("mode", ["lid", "pn"])
async def test_groups_both_ways(world: World, mode: Any) -> None:
    """The first message brings the sender key along, the client's is read by every member."""
    ben = world.people.new("5511977776666", "Ben")
    members = [ben.account, world.account]
    group = world.services.groups.create(world.anna.account, "Team", members, addressing_mode=mode)
    for number in range(3):
        await world.anna.say(group, text=f"{number}")
    await ben.say(group, image=b"picture")
    events = [await world.got(number) for number in range(1, 7)]
    texts = [text_of(event) for event in events if text_of(event)]
    assert texts == ["0", "1", "2"]
    assert [bool(event["Message"].get("imageMessage")) for event in events][-1]
    await world.client.call("send_message", jid(group.jid), "hi all")
    for person in (world.anna, ben):
        got = await person.inbox.first(lambda posted: posted.text == "hi all")
        assert (got.chat, got.sender) == (group.jid, world.account.lid if mode == "lid" else world.account.pn)
    read = await world.anna.inbox.first(lambda posted: posted.text == "hi all")
    world.anna.read(read)
    receipts = [await world.client.event("Receipt", number) for number in (1, 2, 3)]
    assert [receipt["MessageIDs"] for receipt in receipts] == [[read.id]] * 3
    assert receipts[2]["MessageSource"]["Sender"]["User"] in (world.anna.lid.user, world.anna.pn.user)
    own = await world.owner.inbox.first(lambda posted: posted.from_me)
    assert (own.text, own.chat) == ("hi all", group.jid)
    await world.owner.say(group, text="from my phone")
    await world.got(7)
    event = await world.got(8)
    assert (text_of(event), event["Info"]["MessageSource"]["IsFromMe"]) == ("from my phone", True)


async def test_the_owner_writes_on_the_phone(world: World) -> None:
    """What is written on the account's own phone reaches the client as from itself, with the chat that it went to."""
    await world.owner.say(world.anna, text="from my phone")
    event = await world.got()
    source = event["Info"]["MessageSource"]
    assert source["IsFromMe"]
    assert source["Chat"]["User"] == world.anna.lid.user
    assert text_of(event) == "from my phone"
    assert event["Info"]["DeviceSentMeta"]["DestinationJID"] == str(world.anna.lid)
    assert (await world.anna.inbox.first()).text == "from my phone"


async def test_the_owner_reads_on_the_phone(world: World) -> None:
    """The client hears that its account has read a message elsewhere, and in which chat."""
    said = await world.anna.say(world.account, text="hello")
    world.owner.read(await world.owner.inbox.first())
    receipt = await world.client.event("Receipt")
    source = receipt["MessageSource"]
    assert (receipt["MessageIDs"], receipt["Type"]) == ([said.id], "READ_SELF")
    assert (source["IsFromMe"], source["Chat"]["User"]) == (True, world.anna.lid.user)


async def test_offline_messages_come_with_the_next_login(world: World) -> None:
    """What was said while the client was away arrives when it is back, in order."""
    world.network.down(True)
    await world.client.event("Disconnected")
    await world.anna.say_many(world.account, 3)
    world.network.down(False)
    assert [text_of(await world.got(number)) for number in (1, 2, 3)] == [f"message {n}" for n in range(3)]


async def test_history(world: World) -> None:
    """The phone hands over what was said before the link."""
    world.owner.send_history({world.anna: ["old", "older"]})
    event = await world.client.event("HistorySync")
    conversation = event["Data"]["conversations"][0]
    assert conversation["ID"] == str(world.anna.lid)
    assert [message["message"]["message"]["conversation"] for message in conversation["messages"]] == [
        "old",
        "older",
    ]


async def test_two_clients_talk(world: World) -> None:
    """Clients of two accounts read each other, and each other's receipts."""
    other = world.network.new_account(phone="5511999990002", name="Other")
    client = await world.clients.open(world.path.with_name("b.db"))
    device = await other.scan(await client.qr())
    await other.connected(device)
    await world.client.call("send_message", jid(other.pn), "hello other")
    assert text_of(await client.event("Message")) == "hello other"
    await client.call("send_message", jid(world.account.lid), "hello shop")
    assert text_of(await world.got()) == "hello shop"
    assert (await world.people.of(other).inbox.first()).text == "hello other"
    assert (await client.event("Receipt"))["MessageIDs"]
    group = world.services.groups.create(world.anna.account, "Team", [world.account, other])
    await world.client.call("send_message", jid(group.jid), "hello team")
    # The sender key comes first, as a message without words.
    assert [text_of(await client.event("Message", number)) for number in (2, 3)] == ["", "hello team"]
    await client.call("send_message", jid(group.jid), "hello all")
    assert [text_of(await world.got(number)) for number in (2, 3)] == ["", "hello all"]


async def test_a_burst(world: World) -> None:
    """A thousand messages arrive, each once and in order."""
    await world.anna.say_many(world.account, 1000)
    assert text_of(await world.got(1000)) == "message 999"
    told = [text_of(fields) for name, fields in world.client.events if name == "Message"]
    assert told == [f"message {number}" for number in range(1000)]


async def test_a_message_that_only_phones_see(world: World) -> None:
    """The client hears of it, cannot read it, and asks its own phone."""
    # A client asks its phone only after the phone has spoken to it.
    world.owner.send_history({})
    await world.client.event("HistorySync")
    said = await world.anna.say(world.account, image=b"secret", view_once=True, withheld=True)
    unread = await world.client.event("UndecryptableMessage")
    assert (unread["Info"]["ID"], unread["IsUnavailable"]) == (said.id, True)
    asked = await world.owner.inbox.first(lambda posted: posted.from_me)
    request = asked.message.protocolMessage.peerDataOperationRequestMessage
    assert said.id == request.placeholderMessageResendRequest[0].messageKey.ID


async def test_what_the_client_does_to_messages(world: World) -> None:
    """Its reactions, edits, replies and revokes arrive as what they are."""
    chat = jid(world.anna.lid)
    said = await world.anna.say(world.account, text="hello")
    told = await world.got()
    reaction = await world.client.call("build_reaction", chat, chat, said.id, "👍")
    await world.client.call("send_message", chat, {"proto": "written", "fields": reaction})
    await world.client.call("reply_message", "hi", {"proto": "told", "fields": told}, chat)
    reacted, replied = await world.anna.inbox.at_least(2)
    assert (reacted.message.reactionMessage.key.ID, reacted.message.reactionMessage.text) == (said.id, "👍")
    assert replied.message.extendedTextMessage.contextInfo.stanzaID == said.id
    new = {"proto": "written", "fields": {"conversation": "hi you"}}
    await world.client.call("edit_message", chat, replied.id, new)
    await world.client.call("revoke_message", chat, jid(world.account.lid), replied.id)
    edited, revoked = (await world.anna.inbox.at_least(4))[2:]
    edit = unwrapped(edited.message).protocolMessage
    assert (edit.key.ID, edit.editedMessage.conversation) == (replied.id, "hi you")
    assert (revoked.message.protocolMessage.key.ID, revoked.kind) == (replied.id, "protocolMessage")
