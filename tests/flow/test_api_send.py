"""POST /send, from the body to what the virtual phone received."""

import asyncio
import re
from base64 import b64encode
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from aiohttp import web

from relay.api import accept
from relay.config import Config, Webhooks
from relay.store.pool import Pool
from tests.api_client import OPERATOR_KEY, Api, serve_api
from tests.files import PNG
from tests.flow.serving import carried_out
from tests.serving import QUICK, link_session, make_session, serve_all, until, until_messages

SEND = "/api/v1/whatsapp/send"
MESSAGES = "/api/v1/whatsapp/messages"
MARIA = "+55 11 99999-0001"
MARIA_CHAT = "5511999990001@s.whatsapp.net"
WAIT = {"Prefer": "wait=10"}


@pytest.fixture
async def live(pool: Pool, url: str, tmp_path: Path) -> AsyncIterator[Api]:
    """A company's caller; a host runs its sessions."""
    async with serve_all(pool, url, tmp_path) as api:
        yield api


def a_picture(session_id: str) -> dict[str, Any]:
    content = {"base64": b64encode(PNG).decode()}
    return {"sessionId": session_id, "to": MARIA, "type": "image", "content": content}


def a_text(session_id: str, text: str = "hello", **fields: Any) -> dict[str, Any]:
    return {"sessionId": session_id, "to": MARIA, "type": "text", "content": text, **fields}


async def outbox(api: Api, session_id: str) -> list[dict[str, Any]]:
    """What the virtual phones have received."""
    response = await api.get(f"/api/v1/whatsapp/sessions/{session_id}/sandbox/outbox")
    return list(response.json()["messages"])


async def count_messages(api: Api) -> int:
    return int(await api.services.pool.fetchval("SELECT count(*) FROM whatsapp_messages"))


async def test_text_reaches_the_phone(live: Api) -> None:
    """202 at once; with `Prefer: wait`, 200 with WhatsApp's id once it is sent; the history tells the way."""
    session_id = await link_session(live)
    queued = await live.post(SEND, json=a_text(session_id))
    assert (queued.status_code, queued.json()["status"]) == (202, "queued")
    assert set(queued.json()) == {"messageId", "status"}

    sent = await live.post(SEND, json=a_text(session_id, "second"), headers=WAIT)
    assert (sent.status_code, sent.headers["preference-applied"]) == (200, "wait=10")
    assert sent.json()["status"] in {"sent", "delivered", "read"}
    received = await outbox(live, session_id)
    assert [(message["chat"], message["content"]) for message in received] == [
        (MARIA_CHAT, {"text": "hello"}),
        (MARIA_CHAT, {"text": "second"}),
    ]
    assert received[1]["waId"] == sent.json()["waMessageId"]

    async def status() -> str:
        return str((await live.get(f"{MESSAGES}/{sent.json()['messageId']}")).json()["status"])

    await until(live, "events", status, "read")
    message = (await live.get(f"{MESSAGES}/{sent.json()['messageId']}")).json()
    assert [step["status"] for step in message["history"]] == [
        "queued",
        "sending",
        "sent",
        "delivered",
        "read",
    ]
    assert all(step["at"].endswith("Z") for step in message["history"])


@pytest.mark.parametrize(
    ("kind", "content", "stored"),
    [
        ("text", {"text": "hi"}, {"text": "hi"}),
        ("location", {"latitude": -23.5, "longitude": -46.6, "name": "Shop"}, None),
        ("contact", {"name": "Ana", "phone": "+55 11 98888-0000"}, None),
        ("contact", {"vcard": "BEGIN:VCARD\nVERSION:3.0\nEND:VCARD"}, None),
        (
            "poll",
            {"question": "When?", "options": ["Now", "Later"]},
            {"question": "When?", "options": ["Now", "Later"], "selectable": 1},
        ),
    ],
)
async def test_every_type_without_a_file(
    live: Api, kind: str, content: dict[str, Any], stored: dict[str, Any] | None
) -> None:
    """The content is stored, and sent, as it was given."""
    session_id = await link_session(live)
    body = {"sessionId": session_id, "to": MARIA, "type": kind, "content": content}
    sent = await live.post(SEND, json=body, headers=WAIT)
    assert sent.status_code == 200, sent.text
    [received] = await outbox(live, session_id)
    assert (received["type"], received["content"]) == (kind, stored or content)


@pytest.mark.parametrize("source", ["base64", "data-url", "mediaId"])
async def test_image(live: Api, source: str) -> None:
    """A file comes as base64, as a browser's data URL, or by the id of an upload; its type is what it is."""
    session_id = await link_session(live)
    encoded = b64encode(PNG).decode()
    if source == "mediaId":
        uploaded = await live.post(
            "/api/v1/whatsapp/media", content=PNG, headers={"Content-Type": "image/png"}
        )
        given = {"mediaId": uploaded.json()["mediaId"]}
    else:
        given = {"base64": encoded if source == "base64" else f"data:image/png;base64,{encoded}"}
    body = {
        "sessionId": session_id,
        "to": MARIA,
        "type": "image",
        "content": {**given, "caption": "look", "fileName": "dot.png"},
    }
    sent = await live.post(SEND, json=body, headers=WAIT)
    assert sent.status_code == 200, sent.text
    [received] = await outbox(live, session_id)
    described = {"mimetype": "image/png", "sizeBytes": len(PNG), "fileName": "dot.png", "caption": "look"}
    assert received["content"].items() >= described.items()
    content = (await live.get(f"{MESSAGES}/{sent.json()['messageId']}")).json()["content"]
    assert (await live.get(f"/api/v1/whatsapp/media/{content['mediaId']}")).content == PNG


async def test_reply_mention_and_reaction(live: Api) -> None:
    """They name messages of ours by messageId; the phone gets WhatsApp's ids."""
    session_id = await link_session(live)
    await live.post(
        f"/api/v1/whatsapp/sessions/{session_id}/sandbox/inbound", json={"from": MARIA, "text": "hi"}
    )
    [asked] = await until_messages(live, session_id, 1)
    reply = a_text(session_id, "yes", replyTo=asked["id"], mentions=[MARIA])
    assert (await live.post(SEND, json=reply, headers=WAIT)).status_code == 200
    reaction = {
        "sessionId": session_id,
        "to": MARIA,
        "type": "reaction",
        "content": {"emoji": "👍", "messageId": asked["id"]},
    }
    assert (await live.post(SEND, json=reaction, headers=WAIT)).status_code == 200
    answered, reacted = await outbox(live, session_id)
    assert (answered["replyTo"], answered["mentions"]) == (asked["waMessageId"], [MARIA_CHAT])
    assert reacted["content"] == {
        "emoji": "👍",
        "messageId": asked["id"],
        "waMessageId": asked["waMessageId"],
    }

    other = await link_session(live)
    for body, path in [
        (a_text(other, replyTo=asked["id"]), "replyTo"),
        ({**reaction, "sessionId": other}, "content.messageId"),
    ]:
        refused = await live.post(SEND, json=body)
        assert (refused.status_code, refused.json()["path"]) == (400, path)


async def test_poll_vote(live: Api) -> None:
    """A vote goes where its poll is, in the poll's own words; what the poll does not allow is refused by its place."""
    session_id = await link_session(live)
    poll = {"question": "When?", "options": ["Now", "Later", "Never"], "selectable": 2}
    asked = {"sessionId": session_id, "to": MARIA, "type": "poll", "content": poll}
    own = (await live.post(SEND, json=asked, headers=WAIT)).json()
    inbound = {"from": MARIA, "type": "poll", "content": {"question": "?", "options": ["a", "b"]}}
    await live.post(f"/api/v1/whatsapp/sessions/{session_id}/sandbox/inbound", json=inbound)
    theirs, _own = await until_messages(live, session_id, 2)

    def vote(message_id: str, *options: str) -> dict[str, Any]:
        content = {"messageId": message_id, "options": list(options)}
        return {"sessionId": session_id, "to": "+55 11 97777-0000", "type": "poll_vote", "content": content}

    for body in (vote(own["messageId"], "Later", "Never"), vote(theirs["id"], "a"), vote(theirs["id"])):
        voted = await live.post(SEND, json=body, headers=WAIT)
        assert voted.status_code == 200, voted.text
    _poll, *votes = await outbox(live, session_id)
    assert [each["content"] for each in votes] == [
        {"options": ["Later", "Never"], "messageId": own["messageId"], "waMessageId": own["waMessageId"]},
        {"options": ["a"], "messageId": theirs["id"], "waMessageId": theirs["waMessageId"]},
        {"options": [], "messageId": theirs["id"], "waMessageId": theirs["waMessageId"]},
    ]
    assert {each["chat"] for each in votes} == {MARIA_CHAT}

    text = (await live.post(SEND, json=a_text(session_id), headers=WAIT)).json()["messageId"]
    for body, path in [
        (vote(text, "a"), "content.messageId"),
        (vote(own["messageId"], "now"), "content.options[0]"),
        (vote(own["messageId"], "Now", "Now"), "content.options[1]"),
        (vote(own["messageId"], "Now", "Later", "Never"), "content.options"),
        (vote(theirs["id"], "a", "b"), "content.options"),
    ]:
        refused = await live.post(SEND, json=body)
        assert (refused.status_code, refused.json()["path"]) == (400, path), refused.text
    await live.delete(f"{MESSAGES}/{own['messageId']}")
    gone = await live.post(SEND, json=vote(own["messageId"], "Now"))
    assert (gone.status_code, gone.json()["code"]) == (400, "not_a_poll")


async def test_what_was_never_sent_cannot_be_reacted_to(live: Api, url: str) -> None:
    """A message that WhatsApp refused has no name there: nobody can react to it, while an answer goes without it."""
    session_id = await link_session(live)
    fault = f"/api/v1/whatsapp/sessions/{session_id}/sandbox/fault"
    await live.post(fault, json={"kind": "reject"})
    await carried_out(url, session_id)
    failed = (await live.post(SEND, json=a_text(session_id), headers=WAIT)).json()["messageId"]
    reaction = {"emoji": "👍", "messageId": failed}
    body = {"sessionId": session_id, "to": MARIA, "type": "reaction", "content": reaction}
    refused = await live.post(SEND, json=body)
    assert (refused.status_code, refused.json()["path"]) == (400, "content.messageId")
    answer = await live.post(SEND, json=a_text(session_id, "again", replyTo=failed), headers=WAIT)
    assert answer.status_code == 200
    assert (await outbox(live, session_id))[-1]["replyTo"] is None


async def test_to_a_lid(live: Api) -> None:
    """Somebody whose number WhatsApp hides can be written to by LID."""
    session_id = await link_session(live)
    lid = "123456789012345@lid"
    assert (await live.post(SEND, json={**a_text(session_id), "to": lid}, headers=WAIT)).status_code == 200
    [received] = await outbox(live, session_id)
    assert received["chat"] == lid
    [message] = (await live.get(MESSAGES, params={"chat": lid})).json()["messages"]
    assert message["contactId"] is not None


async def test_view_once(live: Api) -> None:
    """A picture that can be opened once says so to the phone."""
    session_id = await link_session(live)
    content = {"base64": b64encode(PNG).decode(), "viewOnce": True}
    body = {"sessionId": session_id, "to": MARIA, "type": "image", "content": content}
    assert (await live.post(SEND, json=body, headers=WAIT)).status_code == 200
    [received] = await outbox(live, session_id)
    assert received["content"]["viewOnce"] is True


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ({"to": "12345"}, "to"),
        ({"to": 5}, "to"),
        ({"type": "fax"}, "type"),
        ({"type": "call"}, "type"),
        ({"content": ""}, "content"),
        ({"content": "x" * 65_537}, "content"),
        ({"content": {"text": ""}}, "content.text"),
        ({"content": {"text": "x", "colour": 1}}, "content.colour"),
        ({"content": None}, "content"),
        ({"mentions": ["nobody"]}, "mentions[0]"),
        ({"replyTo": "msg_unknown"}, "replyTo"),
        ({"colour": "red"}, "colour"),
        ({"type": "image", "content": "x"}, "content"),
        ({"type": "image", "content": {}}, "content"),
        ({"type": "image", "content": {"base64": "@@"}}, "content.base64"),
        ({"type": "image", "content": {"base64": ""}}, "content.base64"),
        ({"type": "image", "content": {"base64": "aGVsbG8="}}, "content.base64"),
        ({"type": "image", "content": {"base64": "aGVsbG8=", "mediaId": "med_x"}}, "content"),
        ({"type": "image", "content": {"mediaId": "med_unknown"}}, "content.mediaId"),
        ({"type": "image", "content": {"url": "ftp://example.com/a.png"}}, "content.url"),
        ({"type": "image", "content": {"url": "http://127.0.0.1:9/a.png"}}, "content.url"),
        ({"type": "document", "content": {"base64": "PGh0bWw+", "mimetype": "image/png"}}, "content.base64"),
        ({"type": "document", "content": {"base64": "AAAA", "fileName": "../../etc/passwd"}}, "content.fileName"),
        ({"type": "location", "content": {"latitude": 91, "longitude": 0}}, "content.latitude"),
        ({"type": "location", "content": {"latitude": 0}}, "content.longitude"),
        ({"type": "contact", "content": {"name": "Ana"}}, "content"),
        ({"type": "poll", "content": {"question": "?", "options": ["a"]}}, "content.options"),
        ({"type": "poll", "content": {"question": "?", "options": ["a", "a"]}}, "content.options"),
        ({"type": "poll", "content": {"question": "?", "options": ["a", "b"], "selectable": 3}}, "content.selectable"),
        ({"type": "reaction", "content": {"emoji": "👍", "messageId": "msg_x"}}, "content.messageId"),
        ({"type": "poll_vote", "content": {"options": ["a"], "messageId": "msg_x"}}, "content.messageId"),
        ({"type": "poll_vote", "content": {"messageId": "msg_x"}}, "content.options"),
        ({"type": "document", "content": {"base64": "AAAA", "viewOnce": True}}, "content.viewOnce"),
        ({"type": "image", "content": {"base64": "AAAA", "viewOnce": "yes"}}, "content.viewOnce"),
    ],
)  # fmt: skip
async def test_bad_send_is_refused(bad: tuple[Api, str], fields: dict[str, Any], path: str) -> None:
    """Each mistake is named by its field's path; nothing is queued and no file is left."""
    api, session_id = bad
    refused = await api.post(SEND, json={**a_text(session_id), **fields})
    assert (refused.status_code, refused.json().get("path")) == (400, path), refused.text
    assert await count_messages(api) == 0
    assert await api.services.pool.fetchval("SELECT count(*) FROM media") == 0
    assert not [path for path in api.services.blobs.path("x").parent.parent.rglob("*") if path.is_file()]


@pytest.fixture
async def bad(pool: Pool, url: str) -> AsyncIterator[tuple[Api, str]]:
    """A caller with a session that counts as linked; nobody runs it."""
    async with serve_api(pool, url) as operator:
        api = await operator.as_tenant()
        session_id = await make_session(api, connect=False)
        await pool.execute("UPDATE whatsapp_sessions SET phone = '5511911112222' WHERE id = $1", session_id)
        yield api, session_id
        await operator.services.aclose()


async def test_sessions_that_cannot_send(bad: tuple[Api, str]) -> None:
    """Never linked: 409. Another company's, or none: 404. Linked but away: accepted, and waits."""
    api, session_id = bad
    unlinked = await make_session(api, connect=False)
    assert (await api.post(SEND, json=a_text(unlinked))).json()["code"] == "session_not_linked"
    assert (await api.post(SEND, json=a_text("ses_unknown"))).status_code == 404
    assert (await api.post(SEND, json=a_text(session_id))).status_code == 202

    stranger = await api.as_tenant("Stranger")
    assert (await stranger.post(SEND, json=a_text(session_id))).status_code == 404
    assert (await stranger.post(SEND, json=a_text(session_id, companyId=api.company_id))).status_code == 404
    reader = await api.as_tenant("Reader", "messages:read")
    assert (await reader.post(SEND, json=a_text(session_id))).json()["code"] == "scope_missing"
    operator = api.with_key(OPERATOR_KEY)
    assert (await operator.post(SEND, json=a_text(session_id))).status_code == 202
    assert (
        await operator.post(SEND, json=a_text(session_id, companyId=stranger.company_id))
    ).status_code == 404
    assert await count_messages(api) == 2


async def test_deleted_session_takes_no_more(bad: tuple[Api, str]) -> None:
    """A session that was removed a moment ago is still remembered here, and yet nothing is queued for it."""
    api, session_id = bad
    assert (await api.post(SEND, json=a_text(session_id))).status_code == 202
    await api.services.pool.execute("DELETE FROM whatsapp_sessions WHERE id = $1", session_id)
    gone = await asyncio.gather(
        *(api.post(SEND, json=a_text(session_id), headers={"Idempotency-Key": f"k{n}"}) for n in range(3)),
        *(api.post(SEND, json=a_text(session_id)) for _ in range(3)),
    )
    assert [response.status_code for response in gone] == [404] * 6
    assert await count_messages(api) == 1
    assert await api.services.pool.fetchval("SELECT count(*) FROM idempotency_keys") == 0


async def test_idempotency(bad: tuple[Api, str]) -> None:
    """The same key and body answer the same, at once or later; another body is refused; one message is queued."""
    api, session_id = bad
    key = {"Idempotency-Key": "order-17"}
    many = await asyncio.gather(*(api.post(SEND, json=a_text(session_id), headers=key) for _ in range(8)))
    later = await api.post(SEND, json=a_text(session_id), headers=key)
    assert {response.status_code for response in many} == {202}
    assert {response.text for response in [*many, later]} == {later.text}
    assert later.headers["idempotent-replayed"] == "true"
    assert sum("idempotent-replayed" not in response.headers for response in many) == 1
    other = await api.post(SEND, json=a_text(session_id, "other"), headers=key)
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")
    assert await count_messages(api) == 1

    stranger = await api.as_tenant("Stranger")
    theirs = await make_session(stranger, connect=False)
    await api.services.pool.execute("UPDATE whatsapp_sessions SET phone = '1' WHERE id = $1", theirs)
    assert (await stranger.post(SEND, json=a_text(theirs), headers=key)).status_code == 202


async def test_retried_file_is_stored_once(bad: tuple[Api, str]) -> None:
    """A retry with the same key, even at the same time, leaves one message and one file."""
    api, session_id = bad
    body = a_picture(session_id)
    key = {"Idempotency-Key": "photo-1"}
    answers = await asyncio.gather(*(api.post(SEND, json=body, headers=key) for _ in range(4)))
    answers.append(await api.post(SEND, json=body, headers=key))
    assert {answer.status_code for answer in answers} == {202}
    assert len({answer.json()["messageId"] for answer in answers}) == 1
    assert await api.services.pool.fetchval("SELECT count(*) FROM media") == 1
    assert len([p for p in api.services.blobs.path("x").parent.parent.rglob("*") if p.is_file()]) == 1


async def test_a_file_of_what_may_have_been_stored_is_kept(
    bad: tuple[Api, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The database went away with the answer to the commit: the message is there, and so is its file."""
    api, session_id = bad
    insert = accept.Acceptor._insert

    async def lose_the_answer(self: Any, batch: Any) -> Any:
        await insert(self, batch)
        raise ConnectionResetError

    body = a_picture(session_id)
    key = {"Idempotency-Key": "photo-1"}
    with monkeypatch.context() as patch:
        patch.setattr(accept.Acceptor, "_insert", lose_the_answer)
        lost = await api.post(SEND, json=body, headers=key)
    assert (lost.status_code, lost.json()["code"]) == (503, "database_unavailable")
    assert (await api.post(SEND, json=body, headers=key)).status_code == 202
    [media_id] = [
        row[0] for row in await api.services.pool.fetch("SELECT content ->> 'mediaId' FROM whatsapp_messages")
    ]
    assert (await api.get(f"/api/v1/whatsapp/media/{media_id}")).content == PNG


async def test_budget_that_rejects(bad: tuple[Api, str]) -> None:
    """With `whenExceeded: reject` what is too much answers 429 at once; a retry of an accepted one costs nothing."""
    api, session_id = bad
    path = f"/api/v1/whatsapp/sessions/{session_id}"
    await api.patch(path, json={"limits": {"perMinute": 2, "whenExceeded": "reject"}})
    key = {"Idempotency-Key": "one"}
    assert (await api.post(SEND, json=a_text(session_id), headers=key)).status_code == 202
    assert (await api.post(SEND, json=a_text(session_id), headers=key)).status_code == 202
    assert (await api.post(SEND, json=a_text(session_id))).status_code == 202
    full = await api.post(SEND, json=a_text(session_id))
    assert (full.status_code, full.json()["code"]) == (429, "budget_exhausted")
    assert 0 < int(full.headers["retry-after"]) <= 60
    rows = await api.services.pool.fetch("SELECT budgeted FROM whatsapp_messages")
    assert [row["budgeted"] for row in rows] == [True, True]


async def test_waiting_ends_with_the_time(bad: tuple[Api, str]) -> None:
    """Nobody runs the session: after the time that was asked for the message is still queued, 202."""
    api, session_id = bad
    answer = await api.post(SEND, json=a_text(session_id), headers={"Prefer": "respond-async, wait=1"})
    assert (answer.status_code, answer.json()["status"]) == (202, "queued")
    assert answer.headers["preference-applied"] == "wait=1"


async def test_rejected_by_whatsapp(live: Api, url: str) -> None:
    """What WhatsApp refuses is told to whoever waits."""
    session_id = await link_session(live)
    await live.post(f"/api/v1/whatsapp/sessions/{session_id}/sandbox/fault", json={"kind": "reject"})
    await carried_out(url, session_id)
    answer = await live.post(SEND, json=a_text(session_id), headers=WAIT)
    assert (answer.status_code, answer.json()["status"]) == (200, "failed")
    assert answer.json()["error"] == "send_rejected"


async def test_what_cannot_be_stored_costs_no_other(bad: tuple[Api, str]) -> None:
    """Sends that come together are stored together; those for a session that is just gone fail alone."""
    api, session_id = bad
    gone = await make_session(api, connect=False)
    await api.services.pool.execute("UPDATE whatsapp_sessions SET phone = '1' WHERE id = $1", gone)
    assert (await api.post(SEND, json=a_text(gone))).status_code == 202
    await api.services.pool.execute("DELETE FROM whatsapp_sessions WHERE id = $1", gone)
    answers = await asyncio.gather(
        *(api.post(SEND, json=a_text(session_id), headers={"Idempotency-Key": f"a{n}"}) for n in range(5)),
        api.post(SEND, json=a_text(gone), headers={"Idempotency-Key": "b"}),
        *(api.post(SEND, json=a_text(session_id)) for _ in range(5)),
    )
    assert [answer.status_code for answer in answers] == [202] * 5 + [404] + [202] * 5
    assert await count_messages(api) == 11
    assert await api.services.pool.fetchval("SELECT count(*) FROM idempotency_keys") == 5


async def test_media_by_url(pool: Pool, url: str, tmp_path: Path) -> None:
    """A file is fetched before the send is accepted; what cannot be had is told without a word about the network."""

    async def picture(request: web.Request) -> web.StreamResponse:
        if request.path == "/dot.png":
            return web.Response(body=PNG, content_type="image/png")
        return web.Response(body=b"<html>", content_type="image/png")

    app = web.Application()
    app.router.add_get("/{name}", picture)
    runner = web.AppRunner(app, shutdown_timeout=0)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    config = Config(webhooks=Webhooks(allow_networks=("127.0.0.0/8",)), sandbox=QUICK)
    async with serve_all(pool, url, tmp_path, config=config) as api:
        session_id = await link_session(api)

        async def send(content: dict[str, Any]) -> httpx.Response:
            body = {"sessionId": session_id, "to": MARIA, "type": "image", "content": content}
            return await api.post(SEND, json=body, headers=WAIT)

        sent = await send({"url": f"http://127.0.0.1:{port}/dot.png"})
        assert sent.status_code == 200, sent.text
        assert sent.json()["status"] in {"sent", "delivered", "read"}
        [received] = await outbox(api, session_id)
        assert (received["content"]["mimetype"], received["content"]["sizeBytes"]) == ("image/png", len(PNG))
        lie = await send({"url": f"http://127.0.0.1:{port}/page.png"})
        assert (lie.status_code, lie.json()["code"]) == (400, "media_type_mismatch")
        refused = await send({"url": "http://10.0.0.1/dot.png"})
        assert refused.json()["code"] == "media_unavailable"
        assert not re.search(r"private|blocked|10\.0", refused.json()["detail"])
    await runner.cleanup()


async def test_a_person_writes(live: Api, pool: Pool) -> None:
    """`byPerson` makes the message a person's, of which the bot is told; with it all else stays as it is."""
    session_id = await link_session(live, automation=True)
    key = {"Idempotency-Key": "once"}
    body = a_text(session_id, "I'll take it from here", byPerson=True)
    sent = [(await live.post(SEND, json=body, headers=WAIT | key)).json()["messageId"] for _ in range(2)]
    await live.post(SEND, json=a_text(session_id), headers=WAIT)
    assert sent[0] == sent[1]
    assert (await live.get(f"{MESSAGES}/{sent[0]}")).json()["origin"] == "person"
    tasks = await pool.fetch("SELECT message_id, chat FROM reply_tasks")
    assert [tuple(task) for task in tasks] == [(sent[0], MARIA_CHAT)]
