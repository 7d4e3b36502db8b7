"""What the library's other events become: unread messages, receipts, calls, history, groups."""

from datetime import timedelta
from typing import Any

import pytest

from relay.engines import convert
from relay.engines.engine import (
    Acknowledged,
    Called,
    Received,
    Undecryptable,
)
from relay.engines.jids import jid_of, text_of
from relay.engines.protobufs import e2e, history, neonize, web
from relay.model.errors import InvalidInput
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
    edited,
    info,
    jid,
    revoked,
    source,
    text,
    wrap,
)

_ADMIN_JID = "5511988887777@s.whatsapp.net"


# --- unread, receipts, calls ------------------------------------------------------------------------------------------------


def _unreadable(where: Any, *, unavailable: bool, mode: str = "DECRYPT_FAIL_SHOW", **fields: Any) -> Any:
    built = neonize.UndecryptableMessage(
        Info=info(where, **fields), IsUnavailable=unavailable, DecryptFailMode=mode
    )
    return convert.entry_of_undecryptable(built, Book())


def test_undecryptable() -> None:
    """A message that cannot be read yet; in a group it may still come even where the library calls it unavailable."""
    assert _unreadable(source(), unavailable=False) == Undecryptable(
        wa_id="3EB0A1", chat=MARIA_JID, sender=Party(pn=MARIA_PN), sent_at=AT, name="Maria"
    )
    assert isinstance(_unreadable(source(GROUP, MARIA_JID), unavailable=True), Undecryptable)


def test_never_readable() -> None:
    """In a private chat an unavailable message will not come: it is told, of the owner's own too."""
    found = _unreadable(source(), unavailable=True)
    assert isinstance(found, Received)
    assert (found.type, found.content) == (
        MessageType.UNSUPPORTED, {"kind": "view_once", "unavailable": True},
    )  # fmt: skip
    own = _unreadable(source(MARIA_JID, OWN_JID, from_me=True), unavailable=True)
    assert (own.from_me, own.chat) == (True, MARIA_JID)


def test_undecryptable_that_nobody_misses() -> None:
    """Edits, reactions, votes, and what goes between own devices."""
    assert _unreadable(source(), unavailable=False, mode="DECRYPT_FAIL_HIDE") is None
    assert _unreadable(source(), unavailable=False, Edit="1") is None
    assert _unreadable(source(), unavailable=True, Category="peer") is None
    assert _unreadable(source(MARIA_JID, OWN_JID, from_me=True), unavailable=False) is None


def _receipt(kind: str, where: Any = None, ids: tuple[str, ...] = ("3EB0A1", "3EB0A2")) -> Any:
    return convert.entry_of_receipt(
        neonize.Receipt(MessageSource=where or source(), MessageIDs=ids, Timestamp=AT_SECONDS, Type=kind),
        Book(**{f"n{MARIA_PN}": MARIA_LID}),
    )


@pytest.mark.parametrize(
    ("kind", "status"),
    [("DELIVERED", "delivered"), ("READ", "read"), ("READ_SELF", "read"), ("PLAYED", "read")],
)
def test_receipts(kind: str, status: Any) -> None:
    """Delivered and read, in the chat by its one name."""
    for where in (source(), source(LID_JID, f"{MARIA_LID}:4@lid")):
        assert _receipt(kind, where) == Acknowledged(
            wa_ids=["3EB0A1", "3EB0A2"], chat=MARIA_JID, status=status, at=AT
        )


@pytest.mark.parametrize(
    "kind", ["SENDER", "RETRY", "PLAYED_SELF", "SERVER_ERROR", "INACTIVE", "PEER_MSG", "HISTORY_SYNC"]
)
def test_receipts_of_no_person(kind: str) -> None:
    """Devices talk among themselves: no news of a message."""
    assert _receipt(kind) is None


def test_receipts_of_our_own() -> None:
    """Read on the phone is read; delivered to another device of our own is not delivered."""
    own = source(MARIA_JID, OWN_JID, from_me=True)
    assert _receipt("READ_SELF", own).chat == MARIA_JID
    assert _receipt("DELIVERED", own) is None
    assert _receipt("READ", ids=()) is None


def _meta(creator: str = LID_JID, alt: str = MARIA_JID) -> Any:
    meta = neonize.BasicCallMeta(
        timestamp=AT_SECONDS, callCreator=jid(creator), callCreatorAlt=jid(alt), callID="C1"
    )
    getattr(meta, "from").CopyFrom(jid(LID_JID))
    return meta


def _offer(*children: str, **meta: Any) -> Any:
    remote = neonize.CallRemoteMeta(remotePlatform="android", remoteVersion="2")
    data = neonize.Node(Tag="offer", Nodes=[neonize.Node(Tag=child) for child in children])
    return neonize.CallOffer(basicCallMeta=_meta(**meta), callRemoteMeta=remote, data=data)


def test_calls() -> None:
    """A call, of voice or video, of one person or a group."""
    for video in (False, True):
        offer = _offer("audio", *(["video"] if video else []))
        assert convert.entry_of_call(offer, Book(), now=AT + timedelta(minutes=15)) == Called(
            call_id="C1", sender=MARIA, video=video, at=AT
        )
        notice = neonize.CallOfferNotice(
            basicCallMeta=_meta(),
            media="video" if video else "audio",
            type="group",
            data=neonize.Node(Tag="x"),
        )
        found = convert.entry_of_call(notice, Book(), now=AT)
        assert found is not None
        assert found.video == video


def test_calls_that_are_no_news() -> None:
    """One that rang long ago, our own, and one of nobody; a caller who is not named is who it comes from."""
    assert convert.entry_of_call(_offer(), Book(), now=AT + timedelta(minutes=15, seconds=1)) is None
    assert convert.entry_of_call(_offer(creator=OWN_JID, alt=""), Book(), now=AT) is None
    assert convert.entry_of_call(_offer(creator=GROUP, alt=""), Book(), now=AT) is None
    unnamed = convert.entry_of_call(_offer(creator="", alt=""), Book(), now=AT)
    assert unnamed is not None
    assert unnamed.sender == Party(lid=MARIA_LID)


def _past(message: Any, wa_id: str = "3EB0A1", **fields: Any) -> Any:
    key = {name: fields.pop(name) for name in ("fromMe", "participant") if name in fields}
    past = web.WebMessageInfo(message=message, messageTimestamp=AT_SECONDS, **fields)
    past.key.ID = wa_id
    for name, value in key.items():
        setattr(past.key, name, value)
    return past


def _sync(*conversations: tuple[dict[str, Any], list[Any]], **fields: Any) -> Any:
    built = [
        history.Conversation(**about, messages=[history.HistorySyncMsg(message=one) for one in messages])
        for about, messages in conversations
    ]
    data = history.HistorySync(syncType=history.HistorySync.RECENT, conversations=built, **fields)
    return neonize.HistorySync.FromString(neonize.HistorySync(Data=data).SerializeToString())


def test_history() -> None:
    """Old messages, each in its chat by its one name, with its author and the author's name."""
    sync = _sync(
        ({"ID": LID_JID}, [_past(text("Oi")), _past(text("Olá"), "3EB0A2", fromMe=True)]),
        ({"ID": "5511977776666@s.whatsapp.net", "lidJID": "777@lid"}, [_past(text("E aí"), pushName="Zé")]),
        ({"ID": GROUP}, [_past(text("Bom dia"), participant=MARIA_JID)]),
        phoneNumberToLidMappings=[history.PhoneNumberToLIDMapping(pnJID=MARIA_JID, lidJID=LID_JID)],
        pushnames=[history.Pushname(ID=MARIA_JID, pushname="Maria")],
    )
    found = list(convert.entries_of_history(sync, Book()))
    ze = Party(pn="5511977776666", lid="777")
    assert [(one.chat, one.sender, one.from_me, one.content["text"], one.name) for one in found] == [
        (MARIA_JID, MARIA, False, "Oi", None),
        (MARIA_JID, OWN, True, "Olá", None),
        ("5511977776666@s.whatsapp.net", ze, False, "E aí", "Zé"),
        (GROUP, MARIA, False, "Bom dia", "Maria"),
    ]
    assert all(one.history and one.sent_at == AT and not one.offline for one in found)


def test_history_leaves_out_notices() -> None:
    """Notices of the chat, changes and reactions are no messages; an edited one stands with its last words."""
    stub = web.WebMessageInfo(messageStubType=web.WebMessageInfo.GROUP_CREATE)
    stub.key.ID = "3EB0STUB"
    sync = _sync(
        (
            {"ID": MARIA_JID},
            [
                stub,
                _past(revoked()),
                _past(e2e.Message(reactionMessage=e2e.ReactionMessage(text="👍"))),
                _past(e2e.Message(pollUpdateMessage=e2e.PollUpdateMessage())),
                _past(wrap("editedMessage", edited(text("Novo")))),
            ],
        )
    )
    found = list(convert.entries_of_history(sync, Book()))
    assert [(one.wa_id, one.content) for one in found] == [("3EB0OLD", {"text": "Novo"})]


def group(**fields: Any) -> Any:
    built = neonize.GroupInfo(
        JID=jid(GROUP),
        OwnerJID=jid(LID_JID),
        OwnerPN=jid(MARIA_JID),
        GroupName=neonize.GroupName(Name="Time", NameSetAt=0, NameSetBy=jid("")),
        GroupTopic=neonize.GroupTopic(
            Topic="Avisos", TopicID="1", TopicSetAt=0, TopicSetBy=jid(""), TopicDeleted=False
        ),
        GroupAnnounce=neonize.GroupAnnounce(IsAnnounce=True, AnnounceVersionID=""),
        GroupCreated=AT_SECONDS,
    )
    for name, value in fields.items():
        setattr(built, name, value)
    return built


def test_group_info() -> None:
    """A group with its people, each by both names whichever it lists them by."""
    described = group()
    for phone, lid, admin in (("", LID_JID, True), (_ADMIN_JID, "888@lid", False)):
        described.Participants.add(
            JID=jid(lid), LID=jid(lid), PhoneNumber=jid(phone), IsAdmin=False, IsSuperAdmin=admin,
            DisplayName="", Error=0,
        )  # fmt: skip
    found = convert.group_of(described)
    assert (found.jid, found.name, found.description, found.owner) == (GROUP, "Time", "Avisos", MARIA)
    assert found.announce_only
    assert found.created_at is not None
    # A float of 32 bits holds it.
    assert abs(found.created_at - AT) <= timedelta(seconds=64)
    assert [(one.pn, one.lid, one.is_admin) for one in found.participants] == [
        (None, MARIA_LID, True),
        ("5511988887777", "888", False),
    ]


def test_group_that_says_little() -> None:
    """What is not known is None, and no instant breaks it."""
    described = group(GroupCreated=-62135596800)
    described.GroupTopic.TopicDeleted = True
    described.OwnerJID.CopyFrom(jid(""))
    described.OwnerPN.CopyFrom(jid(""))
    found = convert.group_of(described)
    assert (found.owner, found.description, found.created_at) == (None, None, None)
    for strange in (float("inf"), float("nan")):
        convert.group_of(group(GroupCreated=strange))


def test_jids() -> None:
    """There and back, without a device."""
    for written in (MARIA_JID, LID_JID, GROUP, "status@broadcast"):
        assert text_of(jid_of(written)) == written
    assert text_of(jid_of("5511912345678.0:12@s.whatsapp.net")) == MARIA_JID
    for nonsense in ("", "maria", "@lid", "maria@"):
        with pytest.raises(InvalidInput, match="no WhatsApp JID"):
            jid_of(nonsense)
