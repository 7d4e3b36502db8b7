"""Outgoing: what the phones are sent, and that it reads back as what was asked for."""

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.engines import convert
from relay.engines.compose import Uploaded, edit_of, message_of, revoke_of, vote_info
from relay.engines.engine import Edited, Outgoing, Reacted, Received, Revoked, Target
from relay.engines.jids import text_of
from relay.engines.protobufs import e2e, neonize
from relay.model.errors import NotSupported, SendRejected
from relay.model.message import MEDIA_TYPES, SENDABLE_TYPES, VIEW_ONCE_TYPES, MessageType
from tests.unit.library_events import (
    AT,
    GROUP,
    MARIA_JID,
    MARIA_LID,
    MARIA_PN,
    OWN,
    OWN_JID,
    Book,
    event,
)

_FILE = Uploaded(
    url="https://mmg.whatsapp.net/v/t62/1?x=1",
    direct_path="/v/t62/1?x=1",
    key=b"k" * 32,
    sha256=b"s" * 32,
    encrypted_sha256=b"e" * 32,
    size_bytes=1234,
    mimetype="application/x-thing",
    file_name="a.thing",
)
_CONTENT: dict[MessageType, dict[str, Any]] = {
    MessageType.TEXT: {"text": "Olá 👋"},
    MessageType.IMAGE: {"caption": "veja"},
    MessageType.AUDIO: {"voice": True},
    MessageType.VIDEO: {"caption": "veja"},
    MessageType.DOCUMENT: {"caption": "leia", "fileName": "a.thing"},
    MessageType.STICKER: {},
    MessageType.LOCATION: {"latitude": -23.5, "longitude": -46.625, "name": "Loja", "address": "Rua A"},
    MessageType.CONTACT: {"name": "João", "phone": "+55 11 95555-4444"},
    MessageType.POLL: {"question": "Quando?", "options": ["hoje", "amanhã", "nunca"], "selectable": 2},
}


def compose(
    kind: MessageType, content: dict[str, Any], *, uploaded: Uploaded | None = None, **fields: Any
) -> Any:
    outgoing = Outgoing(**{"chat": MARIA_JID, **fields}, type=kind, content=content)
    return message_of(
        outgoing, "5511900000000:12@s.whatsapp.net", uploaded, now=AT, randomness=lambda n: b"r" * n
    )


def read_back(message: Any) -> Any:
    """As the phone of somebody else reads it."""
    return convert.entry_of_message(event(message), Book(), offline=False, decrypt_vote=lambda _: None)


def of(kind: MessageType, **fields: Any) -> Any:
    uploaded = _FILE if kind in MEDIA_TYPES else None
    return compose(kind, _CONTENT[kind], uploaded=uploaded, **fields)


@pytest.mark.parametrize("kind", sorted(SENDABLE_TYPES - {MessageType.REACTION, MessageType.POLL_VOTE}))
def test_every_type_reads_back(kind: MessageType) -> None:
    """Each type is received as it was sent, alone, as an answer, and with mentions."""
    target = Target(wa_id="3EB0OLD", sender=MARIA_JID, content={"text": "Quem?"})
    for fields in ({}, {"target": target}, {"mentions": [f"{MARIA_PN}:3@s.whatsapp.net"]}):
        found = read_back(of(kind, **fields))
        assert isinstance(found, Received)
        assert found.type == kind
        assert found.content.items() >= _CONTENT[kind].items()
        assert found.reply_to == ("3EB0OLD" if "target" in fields else None)
        assert found.mentions == ([MARIA_JID] if "mentions" in fields else [])


_WORDS = st.text(st.characters(codec="utf-8"), min_size=1, max_size=50)
_ANGLE = st.floats(-180, 180, allow_nan=False)


@given(words=_WORDS)
def test_any_text_reads_back(words: str) -> None:
    """Any text, alone and as an answer."""
    for target in (None, Target(wa_id="A", sender=MARIA_JID)):
        assert read_back(compose(MessageType.TEXT, {"text": words}, target=target)).content == {"text": words}


@given(question=_WORDS, options=st.lists(_WORDS, min_size=2, max_size=12, unique=True), data=st.data())
def test_any_poll_reads_back(question: str, options: list[str], data: st.DataObject) -> None:
    """Any poll with any number of choices."""
    selectable = data.draw(st.integers(1, len(options)))
    content = {"question": question, "options": options, "selectable": selectable}
    assert read_back(compose(MessageType.POLL, content)).content == content


@given(latitude=_ANGLE, longitude=_ANGLE)
def test_any_place_reads_back(latitude: float, longitude: float) -> None:
    """Any place."""
    content = {"latitude": latitude, "longitude": longitude}
    assert read_back(compose(MessageType.LOCATION, content)).content == content


@given(name=_WORDS)
def test_any_contact_reads_back(name: str) -> None:
    """Any name makes a card with this one number."""
    found = read_back(compose(MessageType.CONTACT, {"name": name, "phone": "+55 11 95555-4444"}))
    assert (found.content["name"], found.content["phone"]) == (name, "+55 11 95555-4444")
    assert found.content["vcard"].count("TEL;") == 1
    assert len(found.content["vcard"].splitlines()) == 6


# --- files -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", sorted(MEDIA_TYPES))
def test_file_is_found_again(kind: MessageType) -> None:
    """What an uploaded file is fetched and opened with arrives, whatever it is sent as."""
    media = read_back(of(kind)).media
    assert (media.kind, media.direct_path, media.key, media.sha256, media.encrypted_sha256) == (
        kind, _FILE.direct_path, _FILE.key, _FILE.sha256, _FILE.encrypted_sha256,
    )  # fmt: skip
    assert (media.size_bytes, media.mimetype) == (1234, "application/x-thing")


def test_what_is_known_of_a_file() -> None:
    """Measures, a thumbnail and a voice note's waveform go with the file."""
    known = {"width": 640, "height": 480, "seconds": 7, "thumbnail": b"\xff\xd8", "animated": True}
    file = Uploaded(**{name: getattr(_FILE, name) for name in _FILE.__struct_fields__} | known)
    image = compose(MessageType.IMAGE, {}, uploaded=file).imageMessage
    assert (image.width, image.height, image.JPEGThumbnail) == (640, 480, b"\xff\xd8")
    video = compose(MessageType.VIDEO, {}, uploaded=file).videoMessage
    assert (video.width, video.seconds, video.JPEGThumbnail, video.gifPlayback) == (640, 7, b"\xff\xd8", True)
    assert compose(MessageType.STICKER, {}, uploaded=file).stickerMessage.isAnimated
    voice = Uploaded(
        **{name: getattr(_FILE, name) for name in _FILE.__struct_fields__} | {"waveform": bytes(64)}
    )
    audio = compose(MessageType.AUDIO, {"voice": True}, uploaded=voice).audioMessage
    assert (audio.PTT, audio.waveform) == (True, bytes(64))
    assert audio.mediaKeyTimestamp == int(AT.timestamp())


def test_document_without_a_caption_is_not_wrapped() -> None:
    """Only a caption needs the wrapper."""
    plain = compose(MessageType.DOCUMENT, {}, uploaded=_FILE)
    assert plain.HasField("documentMessage")
    assert plain.documentMessage.fileName == plain.documentMessage.title == "a.thing"
    assert of(MessageType.DOCUMENT).HasField("documentWithCaptionMessage")


@pytest.mark.parametrize("kind", sorted(MEDIA_TYPES))
def test_view_once(kind: MessageType) -> None:
    """Image, video and audio are wrapped and flagged to be seen once; other files do not know it."""
    content = {**_CONTENT[kind], "viewOnce": True}
    message = compose(kind, content, uploaded=_FILE)
    [(field, wrapped)] = message.ListFields()
    if kind not in VIEW_ONCE_TYPES:
        assert "viewOnce" not in field.name
        return
    assert field.name == ("viewOnceMessageV2Extension" if kind == MessageType.AUDIO else "viewOnceMessageV2")
    [(_, part)] = wrapped.message.ListFields()
    assert part.viewOnce
    assert read_back(message).content.items() >= content.items()


def test_a_missing_file() -> None:
    """Without its file nothing is sent."""
    with pytest.raises(SendRejected, match="file"):
        compose(MessageType.IMAGE, {})


# --- answers -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", sorted(set(MessageType)))
def test_quotes(kind: MessageType) -> None:
    """Whatever is answered, the quote is of its kind, or of its words."""
    content = _CONTENT.get(kind, {})
    target = Target(wa_id="3EB0OLD", sender=f"{MARIA_LID}:2@lid", type=kind, content=content)
    context = compose(MessageType.TEXT, {"text": "Sim"}, target=target).extendedTextMessage.contextInfo
    assert (context.stanzaID, context.participant) == ("3EB0OLD", f"{MARIA_LID}@lid")
    assert context.HasField("quotedMessage")
    quoted = context.quotedMessage
    if kind in _CONTENT:
        found = read_back(quoted)
        assert found.type == kind
        assert found.content.items() >= content.items()
    else:
        assert quoted == e2e.Message(conversation="")


def test_quote_of_our_own() -> None:
    """A message of the account itself is quoted in its own name, without the device."""
    message = compose(MessageType.TEXT, {"text": "Sim"}, target=Target(wa_id="A"))
    assert message.extendedTextMessage.contextInfo.participant == OWN_JID


def test_quote_of_several_contacts() -> None:
    """Of several cards the first stands for all."""
    card = {"name": "João", "vcard": "BEGIN:VCARD\nFN:João\nEND:VCARD"}
    target = Target(wa_id="A", type=MessageType.CONTACT, content={"contacts": [card, card]})
    quoted = compose(
        MessageType.TEXT, {"text": "?"}, target=target
    ).extendedTextMessage.contextInfo.quotedMessage
    assert (quoted.contactMessage.displayName, quoted.contactMessage.vcard) == ("João", card["vcard"])


def test_plain_text_stays_plain() -> None:
    """A text that refers to nothing is the smallest message there is."""
    assert compose(MessageType.TEXT, {"text": "Oi"}) == e2e.Message(conversation="Oi")


# --- contacts, polls, reactions ----------------------------------------------------------------------------------


def test_contact() -> None:
    """A card of name and number, which phones offer to write to; a whole card goes as it is."""
    card = compose(
        MessageType.CONTACT, {"name": "Silva, João; \\o/", "phone": "+55 11\n95555-4444"}
    ).contactMessage
    assert card.displayName == "Silva, João; \\o/"
    assert card.vcard == (
        "BEGIN:VCARD\nVERSION:3.0\nN:;Silva\\, João\\; \\\\o/;;;\nFN:Silva\\, João\\; \\\\o/\n"
        "TEL;type=CELL;type=VOICE;waid=5511955554444:+55 11 95555-4444\nEND:VCARD"
    )
    given_card = "BEGIN:VCARD\r\nVERSION:4.0\r\nFN;CHARSET=UTF-8:Ana\r\nEND:VCARD\r\n"
    card = compose(MessageType.CONTACT, {"vcard": given_card}).contactMessage
    assert (card.displayName, card.vcard) == ("Ana", given_card)


def test_poll() -> None:
    """A poll brings the secret that its votes are sealed with; as many choices as options are no limit."""
    message = of(MessageType.POLL)
    assert message.messageContextInfo.messageSecret == b"r" * 32
    assert message.pollCreationMessage.selectableOptionsCount == 2
    all_of_them = {"question": "?", "options": ["a", "b"], "selectable": 2}
    assert compose(MessageType.POLL, all_of_them).pollCreationMessage.selectableOptionsCount == 0
    # The default randomness is the system's.
    outgoing = Outgoing(chat=MARIA_JID, type=MessageType.POLL, content=all_of_them)
    secrets = {message_of(outgoing, OWN_JID, None, now=AT).messageContextInfo.messageSecret for _ in range(2)}
    assert {len(secret) for secret in secrets} == {32}
    assert len(secrets) == 2


@pytest.mark.parametrize(
    ("chat", "author", "from_me", "participant"),
    [
        (MARIA_JID, MARIA_JID, False, ""),
        (MARIA_JID, None, True, ""),
        (GROUP, f"{MARIA_LID}:2@lid", False, f"{MARIA_LID}@lid"),
        (GROUP, None, True, ""),
    ],
)
def test_reaction(chat: str, author: str | None, from_me: bool, participant: str) -> None:
    """A reaction names its message as WhatsApp does: the author in groups only, and not for our own."""
    message = compose(
        MessageType.REACTION, {"emoji": "👍"}, chat=chat, target=Target(wa_id="3EB0OLD", sender=author)
    )
    key = message.reactionMessage.key
    assert (key.remoteJID, key.ID, key.fromMe, key.participant) == (chat, "3EB0OLD", from_me, participant)
    assert message.reactionMessage.senderTimestampMS == AT.timestamp() * 1000
    found = read_back(message)
    assert isinstance(found, Reacted)
    assert (found.wa_id, found.emoji) == ("3EB0OLD", "👍")


def test_reaction_taken_back() -> None:
    """An empty emoji is sent, not left out."""
    message = compose(MessageType.REACTION, {"emoji": ""}, target=Target(wa_id="A", sender=MARIA_JID))
    assert message.reactionMessage.HasField("text")
    with pytest.raises(SendRejected, match="react"):
        compose(MessageType.REACTION, {"emoji": "👍"})


@pytest.mark.parametrize("kind", sorted(set(MessageType) - SENDABLE_TYPES | {MessageType.POLL_VOTE}))
def test_not_sent_this_way(kind: MessageType) -> None:
    """A vote is the library's to build; calls and unknown kinds are nobody's."""
    with pytest.raises(NotSupported):
        compose(kind, {"options": []}, target=Target(wa_id="A", sender=MARIA_JID))


# --- changes and votes -------------------------------------------------------------------------------------------


def test_edit_and_revoke() -> None:
    """Read back as a change of our own message, wrapped as the library wraps edits."""
    edited = edit_of(f"{MARIA_PN}:0@s.whatsapp.net", "3EB0OLD", "Amanhã", AT + timedelta(seconds=1))
    assert edited.HasField("editedMessage")
    found = read_back(edited)
    assert isinstance(found, Edited)
    assert (found.wa_id, found.text, found.at) == ("3EB0OLD", "Amanhã", AT + timedelta(seconds=1))
    revoked = revoke_of(GROUP, "3EB0OLD")
    key = revoked.protocolMessage.key
    assert (key.remoteJID, key.fromMe, key.participant) == (GROUP, True, "")
    taken_back = read_back(revoked)
    assert isinstance(taken_back, Revoked)
    assert taken_back.wa_id == "3EB0OLD"


@pytest.mark.parametrize(
    ("author", "chat", "known", "sender", "from_me"),
    [
        (MARIA_JID, MARIA_JID, {f"n{MARIA_PN}": MARIA_LID}, f"{MARIA_LID}@lid", False),
        (MARIA_JID, GROUP, {}, MARIA_JID, False),
        (f"{MARIA_LID}@lid", GROUP, {}, f"{MARIA_LID}@lid", False),
        (None, GROUP, {}, f"{OWN.lid}@lid", True),
    ],
)
def test_vote_info(author: str | None, chat: str, known: dict[str, str], sender: str, from_me: bool) -> None:
    """The poll by its author's LID where it is known, and every field set that the library follows."""
    target = Target(wa_id="3EB0POLL", sender=author, type=MessageType.POLL, sent_at=AT)
    info = vote_info(target, chat, Book(**known))
    where = info.MessageSource
    assert (text_of(where.Chat), text_of(where.Sender)) == (chat, sender)
    assert (where.IsFromMe, where.IsGroup, info.ID) == (from_me, chat == GROUP, "3EB0POLL")
    # Serialising fails where a required field is missing.
    assert neonize.MessageInfo.FromString(info.SerializeToString()) == info


def test_vote_on_a_poll_of_nobody() -> None:
    """A channel's poll has no author to seal a vote with."""
    target = Target(wa_id="A", sender="120363000000000000@newsletter", type=MessageType.POLL)
    with pytest.raises(SendRejected, match="author"):
        vote_info(target, "120363000000000000@newsletter", Book())
