"""neonize alone: messages as WhatsApp really carries them, with keys, retries, two names for everybody, and history."""

from typing import Literal

import pytest

from relay.engines.engine import (
    Acknowledged,
    Called,
    Edited,
    Outgoing,
    Reacted,
    Received,
    Revoked,
    Target,
    Undecryptable,
)
from relay.model.message import MessageType, Party
from tests.engines.neonize_desk import JOAO, MARIA, Desk
from tests.engines.test_send import text
from tests.phone_network.connection import Connection
from tests.phone_network.node import Jid, Node
from tests.phone_network.protobufs import waE2E

Mode = Literal["lid", "pn"]
_MARIA_JID = f"{MARIA}@s.whatsapp.net"
_POLL = {"question": "When?", "options": ["Today", "Tomorrow"], "selectable": 1}


# --- who is who --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["lid", "pn"])
async def test_one_chat_for_two_names(desk: Desk, mode: Mode) -> None:
    """By whichever of their names somebody writes, they are the same person in the same chat."""
    await desk.maria.say(desk.phone, text="Oi", mode="lid")
    await desk.maria.say(desk.phone, text="Oi", mode=mode)
    for message in await desk.hears(Received, 2):
        assert message.chat == _MARIA_JID
        assert message.sender == Party(pn=MARIA, lid=desk.maria.lid.user)


@pytest.mark.parametrize("mode", ["lid", "pn"])
async def test_groups_of_either_kind(desk: Desk, mode: Mode) -> None:
    """In groups that know their members by LID and in those that know numbers: the group's chat, the writer by both."""
    team = desk.team(mode)
    await desk.maria.say(team, text="one")
    await desk.joao.say(team, text="two")
    await desk.maria.say(team, text="three")
    await desk.owner.say(team, text="four")
    messages = await desk.hears(Received, 4)
    await desk.phones.settle()
    assert [(m.chat, m.content["text"]) for m in messages] == [
        (str(team.jid), words) for words in ("one", "two", "three", "four")
    ]
    people = [desk.maria, desk.joao, desk.maria, desk.owner]
    assert [m.sender for m in messages] == [Party(pn=one.pn.user, lid=one.lid.user) for one in people]
    assert [m.from_me for m in messages] == [False, False, False, True]


@pytest.mark.parametrize("mode", ["lid", "pn"])
async def test_writing_to_groups(desk: Desk, mode: Mode) -> None:
    """All members read it: those who have the sender key, and one who joins later."""
    team = desk.team(mode)
    await desk.engine.send(text("one", str(team.jid)))
    ana = desk.people.new("5511966665555", "Ana")
    desk.services.groups.add(team, desk.maria.account, [ana.account])
    await desk.phones.settle()
    await desk.engine.send(text("two", str(team.jid)))
    for person, words in ((desk.maria, ["one", "two"]), (desk.joao, ["one", "two"]), (ana, ["two"])):
        assert [posted.text for posted in await person.inbox.at_least(len(words))] == words
        assert not list(person.lost), person.name


async def test_both_names_lead_to_one_phone(desk: Desk) -> None:
    """A message to the number and one to the LID reach the same phone, in one session of keys."""
    await desk.engine.send(text("one", _MARIA_JID))
    await desk.engine.send(text("two", f"{desk.maria.lid.user}@lid"))
    await desk.maria.say(desk.phone, text="three")
    assert [posted.text for posted in await desk.maria.inbox.at_least(2)] == ["one", "two"]
    assert (await desk.hears(Received))[0].chat == _MARIA_JID


# --- keys that do not fit ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("in_group", [False, True])
async def test_unreadable_then_replaced(desk: Desk, in_group: bool) -> None:
    """What cannot be read is announced, asked for again, and then comes under the same id."""
    to = desk.team() if in_group else desk.phone
    await desk.maria.say(to, text="before")
    said = await desk.maria.say(to, text="broken", garbled=True)
    messages = await desk.hears(Received, 2)
    [unread] = desk.heard.list_of(Undecryptable)
    assert unread.wa_id == messages[1].wa_id == said.id
    assert (messages[1].chat, messages[1].sender) == (unread.chat, unread.sender)
    assert messages[1].content == {"text": "broken"}


async def test_unreadable_for_good(desk: Desk) -> None:
    """A phone that does not answer leaves the announcement, and the next message is read."""
    desk.maria.answers_retries = False
    said = await desk.maria.say(desk.phone, text="broken", garbled=True)
    await desk.maria.say(desk.phone, text="after")
    [message] = await desk.hears(Received)
    assert message.content == {"text": "after"}
    assert [unread.wa_id for unread in desk.heard.list_of(Undecryptable)] == [said.id]


async def test_phone_that_lost_its_keys(desk: Desk) -> None:
    """It asks for what it cannot read, and gets it again: once in its inbox, one id for the sender."""
    await desk.engine.send(text("one"))
    await desk.maria.inbox.first()
    desk.maria.lose_keys()
    sent = await desk.engine.send(text("two"))
    posted = (await desk.maria.inbox.at_least(2))[1]
    assert (posted.text, posted.id, posted.retries) == ("two", sent.wa_id, 1)


# --- view once, changes in groups, votes -------------------------------------------------------------------------


async def test_view_once(desk: Desk) -> None:
    """A photo to be seen once says so; one that is for phones only leaves a note that it came."""
    await desk.maria.say(desk.phone, image=b"a picture", view_once=True)
    await desk.maria.say(desk.phone, image=b"a picture", view_once=True, withheld=True)
    seen, withheld = await desk.hears(Received, 2)
    assert (seen.type, seen.content["viewOnce"]) == (MessageType.IMAGE, True)
    assert seen.media is not None
    assert (withheld.type, withheld.content) == (
        MessageType.UNSUPPORTED, {"kind": "view_once", "unavailable": True},
    )  # fmt: skip


async def test_changes_in_a_group(desk: Desk) -> None:
    """Edits, reactions and revokes name the message and who changed it; an admin's revoke names the author."""
    team = desk.team()
    said = await desk.maria.say(team, text="Tomorow")
    await desk.maria.edit(said, "Tomorrow")
    await desk.maria.react(said, "👍")
    await desk.maria.revoke(said)
    other = await desk.joao.say(team, text="Spam")
    await desk.maria.revoke(next(posted for posted in desk.maria.inbox if posted.id == other.id))
    removed, spam = await desk.hears(Revoked, 2)

    maria, joao = (Party(pn=one.pn.user, lid=one.lid.user) for one in (desk.maria, desk.joao))
    [edited], [reacted] = desk.heard.list_of(Edited), desk.heard.list_of(Reacted)
    assert (edited.wa_id, edited.text, edited.sender) == (said.id, "Tomorrow", maria)
    assert (reacted.wa_id, reacted.emoji, reacted.sender) == (said.id, "👍", maria)
    assert [(one.wa_id, one.sender) for one in (removed, spam)] == [(said.id, maria), (other.id, joao)]
    assert {one.chat for one in (edited, reacted, removed, spam)} == {str(team.jid)}


async def test_changing_in_a_group(desk: Desk) -> None:
    """What the account edits, reacts to and takes back in a group reaches its members."""
    team = desk.team()
    said = await desk.maria.say(team, text="Quando?")
    sent = await desk.engine.send(text("Tomorow", str(team.jid)))
    await desk.engine.edit(str(team.jid), sent.wa_id, "Tomorrow")
    content = {"emoji": "👍", "waMessageId": said.id}
    target = Target(wa_id=said.id, sender=_MARIA_JID)
    await desk.engine.send(
        Outgoing(chat=str(team.jid), type=MessageType.REACTION, content=content, target=target)
    )
    await desk.engine.revoke(str(team.jid), sent.wa_id)

    rows = await desk.phones.read_outbox(desk.account)
    assert [(row["kind"], row["chat"]) for row in rows] == [
        (kind, str(team.jid)) for kind in ("message", "edit", "message", "revoke")
    ]
    assert (rows[1]["waId"], rows[1]["text"]) == (sent.wa_id, "Tomorrow")
    assert rows[2]["content"] == {"emoji": "👍", "waMessageId": said.id}
    reaction = next(
        posted.message.reactionMessage for posted in desk.joao.inbox if posted.kind == "reactionMessage"
    )
    assert desk.phones.network.account_of(Jid.parse(reaction.key.participant)) is desk.maria.account
    assert rows[3]["waId"] == sent.wa_id


@pytest.mark.parametrize("mode", ["lid", "pn"])
async def test_votes_in_a_group(desk: Desk, mode: Mode) -> None:
    """Members' votes in a poll of the account can be read, and its vote in one of theirs."""
    team = desk.team(mode)
    sent = await desk.engine.send(Outgoing(chat=str(team.jid), type=MessageType.POLL, content=_POLL))
    await desk.maria.vote(await desk.maria.inbox.first(lambda posted: posted.id == sent.wa_id), "Tomorrow")
    [vote] = await desk.hears(Received)
    assert (vote.type, vote.content["waMessageId"]) == (MessageType.POLL_VOTE, sent.wa_id)
    assert len(vote.content["optionHashes"]) == 1

    theirs = await desk.maria.say(team, poll=("Where?", ["Here", "There"]))
    await desk.hears(Received, 2)
    target = Target(
        wa_id=theirs.id, sender=_MARIA_JID, type=MessageType.POLL, content=desk.heard.get(Received).content,
        sent_at=desk.heard.get(Received).sent_at,
    )  # fmt: skip
    content = {"options": ["Here"], "waMessageId": theirs.id}
    await desk.engine.send(
        Outgoing(chat=str(team.jid), type=MessageType.POLL_VOTE, content=content, target=target)
    )
    voted = await desk.maria.inbox.first(
        lambda posted: posted.kind == "pollUpdateMessage" and not posted.from_me
    )
    assert desk.maria.open_vote(voted, theirs) == ["Here"]


async def test_vote_taken_back(desk: Desk) -> None:
    """A vote for nothing is a vote without options."""
    sent = await desk.engine.send(Outgoing(chat=_MARIA_JID, type=MessageType.POLL, content=_POLL))
    poll = await desk.maria.inbox.first(lambda posted: posted.id == sent.wa_id)
    await desk.maria.vote(poll, "Today")
    await desk.maria.vote(poll)
    votes = await desk.hears(Received, 2)
    assert [len(vote.content["optionHashes"]) for vote in votes] == [1, 0]


# --- what waited, what was before, what is only between devices --------------------------------------------------


async def test_offline_in_every_kind(desk: Desk) -> None:
    """Messages that waited are marked, in groups and of the owner too, in order; receipts of then come as well."""
    team = desk.team()
    sent = await desk.engine.send(text("Oi"))
    await desk.engine.stop()
    await desk.maria.say(desk.phone, text="one")
    await desk.maria.say(team, text="two")
    await desk.owner.say(desk.maria.account, text="three")
    desk.maria.read(await desk.maria.inbox.first(lambda posted: posted.id == sent.wa_id))
    await desk.engine.start()
    messages = await desk.hears(Received, 3)
    await desk.phones.settle()
    assert {(m.content["text"], m.offline, m.from_me) for m in messages} == {
        ("one", True, False), ("two", True, False), ("three", True, True),
    }  # fmt: skip
    assert [m.sender.pn for m in messages if m.from_me] == [desk.phone.pn.user]
    assert "read" in {receipt.status for receipt in desk.heard.list_of(Acknowledged)}


async def test_many_that_waited(desk: Desk) -> None:
    """All that waited is marked, though some of it comes before the connection is announced."""
    await desk.engine.stop()
    await desk.maria.say_many(desk.phone, 300)
    await desk.engine.start()
    messages = await desk.hears(Received, 300)
    assert [m.content["text"] for m in messages] == [f"message {number}" for number in range(300)]
    assert {m.offline for m in messages} == {True}


async def test_what_comes_before_the_connection_is_announced(desk: Desk) -> None:
    """WhatsApp may be quicker than the library: that has waited, too, however new it is, and the owner is known."""
    await desk.engine.stop()
    await desk.phones.advance(3)
    await desk.maria.say(desk.phone, text="one")
    await desk.owner.say(desk.maria.account, text="two")
    become_active = desk.phones.network.iq["passive", "set"]

    async def be_quick(connection: Connection, iq: Node) -> Node | None:
        for node in desk.device.pending.values():
            connection.send(node)
        desk.device.pending.clear()
        await desk.hears(Received, 2)
        return await become_active(connection, iq)

    desk.phones.network.iq["passive", "set"] = be_quick
    await desk.engine.start()
    await desk.phones.settle()
    own = Party(pn=desk.phone.pn.user, lid=desk.phone.lid.user)
    assert [(m.offline, m.sender == own) for m in desk.heard.list_of(Received)] == [
        (True, False),
        (True, True),
    ]
    await desk.maria.say(desk.phone, text="three")
    await desk.hears(Received, 3)
    assert not desk.heard.get(Received).offline


async def test_history(desk: Desk) -> None:
    """What was said before the link comes marked as history, with its own time, in its writer's chat."""
    desk.owner.send_history({desk.maria: ["Oi", "Quando?"], desk.joao: ["Bom dia"]})
    messages = await desk.hears(Received, 3)
    assert {(m.chat, m.content["text"], m.name) for m in messages} == {
        (_MARIA_JID, "Oi", "Maria"), (_MARIA_JID, "Quando?", "Maria"), (f"{JOAO}@s.whatsapp.net", "Bom dia", "João"),
    }  # fmt: skip
    assert {(m.history, m.offline) for m in messages} == {(True, False)}
    assert all((desk.phones.now - m.sent_at).total_seconds() > 80_000 for m in messages)


async def test_receipts_of_others_are_not_ours(desk: Desk) -> None:
    """A message read on the account's own phone, or delivered to a device that nobody looks at, is no receipt."""
    await desk.owner.say(desk.maria.account, text="from the phone")
    posted = await desk.maria.inbox.first()
    desk.maria.read(posted, type="inactive")
    await desk.phones.settle()
    assert desk.heard.list_of(Acknowledged) == []


async def test_played(desk: Desk) -> None:
    """A voice note that was played counts as read."""
    await desk.engine.send(text("Oi"))
    desk.maria.read(await desk.maria.inbox.first(), type="played")
    receipts = await desk.hears(Acknowledged, 2)
    assert [receipt.status for receipt in receipts] == ["delivered", "read"]


async def test_housekeeping_says_nothing(desk: Desk) -> None:
    """What devices tell each other is nobody's message."""
    protocol = waE2E.ProtocolMessage(type=waE2E.ProtocolMessage.EPHEMERAL_SETTING, ephemeralExpiration=86_400)
    await desk.maria.say(desk.phone, message=waE2E.Message(protocolMessage=protocol))
    await desk.phones.settle()
    assert desk.heard.entries == []


async def test_old_call(desk: Desk) -> None:
    """A call that rang long ago, told when the session is back, is none any more."""
    await desk.engine.stop()
    now = desk.phones.now.timestamp()
    desk.services.calls.ring(desk.maria.account, desk.phone, offered_at=now - 1200)
    missed = desk.services.calls.ring(desk.joao.account, desk.phone, offered_at=now - 300)
    await desk.engine.start()
    [call] = await desk.hears(Called)
    await desk.phones.settle()
    assert (call.call_id, call.sender.pn) == (missed.id, JOAO)
    assert len(desk.heard.list_of(Called)) == 1
