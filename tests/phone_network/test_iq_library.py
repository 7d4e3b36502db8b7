"""The same with the unmodified library asking: what it sends is understood, and what it is told it can read."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.phone_network.accounts import Account, Device
from tests.phone_network.activity import LoggedOut, Online, Read, Rejected, Subscribed, Synced, Typing
from tests.phone_network.clients import CallFailed, Client, Clients, jid
from tests.phone_network.network import WhatsApp
from tests.phone_network.node import Jid
from tests.phone_network.post import open_post_office
from tests.phone_network.protobufs import waE2E
from tests.phone_network.services import Services
from tests.phone_network.settings_key import share_when_linked

JPEG = b"\xff\xd8\xff\xe0 a face"


@dataclass
class Line:
    """A linked client of the library, and what it talks to."""

    network: WhatsApp
    services: Services
    clients: Clients
    client: Client
    maria: Account
    device: Device
    anna: Account
    path: Path


@pytest.fixture
async def line(tmp_path: Path) -> AsyncIterator[Line]:
    async with WhatsApp() as network, Clients(network) as clients:
        services = Services(network)
        share_when_linked(network, services, open_post_office(network, services))
        maria = network.new_account(phone="5511999990001", name="Maria")
        anna = network.new_account(phone="5511988880001", name="Anna")
        client = await clients.open(tmp_path / "a.db")
        device = await maria.scan(await client.qr())
        await client.event("Connected")
        await maria.connected(device)
        yield Line(network, services, clients, client, maria, device, anna, tmp_path / "a.db")


def _enum(kind: str, name: str) -> dict[str, str]:
    return {"enum": kind, "name": name}


async def test_who_is_on_whatsapp(line: Line) -> None:
    """IsOnWhatsApp tells a known number from an unknown one, and learns the LID on the way."""
    known, unknown = await line.client.call("is_on_whatsapp", "+5511988880001", "+5511900000000")
    assert (known["IsIn"], known["JID"]["User"]) == (True, line.anna.lid.user)
    assert unknown.get("IsIn", False) is False
    assert (await line.client.call("get_lid_from_pn", jid(line.anna.pn)))["User"] == line.anna.lid.user


async def test_what_somebody_is(line: Line) -> None:
    """GetUserInfo, GetUserDevices and GetProfilePicture of a person who has all of it."""
    line.services.profiles.of(line.anna).about = "at the beach"
    line.services.profiles.set_picture(line.anna, JPEG)
    [info] = await line.client.call("get_user_info", jid(line.anna.pn))
    assert info["UserInfo"]["Status"] == "at the beach"
    assert info["UserInfo"]["Devices"][0]["User"] == line.anna.pn.user
    devices = await line.client.call("get_user_devices", jid(line.maria.pn))
    assert sorted(device.get("Device", 0) for device in devices) == [0, line.device.number]
    picture = await line.client.call("get_profile_picture", jid(line.anna.pn))
    assert picture["ID"] == info["UserInfo"]["PictureID"]
    assert picture["URL"].startswith("https://mmg.whatsapp.net/pictures/")


async def test_own_profile(line: Line) -> None:
    """SetProfilePhoto and SetStatusMessage change what others see of the account."""
    with pytest.raises(CallFailed):
        await line.client.call("get_profile_picture", jid(line.maria.pn))
    await line.client.call("set_profile_photo", {"bytes": JPEG.hex()})
    await line.client.call("set_status_message", "Open until six")
    profile = line.services.profiles.of(line.maria)
    assert profile.picture
    assert (profile.picture.image, profile.about) == (JPEG, "Open until six")


async def test_groups(line: Line) -> None:
    """Listed, looked at, renamed by a person, created and left by the client."""
    group = line.services.groups.create(line.anna, "Team", [line.maria])
    assert (await line.client.event("JoinedGroup"))["GroupInfo"]["JID"]["User"] == group.jid.user
    [listed] = await line.client.call("get_joined_groups")
    assert (listed["GroupName"]["Name"], len(listed["Participants"])) == ("Team", 2)
    info = await line.client.call("get_group_info", jid(group.jid))
    of_maria = info["Participants"][1]
    assert (of_maria["JID"]["User"], of_maria["PhoneNumber"]["User"]) == (
        line.maria.lid.user,
        line.maria.pn.user,
    )
    line.services.groups.rename(group, line.anna, "The team")
    changes = [await line.client.event("GroupInfoEvent")]
    assert changes[0]["Name"]["Name"] == "The team"
    created = await line.client.call("create_group", "Mine", [jid(line.anna.pn)])
    mine = line.services.groups.get(Jid(created["JID"]["User"], "g.us"))
    await line.client.call("leave_group", jid(mine.jid))
    assert list(mine.members) == [line.anna.pn]


async def test_what_happens_in_a_group(line: Line) -> None:
    """Each change by a person is an event of the client's, with the people it is about."""
    groups, ben = line.services.groups, line.network.new_account(phone="5511988880002", name="Ben")
    group = groups.create(line.anna, "Team", [])
    groups.add(group, line.anna, [line.maria])
    assert (await line.client.event("JoinedGroup"))["GroupInfo"]["GroupName"]["Name"] == "Team"
    groups.add(group, line.anna, [ben])
    groups.set_role(group, line.anna, [ben, line.maria], "admin")
    groups.set_role(group, line.anna, [ben], "")
    groups.describe(group, line.anna, "What we do", "D1")
    groups.set_announce(group, line.anna, only_admins=True)
    groups.set_locked(group, line.anna, only_admins=True)
    groups.set_ephemeral(group, line.anna, 86_400)
    groups.remove(group, line.anna, [ben])
    events = [await line.client.event("GroupInfoEvent", number) for number in range(1, 9)]
    assert [_users(event, "Join") for event in events[:1]] == [[ben.lid.user]]
    assert _users(events[1], "Promote") == [ben.lid.user, line.maria.lid.user]
    assert _users(events[2], "Demote") == [ben.lid.user]
    assert events[3]["Topic"]["Topic"] == "What we do"
    assert events[4]["Announce"]["IsAnnounce"]
    assert events[5]["Locked"]["isLocked"]
    assert events[6]["Ephemeral"]["DisappearingTimer"] == 86_400
    assert _users(events[7], "Leave") == [ben.lid.user]
    assert events[7]["Sender"]["User"] == line.anna.lid.user


def _users(event: dict[str, Any], what: str) -> list[str]:
    return [address["User"] for address in event[what]]


async def test_a_group_changed_by_the_client(line: Line) -> None:
    """Subject, description, picture, roles, members, its link: done at once, and refused to who is no admin."""
    group = line.services.groups.create(line.maria, "Team", [line.anna])
    at = jid(group.jid)
    ben = line.network.new_account(phone="5511988880002", name="Ben")
    await line.client.call("set_group_name", at, "The team")
    await line.client.call("set_group_topic", at, "", "", "What we do")
    await line.client.call("set_group_photo", at, {"bytes": JPEG.hex()})
    await line.client.call("set_group_locked", at, True)
    await line.client.call("set_group_announce", at, True)
    await line.client.call("update_group_participants", at, [jid(ben.pn)], _enum("ParticipantChange", "ADD"))
    await line.client.call(
        "update_group_participants", at, [jid(ben.lid)], _enum("ParticipantChange", "PROMOTE")
    )
    assert (group.subject, group.description, group.locked, group.announce) == (
        "The team",
        "What we do",
        True,
        True,
    )
    assert group.picture
    assert group.members[ben.pn].role == "admin"
    link = await line.client.call("get_group_invite_link", at)
    assert (await line.client.call("get_group_info_from_link", link))["GroupName"]["Name"] == "The team"
    line.services.groups.set_role(group, ben, [line.maria], "")
    with pytest.raises(CallFailed, match="403"):
        await line.client.call("set_group_name", at, "Mine")


async def test_joining_by_link(line: Line) -> None:
    """A link lets the client in; a wrong one does not."""
    group = line.services.groups.create(line.anna, "Open", [])
    await line.client.call("join_group_with_link", f"https://chat.whatsapp.com/{group.invite_code}")
    assert line.maria.pn in group.members
    with pytest.raises(CallFailed):
        await line.client.call("join_group_with_link", "https://chat.whatsapp.com/nobody")


async def test_presence_both_ways(line: Line) -> None:
    """SendPresence, SubscribePresence and SendChatPresence are seen; a person's presence and typing reach the client."""
    await line.client.call("subscribe_presence", jid(line.anna.pn))
    await line.services.activity.first(Subscribed)
    line.services.presences.show(line.anna, online=False, last_seen=1_700_000_000)
    assert (await line.client.event("Presence"))["LastSeen"] == "1700000000"
    line.services.presences.type_to(line.anna, line.maria, state="recording")
    typing = await line.client.event("ChatPresence")
    assert typing["MessageSource"]["Sender"]["User"] == line.anna.lid.user

    composing = (
        _enum("ChatPresence", "CHAT_PRESENCE_COMPOSING"),
        _enum("ChatPresenceMedia", "CHAT_PRESENCE_MEDIA_AUDIO"),
    )
    await line.client.call("send_chat_presence", jid(line.anna.pn), *composing)
    assert (await line.services.activity.first(Typing)).state == "recording"


async def test_what_is_marked_as_read(line: Line) -> None:
    """MarkRead names each message; in a group whose they were."""
    group = line.services.groups.create(line.anna, "Team", [line.maria])
    receipt = _enum("ReceiptType", "READ")
    await line.client.call(
        "mark_read", "A1", "A2", chat=jid(line.anna.lid), sender=jid(line.anna.lid), receipt=receipt
    )
    await line.client.call("mark_read", "B1", chat=jid(group.jid), sender=jid(line.anna.lid), receipt=receipt)
    in_group = await line.services.activity.first(Read, lambda read: read.chat == group.jid)
    assert in_group.sender == line.anna.lid
    assert line.services.activity.marked_read(line.maria.pn) == {"A1", "A2", "B1"}


async def test_a_call_rings_and_is_rejected(line: Line) -> None:
    """A person's call raises CallOffer; RejectCall ends it, a caller who gives up raises CallTerminate."""
    call = line.services.calls.ring(line.anna, line.maria)
    offer = (await line.client.event("CallOffer"))["basicCallMeta"]
    assert (offer["callID"], offer["callCreator"]["User"]) == (call.id, line.anna.lid.user)
    await line.client.call("reject_call", jid(line.anna.lid), call.id)
    assert (await line.services.activity.first(Rejected)).call_id == call.id
    assert call.state == "rejected"
    line.services.calls.hang_up(line.services.calls.ring(line.anna, line.maria))
    await line.client.event("CallTerminate")


async def test_files(line: Line) -> None:
    """Upload stores what only the message's key opens; DownloadAny gets it back, and tells broken bytes, 404, 410."""
    await line.client.call("upload", {"bytes": b"a plan".hex()}, _enum("MediaType", "MediaDocument"))
    assert [request[0] for request in line.services.media.requests] == ["POST"]

    sealed, stored = line.services.media.put_sealed(b"a cat", "image")
    message = waE2E.Message(
        imageMessage=waE2E.ImageMessage(
            URL=stored.url,
            directPath=stored.direct_path,
            mediaKey=sealed.media_key,
            fileSHA256=sealed.file_sha256,
            fileEncSHA256=sealed.file_enc_sha256,
            fileLength=sealed.file_length,
        )
    )
    asked = {"message": message.SerializeToString().hex()}
    assert await line.client.call("download_any", asked) == {"bytes": b"a cat".hex()}
    line.services.media.break_next()
    with pytest.raises(CallFailed, match=r"(?i)hash|mac|sha"):
        await line.client.call("download_any", asked)
    hold = line.services.media.hold()
    slow = asyncio.create_task(line.client.call("download_any", asked))
    await hold.reached.wait()
    assert not slow.done()
    hold.release()
    assert await slow == {"bytes": b"a cat".hex()}
    line.services.media.fail(404)
    with pytest.raises(CallFailed, match="404"):
        await line.client.call("download_any", asked)
    line.services.media.expire(stored.direct_path)
    with pytest.raises(CallFailed, match="410"):
        await line.client.call("download_any", asked)


async def test_privacy(line: Line) -> None:
    """GetPrivacySettings and the block list."""
    line.services.profiles.of(line.maria).privacy["last"] = "contacts"
    settings = await line.client.call("get_privacy_settings")
    assert settings["LastSeen"] == "CONTACTS"
    await line.client.call("update_blocklist", jid(line.anna.pn), _enum("BlocklistAction", "BLOCK"))
    assert line.services.profiles.of(line.maria).blocked == [line.anna.lid]


async def test_logout(line: Line) -> None:
    """Logging out takes the device off the account: its file is nobody's, and would get a 401."""
    await line.client.call("logout")
    assert (await line.services.activity.first(LoggedOut)).by == line.device.jid
    assert line.maria.devices == {}
    await line.maria.disconnected()


async def test_a_device_that_was_removed_gets_401(line: Line) -> None:
    """Its file still knows the account, WhatsApp does not know it any more."""
    line.maria.drop()
    del line.maria.devices[line.device.number]
    await line.client.event("LoggedOut")


async def test_push_name_and_being_online(line: Line) -> None:
    """The phone shares its settings' key, and with it its name; the client changes it, and comes online under it."""
    # It takes one collection after the other: when it asks for the second, it has the name.
    await line.services.activity.first(Synced, lambda synced: synced.collection == "critical_unblock_low")
    await line.client.call("send_presence", _enum("Presence", "AVAILABLE"))
    assert (await line.services.activity.first(Online)).name == "Maria"
    await line.client.call("set_profile_name", "Maria of sales")
    assert line.services.app_state(line.maria).push_name() == line.maria.name == "Maria of sales"
    line.services.set_push_name(line.maria, "Maria at home")
    await line.services.activity.first(Synced, lambda synced: synced.version == 3)
    # It fetches under a lock: when it asks for the next collection, it has read this one.
    line.services.tell_of_settings(line.maria, "regular_low")
    await line.services.activity.first(Synced, lambda synced: synced.collection == "regular_low", number=2)
    await line.client.call("send_presence", _enum("Presence", "UNAVAILABLE"))
    away = await line.services.activity.first(Online, lambda online: not online.available)
    assert away.name == "Maria at home"
