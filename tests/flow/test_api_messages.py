"""What was said, through the API: reading it, changing it, whom it was said with."""

from base64 import b64encode
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from relay.store.pool import Pool
from tests.api_client import OPERATOR_KEY, Api, serve_api
from tests.files import PNG
from tests.serving import link_session, make_session, serve_all, until, until_messages

WHATSAPP = "/api/v1/whatsapp"
MESSAGES = f"{WHATSAPP}/messages"
MARIA, MARIA_CHAT = "+55 11 99999-0001", "5511999990001@s.whatsapp.net"
PEDRO, PEDRO_CHAT = "+55 11 99999-0002", "5511999990002@s.whatsapp.net"
GROUP = "120363000000000001@g.us"


@pytest.fixture
async def live(pool: Pool, url: str, tmp_path: Path) -> AsyncIterator[Api]:
    """A company's caller; a host runs its sessions."""
    async with serve_all(pool, url, tmp_path) as api:
        yield api


@pytest.fixture
async def alone(pool: Pool, url: str) -> AsyncIterator[tuple[Api, str]]:
    """A caller with a session that counts as linked; nobody runs it."""
    async with serve_api(pool, url) as operator:
        api = await operator.as_tenant()
        session_id = await make_session(api, connect=False)
        await pool.execute("UPDATE whatsapp_sessions SET phone = '5511911112222' WHERE id = $1", session_id)
        yield api, session_id


async def send(api: Api, session_id: str, text: str = "hello", *, to: str = MARIA, wait: bool = True) -> str:
    """The messageId of a text, sent unless nobody is to wait for it."""
    body = {"sessionId": session_id, "to": to, "type": "text", "content": text}
    response = await api.post(f"{WHATSAPP}/send", json=body, headers={"Prefer": "wait=10"} if wait else {})
    assert response.status_code == (200 if wait else 202), response.text
    return str(response.json()["messageId"])


async def hear(api: Api, session_id: str, **inbound: Any) -> None:
    response = await api.post(f"{WHATSAPP}/sessions/{session_id}/sandbox/inbound", json=inbound)
    assert response.status_code == 202, response.text


async def events(api: Api, event_type: str) -> list[str]:
    rows = await api.services.pool.fetch("SELECT body FROM events WHERE type = $1 ORDER BY id", event_type)
    return [row["body"] for row in rows]


async def outbox(api: Api, session_id: str, kind: str) -> list[dict[str, Any]]:
    """What the virtual phones have received of one kind."""
    response = await api.get(f"{WHATSAPP}/sessions/{session_id}/sandbox/outbox")
    return [entry for entry in response.json()["messages"] if entry["kind"] == kind]


async def test_edit(live: Api) -> None:
    """An edit reaches the phone, the row and, as one event, the tenant."""
    session_id = await link_session(live)
    message_id = await send(live, session_id, "helo")
    edited = await live.patch(f"{MESSAGES}/{message_id}", json={"text": "hello"})
    assert (edited.status_code, edited.json()["content"]) == (200, {"text": "hello"})
    assert edited.json()["editedAt"] is not None
    [received] = await outbox(live, session_id, "edit")
    assert (received["waId"], received["text"]) == (edited.json()["waMessageId"], "hello")
    [told] = await events(live, "message.edited")
    assert message_id in told


async def test_revoke(live: Api) -> None:
    """A revoke reaches the phone, empties the row, and is told once, however often it is asked."""
    session_id = await link_session(live)
    message_id = await send(live, session_id)
    for _ in range(2):
        assert (await live.delete(f"{MESSAGES}/{message_id}")).status_code == 204
    message = (await live.get(f"{MESSAGES}/{message_id}")).json()
    assert (message["content"], message["revokedAt"] is not None) == ({}, True)
    assert len(await outbox(live, session_id, "revoke")) == 1
    assert len(await events(live, "message.revoked")) == 1
    late = await live.patch(f"{MESSAGES}/{message_id}", json={"text": "x"})
    assert (late.status_code, late.json()["code"]) == (409, "message_revoked")


async def test_queued_one_is_cancelled(alone: tuple[Api, str]) -> None:
    """Nobody has seen it: it fails as cancelled, and the tenant is told; it cannot be edited."""
    api, session_id = alone
    message_id = await send(api, session_id, wait=False)
    refused = await api.patch(f"{MESSAGES}/{message_id}", json={"text": "x"})
    assert (refused.status_code, refused.json()["code"]) == (409, "message_not_sent")
    assert (await api.delete(f"{MESSAGES}/{message_id}")).status_code == 204
    message = (await api.get(f"{MESSAGES}/{message_id}")).json()
    assert (message["status"], message["error"]) == ("failed", "cancelled")
    assert len(await events(api, "message.status")) == 1


async def test_what_cannot_be_changed(live: Api) -> None:
    """Others' messages, and any message while the session is down, stay as they are."""
    session_id = await link_session(live)
    await hear(live, session_id, **{"from": MARIA, "text": "hi"})
    [theirs] = await until_messages(live, session_id, 1)
    for call in ("PATCH", "DELETE"):
        refused = await live.request(call, f"{MESSAGES}/{theirs['id']}", json={"text": "x"})
        assert (refused.status_code, refused.json()["code"]) == (409, "message_not_own")
    ours = await send(live, session_id)
    await live.post(f"{WHATSAPP}/sessions/{session_id}/disconnect")
    away = await live.patch(f"{MESSAGES}/{ours}", json={"text": "x"})
    assert (away.status_code, away.json()["code"]) == (409, "session_not_connected")
    assert (await live.get(f"{MESSAGES}/{ours}")).json()["content"] == {"text": "hello"}


async def test_engine_that_does_not_answer(live: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """WhatsApp falls silent: whoever asked is told so in time, 503 with a time to come back."""
    monkeypatch.setattr("relay.api.engine_calls._ANSWER_SECONDS", 0.2)
    session_id = await link_session(live)
    ours = await send(live, session_id)
    await live.post(f"{WHATSAPP}/sessions/{session_id}/sandbox/fault", json={"kind": "silent"})

    async def reason() -> str | None:
        return str((await live.get(f"{WHATSAPP}/sessions/{session_id}")).json()["reason"])

    await until(live, "status", reason, "degraded")
    answer = await live.patch(f"{MESSAGES}/{ours}", json={"text": "x"})
    assert (answer.status_code, answer.json()["code"]) == (503, "engine_busy")
    assert "retry-after" in answer.headers


async def test_marking_as_read(live: Api) -> None:
    """A chat's unread messages become read, here and for who wrote them; what came later stays unread."""
    session_id = await link_session(live)
    for sender in (MARIA, PEDRO):
        await hear(live, session_id, **{"from": sender, "text": "hi", "chat": GROUP, "count": 2})
    await hear(live, session_id, **{"from": MARIA, "text": "alone"})
    found = await until_messages(live, session_id, 5)

    async def unread() -> dict[str, int]:
        chats = (await live.get(f"{WHATSAPP}/chats", params={"sessionId": session_id})).json()["chats"]
        return {chat["chat"]: chat["unread"] for chat in chats}

    assert await unread() == {GROUP: 4, MARIA_CHAT: 1}
    in_group = [message for message in found if message["chat"] == GROUP]
    assert (await live.post(f"{MESSAGES}/{in_group[1]['id']}/read")).status_code == 204
    assert await unread() == {GROUP: 1, MARIA_CHAT: 1}
    body = {"sessionId": session_id, "chat": GROUP}
    assert (await live.post(f"{WHATSAPP}/chats/read", json=body)).status_code == 204
    assert await unread() == {GROUP: 0, MARIA_CHAT: 1}
    assert (await live.get(f"{MESSAGES}/{in_group[0]['id']}")).json()["status"] == "read"
    told = await outbox(live, session_id, "read")
    assert {wa_id for entry in told for wa_id in entry["waIds"]} == {m["waMessageId"] for m in in_group}
    assert {entry["sender"] for entry in told} == {MARIA_CHAT, PEDRO_CHAT}
    before = len(told)
    assert (await live.post(f"{WHATSAPP}/chats/read", json=body)).status_code == 204
    assert len(await outbox(live, session_id, "read")) == before


async def test_typing_and_numbers(live: Api) -> None:
    """Typing shows on the phone; numbers in any spelling are looked up, each answered as it was asked."""
    session_id = await link_session(live)
    body = {"sessionId": session_id, "chat": MARIA, "typing": True}
    assert (await live.post(f"{WHATSAPP}/chats/typing", json=body)).status_code == 204
    [shown] = await outbox(live, session_id, "typing")
    assert (shown["chat"], shown["typing"]) == (MARIA_CHAT, True)

    asked = {"sessionId": session_id, "phones": [MARIA, "(11) 99999-0000"]}
    answer = await live.post(f"{WHATSAPP}/contacts/check", json=asked)
    assert answer.json()["numbers"] == [
        {"phone": MARIA, "digits": "5511999990001", "exists": True, "jid": MARIA_CHAT},
        {"phone": "(11) 99999-0000", "digits": "5511999990000", "exists": False, "jid": None},
    ]
    bad = await live.post(f"{WHATSAPP}/contacts/check", json={**asked, "phones": [MARIA, "12"]})
    assert (bad.status_code, bad.json()["path"]) == (400, "phones[1]")


async def test_lists_filter_and_page(live: Api) -> None:
    """Every filter narrows; pages follow each other without a gap or a double."""
    session_id = await link_session(live)
    await hear(live, session_id, **{"from": MARIA, "name": "Maria Silva", "text": "hi", "count": 3})
    await hear(
        live, session_id, **{"from": PEDRO, "type": "location", "content": {"latitude": 1, "longitude": 2}}
    )
    await until_messages(live, session_id, 4)
    ours = await send(live, session_id, to=PEDRO)
    everything = (await live.get(MESSAGES)).json()["messages"]

    async def ids(**filters: Any) -> list[str]:
        response = await live.get(MESSAGES, params=filters)
        assert response.status_code == 200, response.text
        return [message["id"] for message in response.json()["messages"]]

    listed = [message["id"] for message in everything]
    assert listed[0] == ours
    assert await ids(direction="outgoing") == [ours]
    assert await ids(chat=MARIA_CHAT) == listed[2:] or len(await ids(chat=MARIA_CHAT)) == 3
    assert len(await ids(type="location")) == 1
    assert len(await ids(status="received")) == 4
    assert await ids(sessionId="ses_other") == []
    assert await ids(since="2100-01-01T00:00:00Z") == []
    assert await ids(until="2100-01-01T00:00:00") == listed
    [maria] = (await live.get(f"{WHATSAPP}/contacts", params={"search": "silva"})).json()["contacts"]
    assert (maria["pn"], maria["name"]) == ("5511999990001", "Maria Silva")
    assert len(await ids(contactId=maria["id"])) == 3

    pages, cursor = [], None
    while True:
        page = (
            await live.get(MESSAGES, params={"limit": 2, **({"cursor": cursor} if cursor else {})})
        ).json()
        pages += [message["id"] for message in page["messages"]]
        cursor = page["nextCursor"]
        if cursor is None:
            break
    assert pages == listed
    for wrong in (
        {"direction": "up"},
        {"type": "fax"},
        {"since": "yesterday"},
        {"cursor": "@@"},
        {"limit": 0},
    ):
        refused = await live.get(MESSAGES, params=wrong)
        assert (refused.status_code, refused.json()["path"]) == (400, next(iter(wrong))), refused.text


async def test_chats_with_their_last_words(live: Api) -> None:
    """Each chat has what was last said in it, short; what was deleted has no words left, and a file has its name."""
    session_id = await link_session(live)

    async def last() -> dict[str, Any]:
        chats = (await live.get(f"{WHATSAPP}/chats", params={"sessionId": session_id})).json()["chats"]
        return {chat["chat"]: chat["lastMessage"] for chat in chats}

    await hear(live, session_id, **{"from": MARIA, "name": "Maria", "text": "é" * 300, "chat": GROUP})
    picture = {"base64": b64encode(PNG).decode(), "fileName": "pão.png"}
    await hear(live, session_id, **{"from": PEDRO, "type": "image", "content": picture})
    found = await until_messages(live, session_id, 2)
    ours = await send(live, session_id, "até já")
    said = await last()
    in_group = next(message for message in found if message["chat"] == GROUP)
    assert said[GROUP] == {
        "messageId": in_group["id"],
        "direction": "inbound",
        "origin": "contact",
        "type": "text",
        "text": "é" * 200,
        "status": "received",
        "senderName": "Maria",
        "revokedAt": None,
        "sentAt": in_group["sentAt"],
    }
    assert (said[PEDRO_CHAT]["type"], said[PEDRO_CHAT]["text"]) == ("image", "pão.png")
    assert (said[MARIA_CHAT]["messageId"], said[MARIA_CHAT]["origin"]) == (ours, "api")
    await live.delete(f"{MESSAGES}/{ours}")
    gone = (await last())[MARIA_CHAT]
    assert (gone["text"], gone["revokedAt"] is not None) == (None, True)
    await live.services.pool.execute("DELETE FROM whatsapp_messages WHERE id = $1", ours)
    assert (await last())[MARIA_CHAT] is None


async def test_mentions_that_arrive(live: Api) -> None:
    """Messages with and without mentions arrive in one batch, each with its own."""
    session_id = await link_session(live)
    await hear(live, session_id, **{"from": MARIA, "text": "all", "mentions": [MARIA_CHAT, PEDRO_CHAT]})
    await hear(live, session_id, **{"from": MARIA, "text": "none"})
    found = await until_messages(live, session_id, 2)
    assert {m["content"]["text"]: m["mentions"] for m in found} == {
        "all": [MARIA_CHAT, PEDRO_CHAT],
        "none": [],
    }


async def test_removing_a_contact(live: Api) -> None:
    """Everything of it goes: messages both ways, files, chat, events; what others share stays."""
    session_id = await link_session(live)
    picture = {"base64": b64encode(PNG).decode()}
    await hear(live, session_id, **{"from": MARIA, "type": "image", "content": picture})
    await hear(live, session_id, **{"from": PEDRO, "text": "hi"})
    await until_messages(live, session_id, 2)
    uploaded = await live.post(f"{WHATSAPP}/media", content=PNG, headers={"Content-Type": "image/png"})
    for to in (MARIA, PEDRO):
        await live.post(
            f"{WHATSAPP}/send",
            json={
                "sessionId": session_id,
                "to": to,
                "type": "image",
                "content": {"mediaId": uploaded.json()["mediaId"]},
            },
            headers={"Prefer": "wait=10"},
        )
    [maria] = (await live.get(f"{WHATSAPP}/contacts", params={"search": "5511999990001"})).json()["contacts"]
    assert (await live.get(f"{WHATSAPP}/contacts/{maria['id']}")).json() == maria
    stranger = await live.as_tenant("Stranger")
    assert (await stranger.delete(f"{WHATSAPP}/contacts/{maria['id']}")).status_code == 404

    # One that still waits to be sent knows nobody yet but its chat.
    await live.post(f"{WHATSAPP}/sessions/{session_id}/disconnect")
    await send(live, session_id, wait=False)
    assert (await live.delete(f"{WHATSAPP}/contacts/{maria['id']}")).status_code == 204
    assert (await live.get(f"{WHATSAPP}/contacts/{maria['id']}")).status_code == 404
    left = (await live.get(MESSAGES)).json()["messages"]
    assert {message["chat"] for message in left} == {PEDRO_CHAT}
    assert [chat["chat"] for chat in (await live.get(f"{WHATSAPP}/chats")).json()["chats"]] == [PEDRO_CHAT]
    rows = await live.services.pool.fetch("SELECT id FROM media")
    assert [row["id"] for row in rows] == [uploaded.json()["mediaId"]]
    folder = live.services.blobs.path("x").parent.parent
    assert [path.name for path in folder.rglob("*") if path.is_file()] == [uploaded.json()["mediaId"]]
    bodies = await live.services.pool.fetchval(
        "SELECT string_agg(body, '') FROM events WHERE chat IS NOT NULL"
    )
    assert "5511999990001" not in bodies


async def test_other_company_sees_nothing(live: Api) -> None:
    """Messages, chats and contacts of another company are as if they were not."""
    session_id = await link_session(live)
    await hear(live, session_id, **{"from": MARIA, "text": "hi"})
    [message] = await until_messages(live, session_id, 1)
    stranger = await live.as_tenant("Stranger")
    for call, path, body in [
        ("GET", f"/messages/{message['id']}", None),
        ("PATCH", f"/messages/{message['id']}", {"text": "x"}),
        ("DELETE", f"/messages/{message['id']}", None),
        ("POST", f"/messages/{message['id']}/read", None),
        ("GET", f"/contacts/{message['contactId']}", None),
        ("POST", "/chats/read", {"sessionId": session_id, "chat": MARIA}),
        ("POST", "/chats/typing", {"sessionId": session_id, "chat": MARIA}),
        ("POST", "/contacts/check", {"sessionId": session_id, "phones": [MARIA]}),
    ]:
        response = await stranger.request(call, f"{WHATSAPP}{path}", json=body)
        assert response.status_code == 404, (call, path, response.text)
    for path, name in [("messages", "messages"), ("chats", "chats"), ("contacts", "contacts")]:
        found = await stranger.get(f"{WHATSAPP}/{path}", params={"sessionId": session_id})
        assert found.json()[name] == []
    operator = live.with_key(OPERATOR_KEY)
    assert (await operator.get(f"{MESSAGES}/{message['id']}")).json()["history"] == []
    assert (await operator.get(MESSAGES)).json()["code"] == "company_required"
