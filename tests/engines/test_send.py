"""Every engine: what a session sends reaches the phones, and what becomes of it comes back."""

from typing import Any

import pytest

from relay.engines.engine import Acknowledged, Media, Outgoing, Target
from relay.model.message import SENDABLE_TYPES, MessageType
from tests.engines.phones import PhoneNetwork, Recorder, link

_MARIA_JID = "5511912345678@s.whatsapp.net"
_GROUP = "120363041234567890@g.us"
_CONTENT: dict[MessageType, dict[str, Any]] = {
    MessageType.TEXT: {"text": "Olá 👋"},
    MessageType.IMAGE: {"caption": "Look"},
    MessageType.AUDIO: {},
    MessageType.VIDEO: {"caption": "Look"},
    MessageType.DOCUMENT: {},
    MessageType.STICKER: {},
    MessageType.LOCATION: {"latitude": -23.5, "longitude": -46.6},
    MessageType.CONTACT: {"name": "João", "phones": ["+5511955554444"]},
    MessageType.POLL: {"question": "When?", "options": ["Today", "Tomorrow"]},
    MessageType.REACTION: {"messageId": "msg_0", "emoji": "👍"},
}
_MEDIA = Media(path="/nowhere/a.png", mimetype="image/png", file_name="a.png", size_bytes=3)


def text(words: str, chat: str = _MARIA_JID) -> Outgoing:
    return Outgoing(chat=chat, type=MessageType.TEXT, content={"text": words})


@pytest.mark.parametrize("kind", sorted(SENDABLE_TYPES))
async def test_every_type(phones: PhoneNetwork, kind: MessageType) -> None:
    """Each type reaches the phone as itself, under the id that the send answered."""
    account = await phones.new_account()
    engine = await link(phones, account, Recorder())
    media = _MEDIA if kind in {"image", "audio", "video", "document", "sticker"} else None
    sent = await engine.send(Outgoing(chat=_MARIA_JID, type=kind, content=_CONTENT[kind], media=media))

    [row] = await phones.read_outbox(account)
    assert (row["kind"], row["chat"], row["type"], row["waId"]) == ("message", _MARIA_JID, kind, sent.wa_id)
    assert row["content"].items() >= _CONTENT[kind].items()
    if media:
        assert row["content"]["mimetype"] == "image/png"
        assert row["content"]["fileName"] == "a.png"


async def test_reply_and_mentions_to_a_group(phones: PhoneNetwork) -> None:
    """A group gets a reply with its mentions."""
    account = await phones.new_account()
    engine = await link(phones, account, Recorder())
    await engine.send(
        Outgoing(
            chat=_GROUP,
            type=MessageType.TEXT,
            content={"text": "@Maria"},
            target=Target(wa_id="ABC"),
            mentions=[_MARIA_JID],
        )
    )

    [row] = await phones.read_outbox(account)
    assert (row["chat"], row["replyTo"], row["mentions"]) == (_GROUP, "ABC", [_MARIA_JID])


async def test_receipts(phones: PhoneNetwork) -> None:
    """A message is delivered, then read, each told once and at its time."""
    account, heard = await phones.new_account(), Recorder()
    engine = await link(phones, account, heard)
    sent = await engine.send(text("Oi"))
    await phones.settle()
    assert heard.entries == []

    await phones.advance(0.5)
    assert [(r.status, r.wa_ids, r.chat) for r in heard.list_of(Acknowledged)] == [
        ("delivered", [sent.wa_id], _MARIA_JID)
    ]
    await phones.advance(1)
    await phones.advance(60)
    assert [r.status for r in heard.list_of(Acknowledged)] == ["delivered", "read"]
    assert heard.list_of(Acknowledged)[1].at > heard.list_of(Acknowledged)[0].at > sent.at


async def test_receipts_after_reconnecting(phones: PhoneNetwork) -> None:
    """Receipts that fell due while the session was away come when it is back."""
    account, heard = await phones.new_account(), Recorder()
    engine = await link(phones, account, heard)
    sent = await engine.send(text("Oi"))
    await engine.stop()
    await phones.advance(60)
    assert heard.entries == []

    await engine.start()
    await phones.settle()
    assert [(r.status, r.wa_ids) for r in heard.list_of(Acknowledged)] == [
        ("delivered", [sent.wa_id]), ("read", [sent.wa_id]),
    ]  # fmt: skip


async def test_order(phones: PhoneNetwork) -> None:
    """Messages reach the phone in the order they were sent, each with an id of its own."""
    account = await phones.new_account()
    engine = await link(phones, account, Recorder())
    sent = [await engine.send(text(str(number))) for number in range(10)]

    rows = await phones.read_outbox(account)
    assert [row["content"]["text"] for row in rows] == [str(number) for number in range(10)]
    assert [row["waId"] for row in rows] == [one.wa_id for one in sent]
    assert len({one.wa_id for one in sent}) == 10


async def test_edit_revoke_read_typing(phones: PhoneNetwork) -> None:
    """The phone sees a message changed and taken back, its own marked as read, and somebody typing."""
    account = await phones.new_account()
    engine = await link(phones, account, Recorder())
    sent = await engine.send(text("Tomorow"))
    await engine.edit(_MARIA_JID, sent.wa_id, "Tomorrow")
    await engine.revoke(_MARIA_JID, sent.wa_id)
    await engine.mark_read(_MARIA_JID, _MARIA_JID, ["A", "B"])
    await engine.set_typing(_MARIA_JID, typing=True)

    _, edit, revoke, read, typing = await phones.read_outbox(account)
    assert (edit["kind"], edit["waId"], edit["text"]) == ("edit", sent.wa_id, "Tomorrow")
    assert (revoke["kind"], revoke["waId"]) == ("revoke", sent.wa_id)
    assert (read["kind"], read["waIds"]) == ("read", ["A", "B"])
    assert (typing["kind"], typing["typing"]) == ("typing", True)


async def test_check_numbers(phones: PhoneNetwork) -> None:
    """A number on WhatsApp has a JID; another has none."""
    account = await phones.new_account()
    engine = await link(phones, account, Recorder())
    assert await engine.check_numbers(["5511912345678", "5511912340000"]) == {
        "5511912345678": _MARIA_JID,
        "5511912340000": None,
    }
