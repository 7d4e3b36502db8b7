"""The account through the API: its groups, how others see it, pictures, declined calls; and what an engine refuses."""

from base64 import b64encode
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from relay.engines.sandbox import SandboxEngine
from relay.model.errors import NotSupported, OutcomeUnknown, SendRejected
from relay.store.pool import Pool
from tests.api_client import Api
from tests.engines.media import jpeg
from tests.files import PNG
from tests.serving import link_session, make_session, serve_all, until_messages

WHATSAPP = "/api/v1/whatsapp"
MARIA, MARIA_CHAT = "+55 11 99999-0001", "5511999990001@s.whatsapp.net"
GROUP = "120363000000000001@g.us"


@pytest.fixture
async def live(pool: Pool, url: str, tmp_path: Path) -> AsyncIterator[Api]:
    """A company's caller; a host runs its sessions."""
    async with serve_all(pool, url, tmp_path) as api:
        yield api


def path_of(session_id: str) -> str:
    return f"{WHATSAPP}/sessions/{session_id}"


async def hear(api: Api, session_id: str, **inbound: Any) -> None:
    response = await api.post(f"{path_of(session_id)}/sandbox/inbound", json={"from": MARIA, **inbound})
    assert response.status_code == 202, response.text


async def outbox(api: Api, session_id: str) -> list[dict[str, Any]]:
    response = await api.get(f"{path_of(session_id)}/sandbox/outbox")
    return list(response.json()["messages"])


async def test_groups(live: Api) -> None:
    """A group is listed with everybody in it, by both names, and by contactId where the session has met them."""
    session_id = await link_session(live)
    path = path_of(session_id)
    assert (await live.get(f"{path}/groups")).json() == {"groups": []}
    await hear(live, session_id, chat=GROUP, text="Oi, gente")
    [said] = await until_messages(live, session_id, 1)

    [group] = (await live.get(f"{path}/groups")).json()["groups"]
    assert (group["jid"], group["announceOnly"]) == (GROUP, False)
    own, maria = group["participants"]
    assert (own["pn"], own["isAdmin"], own["contactId"]) == (group["owner"]["pn"], True, None)
    assert (maria["pn"], maria["contactId"]) == ("5511999990001", said["contactId"])
    assert maria["lid"] == said["from"]["lid"]
    assert (await live.get(f"{path}/groups/{GROUP}")).json() == group
    for unknown in ("120363000000000009@g.us", MARIA_CHAT, "x"):
        answer = await live.get(f"{path}/groups/{unknown}")
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


async def test_groups_give_their_chats_names(live: Api) -> None:
    """Whoever asks for groups names the chats for everybody; a new name replaces the old one, of this session alone."""
    session_id = await link_session(live)
    other = await link_session(live)
    stranger = await live.as_tenant("Stranger")
    theirs = await link_session(stranger)
    for api, session in ((live, session_id), (live, other), (stranger, theirs)):
        await hear(api, session, chat=GROUP, text="Oi, gente")
        await until_messages(api, session, 1)

    async def names(api: Api) -> dict[str, str | None]:
        chats = (await api.get(f"{WHATSAPP}/chats")).json()["chats"]
        return {chat["sessionId"]: chat["name"] for chat in chats}

    assert await names(live) == {session_id: None, other: None}
    [group] = (await live.get(f"{path_of(session_id)}/groups")).json()["groups"]
    assert await names(live) == {session_id: group["name"], other: None}
    assert await names(stranger) == {theirs: None}
    await live.services.pool.execute("UPDATE whatsapp_chats SET name = 'Old'")
    await live.get(f"{path_of(session_id)}/groups/{GROUP}")
    assert await names(live) == {session_id: group["name"], other: "Old"}
    assert await names(stranger) == {theirs: "Old"}


async def test_presence(live: Api) -> None:
    session_id = await link_session(live)
    for available in (True, False):
        answer = await live.put(f"{path_of(session_id)}/presence", json={"available": available})
        assert answer.status_code == 204, answer.text
    assert [(row["kind"], row["available"]) for row in await outbox(live, session_id)] == [
        ("presence", True),
        ("presence", False),
    ]


@pytest.mark.parametrize("source", ["base64", "mediaId"])
async def test_profile(live: Api, source: str, tmp_path: Path) -> None:
    """A new name and picture; the picture's file is kept only where it had been uploaded."""
    session_id = await link_session(live)
    picture = jpeg(tmp_path)
    given = {"base64": b64encode(picture).decode()}
    if source == "mediaId":
        headers = {"Content-Type": "image/jpeg"}
        uploaded = await live.post(f"{WHATSAPP}/media", content=picture, headers=headers)
        given = {"mediaId": uploaded.json()["mediaId"]}
    body = {"name": "Padaria", "picture": given}
    answer = await live.put(f"{path_of(session_id)}/profile", json=body)
    assert answer.status_code == 204, answer.text

    name, shown = await outbox(live, session_id)
    assert (name["name"], shown["sizeBytes"]) == ("Padaria", len(picture))
    kept = await live.services.pool.fetchval("SELECT count(*) FROM media")
    assert kept == (1 if source == "mediaId" else 0)


@pytest.mark.parametrize(
    ("body", "path"),
    [
        ({}, "name"),
        ({"name": ""}, "name"),
        ({"name": "x" * 26}, "name"),
        ({"name": None}, "name"),
        ({"name": "ok", "picture": {}}, "picture"),
        ({"name": "ok", "picture": {"mediaId": "med_unknown"}}, "picture.mediaId"),
        ({"name": "ok", "picture": {"base64": "@@"}}, "picture.base64"),
        ({"name": "ok", "picture": {"url": "http://127.0.0.1:9/a.jpg"}}, "picture.url"),
        ({"name": "ok", "picture": {"base64": b64encode(PNG).decode()}}, "picture"),
        (
            {"name": "ok", "picture": {"base64": b64encode(b"\xff\xd8\xff\xe0" + bytes(700_000)).decode()}},
            None,
        ),
    ],
)
async def test_bad_profile_changes_nothing(live: Api, body: dict[str, Any], path: str | None) -> None:
    """Each mistake is named by its field's path; not even the name is changed, and no file is left."""
    session_id = await link_session(live)
    answer = await live.put(f"{path_of(session_id)}/profile", json=body)
    if path is None:
        # Large, but as large as may be: the host gets it whole.
        assert answer.status_code == 204, answer.text
        return
    assert (answer.status_code, answer.json()["path"]) == (400, path), answer.text
    assert await outbox(live, session_id) == []
    assert await live.services.pool.fetchval("SELECT count(*) FROM media") == 0


async def test_picture(live: Api) -> None:
    """Of a contact by its id, of a number, of a JID, of a group: here nobody has one. Who is nobody is not found."""
    session_id, other = await link_session(live), await link_session(live)
    await hear(live, session_id, text="Oi")
    [said] = await until_messages(live, session_id, 1)
    for name in (said["contactId"], MARIA, MARIA_CHAT, f"{said['from']['lid']}@lid", GROUP):
        answer = await live.get(f"{path_of(session_id)}/contacts/{name}/picture")
        assert (answer.status_code, answer.json()) == (200, {"url": None}), answer.text
    foreign = await live.get(f"{path_of(other)}/contacts/{said['contactId']}/picture")
    assert (foreign.status_code, foreign.json()["detail"]) == (404, "There is no such contact.")
    assert (await live.get(f"{path_of(session_id)}/contacts/ctc_x/picture")).status_code == 404
    nobody = await live.get(f"{path_of(session_id)}/contacts/nobody/picture")
    assert (nobody.status_code, nobody.json()["code"]) == (400, "recipient_invalid")


async def test_declined_call(live: Api) -> None:
    """A call that was received is declined by its messageId; what is no call, or another session's, is not."""
    session_id, other = await link_session(live), await link_session(live)
    await hear(live, session_id, type="call")
    [call] = await until_messages(live, session_id, 1)
    assert (await live.post(f"{path_of(session_id)}/calls/{call['id']}/reject")).status_code == 204
    [row] = await outbox(live, session_id)
    assert (row["kind"], row["chat"], row["callId"]) == ("reject_call", MARIA_CHAT, call["waMessageId"])

    assert (await live.post(f"{path_of(other)}/calls/{call['id']}/reject")).status_code == 404
    await hear(live, session_id, text="Oi")
    text, _call = await until_messages(live, session_id, 2)
    refused = await live.post(f"{path_of(session_id)}/calls/{text['id']}/reject")
    assert (refused.status_code, refused.json()["code"]) == (409, "not_a_call")


async def test_while_it_is_away(live: Api) -> None:
    """A session that is not connected is asked nothing, and no file is fetched for it."""
    session_id = await make_session(live)
    path = path_of(session_id)
    for method, place, body in [
        ("GET", "groups", None),
        ("GET", f"groups/{GROUP}", None),
        ("PUT", "presence", {"available": True}),
        ("PUT", "profile", {"picture": {"url": "https://pictures.example/a.jpg"}}),
        ("GET", f"contacts/{MARIA_CHAT}/picture", None),
    ]:
        answer = await live.request(method, f"{path}/{place}", json=body)
        assert (answer.status_code, answer.json()["code"]) == (409, "session_not_connected"), (method, place)


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (NotSupported("This engine knows no groups."), 501, "not_supported"),
        (NotSupported("This engine knows no groups.", code="groups_unknown"), 501, "groups_unknown"),
        (SendRejected("WhatsApp said no."), 502, "send_rejected"),
        (OutcomeUnknown("Nobody can say."), 502, "outcome_unknown"),
        (RuntimeError("a secret"), 502, "engine_error"),
    ],
)
async def test_what_an_engine_refuses(
    live: Api, monkeypatch: pytest.MonkeyPatch, error: Exception, status: int, code: str
) -> None:
    """The kind of refusal is the answer's status, its code and its sentence are the engine's own."""

    async def refuse(_engine: SandboxEngine) -> None:
        raise error

    monkeypatch.setattr(SandboxEngine, "list_groups", refuse)
    session_id = await link_session(live)
    answer = await live.get(f"{path_of(session_id)}/groups")
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert "secret" not in answer.text
    if not isinstance(error, RuntimeError):
        assert answer.json()["detail"] == str(error)
