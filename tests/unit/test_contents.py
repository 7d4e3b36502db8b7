"""What a message holds, kind by kind, and whatever strangers put into it."""

from typing import Any

import msgspec
import pytest
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from hypothesis import given
from hypothesis import strategies as st

from relay.engines import convert
from relay.engines.engine import (
    MediaRef,
    Received,
)
from relay.engines.protobufs import e2e, history, neonize, web
from relay.model.message import MessageType
from tests.unit.library_events import (
    GROUP,
    MARIA_JID,
    Book,
    content,
    entry,
    event,
    file_of,
    text,
    wrap,
)

# --- files -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("message", "kind", "expected"),
    [
        (
            e2e.Message(
                imageMessage=file_of(
                    e2e.ImageMessage, mimetype="image/jpeg", caption="o recibo", width=640, height=480
                )
            ),
            "image",
            {"mimetype": "image/jpeg", "caption": "o recibo", "width": 640, "height": 480},
        ),
        (
            e2e.Message(
                audioMessage=file_of(e2e.AudioMessage, mimetype="audio/ogg; codecs=opus", PTT=True, seconds=7)
            ),
            "audio",
            {"mimetype": "audio/ogg; codecs=opus", "voice": True, "seconds": 7},
        ),
        (
            e2e.Message(audioMessage=file_of(e2e.AudioMessage, mimetype="audio/mpeg")),
            "audio",
            {"mimetype": "audio/mpeg"},
        ),
        (
            e2e.Message(
                videoMessage=file_of(
                    e2e.VideoMessage,
                    mimetype="video/mp4",
                    caption="c",
                    seconds=3,
                    width=1,
                    height=2,
                    gifPlayback=True,
                )
            ),
            "video",
            {
                "mimetype": "video/mp4",
                "caption": "c",
                "seconds": 3,
                "width": 1,
                "height": 2,
                "animated": True,
            },
        ),
        (
            e2e.Message(ptvMessage=file_of(e2e.VideoMessage, mimetype="video/mp4", seconds=3)),
            "video",
            {"mimetype": "video/mp4", "seconds": 3},
        ),
        (
            wrap(
                "documentWithCaptionMessage",
                e2e.Message(
                    documentMessage=file_of(
                        e2e.DocumentMessage, mimetype="text/plain", fileName="a.txt", caption="leia"
                    )
                ),
            ),
            "document",
            {"mimetype": "text/plain", "fileName": "a.txt", "caption": "leia"},
        ),
        (
            e2e.Message(
                stickerMessage=file_of(
                    e2e.StickerMessage, mimetype="image/webp", width=512, height=512, isAnimated=True
                )
            ),
            "sticker",
            {"mimetype": "image/webp", "width": 512, "height": 512, "animated": True},
        ),
    ],
)
def test_files(message: Any, kind: str, expected: dict[str, Any]) -> None:
    """Each kind of file: what is said of it, and how it is fetched."""
    found = entry(message)
    assert (found.type, found.content) == (kind, {"sizeBytes": 1234, **expected})
    assert found.media == MediaRef(
        kind=kind,  # type: ignore[arg-type]
        direct_path="/v/t62/1?x=1",
        key=b"k" * 32,
        sha256=b"s" * 32,
        encrypted_sha256=b"e" * 32,
        size_bytes=1234,
        mimetype=expected["mimetype"],
        file_name=expected.get("fileName"),
    )


def test_file_by_address() -> None:
    """An old message gives a file's whole address; one that gives nothing has no file to fetch."""
    old = e2e.ImageMessage(URL="https://mmg.whatsapp.net/d/f/Abc.enc?x=1", mediaKey=b"k" * 32)
    assert entry(e2e.Message(imageMessage=old)).media.direct_path == "/d/f/Abc.enc?x=1"
    assert entry(e2e.Message(imageMessage=e2e.ImageMessage(caption="gone"))).media is None
    assert entry(e2e.Message(imageMessage=e2e.ImageMessage(URL="https://[/"))).media is None


# --- places, people, polls, choices ------------------------------------------------------------------------------


def test_location() -> None:
    """A place, named or live; one that is nowhere stays visible as unsupported."""
    shop = e2e.LocationMessage(
        degreesLatitude=-23.55, degreesLongitude=-46.63, name="Loja", address="Rua A, 1"
    )
    assert content(e2e.Message(locationMessage=shop)) == (
        MessageType.LOCATION,
        {"latitude": -23.55, "longitude": -46.63, "name": "Loja", "address": "Rua A, 1"},
    )
    live = e2e.LiveLocationMessage(degreesLatitude=1, degreesLongitude=2, caption="chegando")
    assert content(e2e.Message(liveLocationMessage=live)) == (
        MessageType.LOCATION,
        {"latitude": 1, "longitude": 2, "caption": "chegando", "live": True},
    )
    nowhere = e2e.LocationMessage(degreesLatitude=float("nan"), degreesLongitude=float("inf"))
    assert content(e2e.Message(locationMessage=nowhere)) == (
        MessageType.UNSUPPORTED,
        {"kind": "locationMessage"},
    )


def test_contacts() -> None:
    """A card with the number in it, and several."""
    vcard = "BEGIN:VCARD\nVERSION:3.0\nFN:João\nitem1.TEL;waid=5511955554444:+55 11 95555-4444\nEND:VCARD"
    card = e2e.ContactMessage(displayName="João", vcard=vcard)
    expected = {"name": "João", "phone": "+55 11 95555-4444", "vcard": vcard}
    assert content(e2e.Message(contactMessage=card)) == (MessageType.CONTACT, expected)
    nobody = e2e.ContactMessage(displayName="X", vcard="BEGIN:VCARD\nTELEX:1\nEND:VCARD")
    both = e2e.ContactsArrayMessage(contacts=[card, nobody])
    assert content(e2e.Message(contactsArrayMessage=both)) == (
        MessageType.CONTACT,
        {"contacts": [expected, {"name": "X", "vcard": "BEGIN:VCARD\nTELEX:1\nEND:VCARD"}]},
    )


_POLL = e2e.PollCreationMessage(
    name="Quando?",
    options=[e2e.PollCreationMessage.Option(optionName=name) for name in ("hoje", "amanhã")],
    selectableOptionsCount=1,
)


@pytest.mark.parametrize(
    "message",
    [
        e2e.Message(pollCreationMessage=_POLL),
        e2e.Message(pollCreationMessageV2=_POLL),
        e2e.Message(pollCreationMessageV3=_POLL),
        wrap("pollCreationMessageV4", e2e.Message(pollCreationMessageV3=_POLL)),
        e2e.Message(pollCreationMessageV5=_POLL),
    ],
)
def test_polls(message: Any) -> None:
    """Every version of a poll reads the same."""
    assert content(message) == (
        MessageType.POLL,
        {"question": "Quando?", "options": ["hoje", "amanhã"], "selectable": 1},
    )


def test_poll_without_a_limit() -> None:
    """Where WhatsApp gives no limit, all options may be chosen."""
    poll = e2e.PollCreationMessage()
    poll.CopyFrom(_POLL)
    poll.selectableOptionsCount = 0
    assert content(e2e.Message(pollCreationMessage=poll))[1]["selectable"] == 2


@pytest.mark.parametrize(
    ("votes", "expected"),
    [([b"\x01\xff"], {"optionHashes": ["01ff"]}), ([], {"optionHashes": []}), (None, {})],
)
def test_poll_vote(votes: list[bytes] | None, expected: dict[str, Any]) -> None:
    """A vote names its poll and the options' hashes; one taken back has none, one that cannot be read says nothing."""
    update = e2e.PollUpdateMessage(vote=e2e.PollEncValue(encPayload=b"x", encIV=b"y"))
    update.pollCreationMessageKey.ID = "3EB0POLL"
    assert content(e2e.Message(pollUpdateMessage=update), votes=votes) == (
        MessageType.POLL_VOTE,
        {"waMessageId": "3EB0POLL", **expected},
    )


def _native(params: str, body: str = "") -> Any:
    response = e2e.InteractiveResponseMessage()
    response.body.text = body
    response.nativeFlowResponseMessage.name = "quick_reply"
    response.nativeFlowResponseMessage.paramsJSON = params
    return e2e.Message(interactiveResponseMessage=response)


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (
            e2e.Message(
                buttonsResponseMessage=e2e.ButtonsResponseMessage(
                    selectedDisplayText="Sim", selectedButtonID="b1"
                )
            ),
            {"text": "Sim", "choiceId": "b1"},
        ),
        (
            e2e.Message(
                listResponseMessage=e2e.ListResponseMessage(
                    title="Pizza",
                    singleSelectReply=e2e.ListResponseMessage.SingleSelectReply(selectedRowID="r2"),
                )
            ),
            {"text": "Pizza", "choiceId": "r2"},
        ),
        (
            e2e.Message(
                templateButtonReplyMessage=e2e.TemplateButtonReplyMessage(
                    selectedID="t3", selectedDisplayText="Falar"
                )
            ),
            {"text": "Falar", "choiceId": "t3"},
        ),
        (_native('{"id": "n4"}', "Comprar"), {"text": "Comprar", "choiceId": "n4"}),
        (_native("[" * 50_000, "Comprar"), {"text": "Comprar", "choiceId": "quick_reply"}),
        (_native("[1]"), {"text": "quick_reply", "choiceId": "quick_reply"}),
        (_native('{"id": 5}'), {"text": "quick_reply", "choiceId": "quick_reply"}),
    ],
)
def test_choices(message: Any, expected: dict[str, Any]) -> None:
    """A tapped button or row is a text, with the id that the business gave it."""
    assert content(message) == (MessageType.TEXT, expected)


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (
            e2e.Message(requestPhoneNumberMessage=e2e.RequestPhoneNumberMessage()),
            {"kind": "requestPhoneNumberMessage"},
        ),
        (
            e2e.Message(groupInviteMessage=e2e.GroupInviteMessage(groupJID=GROUP, groupName="Time")),
            {"kind": "groupInviteMessage", "text": "Time"},
        ),
        (e2e.Message(eventMessage=e2e.EventMessage(name="Festa")), {"kind": "eventMessage", "text": "Festa"}),
        (
            e2e.Message(buttonsMessage=e2e.ButtonsMessage(contentText="Sim?")),
            {"kind": "buttonsMessage", "text": "Sim?"},
        ),
        (
            e2e.Message(orderMessage=e2e.OrderMessage(orderTitle="1 pizza")),
            {"kind": "orderMessage", "text": "1 pizza"},
        ),
        (
            e2e.Message(buttonsResponseMessage=e2e.ButtonsResponseMessage()),
            {"kind": "buttonsResponseMessage"},
        ),
        (e2e.Message.FromString(b"\xfa\x3f\x03abc"), {"kind": "field 1023"}),
    ],
)
def test_unsupported(message: Any, expected: dict[str, Any]) -> None:
    """A kind that is not read is told with its name, and with its words where it has some; a newer protocol's too."""
    assert content(message) == (MessageType.UNSUPPORTED, expected)


# --- strangers ---------------------------------------------------------------------------------------------------


def test_text_that_is_no_utf8() -> None:
    """Bytes in place of text are made readable, wherever a stranger can put them."""
    broken = event(text("OiOi"), Pushname="Mari")
    packed = broken.SerializeToString().replace(b"OiOi", b"O\xff\x00i").replace(b"Mari", b"M\xff\xfei")
    found = convert.entry_of_message(
        neonize.Message.FromString(packed), Book(), offline=False, decrypt_vote=lambda _: None
    )
    assert isinstance(found, Received)
    assert (found.content["text"], found.name) == ("O�\x00i", "M��i")


def test_wrapped_without_end() -> None:
    """Thirty wrappers say nothing; at a hundred levels the protobuf library gives up by itself."""
    message = text("Oi")
    for _ in range(30):
        message = wrap("ephemeralMessage", message)
    assert entry(message) is None


_FIELDS = [field.number for field in e2e.Message.DESCRIPTOR.fields]
_NUMBER = st.sampled_from([*range(1, 33), *_FIELDS])


def _varint(value: int) -> bytes:
    out = b""
    while value > 0x7F:
        out, value = out + bytes([value & 0x7F | 0x80]), value >> 7
    return out + bytes([value])


def _delimited(number: int, body: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(body)) + body


_FIELD = st.one_of(
    st.tuples(_NUMBER, st.integers(0, 2**64 - 1)).map(lambda pair: _varint(pair[0] << 3) + _varint(pair[1])),
    st.tuples(_NUMBER, st.binary(min_size=8, max_size=8)).map(
        lambda pair: _varint(pair[0] << 3 | 1) + pair[1]
    ),
    st.tuples(_NUMBER, st.binary(max_size=20)).map(lambda pair: _delimited(*pair)),
)
_PACKED = st.recursive(
    _FIELD,
    lambda inner: st.tuples(_NUMBER, st.lists(inner, max_size=4).map(b"".join)).map(
        lambda pair: _delimited(*pair)
    ),
    max_leaves=12,
)


@given(st.lists(st.tuples(st.sampled_from(_FIELDS), st.lists(_PACKED, max_size=4).map(b"".join)), max_size=3))
def test_anything(fields: list[tuple[int, bytes]]) -> None:
    """Whatever parses as a message makes an entry that the journal can hold, or none; nothing raises."""
    try:
        message = e2e.Message.FromString(b"".join(_delimited(*field) for field in fields))
    except DecodeError:
        return
    found = entry(message, votes=[b"\x01"])
    if found is not None:
        assert msgspec.json.decode(msgspec.json.encode(found), type=type(found)).chat == MARIA_JID
    past = web.WebMessageInfo(message=message, messageTimestamp=2**64 - 1)
    past.key.ID = "A"
    said = history.Conversation(ID=MARIA_JID, messages=[history.HistorySyncMsg(message=past)])
    sync = neonize.HistorySync(
        Data=history.HistorySync(syncType=history.HistorySync.FULL, conversations=[said])
    )
    list(convert.entries_of_history(sync, Book()))
