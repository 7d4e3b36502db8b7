"""Every engine: what people do reaches the journal, whole and in order."""

import hashlib
from typing import Any

import pytest

from relay.engines.engine import Acknowledged, Called, Connected, Edited, Outgoing, Reacted, Received, Revoked
from relay.model.message import MessageType, Party
from tests.engines.phones import PhoneNetwork, Recorder, connect
from tests.engines.test_send import text

_MARIA = "+55 11 91234-5678"
_MARIA_JID = "5511912345678@s.whatsapp.net"
_GROUP = "120363041234567890@g.us"


def a_file(mimetype: str, **fields: str) -> dict[str, str]:
    return {"mediaId": "med_0", "mimetype": mimetype, **fields}


async def test_text(phones: PhoneNetwork) -> None:
    """A text names its chat, its sender by number and LID, and says when it was written."""
    account, heard = await phones.linked_account(), Recorder()
    await connect(phones, account, heard)
    await phones.say(account, **{"from": _MARIA}, name="Maria", text="Oi")

    [message] = heard.list_of(Received)
    assert (message.chat, message.type, message.content) == (_MARIA_JID, MessageType.TEXT, {"text": "Oi"})
    assert message.sender.pn == "5511912345678"
    assert message.sender.lid
    assert (message.name, message.from_me, message.offline, message.history) == ("Maria", False, False, False)
    assert abs((message.sent_at - phones.now).total_seconds()) < 60


@pytest.mark.parametrize(
    ("type_", "content"),
    [
        ("text", {"text": "Olá 👋"}),
        ("image", a_file("image/jpeg", caption="Look")),
        ("audio", a_file("audio/ogg")),
        ("video", a_file("video/mp4", caption="Look")),
        ("document", a_file("application/pdf", fileName="a.pdf")),
        ("sticker", a_file("image/webp")),
        ("location", {"latitude": -23.5, "longitude": -46.6, "name": "Sé"}),
        ("contact", {"name": "João", "phone": "+5511955554444"}),
        ("poll", {"question": "When?", "options": ["Today", "Tomorrow"], "selectable": 1}),
    ],
)
async def test_every_type(phones: PhoneNetwork, type_: str, content: dict[str, Any]) -> None:
    """Each type arrives as itself with its own fields; a file may lie at WhatsApp still."""
    account, heard = await phones.linked_account(), Recorder()
    await connect(phones, account, heard)
    await phones.say(account, **{"from": _MARIA}, type=type_, content=content)

    [message] = heard.list_of(Received)
    assert message.type == MessageType(type_)
    assert (
        message.content.items() >= {key: value for key, value in content.items() if key != "mediaId"}.items()
    )
    assert message.media is not None or message.content.get("mediaId") == content.get("mediaId")


async def test_unsupported(phones: PhoneNetwork) -> None:
    """A kind that nobody here reads arrives all the same."""
    account, heard = await phones.linked_account(), Recorder()
    await connect(phones, account, heard)
    await phones.say(account, **{"from": _MARIA}, type="unsupported", content={})
    assert [message.type for message in heard.list_of(Received)] == [MessageType.UNSUPPORTED]


async def test_poll_vote(phones: PhoneNetwork) -> None:
    """A vote in a poll of ours names the poll, and what was chosen: by its words, or by their hashes."""
    account, heard = await phones.linked_account(), Recorder()
    engine = await connect(phones, account, heard)
    poll = {"question": "When?", "options": ["Today", "Tomorrow"], "selectable": 1}
    sent = await engine.send(Outgoing(chat=_MARIA_JID, type=MessageType.POLL, content=poll))
    vote = {"waMessageId": sent.wa_id, "options": ["Tomorrow"]}
    await phones.say(account, **{"from": _MARIA}, type="poll_vote", content=vote)

    [message] = heard.list_of(Received)
    assert (message.type, message.content["waMessageId"]) == (MessageType.POLL_VOTE, sent.wa_id)
    hashed = [hashlib.sha256(b"Tomorrow").hexdigest()]
    assert message.content.get("options") == ["Tomorrow"] or message.content.get("optionHashes") == hashed


async def test_reply_and_mentions(phones: PhoneNetwork) -> None:
    """A reply names the message it answers; mentions name people."""
    account, heard = await phones.linked_account(), Recorder()
    engine = await connect(phones, account, heard)
    sent = await engine.send(text("Does João come?"))
    await phones.say(
        account,
        **{"from": _MARIA},
        text="@João yes",
        replyTo=sent.wa_id,
        mentions=["5511955554444@s.whatsapp.net"],
    )

    [message] = heard.list_of(Received)
    assert (message.reply_to, message.mentions) == (sent.wa_id, ["5511955554444@s.whatsapp.net"])


async def test_group(phones: PhoneNetwork) -> None:
    """In a group the chat is the group's and the sender is the person."""
    account, heard = await phones.linked_account(), Recorder()
    await connect(phones, account, heard)
    await phones.say(account, **{"from": _MARIA}, chat=_GROUP, text="Oi, gente")

    [message] = heard.list_of(Received)
    assert (message.chat, message.sender.pn) == (_GROUP, "5511912345678")


async def test_written_on_the_phone(phones: PhoneNetwork) -> None:
    """What the owner writes on the phone comes in as `from_me`, in the other side's chat, with its own sender."""
    account, heard = await phones.linked_account(), Recorder()
    await connect(phones, account, heard)
    await phones.say(account, **{"from": _MARIA}, text="I am on it", fromMe=True)

    [message] = heard.list_of(Received)
    assert (message.from_me, message.chat) == (True, _MARIA_JID)
    assert message.sender == Party(pn=heard.get(Connected).phone, lid=heard.get(Connected).lid)


async def test_edit_revoke_reaction(phones: PhoneNetwork) -> None:
    """Later changes name the message that they change."""
    account, heard = await phones.linked_account(), Recorder()
    await connect(phones, account, heard)
    await phones.say(account, **{"from": _MARIA}, text="Tomorow")
    wa_id = heard.get(Received).wa_id
    await phones.say(account, **{"from": _MARIA}, type="edit", waId=wa_id, text="Tomorrow")
    await phones.say(account, **{"from": _MARIA}, type="reaction", waId=wa_id, text="👍")
    await phones.say(account, **{"from": _MARIA}, type="reaction", waId=wa_id, text="")
    await phones.say(account, **{"from": _MARIA}, type="revoke", waId=wa_id)

    assert [type(entry).__name__ for entry in heard.entries] == [
        "Received", "Edited", "Reacted", "Reacted", "Revoked",
    ]  # fmt: skip
    assert (heard.get(Edited).wa_id, heard.get(Edited).text) == (wa_id, "Tomorrow")
    assert [reaction.emoji for reaction in heard.list_of(Reacted)] == ["👍", ""]
    assert (heard.get(Revoked).wa_id, heard.get(Revoked).chat) == (wa_id, _MARIA_JID)
    assert heard.get(Revoked).sender == heard.get(Received).sender


async def test_changed_on_the_phone(phones: PhoneNetwork) -> None:
    """What the owner edits, reacts to or takes back on the phone says that it was the owner."""
    account, heard = await phones.linked_account(), Recorder()
    await connect(phones, account, heard)
    await phones.say(account, **{"from": _MARIA}, text="I am on it", fromMe=True)
    wa_id = heard.get(Received).wa_id
    for type_ in ("edit", "reaction", "revoke"):
        await phones.say(account, **{"from": _MARIA}, type=type_, waId=wa_id, text="👍", fromMe=True)

    own = Party(pn=heard.get(Connected).phone, lid=heard.get(Connected).lid)
    for change in (heard.get(Edited), heard.get(Reacted), heard.get(Revoked)):
        assert (change.from_me, change.sender, change.chat) == (True, own, _MARIA_JID)
        assert change.wa_id == wa_id


async def test_receipt(phones: PhoneNetwork) -> None:
    """A phone that reads on its own account says so of the messages it names."""
    account, heard = await phones.linked_account(), Recorder()
    engine = await connect(phones, account, heard)
    sent = [(await engine.send(text(words))).wa_id for words in ("Oi", "Quando?")]
    await phones.say(account, **{"from": _MARIA}, type="receipt", waIds=sent, status="read")

    told = [receipt for receipt in heard.list_of(Acknowledged) if receipt.status == "read"]
    assert {receipt.chat for receipt in told} == {_MARIA_JID}
    assert sorted(wa_id for receipt in told for wa_id in receipt.wa_ids) == sorted(sent)


async def test_call(phones: PhoneNetwork) -> None:
    """A call says who calls and whether with a picture; the caller's own name, where WhatsApp tells it."""
    account, heard = await phones.linked_account(), Recorder()
    await connect(phones, account, heard)
    await phones.say(account, **{"from": _MARIA}, name="Maria", type="call", video=True)

    call = heard.get(Called)
    assert (call.sender.pn, call.video) == ("5511912345678", True)
    assert call.name in {"Maria", None}
    assert call.call_id


async def test_order(phones: PhoneNetwork) -> None:
    """What one person writes, in whichever chat, arrives in the order it was written."""
    account, heard = await phones.linked_account(), Recorder()
    await connect(phones, account, heard)
    for number in range(20):
        chat = {"chat": _GROUP} if number % 3 == 0 else {}
        await phones.say(account, **{"from": _MARIA}, text=str(number), **chat)

    assert [message.content["text"] for message in heard.list_of(Received)] == [str(n) for n in range(20)]
    assert len({message.wa_id for message in heard.list_of(Received)}) == 20


async def test_offline(phones: PhoneNetwork) -> None:
    """What was written while the session was away arrives when it connects, marked; what comes then is not."""
    account, heard = await phones.linked_account(), Recorder()
    engine = await connect(phones, account, heard)
    await engine.stop()
    await phones.say(account, **{"from": _MARIA}, text="Anybody?")
    assert heard.list_of(Received) == []

    await engine.start()
    await phones.settle()
    await phones.say(account, **{"from": _MARIA}, text="Good")
    assert [(m.content["text"], m.offline) for m in heard.list_of(Received)] == [
        ("Anybody?", True),
        ("Good", False),
    ]


async def test_two_accounts(phones: PhoneNetwork) -> None:
    """Each account hears its own."""
    one, other = await phones.linked_account(), await phones.linked_account()
    heard_one, heard_other = Recorder(), Recorder()
    await connect(phones, one, heard_one)
    await connect(phones, other, heard_other)
    await phones.say(one, **{"from": _MARIA}, text="To one")
    await phones.say(other, **{"from": _MARIA}, text="To the other")

    assert [m.content["text"] for m in heard_one.list_of(Received)] == ["To one"]
    assert [m.content["text"] for m in heard_other.list_of(Received)] == ["To the other"]
    assert heard_one.get(Connected).phone != heard_other.get(Connected).phone
