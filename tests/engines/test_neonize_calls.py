"""neonize alone: files, pictures, groups in full, and what WhatsApp refuses."""

from pathlib import Path

import pytest

from relay.engines.engine import Outgoing
from relay.model.errors import NotConnected, NotFound, SendRejected
from relay.model.message import MessageType
from tests.engines.media import jpeg, media_of
from tests.engines.neonize_desk import JOAO, MARIA, Desk
from tests.engines.test_send import text

_MARIA_JID = f"{MARIA}@s.whatsapp.net"


async def test_sent_file_opens(desk: Desk, tmp_path: Path) -> None:
    """A phone downloads the file and opens it with the keys in the message; a document comes as it was."""
    media = media_of(MessageType.DOCUMENT, tmp_path)
    await desk.engine.send(
        Outgoing(chat=_MARIA_JID, type=MessageType.DOCUMENT, content={"caption": "Read"}, media=media)
    )
    posted = await desk.maria.inbox.first()
    assert await desk.maria.open_media(posted) == Path(str(media and media.path)).read_bytes()


async def test_refused_upload(desk: Desk, tmp_path: Path) -> None:
    """A file that WhatsApp does not take was surely not sent; the next time it goes."""
    desk.services.media.fail(500, times=9, method="POST")
    media = media_of(MessageType.DOCUMENT, tmp_path)
    outgoing = Outgoing(chat=_MARIA_JID, type=MessageType.DOCUMENT, content={}, media=media)
    with pytest.raises(NotConnected):
        await desk.engine.send(outgoing)
    assert not len(desk.maria.inbox)
    desk.services.media.faults.clear()
    await desk.engine.send(outgoing)
    await desk.maria.inbox.first()


async def test_picture_of_somebody(desk: Desk, tmp_path: Path) -> None:
    """Where a picture can be fetched."""
    desk.services.profiles.set_picture(desk.maria.account, jpeg(tmp_path))
    assert str(await desk.engine.find_profile_picture(_MARIA_JID)).startswith("https://")


async def test_group_in_full(desk: Desk) -> None:
    """A group's name, description, admins and who may write; after leaving it is not found."""
    team = desk.team()
    desk.services.groups.rename(team, desk.maria.account, "Padaria 2")
    desk.services.groups.describe(team, desk.maria.account, "Bread", "1")
    desk.services.groups.set_announce(team, desk.maria.account, only_admins=True)
    group = await desk.engine.get_group(str(team.jid))
    assert (group.name, group.description, group.announce_only) == ("Padaria 2", "Bread", True)
    assert group.owner is not None
    assert group.owner.pn == MARIA
    assert {one.pn: one.is_admin for one in group.participants} == {
        MARIA: True, JOAO: False, desk.phone.pn.user: False,
    }  # fmt: skip
    assert await desk.engine.list_groups() == [group]

    desk.services.groups.remove(team, desk.maria.account, [desk.phone])
    with pytest.raises(NotFound):
        await desk.engine.get_group(str(team.jid))
    with pytest.raises((SendRejected, NotFound)):
        await desk.engine.send(text("Oi", str(team.jid)))


async def test_number_without_whatsapp(desk: Desk) -> None:
    """Nobody can be written to who is not there, and that is said as such."""
    with pytest.raises(SendRejected) as refused:
        await desk.engine.send(text("Oi", "5511912340000@s.whatsapp.net"))
    assert refused.value.code == "not_on_whatsapp"


async def test_refused_with_any_code(desk: Desk) -> None:
    """Whatever the error that WhatsApp acknowledges a message with, it is a refusal."""
    for code in (400, 463, 479):
        desk.phone.refuse_messages(code, times=1)
        with pytest.raises(SendRejected):
            await desk.engine.send(text("Oi"))
    await desk.engine.send(text("Oi"))
