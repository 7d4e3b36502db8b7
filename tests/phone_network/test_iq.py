"""The stand-in's answers, stanza by stanza, without a client: what its parsers need is there, and state is kept."""

import asyncio
import base64
from collections.abc import AsyncIterator
from hashlib import sha256

import pytest

from tests.phone_network.accounts import Device, PreKeys
from tests.phone_network.app_state import AppState
from tests.phone_network.connection import Connection, IqError
from tests.phone_network.groups import Group
from tests.phone_network.media_cipher import UnreadableFile, open_sealed, seal
from tests.phone_network.media_host import MediaHost
from tests.phone_network.network import WhatsApp
from tests.phone_network.node import Attribute, Jid, Node
from tests.phone_network.protobufs import waSyncAction
from tests.phone_network.services import Services
from tests.phone_network.signal.keys import PreKeyBundle

JPEG = b"\xff\xd8\xff\xe0 a face"


class _NoSocket:
    """Where a client would be: what is sent to it goes nowhere."""

    def send_frame(self, data: bytes) -> None: ...
    def close(self) -> None: ...
    def abort(self) -> None: ...
    def go_silent(self) -> None: ...
    def speak_again(self) -> None: ...


class Desk:
    """A network with three phones; `maria` has a client, which asks."""

    def __init__(self) -> None:
        self.network = WhatsApp()
        self.services = Services(self.network, clock=lambda: 1_800_000_000)
        self.maria = self.network.new_account(phone="5511999990001", name="Maria")
        self.anna = self.network.new_account(phone="5511988880001", name="Anna")
        self.ben = self.network.new_account(phone="5511988880002", name="Ben")
        self.device = Device(self.maria, 7, b"", PreKeys())
        self.maria.devices[7] = self.device
        self.connection = Connection(self.network, _NoSocket())
        self.connection.logged_in_as = self.device

    async def ask(
        self, xmlns: str, type: str, *content: Node, to: Jid | None = None, target: Jid | None = None
    ) -> Node:
        """The child of the answer. Raises IqError."""
        attrs: dict[str, Attribute] = {"xmlns": xmlns, "type": type, "id": "1"}
        attrs |= {name: jid for name, jid in (("to", to), ("target", target)) if jid}
        child = content[0].tag if content else ""
        handler = self.network.iq.get((xmlns, type, child)) or self.network.iq[xmlns, type]
        return await handler(self.connection, Node("iq", attrs, list(content))) or Node("nothing")

    async def usync(self, questions: list[Node], users: list[Node]) -> list[Node]:
        asked = Node("usync", {"sid": "1"}, [Node("query", {}, questions), Node("list", {}, users)])
        found = (await self.ask("usync", "get", asked)).find("list")
        assert found
        return found.children

    def heard(self) -> list[Node]:
        """What maria's client would be told, in order."""
        return list(self.device.pending.values())


@pytest.fixture
async def desk() -> AsyncIterator[Desk]:
    desk = Desk()
    async with desk.network:
        yield desk
        desk.connection.lost()


def _number(number: str) -> Node:
    return Node("user", {}, [Node("contact", content=f"+{number}@c.us".encode())])


def _child(node: Node, *path: str) -> Node:
    found = node.find(*path)
    assert found, path
    return found


async def test_known_and_unknown_numbers(desk: Desk) -> None:
    """A number on WhatsApp answers with both of its names, one that is not says so."""
    known, unknown = await desk.usync(
        [Node("contact", {"addressing_mode": "lid"})], [_number("5511988880001"), _number("5511900000000")]
    )
    assert (known.jid("jid"), known.jid("pn_jid")) == (desk.anna.lid, desk.anna.pn)
    assert _child(known, "contact").attr("type") == "in"
    assert _child(unknown, "contact").attr("type") == "out"
    assert "pn_jid" not in unknown.attrs


async def test_what_is_asked_of_a_person(desk: Desk) -> None:
    """Devices, LID, about and picture of somebody; nothing of a number that nobody has."""
    desk.services.profiles.of(desk.maria).about = "at work"
    desk.services.profiles.set_picture(desk.maria, JPEG)
    questions = [Node(tag) for tag in ("business", "status", "picture", "devices", "lid")]
    [maria, nobody] = await desk.usync(
        questions, [Node("user", {"jid": desk.maria.pn}), Node("user", {"jid": Jid("5511900000000")})]
    )
    assert _child(maria, "status").data == b"at work"
    assert _child(maria, "picture").attr("id")
    assert _child(maria, "lid").jid("val") == desk.maria.lid
    assert [device.attr("id") for device in _child(maria, "devices", "device-list").children] == ["0", "7"]
    assert nobody.children == []


async def test_keys_of_devices(desk: Desk) -> None:
    """A phone's bundle is genuine and its one-time prekeys differ; a device that is not there is an error."""

    async def fetch(jid: Jid) -> Node:
        wanted = Node("key", {}, [Node("user", {"jid": jid, "reason": "identity"})])
        return (await desk.ask("encrypt", "get", wanted)).children[0]

    first, second = await fetch(desk.anna.lid), await fetch(desk.anna.lid)
    assert len(_child(first, "registration").data) == 4
    assert _child(first, "key", "value").data != _child(second, "key", "value").data
    bundle = PreKeyBundle(
        registration_id=1,
        identity=_child(first, "identity").data,
        signed_prekey_id=int.from_bytes(_child(first, "skey", "id").data),
        signed_prekey=_child(first, "skey", "value").data,
        signature=_child(first, "skey", "signature").data,
    )
    assert bundle.is_genuine()
    assert _child(await fetch(Jid(desk.anna.lid.user, "lid", 3)), "error").attr("code") == "404"


async def test_privacy_about_and_blocking(desk: Desk) -> None:
    """Settings that a client changes are what it reads afterwards."""
    category = Node("privacy", {}, [Node("category", {"name": "readreceipts", "value": "none"})])
    await desk.ask("privacy", "set", category)
    read = await desk.ask("privacy", "get", Node("privacy"))
    assert {node.attr("name"): node.attr("value") for node in read.children}["readreceipts"] == "none"

    token = Node("tokens", {}, [Node("token", {"jid": desk.anna.lid, "t": "1", "type": "trusted_contact"})])
    await desk.ask("privacy", "set", token)
    assert desk.services.profiles.of(desk.maria).trusted == [desk.anna.lid]

    about = Node("query", {"query_id": "9152604461510864"}, b'{"variables":{"input":{"text":"away"}}}')
    assert (await desk.ask("w:mex", "get", about)).tag == "result"
    assert desk.services.profiles.of(desk.maria).about == "away"

    await desk.ask("blocklist", "set", Node("item", {"jid": desk.anna.lid, "action": "block"}))
    assert [item.jid("jid") for item in (await desk.ask("blocklist", "get")).children] == [desk.anna.lid]


async def test_pictures(desk: Desk) -> None:
    """A JPEG can be set and is found at the media host; what has none answers 404, anything else is refused."""
    with pytest.raises(IqError, match="404"):
        await desk.ask("w:profile:picture", "get", Node("picture"), target=desk.maria.pn)
    with pytest.raises(IqError, match="406"):
        await desk.ask("w:profile:picture", "set", Node("picture", {"type": "image"}, b"GIF89a"))
    await desk.ask("w:profile:picture", "set", Node("picture", {"type": "image"}, JPEG))
    found = await desk.ask(
        "w:profile:picture", "get", Node("picture", {"type": "image"}), target=desk.maria.lid
    )
    direct_path = found.attr("direct_path")
    assert await desk.services.media.handle("GET", direct_path, {}, b"") == (
        200,
        {"content-type": "image/jpeg"},
        JPEG,
    )
    again = Node("picture", {"type": "image", "id": found.attr("id")})
    assert (await desk.ask("w:profile:picture", "get", again, target=desk.maria.pn)).attr("status") == "304"


def _members(node: Node) -> dict[Attribute, str]:
    return {member.attrs["jid"]: member.attr("type") for member in node.all("participant")}


async def test_a_groups_life_from_a_client(desk: Desk) -> None:
    """Create, rename, add, promote, remove, leave: each is answered, and told to the members' clients."""
    joining = Node("participant", {"jid": desk.anna.lid})
    created = await desk.ask(
        "w:g2", "set", Node("create", {"subject": "Team"}, [joining]), to=Jid("", "g.us")
    )
    assert _members(created) == {desk.maria.lid: "superadmin", desk.anna.lid: ""}
    jid = Jid(created.attr("id"), "g.us")

    await desk.ask("w:g2", "set", Node("subject", {}, b"The team"), to=jid)
    added = Node(
        "add", {}, [Node("participant", {"jid": desk.ben.pn}), Node("participant", {"jid": Jid("1")})]
    )
    answers = await desk.ask("w:g2", "set", added, to=jid)
    assert [member.attr("error") for member in answers.children] == ["", "404"]
    await desk.ask("w:g2", "set", Node("promote", {}, [joining]), to=jid)
    await desk.ask("w:g2", "set", Node("remove", {}, [Node("participant", {"jid": desk.ben.lid})]), to=jid)

    info = await desk.ask("w:g2", "get", Node("query"), to=jid)
    assert info.attr("subject") == "The team"
    assert _members(info) == {desk.maria.lid: "superadmin", desk.anna.lid: "admin"}
    assert [node.children[0].tag for node in desk.heard()] == [
        "create",
        "subject",
        "add",
        "promote",
        "remove",
    ]

    await desk.ask("w:g2", "set", Node("leave", {}, [Node("group", {"id": jid})]), to=Jid("", "g.us"))
    assert (await desk.ask("w:g2", "get", Node("participating"), to=Jid("", "g.us"))).children == []
    with pytest.raises(IqError, match="403"):
        await desk.ask("w:g2", "get", Node("query"), to=jid)
    with pytest.raises(IqError, match="404"):
        await desk.ask("w:g2", "get", Node("query"), to=Jid("1", "g.us"))


async def test_only_admins_change_a_group(desk: Desk) -> None:
    """A plain member may rename an open group, not a locked one, and puts nobody out."""
    group = desk.services.groups.create(desk.anna, "Anna's", [desk.maria, desk.ben])
    await desk.ask("w:g2", "set", Node("subject", {}, b"Ours"), to=group.jid)
    desk.services.groups.set_locked(group, desk.anna, only_admins=True)
    for change in (
        Node("subject", {}, b"Mine"),
        Node("remove", {}, [Node("participant", {"jid": desk.ben.pn})]),
    ):
        with pytest.raises(IqError, match="403"):
            await desk.ask("w:g2", "set", change, to=group.jid)
    assert (group.subject, len(group.members)) == ("Ours", 3)


async def test_joining_by_link(desk: Desk) -> None:
    """A link shows its group and lets in; who joins is told of the whole group."""
    group = desk.services.groups.create(desk.anna, "Open", [desk.ben])
    link = Node("invite", {"code": group.invite_code})
    assert (await desk.ask("w:g2", "get", link, to=Jid("", "g.us"))).attr("subject") == "Open"
    assert (await desk.ask("w:g2", "set", link, to=Jid("", "g.us"))).jid("jid") == group.jid
    assert desk.maria.pn in group.members
    [told] = desk.heard()
    assert _members(_child(told, "create", "group")) == {
        desk.anna.lid: "superadmin",
        desk.ben.lid: "",
        desk.maria.lid: "",
    }


async def test_groups_by_phone_number(desk: Desk) -> None:
    """In a group that addresses by number, members are numbers with the LID beside."""
    group: Group = desk.services.groups.create(desk.anna, "Old", [desk.maria], addressing_mode="pn")
    info = await desk.ask("w:g2", "get", Node("query"), to=group.jid)
    assert info.attr("addressing_mode") == "pn"
    assert [(member.jid("jid"), member.jid("lid")) for member in info.all("participant")] == [
        (desk.anna.pn, desk.anna.lid),
        (desk.maria.pn, desk.maria.lid),
    ]


async def test_a_client_removes_itself(desk: Desk) -> None:
    """Logging out takes the device off its account; no client can take off another."""
    other = Node(
        "remove-companion-device", {"jid": Jid(desk.maria.pn.user, device=8), "reason": "user_initiated"}
    )
    with pytest.raises(IqError, match="403"):
        await desk.ask("md", "set", other)
    await desk.ask("md", "set", Node("remove-companion-device", {**other.attrs, "jid": desk.device.jid}))
    assert desk.maria.devices == {}


def _patch_of(state: AppState, name: str) -> bytes:
    """A patch as a companion of the same account would write it on top of what it knows."""
    companion = AppState(state.key_id, state.key_data)
    for raw in state.collection("critical_block").patches:
        companion.accept("critical_block", companion.collection("critical_block").version, raw)
    companion.set_push_name(name, 1)
    return companion.collection("critical_block").patches[-1]


async def test_app_state_is_shared(desk: Desk) -> None:
    """A companion fetches what the phone wrote, appends to it, and is told of a conflict when it was behind."""
    state = desk.services.app_state(desk.maria)

    async def sync(version: int, patch: bytes = b"") -> Node:
        content = [Node("patch", {}, patch)] if patch else []
        asked = Node("collection", {"name": "critical_block", "version": str(version)}, content)
        return (await desk.ask("w:sync:app:state", "set", Node("sync", {}, [asked]))).children[0]

    assert len(_child(await sync(0), "patches").children) == 1
    patch = _patch_of(state, "Maria of sales")
    assert (await sync(1, patch)).attr("version") == "2"
    assert desk.maria.name == state.push_name() == "Maria of sales"
    conflict = await sync(1, patch)
    assert _child(conflict, "error").attr("code") == "409"
    assert len(_child(conflict, "patches").children) == 1
    stranger = AppState()
    stranger.set_push_name("Mallory", 1)
    with pytest.raises(IqError, match="400"):
        await sync(2, stranger.collection("critical_block").patches[0])


def test_app_state_hash_forgets_what_was_replaced() -> None:
    """The hash is that of the live values alone: setting a name twice leaves one value in it."""
    state = AppState()
    for name in ("One", "Two"):
        state.set_push_name(name, 1)
    value = waSyncAction.SyncActionValue(timestamp=1)
    value.muteAction.muted = True
    state.write("regular_high", ["mute", "1@s.whatsapp.net"], value, action_version=2)
    assert len(state.collection("critical_block").value_macs) == 1
    assert state.push_name() == "Two"
    assert state.actions("regular_high")[0][0] == ["mute", "1@s.whatsapp.net"]


def _name(blob: bytes) -> str:
    return base64.urlsafe_b64encode(sha256(blob).digest()).decode()


async def test_media_up_and_down() -> None:
    """A sealed file goes up under its hash and comes back whole or in part; a wrong name or no auth is refused."""
    media, sealed = MediaHost(), seal(b"a cat", "image")
    path = f"/mms/image/{_name(sealed.blob)}"
    assert (await media.handle("POST", path, {}, sealed.blob))[0] == 401
    assert (await media.handle("POST", f"/mms/image/{_name(b'')}?auth={media.auth}", {}, sealed.blob))[
        0
    ] == 400
    status, _, answer = await media.handle("POST", f"{path}?auth={media.auth}", {}, sealed.blob)
    assert status == 200
    stored = media.put(sealed.blob)
    assert stored.direct_path.encode() in answer
    _, _, blob = await media.handle("GET", f"{stored.direct_path}&hash=x", {}, b"")
    assert open_sealed(blob, sealed.media_key, "image") == b"a cat"
    status, headers, part = await media.handle("GET", stored.direct_path, {"range": "bytes=2-5"}, b"")
    assert (status, headers["content-range"], part) == (206, f"bytes 2-5/{len(blob)}", blob[2:6])


async def test_media_faults() -> None:
    """404, 410, a status ordered twice, broken bytes and a slow host, as ordered and no longer."""
    media = MediaHost()
    sealed, stored = media.put_sealed(b"a cat", "document")

    async def status() -> int:
        return (await media.handle("GET", stored.direct_path, {}, b""))[0]

    media.fail(503, times=2)
    assert [await status() for _ in range(3)] == [503, 503, 200]
    media.break_next()
    _, _, blob = await media.handle("GET", stored.direct_path, {}, b"")
    with pytest.raises(UnreadableFile):
        open_sealed(blob, sealed.media_key, "document")
    hold = media.hold()
    waiting = asyncio.create_task(status())
    await hold.reached.wait()
    assert not waiting.done()
    hold.release()
    assert await waiting == 200
    media.expire(stored.direct_path)
    assert await status() == 410
    assert (await media.handle("GET", "/v/never.enc?ccb=1", {}, b""))[0] == 404


async def test_calls_wait_for_a_client(desk: Desk) -> None:
    """A call rings at linked devices, also at one that is away, and ends when the caller hangs up."""
    call = desk.services.calls.ring(desk.anna, desk.maria, video=True, offered_at=1_700_000_000)
    desk.services.calls.hang_up(call)
    offer, end = desk.heard()
    assert (offer.attr("t"), _child(offer, "offer").attr("call-id")) == ("1700000000", call.id)
    assert _child(offer, "offer", "video")
    assert _child(end, "terminate").jid("caller_pn") == desk.anna.pn
