"""Inbound messages: who wrote where, what refers to what, and what is changed."""

from datetime import timedelta
from typing import Any

import pytest

from relay.engines import convert
from relay.engines.engine import (
    Edited,
    Reacted,
    Received,
    Revoked,
)
from relay.engines.protobufs import e2e
from relay.model.message import MessageType, Party
from tests.unit.library_events import (
    AT,
    AT_SECONDS,
    GROUP,
    LID_JID,
    MARIA,
    MARIA_JID,
    MARIA_LID,
    MARIA_PN,
    OWN,
    OWN_JID,
    Book,
    content,
    edited,
    entry,
    event,
    file_of,
    revoked,
    source,
    text,
    wrap,
)

_ADMIN_JID = "5511988887777@s.whatsapp.net"


# --- who and where -----------------------------------------------------------------------------------------------


def test_text() -> None:
    """A text, with everything that the event says of it."""
    assert entry(text("Olá 👋"), source(sender_alt=f"{MARIA_LID}:3@lid")) == Received(
        wa_id="3EB0A1",
        chat=MARIA_JID,
        sender=MARIA,
        from_me=False,
        type=MessageType.TEXT,
        content={"text": "Olá 👋"},
        sent_at=AT,
        name="Maria",
    )


@pytest.mark.parametrize(
    ("where", "known"),
    [
        (source(LID_JID, f"{MARIA_LID}:7@lid", sender_alt=f"{MARIA_PN}:7@s.whatsapp.net"), {}),
        (source(LID_JID), {f"n{MARIA_PN}": MARIA_LID}),
        (source(MARIA_JID, sender_alt=LID_JID), {}),
        (source(MARIA_JID), {f"n{MARIA_PN}": MARIA_LID}),
        (source(f"{MARIA_PN}@hosted", sender_alt=f"{MARIA_LID}@hosted.lid"), {}),
    ],
)
def test_chat_is_the_numbers(where: Any, known: dict[str, str]) -> None:
    """However WhatsApp names somebody, the chat is the number's where it is known, and the sender has both names."""
    found = entry(text("Oi"), where, book=Book(**known))
    assert (found.chat, found.sender) == (MARIA_JID, MARIA)


def test_chat_of_somebody_without_a_number() -> None:
    """Somebody known by LID alone has a chat by that name."""
    found = entry(text("Oi"), source(LID_JID, f"{MARIA_LID}:7@lid"))
    assert (found.chat, found.sender) == (LID_JID, Party(lid=MARIA_LID))


def test_learns_pairs() -> None:
    """An event that names both tells the directory."""
    book = Book()
    entry(text("Oi"), source(LID_JID, sender_alt=MARIA_JID), book=book)
    assert book.lids == {MARIA_PN: MARIA_LID}


@pytest.mark.parametrize(
    "where",
    [
        source(MARIA_JID, OWN_JID, from_me=True),
        source(LID_JID, f"{OWN.lid}:0@lid", from_me=True, recipient_alt=MARIA_JID),
    ],
)
def test_own_message(where: Any) -> None:
    """What the owner writes on the phone belongs to the other side's chat."""
    found = entry(text("Oi"), where)
    assert (found.chat, found.sender, found.from_me) == (MARIA_JID, OWN, True)


def test_group() -> None:
    """A group keeps its JID, and its messages name the participant."""
    found = entry(text("Oi"), source(GROUP, f"{MARIA_LID}:7@lid", sender_alt=MARIA_JID))
    assert (found.chat, found.sender, found.from_me) == (GROUP, MARIA, False)


@pytest.mark.parametrize(
    "chat", ["status@broadcast", "1666262626@broadcast", "120363000000000000@newsletter"]
)
def test_other_chats(chat: str) -> None:
    """Status, broadcast lists and channels are chats of their own."""
    sender = chat if chat.endswith("@newsletter") else MARIA_JID
    found = entry(text("Oi"), source(chat, sender))
    assert found.chat == chat
    assert found.sender == (Party() if sender == chat else Party(pn=MARIA_PN))


def test_name() -> None:
    """A business without a name of its own has the one that WhatsApp has verified; a dash is none."""
    named = event(text("Oi"), Pushname="-")
    assert convert.entry_of_message(named, Book(), offline=True, decrypt_vote=lambda _: None).name is None  # type: ignore[union-attr]
    named.Info.VerifiedName.Details.verifiedName = "Loja"
    found = convert.entry_of_message(named, Book(), offline=True, decrypt_vote=lambda _: None)
    assert isinstance(found, Received)
    assert (found.name, found.offline) == ("Loja", True)


# --- texts and what they refer to --------------------------------------------------------------------------------


def test_references() -> None:
    """What a message answers, whom it mentions by which name ever, and that it was forwarded."""
    context = e2e.ContextInfo(
        stanzaID="3EB0FF",
        participant=OWN_JID,
        mentionedJID=[LID_JID, "5511977776666:2@s.whatsapp.net", "777@lid"],
        isForwarded=True,
    )
    message = e2e.Message(extendedTextMessage=e2e.ExtendedTextMessage(text="@Maria", contextInfo=context))
    found = entry(message, book=Book(**{f"n{MARIA_PN}": MARIA_LID}))
    assert found.content == {"text": "@Maria", "forwarded": True}
    assert found.reply_to == "3EB0FF"
    assert found.mentions == [MARIA_JID, "5511977776666@s.whatsapp.net", "777@lid"]


def test_mentions_without_end() -> None:
    """A message mentions at most as many as a group holds."""
    context = e2e.ContextInfo(mentionedJID=[f"{number}@lid" for number in range(2000)])
    message = e2e.Message(extendedTextMessage=e2e.ExtendedTextMessage(text="@", contextInfo=context))
    assert len(entry(message).mentions) == 1024


def test_a_file_can_answer() -> None:
    """A file has its references in its own part; so has a kind that nobody reads."""
    context = e2e.ContextInfo(stanzaID="3EB0FF")
    for message in (
        e2e.Message(imageMessage=file_of(e2e.ImageMessage, contextInfo=context)),
        e2e.Message(productMessage=e2e.ProductMessage(contextInfo=context)),
    ):
        assert entry(message).reply_to == "3EB0FF"


@pytest.mark.parametrize(
    "message",
    [
        e2e.Message(),
        e2e.Message(conversation=""),
        e2e.Message(senderKeyDistributionMessage=e2e.SenderKeyDistributionMessage(groupID=GROUP)),
        e2e.Message(messageContextInfo=e2e.MessageContextInfo(messageSecret=b"s" * 32)),
        e2e.Message(albumMessage=e2e.AlbumMessage(expectedImageCount=2)),
        wrap("ephemeralMessage", e2e.Message()),
        e2e.Message(protocolMessage=e2e.ProtocolMessage()),
        e2e.Message(protocolMessage=e2e.ProtocolMessage(type=e2e.ProtocolMessage.EPHEMERAL_SETTING)),
        e2e.Message(protocolMessage=e2e.ProtocolMessage(type=e2e.ProtocolMessage.APP_STATE_SYNC_KEY_SHARE)),
        e2e.Message(reactionMessage=e2e.ReactionMessage(text="👍")),
    ],
)
def test_nothing_said(message: Any) -> None:
    """Keys, settings and empty messages make no entry."""
    assert entry(message) is None


def test_text_beside_a_key() -> None:
    """The words count where a group's key comes with them."""
    message = text("Oi")
    message.senderKeyDistributionMessage.groupID = GROUP
    message.messageContextInfo.messageSecret = b"s" * 32
    assert content(message) == (MessageType.TEXT, {"text": "Oi"})


@pytest.mark.parametrize(
    "wrapper",
    [
        "deviceSentMessage",
        "ephemeralMessage",
        "documentWithCaptionMessage",
        "groupMentionedMessage",
        "botInvokeMessage",
    ],
)
def test_wrappers(wrapper: str) -> None:
    """What is wrapped is read as if it were not, and twice wrapped too."""
    assert content(wrap(wrapper, text("Oi"))) == (MessageType.TEXT, {"text": "Oi"})
    assert content(wrap("ephemeralMessage", wrap(wrapper, text("Oi")))) == (MessageType.TEXT, {"text": "Oi"})


@pytest.mark.parametrize("wrapper", ["viewOnceMessage", "viewOnceMessageV2", "viewOnceMessageV2Extension"])
def test_view_once(wrapper: str) -> None:
    """Seen once, whether the library, the wrapper or the file says so."""
    message = e2e.Message(imageMessage=file_of(e2e.ImageMessage, mimetype="image/jpeg"))
    flagged = e2e.Message(imageMessage=file_of(e2e.ImageMessage, mimetype="image/jpeg", viewOnce=True))
    for kind, found in (
        content(wrap(wrapper, message)),
        content(message, flags={"IsViewOnce": True}),
        content(flagged),
    ):
        assert (kind, found) == (
            MessageType.IMAGE,
            {"mimetype": "image/jpeg", "sizeBytes": 1234, "viewOnce": True},
        )
    assert "viewOnce" not in content(message)[1]


# --- changes -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("message", "new"),
    [
        (text("Amanhã"), "Amanhã"),
        (e2e.Message(extendedTextMessage=e2e.ExtendedTextMessage(text="Amanhã")), "Amanhã"),
        (e2e.Message(imageMessage=e2e.ImageMessage(caption="Amanhã")), "Amanhã"),
        (e2e.Message(imageMessage=e2e.ImageMessage()), ""),
    ],
)
def test_edit(message: Any, new: str) -> None:
    """An edit names the message and gives its new text or caption, wrapped or not."""
    expected = Edited(
        wa_id="3EB0OLD",
        chat=MARIA_JID,
        sender=Party(pn=MARIA_PN),
        text=new,
        at=AT + timedelta(milliseconds=123),
    )
    assert entry(edited(message)) == expected
    assert entry(wrap("editedMessage", edited(message))) == expected
    assert entry(edited(message), flags={"IsEdit": True}) == expected


def test_edit_at_a_strange_time() -> None:
    """A sender's clock that is far off, or missing, gives way to the server's."""
    for at_ms in (0, 2**63 - 1, -(2**63)):
        assert entry(edited(text("x"), at_ms=at_ms)).at == AT


def test_own_edit() -> None:
    """The owner edits on the phone."""
    found = entry(edited(text("x")), source(MARIA_JID, OWN_JID, from_me=True))
    assert (found.from_me, found.sender, found.chat) == (True, OWN, MARIA_JID)


def test_edit_under_its_own_id() -> None:
    """A channel's edited message comes whole, under the id that it has always had."""
    channel = "120363000000000000@newsletter"
    changed = event(text("Novo"), source(channel), ID="3EB0OLD")
    changed.NewsLetterMeta.EditTS, changed.NewsLetterMeta.OriginalTS = AT_SECONDS + 5, AT_SECONDS
    found = convert.entry_of_message(changed, Book(), offline=False, decrypt_vote=lambda _: None)
    assert isinstance(found, Edited)
    assert (found.wa_id, found.text, found.at) == ("3EB0OLD", "Novo", AT + timedelta(seconds=5))

    # Go's zero time, in seconds: not edited.
    changed.NewsLetterMeta.EditTS = -62135596800
    assert isinstance(
        convert.entry_of_message(changed, Book(), offline=False, decrypt_vote=lambda _: None), Received
    )
    assert isinstance(entry(wrap("editedMessage", text("Novo"))), Edited)


def test_revoke() -> None:
    """Taken back by its author."""
    assert entry(revoked(fromMe=True, remoteJID=MARIA_JID)) == Revoked(
        wa_id="3EB0OLD", chat=MARIA_JID, sender=Party(pn=MARIA_PN), at=AT
    )
    assert entry(revoked(fromMe=True), source(MARIA_JID, OWN_JID, from_me=True)).from_me


@pytest.mark.parametrize(
    ("participant", "author", "from_me"),
    [
        (MARIA_JID, MARIA, False),
        (LID_JID, MARIA, False),
        (f"{OWN.lid}@lid", OWN, True),
        ("", Party(pn="5511988887777"), False),
    ],
)
def test_revoke_by_an_admin(participant: str, author: Party, from_me: bool) -> None:
    """Taken back by a group's admin: the author's name stands there, that of the account itself too."""
    found = entry(
        revoked(fromMe=False, participant=participant),
        source(GROUP, _ADMIN_JID),
        book=Book(**{f"n{MARIA_PN}": MARIA_LID}),
    )
    assert (found.chat, found.sender, found.from_me) == (GROUP, author, from_me)


def test_reaction() -> None:
    """A reaction, and one taken back, at the sender's own time."""
    for emoji in ("👍", ""):
        reaction = e2e.ReactionMessage(text=emoji, senderTimestampMS=AT_SECONDS * 1000 + 7)
        reaction.key.ID = "3EB0OLD"
        assert entry(e2e.Message(reactionMessage=reaction)) == Reacted(
            wa_id="3EB0OLD",
            chat=MARIA_JID,
            sender=Party(pn=MARIA_PN),
            emoji=emoji,
            at=AT + timedelta(milliseconds=7),
        )
