"""Every engine: what a session sends reaches the phones, and what becomes of it comes back."""

from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from relay.engines.engine import Acknowledged, Outgoing, Received, Target
from relay.model.message import SENDABLE_TYPES, TARGETED_TYPES, MessageType
from tests.engines.media import media_of
from tests.engines.phones import PhoneNetwork, Recorder, connect

_MARIA = "+55 11 91234-5678"
_MARIA_JID = "5511912345678@s.whatsapp.net"
_GROUP = "120363041234567890@g.us"
_CONTENT: dict[MessageType, dict[str, Any]] = {
    MessageType.TEXT: {"text": "Olá 👋"},
    MessageType.IMAGE: {"caption": "Look"},
    MessageType.AUDIO: {},
    MessageType.VIDEO: {"caption": "Look"},
    MessageType.DOCUMENT: {"fileName": "a.pdf"},
    MessageType.STICKER: {},
    MessageType.LOCATION: {"latitude": -23.5, "longitude": -46.6},
    MessageType.CONTACT: {"name": "João", "phone": "+5511955554444"},
    MessageType.POLL: {"question": "When?", "options": ["Today", "Tomorrow"], "selectable": 1},
}


def text(words: str, chat: str = _MARIA_JID) -> Outgoing:
    return Outgoing(chat=chat, type=MessageType.TEXT, content={"text": words})


def target_of(message: Received) -> Target:
    """What a host says of a message that another one is about."""
    return Target(
        wa_id=message.wa_id,
        sender=f"{message.sender.pn}@s.whatsapp.net",
        type=message.type,
        content=message.content,
        sent_at=message.sent_at,
    )


@pytest.mark.parametrize("kind", sorted(SENDABLE_TYPES - TARGETED_TYPES))
async def test_every_type(phones: PhoneNetwork, kind: MessageType, tmp_path: Path) -> None:
    """Each type reaches the phone as itself, under the id that the send answered."""
    account = await phones.linked_account()
    engine = await connect(phones, account, Recorder())
    media = media_of(kind, tmp_path)
    sent = await engine.send(Outgoing(chat=_MARIA_JID, type=kind, content=_CONTENT[kind], media=media))

    [row] = await phones.read_outbox(account)
    assert (row["kind"], row["chat"], row["type"], row["waId"]) == ("message", _MARIA_JID, kind, sent.wa_id)
    assert row["content"].items() >= _CONTENT[kind].items()
    if media:
        # WhatsApp has a form of its own for some: an engine may have converted the file.
        assert row["content"]["mimetype"].partition("/")[0] == media.mimetype.partition("/")[0]


@pytest.mark.parametrize(
    ("kind", "flag"),
    [(kind, "viewOnce") for kind in ("image", "audio", "video")] + [("audio", "voice")],
)
async def test_view_once_and_voice(phones: PhoneNetwork, kind: str, flag: str, tmp_path: Path) -> None:
    """What can be opened once says so, and so does what was recorded."""
    account = await phones.linked_account()
    engine = await connect(phones, account, Recorder())
    type_ = MessageType(kind)
    media = media_of(type_, tmp_path)
    await engine.send(Outgoing(chat=_MARIA_JID, type=type_, content={flag: True}, media=media))
    await engine.send(Outgoing(chat=_MARIA_JID, type=type_, content={}, media=media))

    flagged, plain = await phones.read_outbox(account)
    assert (flagged["content"].get(flag), plain["content"].get(flag)) == (True, None)


async def test_reaction(phones: PhoneNetwork) -> None:
    """A reaction names the message that it is about, and so does taking it back."""
    account, heard = await phones.linked_account(), Recorder()
    engine = await connect(phones, account, heard)
    await phones.say(account, **{"from": _MARIA}, text="Bom dia")
    asked = heard.get(Received)
    for emoji in ("👍", ""):
        content = {"emoji": emoji, "messageId": "msg_0", "waMessageId": asked.wa_id}
        await engine.send(
            Outgoing(chat=_MARIA_JID, type=MessageType.REACTION, content=content, target=target_of(asked))
        )

    rows = await phones.read_outbox(account)
    told = [(row["type"], row["content"]["emoji"], row["content"]["waMessageId"]) for row in rows]
    assert told == [("reaction", "👍", asked.wa_id), ("reaction", "", asked.wa_id)]
    assert [row["replyTo"] for row in rows] == [None, None]


async def test_poll_vote(phones: PhoneNetwork) -> None:
    """A vote in somebody's poll, and in a poll of our own."""
    account, heard = await phones.linked_account(), Recorder()
    engine = await connect(phones, account, heard)
    poll = {"question": "When?", "options": ["Today", "Tomorrow"], "selectable": 1}
    await phones.say(account, **{"from": _MARIA}, type="poll", content=poll)
    theirs = target_of(heard.get(Received))
    sent = await engine.send(Outgoing(chat=_MARIA_JID, type=MessageType.POLL, content=poll))
    own = Target(wa_id=sent.wa_id, type=MessageType.POLL, content=poll, sent_at=sent.at)
    for target in (theirs, own):
        content = {"options": ["Today"], "messageId": "msg_0", "waMessageId": target.wa_id}
        await engine.send(
            Outgoing(chat=_MARIA_JID, type=MessageType.POLL_VOTE, content=content, target=target)
        )

    votes = (await phones.read_outbox(account))[1:]
    assert [(vote["type"], vote["content"]["options"]) for vote in votes] == [("poll_vote", ["Today"])] * 2
    assert [vote["content"]["waMessageId"] for vote in votes] == [theirs.wa_id, own.wa_id]


async def test_reply_and_mentions_to_a_group(phones: PhoneNetwork) -> None:
    """A group gets a reply with its mentions."""
    account, heard = await phones.linked_account(), Recorder()
    engine = await connect(phones, account, heard)
    await phones.say(account, **{"from": _MARIA}, chat=_GROUP, text="Who comes?")
    asked = heard.get(Received)
    await engine.send(structs.replace(text("@Maria", _GROUP), target=target_of(asked), mentions=[_MARIA_JID]))

    [row] = await phones.read_outbox(account)
    assert (row["chat"], row["replyTo"], row["mentions"]) == (_GROUP, asked.wa_id, [_MARIA_JID])


async def test_to_a_lid(phones: PhoneNetwork) -> None:
    """Somebody who is known by LID alone can be written to."""
    account, heard = await phones.linked_account(), Recorder()
    engine = await connect(phones, account, heard)
    await phones.say(account, **{"from": _MARIA}, text="Oi")
    lid = heard.get(Received).sender.lid
    sent = await engine.send(text("Oi!", f"{lid}@lid"))

    [row] = await phones.read_outbox(account)
    assert (row["content"]["text"], row["waId"]) == ("Oi!", sent.wa_id)


async def test_receipts(phones: PhoneNetwork) -> None:
    """A message is delivered, then read, each told once and at its time."""
    account, heard = await phones.linked_account(), Recorder()
    engine = await connect(phones, account, heard)
    sent = await engine.send(text("Oi"))
    await phones.advance(0.5)
    assert [(r.status, r.wa_ids, r.chat) for r in heard.list_of(Acknowledged)] == [
        ("delivered", [sent.wa_id], _MARIA_JID)
    ]
    await phones.advance(1)
    await phones.advance(60)
    delivered, read = heard.list_of(Acknowledged)
    assert (delivered.status, read.status, read.wa_ids) == ("delivered", "read", [sent.wa_id])
    assert read.at >= delivered.at >= sent.at


async def test_receipts_after_reconnecting(phones: PhoneNetwork) -> None:
    """Receipts that fell due while the session was away come when it is back."""
    account, heard = await phones.linked_account(), Recorder()
    engine = await connect(phones, account, heard)
    sent = await engine.send(text("Oi"))
    await engine.stop()
    before = len(heard.entries)
    await phones.advance(60)
    assert len(heard.entries) == before

    await engine.start()
    await phones.settle()
    assert [(r.status, r.wa_ids) for r in heard.list_of(Acknowledged)] == [
        ("delivered", [sent.wa_id]), ("read", [sent.wa_id]),
    ]  # fmt: skip


async def test_order(phones: PhoneNetwork) -> None:
    """Messages reach the phone in the order they were sent, each with an id of its own."""
    account = await phones.linked_account()
    engine = await connect(phones, account, Recorder())
    sent = [await engine.send(text(str(number))) for number in range(10)]

    rows = await phones.read_outbox(account)
    assert [row["content"]["text"] for row in rows] == [str(number) for number in range(10)]
    assert [row["waId"] for row in rows] == [one.wa_id for one in sent]
    assert len({one.wa_id for one in sent}) == 10


async def test_edit_revoke_read_typing(phones: PhoneNetwork) -> None:
    """The phone sees a message changed and taken back, its own marked as read, and somebody typing."""
    account, heard = await phones.linked_account(), Recorder()
    engine = await connect(phones, account, heard)
    await phones.say(account, **{"from": _MARIA}, text="Oi")
    await phones.say(account, **{"from": _MARIA}, text="Quando?")
    asked = [message.wa_id for message in heard.list_of(Received)]
    sent = await engine.send(text("Tomorow"))
    await engine.edit(_MARIA_JID, sent.wa_id, "Tomorrow")
    await engine.revoke(_MARIA_JID, sent.wa_id)
    await engine.mark_read(_MARIA_JID, _MARIA_JID, asked)
    await engine.set_typing(_MARIA_JID, typing=True)

    _, edit, revoke, read, typing = await phones.read_outbox(account)
    assert (edit["kind"], edit["waId"], edit["text"]) == ("edit", sent.wa_id, "Tomorrow")
    assert (revoke["kind"], revoke["waId"]) == ("revoke", sent.wa_id)
    assert (read["kind"], read["waIds"]) == ("read", asked)
    assert (typing["kind"], typing["typing"]) == ("typing", True)


async def test_check_numbers(phones: PhoneNetwork) -> None:
    """A number on WhatsApp has a JID; another has none."""
    account = await phones.linked_account()
    engine = await connect(phones, account, Recorder())
    assert await engine.check_numbers(["5511912345678", "5511912340000"]) == {
        "5511912345678": _MARIA_JID,
        "5511912340000": None,
    }
