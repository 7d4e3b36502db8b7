"""Every engine: the account itself: its groups, how others see it, and the calls that it declines."""

from pathlib import Path

import pytest

from relay.engines.engine import Called, Connected, Group
from relay.model.errors import NotConnected, NotFound
from tests.engines.media import jpeg
from tests.engines.phones import PhoneNetwork, Recorder, connect
from tests.engines.test_send import text

_MARIA = "+55 11 91234-5678"
_ANA = "+55 11 95555-4444"
_GROUP = "120363041234567890@g.us"
_OTHER_GROUP = "120363041234567891@g.us"


def numbers(group: Group) -> set[str | None]:
    return {one.pn for one in group.participants}


async def test_groups(phones: PhoneNetwork) -> None:
    """An account knows the groups that it is in, and who is in them: itself too, and everybody by both names."""
    account, heard = await phones.linked_account(), Recorder()
    engine = await connect(phones, account, heard)
    assert await engine.list_groups() == []
    await phones.say(account, **{"from": _MARIA}, chat=_GROUP, text="Oi, gente")
    await phones.say(account, **{"from": _ANA}, chat=_GROUP, text="Oi")
    await phones.say(account, **{"from": _MARIA}, chat=_OTHER_GROUP, text="Oi")

    groups = {group.jid: group for group in await engine.list_groups()}
    assert groups.keys() == {_GROUP, _OTHER_GROUP}
    own = heard.get(Connected).phone
    assert numbers(groups[_GROUP]) == {own, "5511912345678", "5511955554444"}
    assert all(one.lid for one in groups[_GROUP].participants)
    assert groups[_GROUP].name
    assert await engine.get_group(_OTHER_GROUP) == groups[_OTHER_GROUP]


async def test_unknown_group(phones: PhoneNetwork) -> None:
    """A group that the account is not in is not found; nor is one that another account is in."""
    account, stranger = await phones.linked_account(), await phones.linked_account()
    engine = await connect(phones, account, Recorder())
    await connect(phones, stranger, Recorder())
    await phones.say(stranger, **{"from": _MARIA}, chat=_GROUP, text="Oi, gente")
    with pytest.raises(NotFound):
        await engine.get_group(_GROUP)


async def test_send_to_a_group(phones: PhoneNetwork) -> None:
    """A group that others have written in takes what the account writes."""
    account = await phones.linked_account()
    engine = await connect(phones, account, Recorder())
    await phones.say(account, **{"from": _MARIA}, chat=_GROUP, text="Oi, gente")
    sent = await engine.send(text("Oi", _GROUP))
    [row] = await phones.read_outbox(account)
    assert (row["chat"], row["waId"], row["content"]["text"]) == (_GROUP, sent.wa_id, "Oi")


async def test_presence_and_profile(phones: PhoneNetwork, tmp_path: Path) -> None:
    """Others see the account come online and go, its new name and its new picture."""
    account = await phones.linked_account()
    engine = await connect(phones, account, Recorder())
    await engine.set_presence(available=True)
    await engine.set_presence(available=False)
    await engine.set_profile_name("Padaria")
    picture = jpeg(tmp_path)
    await engine.set_profile_picture(picture)

    online, offline, name, shown = await phones.read_outbox(account)
    assert [(row["kind"], row["available"]) for row in (online, offline)] == [
        ("presence", True),
        ("presence", False),
    ]
    assert (name["kind"], name["name"]) == ("profile_name", "Padaria")
    assert (shown["kind"], shown["sizeBytes"]) == ("profile_picture", len(picture))


async def test_nobodys_picture(phones: PhoneNetwork) -> None:
    """Who has no picture, or hides it, has none: that is an answer, not an error."""
    account = await phones.linked_account()
    engine = await connect(phones, account, Recorder())
    assert await engine.find_profile_picture("5511912345678@s.whatsapp.net") is None


async def test_declined_call(phones: PhoneNetwork) -> None:
    """The caller is told that the call was declined."""
    account, heard = await phones.linked_account(), Recorder()
    engine = await connect(phones, account, heard)
    await phones.say(account, **{"from": _MARIA}, type="call")
    call = heard.get(Called)
    await engine.reject_call(call.call_id, f"{call.sender.pn}@s.whatsapp.net")

    [row] = await phones.read_outbox(account)
    assert (row["kind"], row["callId"]) == ("reject_call", call.call_id)
    assert row["chat"] == "5511912345678@s.whatsapp.net"


async def test_not_connected(phones: PhoneNetwork) -> None:
    """A stopped engine does none of it, and says so."""
    account = await phones.linked_account()
    engine = await connect(phones, account, Recorder())
    await engine.stop()
    for call in (
        engine.list_groups(),
        engine.get_group(_GROUP),
        engine.set_presence(available=True),
        engine.set_profile_name("x"),
        engine.set_profile_picture(b""),
        engine.find_profile_picture("5511912345678@s.whatsapp.net"),
        engine.reject_call("A", "5511912345678@s.whatsapp.net"),
    ):
        with pytest.raises(NotConnected):
            await call
