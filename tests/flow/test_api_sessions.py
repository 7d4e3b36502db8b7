"""Sessions through the API, with a real host and the sandbox's phones behind it."""

import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from relay.api import qr
from relay.api import sandbox as api_sandbox
from relay.api import sessions as api_sessions
from relay.api.sandbox import _wa_ids
from relay.config import Config, Sandbox, Sessions
from relay.engines.engine import Received
from relay.engines.sandbox import SandboxEngine
from relay.engines.sandbox_people import entries_of
from relay.model.message import Party
from relay.model.sandbox import InboundIn
from relay.store.pool import Pool
from relay.store.tenants import get_data_key
from tests.accounts import AT
from tests.api_client import OPERATOR_KEY, Api, serve_api
from tests.serving import link_session, make_session, serve_all, until, until_messages

SESSIONS = "/api/v1/whatsapp/sessions"


@pytest.fixture
async def live(pool: Pool, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Api]:
    """A company's caller; a host runs its sessions. Answers wait for it: what they say then is what is tested here."""
    monkeypatch.setattr(api_sessions, "_QR_SECONDS", 30.0)
    monkeypatch.setattr(api_sessions, "_STOP_SECONDS", 30.0)
    monkeypatch.setattr(api_sandbox, "_SCAN_SECONDS", 30.0)
    async with serve_all(pool, url, tmp_path) as api:
        yield api


def events_of(text: str) -> list[tuple[str, dict[str, Any]]]:
    """The events of a finished stream."""
    found = []
    for block in text.split("\n\n"):
        lines = dict(line.split(": ", 1) for line in block.splitlines() if not line.startswith(":"))
        if lines:
            found.append((lines["event"], msgspec.json.decode(lines["data"])))
    return found


async def test_session_lives(live: Api) -> None:
    """Created with its QR code in the answer, scanned, disconnected, connected again, logged out, removed."""
    created = (await live.post(SESSIONS, json={"name": "Shop", "engine": "sandbox"})).json()
    path = f"{SESSIONS}/{created['sessionId']}"
    assert created["status"] == "connecting"
    assert created["qrCode"].startswith("2@")
    assert created["detail"] == "Scan the QR code in WhatsApp under Linked devices."

    scanned = (await live.post(f"{path}/sandbox/scan", json={"phone": "+55 11 98765-4321"})).json()
    assert (scanned["status"], scanned["phone"], scanned["qrCode"]) == ("connected", "5511987654321", None)

    down = (await live.post(f"{path}/disconnect")).json()
    assert (down["status"], down["reason"], down["phone"]) == ("disconnected", "requested", "5511987654321")

    assert (await live.post(f"{path}/connect")).json()["status"] == "connected"
    out = (await live.post(f"{path}/logout")).json()
    assert (out["status"], out["phone"]) == ("disconnected", None)

    assert (await live.delete(path)).status_code == 204
    assert (await live.get(path)).status_code == 404


async def test_connecting_again_answers_present_state(live: Api) -> None:
    """`connect` on a session that is connecting keeps its QR code, on a connected one its connection."""
    session_id = await make_session(live)
    first = (await live.get(f"{SESSIONS}/{session_id}")).json()
    assert (await live.post(f"{SESSIONS}/{session_id}/connect")).json()["qrCode"] == first["qrCode"]
    await live.post(f"{SESSIONS}/{session_id}/sandbox/scan")
    assert (await live.post(f"{SESSIONS}/{session_id}/connect")).json()["status"] == "connected"


async def test_the_accounts_of_a_removed_company_are_logged_out(
    live: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Connected or down: each phone is told that its device is gone, and then nothing of the company is left."""
    logout, told = SandboxEngine.logout, []

    async def log_out(engine: SandboxEngine) -> None:
        told.append(engine)
        await logout(engine)

    monkeypatch.setattr(SandboxEngine, "logout", log_out)
    await link_session(live)
    down = await link_session(live)
    await live.post(f"{SESSIONS}/{down}/disconnect")
    operator = live.with_key(OPERATOR_KEY)
    assert (await operator.delete(f"/api/v1/admin/tenants/{live.company_id}")).status_code == 204
    assert len(told) == 2
    assert (await operator.get(f"/api/v1/admin/tenants/{live.company_id}")).status_code == 404


async def test_the_way_to_link_is_changed(live: Api) -> None:
    """A pairing code in place of the QR code on show; asked without a body, what is on show stays."""
    path = f"{SESSIONS}/{await make_session(live)}"
    await live.post(f"{path}/connect", json={"method": "code", "phone": "(11) 98765-4321"})
    shown = (await live.get(f"{path}/qr", headers={"Accept": "application/json"})).json()["code"]
    assert shown is not None
    assert (await live.post(f"{path}/connect")).json()["pairingCode"] == shown


async def test_pairing_code(live: Api) -> None:
    """A pairing code is made for a number, shown instead of a QR code, and typed in like one."""
    session_id = await make_session(live, connect=False)
    path = f"{SESSIONS}/{session_id}"
    refused = await live.post(f"{path}/connect", json={"method": "code"})
    assert (refused.status_code, refused.json()["path"]) == (400, "phone")

    shown = (await live.post(f"{path}/connect", json={"method": "code", "phone": "(11) 98765-4321"})).json()
    assert shown["qrCode"] is None
    assert (await live.get(f"{path}/qr", headers={"Accept": "application/json"})).json() == {
        "qr": None,
        "code": shown["pairingCode"],
        "expiresAt": shown["qrExpiresAt"],
    }
    picture = await live.get(f"{path}/qr", headers={"Accept": "image/svg+xml"})
    assert (picture.status_code, picture.json()["code"]) == (409, "no_code_on_show")
    assert (await live.post(f"{path}/sandbox/scan")).json()["phone"] == "5511987654321"


async def test_qr_as_pictures(live: Api) -> None:
    """The QR code comes as SVG, PNG and JSON; none is on show once a phone has scanned it."""
    session_id = await make_session(live)
    path = f"{SESSIONS}/{session_id}/qr"
    svg = await live.get(path, headers={"Accept": "image/svg+xml"})
    assert svg.headers["content-type"].startswith("image/svg+xml")
    assert b"<svg" in svg.content
    png = await live.get(path, headers={"Accept": "image/png"})
    assert png.content.startswith(b"\x89PNG")
    assert (await live.get(path, headers={"Accept": "application/json"})).json()["qr"].startswith("2@")
    assert (await live.get(path, headers={"Accept": "text/html"})).status_code == 406

    await live.post(f"{SESSIONS}/{session_id}/sandbox/scan")
    gone = await live.get(path, headers={"Accept": "image/png"})
    assert gone.json()["detail"] == "No code is on show: the session is connected."


async def test_qr_stream(pool: Pool, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The stream tells of each new code until none is left, and ends; on a session that is down it ends at once."""
    changes, ahead = qr._changes, 0.0

    def changes_seen(*given: Any) -> Iterator[bytes]:
        """Each code is over once it was told, however long that took."""
        nonlocal ahead
        told = list(changes(*given))
        ahead += 100 * any(event.startswith(b"event: qr") for event in told)
        yield from told

    monkeypatch.setattr(qr, "_changes", changes_seen)
    config = Config(sandbox=Sandbox(qr_codes=3))
    async with serve_all(
        pool, url, tmp_path, config=config, monotonic=lambda: time.monotonic() + ahead
    ) as api:
        session_id = await make_session(api)
        path = f"{SESSIONS}/{session_id}/qr"
        told = events_of((await api.get(path)).text)
        codes = [data["qr"] for name, data in told if name == "qr"]
        assert len(set(codes)) == len(codes) == 3
        assert told[0][1]["reason"] == "waiting_for_scan"
        assert told[-1][1]["reason"] == "qr_expired"
        again = events_of((await api.get(path, headers={"Accept": "text/event-stream"})).text)
        assert [(name, data["status"]) for name, data in again] == [("status", "disconnected")]
        assert not api.services.doorbell._bells["status"], "the bells are taken down again"


async def test_settings(live: Api) -> None:
    """What is left out of a change stays; null takes the proxy away."""
    session_id = await make_session(live, connect=False, limits={"perDay": 7})
    path = f"{SESSIONS}/{session_id}"
    changed = await live.patch(
        path,
        json={
            "name": "New",
            "limits": {"perMinute": 3},
            "proxy": "socks5://user:pass@proxy.example.com:1080",
        },
    )
    assert changed.json()["limits"] | {"perMinute": 3, "perDay": 7} == changed.json()["limits"]
    assert (changed.json()["name"], changed.json()["hasProxy"]) == ("New", True)
    assert "pass" not in changed.text

    async with live.services.pool.acquire() as conn:
        row = await conn.fetchrow("SELECT tenant_id, proxy FROM whatsapp_sessions WHERE id = $1", session_id)
        assert row is not None
        key = await get_data_key(conn, live.services.vault, row["tenant_id"])
    opened = key.open(row["proxy"], identity=f"session/{session_id}/proxy")
    assert opened == b"socks5://user:pass@proxy.example.com:1080"

    assert (await live.patch(path, json={"automation": True})).json()["hasProxy"] is True
    assert (await live.patch(path, json={"proxy": None})).json()["hasProxy"] is False


@pytest.mark.parametrize(
    ("body", "status", "path"),
    [
        ({}, 400, "name"),
        ({"name": ""}, 400, "name"),
        ({"name": "x", "engine": "telegram"}, 400, "engine"),
        ({"name": "x", "colour": "red"}, 400, "colour"),
        ({"name": "x", "limits": {"perMinute": -1}}, 400, "limits.perMinute"),
        ({"name": "x", "limits": {"perMinute": True}}, 400, "limits.perMinute"),
        ({"name": "x", "proxy": "ftp://proxy.example.com"}, 400, "proxy"),
        ({"name": "x", "proxy": "http://127.0.0.1:3128"}, 400, "proxy"),
        ({"name": "x", "companyId": "ten_other"}, 404, None),
    ],
)
async def test_bad_session_is_refused(api: Api, body: dict[str, Any], status: int, path: str | None) -> None:
    """Each mistake is named by its field, and nothing is created."""
    caller = await api.as_tenant()
    response = await caller.post(SESSIONS, json=body)
    assert (response.status_code, response.json().get("path")) == (status, path), response.text
    assert (await caller.get(SESSIONS)).json()["sessions"] == []


async def test_which_engine(pool: Pool, url: str, api: Api) -> None:
    """A session is a real phone's unless it says otherwise, or the operator has said so for all."""
    caller = await api.as_tenant()
    for body, engine in [
        ({}, "neonize"),
        ({"engine": "sandbox"}, "sandbox"),
        ({"engine": "neonize"}, "neonize"),
    ]:
        made = await caller.post(SESSIONS, json={"name": "x", "connect": False, **body})
        assert (made.status_code, made.json()["engine"]) == (201, engine)
    async with serve_api(pool, url, config=Config(sessions=Sessions(default_engine="sandbox"))) as operator:
        other = await operator.as_tenant("Other")
        made = await other.post(SESSIONS, json={"name": "x", "connect": False})
        assert made.json()["engine"] == "sandbox"


async def test_an_engine_that_is_not_installed(live: Api) -> None:
    """The session is made, and says why it cannot connect."""
    made = (await live.post(SESSIONS, json={"name": "x", "engine": "neonize"})).json()

    async def stands() -> tuple[str, str]:
        session = (await live.get(f"{SESSIONS}/{made['id']}")).json()
        return session["status"], session["reason"]

    await until(live, "status", stands, ("failed", "engine_unavailable"))


async def test_list_pages_and_filters(api: Api) -> None:
    """Newest first, a page at a time; by status; the operator sees every company's, or one's."""
    acme, other = await api.as_tenant("Acme"), await api.as_tenant("Other")
    made = [await make_session(acme, connect=False) for _ in range(3)]
    await make_session(other, connect=False)
    first = (await acme.get(SESSIONS, params={"limit": 2})).json()
    rest = (await acme.get(SESSIONS, params={"limit": 2, "cursor": first["nextCursor"]})).json()
    listed = [session["id"] for session in first["sessions"] + rest["sessions"]]
    assert (listed, rest["nextCursor"]) == (made[::-1], None)
    assert (await acme.get(SESSIONS, params={"status": "connected"})).json()["sessions"] == []
    assert len((await api.get(SESSIONS)).json()["sessions"]) == 4
    assert len((await api.get(SESSIONS, params={"companyId": acme.company_id})).json()["sessions"]) == 3


async def test_other_company_sees_nothing(live: Api) -> None:
    """Every call on another company's session answers 404, as on one that never was, and changes nothing."""
    session_id = await make_session(live)
    stranger = await live.as_tenant("Stranger")
    for call, path in [
        ("GET", ""), ("PATCH", ""), ("DELETE", ""), ("POST", "/connect"), ("POST", "/disconnect"), ("POST", "/logout"),
        ("GET", "/qr"), ("POST", "/sandbox/scan"), ("POST", "/sandbox/inbound"), ("POST", "/sandbox/fault"),
        ("GET", "/sandbox/outbox"),
    ]:  # fmt: skip
        body = {
            "/sandbox/inbound": {"from": "5511999990001", "text": "hi"},
            "/sandbox/fault": {"kind": "drop"},
        }
        response = await stranger.request(call, f"{SESSIONS}/{session_id}{path}", json=body.get(path, {}))
        assert response.status_code == 404, (call, path, response.text)
    assert (await live.get(f"{SESSIONS}/{session_id}")).json()["status"] == "connecting"


async def test_scope_is_needed(api: Api) -> None:
    """A key for messages alone does not manage sessions."""
    reader = await api.as_tenant("Acme", "messages:read", "messages:send")
    assert (await reader.post(SESSIONS, json={"name": "x"})).json()["code"] == "scope_missing"


async def test_sandbox_refuses_what_cannot_be(live: Api, pool: Pool) -> None:
    """No scan without a code, no inbound before the link, no sandbox for a real phone's session."""
    session_id = await make_session(live, connect=False)
    path = f"{SESSIONS}/{session_id}/sandbox"
    assert (await live.post(f"{path}/scan")).json()["code"] == "no_code_on_show"
    early = await live.post(f"{path}/inbound", json={"from": "5511999990001", "text": "hi"})
    assert early.json()["code"] == "session_not_linked"
    await pool.execute("UPDATE whatsapp_sessions SET phone = '5511911112222' WHERE id = $1", session_id)
    for body, where in [
        ({"from": "abc", "text": "hi"}, "from"),
        ({"from": "5511999990001", "type": "fax"}, "type"),
        ({"from": "5511999990001", "text": "hi", "count": 0}, "count"),
        ({"from": "5511999990001", "type": "image", "content": "x"}, "content"),
        ({"from": "5511999990001", "type": "image", "content": {"base64": "aGk="}}, "content.base64"),
        ({"from": "5511999990001", "type": "location", "content": {"latitude": 1}}, "content.longitude"),
    ]:
        response = await live.post(f"{path}/inbound", json=body)
        assert (response.status_code, response.json()["path"]) == (400, where), response.text
    await pool.execute("UPDATE whatsapp_sessions SET engine = 'neonize' WHERE id = $1", session_id)
    assert (await live.post(f"{path}/scan")).json()["code"] == "not_a_sandbox"


async def test_sandbox_switched_off(pool: Pool, url: str) -> None:
    """Without the sandbox its routes answer 404 and no session of it can be made."""
    async with serve_api(pool, url, config=Config(sandbox=Sandbox(enabled=False))) as operator:
        api = await operator.as_tenant()
        assert (await api.post(SESSIONS, json={"name": "x", "engine": "sandbox"})).status_code == 501
        assert (await api.post(f"{SESSIONS}/ses_x/sandbox/scan")).status_code == 404


async def test_inbound_is_named_and_arrives(live: Api) -> None:
    """The WhatsApp ids in the answer are those that the messages have when they arrive."""
    session_id = await link_session(live)
    path = f"{SESSIONS}/{session_id}/sandbox/inbound"
    answer = await live.post(
        path, json={"from": "+55 11 99999-0001", "name": "Maria", "text": "hi", "count": 3}
    )
    assert (answer.status_code, answer.json()["accepted"]) == (202, 3)
    arrived = await until_messages(live, session_id, 3)
    assert {message["waMessageId"] for message in arrived} == set(answer.json()["waMessageIds"])
    assert {message["content"]["text"] for message in arrived} == {"hi 1", "hi 2", "hi 3"}
    assert arrived[0]["from"]["pn"] == "5511999990001"


def test_wa_ids_are_those_of_the_network() -> None:
    """What the API foretells is what the phone network does."""
    body = InboundIn(from_="5511999990001", text="hi", count=150)
    entries = entries_of(7, body, own=Party(), at=AT, offline=False)
    made = [entry.wa_id for entry in entries if isinstance(entry, Received)]
    assert _wa_ids(7, body) == made[:100]


async def test_faults_reach_the_session(live: Api) -> None:
    """A fault that is asked for happens: the phone removes the device."""
    session_id = await link_session(live)
    path = f"{SESSIONS}/{session_id}"
    assert (await live.post(f"{path}/sandbox/fault", json={"kind": "logout"})).status_code == 202

    async def reason() -> str | None:
        return str((await live.get(path)).json()["reason"])

    await until(live, "status", reason, "logged_out")
    bad = await live.post(f"{path}/sandbox/fault", json={"kind": "earthquake"})
    assert (bad.status_code, bad.json()["path"]) == (400, "kind")


async def test_bot_settings(api: Api) -> None:
    """Given when the session is made and changed one by one: what is left out stays; they have bounds."""
    caller = await api.as_tenant()
    body = {"name": "Shop", "engine": "sandbox", "connect": False}
    plain = (await caller.post(SESSIONS, json=body)).json()
    assert plain["bot"] == {
        "agent": None,
        "pauseSeconds": 7200,
        "offlineSeconds": 300,
        "repliesPerMinute": 5,
        "repliesPerHour": 60,
    }
    given = {"agent": "main", "pauseSeconds": 60, "repliesPerMinute": 9}
    made = (await caller.post(SESSIONS, json={**body, "automation": True, "bot": given})).json()
    assert made["bot"] == {**plain["bot"], **given}

    path = f"{SESSIONS}/{made['sessionId']}"
    change = {"bot": {"offlineSeconds": 0.5, "repliesPerHour": 1}}
    changed = (await caller.patch(path, json=change)).json()
    assert changed["bot"] == {**made["bot"], **change["bot"]}
    assert (await caller.patch(path, json={"name": "Loja"})).json()["bot"] == changed["bot"]
    without = (await caller.patch(path, json={"bot": {"agent": None}})).json()
    assert without["bot"] == {**changed["bot"], "agent": None}
    assert (await caller.get(path)).json()["bot"] == without["bot"]

    for wrong in (
        {"pauseSeconds": 2_592_001},
        {"offlineSeconds": -1},
        {"repliesPerMinute": 0},
        {"repliesPerHour": 10_001},
        {"agent": "a" * 65},
        {"speed": 1},
    ):
        refused = await caller.patch(path, json={"bot": wrong})
        assert (refused.status_code, refused.json()["path"]) == (400, f"bot.{next(iter(wrong))}"), wrong
    assert (await caller.get(path)).json()["bot"] == without["bot"]


async def test_what_is_used_of_the_day_is_shown(live: Api) -> None:
    """Two messages to strangers count against `perDay`, an answer to somebody who wrote does not."""
    session_id = await link_session(live)
    path = f"{SESSIONS}/{session_id}"
    assert (await live.get(path)).json()["usedToday"] == 0
    written = {"from": "+55 11 97777-0001", "text": "hi"}
    assert (await live.post(f"{path}/sandbox/inbound", json=written)).status_code == 202
    await until_messages(live, session_id, 1)
    for to in ("+55 11 97777-0001", "+55 11 97777-0002", "+55 11 97777-0003"):
        sent = await live.post(
            "/api/v1/whatsapp/send",
            json={"sessionId": session_id, "to": to, "type": "text", "content": "Oi"},
            headers={"Prefer": "wait=10"},
        )
        assert sent.json()["status"] != "queued"
    assert (await live.get(path)).json()["usedToday"] == 2
    (listed,) = (await live.get(SESSIONS)).json()["sessions"]
    assert listed["usedToday"] == 2
