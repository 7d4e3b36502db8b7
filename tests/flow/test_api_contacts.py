"""Contacts through the API: what bots know of them, and that all of it goes with them."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from relay.store.pool import Pool
from tests.accounts import MARIA_CHAT
from tests.api_client import Api, serve_api
from tests.serving import make_session

CONTACTS = "/api/v1/whatsapp/contacts"
GROUP = "120363000000000001@g.us"
NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)


class Clock:
    """An instant that a test moves."""

    def __init__(self) -> None:
        self.now = NOON

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def caller(pool: Pool, url: str, clock: Clock) -> AsyncIterator[Api]:
    """A company's caller."""
    async with serve_api(pool, url, now=clock) as operator:
        yield await operator.as_tenant()


_MEET = """
    INSERT INTO whatsapp_contacts (id, tenant_id, session_id, pn, name)
    VALUES ('ctc_maria', $1, $2, '5511999990001', 'Maria'), ('ctc_pedro', $1, $2, '5511999990002', 'Pedro')
"""


@pytest.fixture
async def session_id(pool: Pool, caller: Api) -> str:
    """A session that has met Maria and Pedro."""
    session_id = await make_session(caller, connect=False)
    await pool.execute(_MEET, caller.company_id, session_id)
    return session_id


async def change(caller: Api, contact_id: str = "ctc_maria", **given: Any) -> dict[str, Any]:
    """What bots know of the contact after a PATCH, which is what a GET answers, too."""
    answer = await caller.patch(f"{CONTACTS}/{contact_id}", json=given)
    assert answer.status_code == 200, answer.text
    contact: dict[str, Any] = answer.json()
    assert (await caller.get(f"{CONTACTS}/{contact_id}")).json() == contact
    return {name: contact[name] for name in ("tags", "vars", "ignored")}


@pytest.mark.usefixtures("session_id")
async def test_what_is_left_out_stays(caller: Api) -> None:
    """Tags are all of them, variables are changed by name, null removes one."""
    assert await change(caller) == {"tags": [], "vars": {}, "ignored": False}
    first = await change(caller, tags=["vip", "shop", "vip"], vars={"plan": "gold", "cart": {"items": [1]}})
    assert first == {
        "tags": ["shop", "vip"],
        "vars": {"plan": "gold", "cart": {"items": [1]}},
        "ignored": False,
    }
    assert await change(caller, ignored=True) == {**first, "ignored": True}
    second = await change(caller, vars={"cart": None, "unknown": None, "age": 7})
    assert second == {**first, "vars": {"plan": "gold", "age": 7}, "ignored": True}
    assert await change(caller, tags=[]) == {**second, "tags": []}


@pytest.mark.usefixtures("session_id")
async def test_variables_are_forgotten(caller: Api, pool: Pool, clock: Clock) -> None:
    """Ninety days after they were set; what rules have set goes by its own time, and stays a rule's."""
    await change(caller, vars={"plan": "gold"})
    stored = await pool.fetchval("SELECT vars -> 'plan' FROM bot_contacts")
    assert stored == {"value": "gold", "expires_at": "2026-04-02T12:00:00Z"}
    clock.now = NOON + timedelta(days=89)
    assert (await change(caller, vars={"size": "L"}))["vars"] == {"plan": "gold", "size": "L"}
    clock.now = NOON + timedelta(days=90)
    assert (await change(caller, ignored=True))["vars"] == {"size": "L"}
    assert await pool.fetchval("SELECT vars ? 'plan' FROM bot_contacts") is False


@pytest.mark.usefixtures("session_id")
async def test_lists_by_tag(caller: Api) -> None:
    """Those that have it, each with what is known; without a tag, everybody."""
    await change(caller, "ctc_pedro", tags=["vip"])

    async def listed(**query: str) -> list[tuple[str, list[str]]]:
        found = (await caller.get(CONTACTS, params=query)).json()["contacts"]
        return [(contact["id"], contact["tags"]) for contact in found]

    assert await listed(tag="vip") == [("ctc_pedro", ["vip"])]
    assert await listed(tag="vi") == []
    assert await listed() == [("ctc_pedro", ["vip"]), ("ctc_maria", [])]


@pytest.mark.usefixtures("session_id")
async def test_bounds(caller: Api) -> None:
    """400 with the field, and nothing has changed; of too many variables some can still be removed."""
    full = {f"v{n}": n for n in range(100)}
    before = await change(caller, tags=["vip"], vars=full)
    for given, path in (
        ({"tags": [f"t{n}" for n in range(51)]}, "tags"),
        ({"tags": [""]}, "tags[0]"),
        ({"vars": {"one_more": 1}}, "vars"),
        ({"vars": {"v1": "x" * 4095}}, "vars.v1"),
        ({"vars": {"a b": 1}}, "vars"),
        ({"ignored": None}, "ignored"),
        ({"name": "Maria"}, "name"),
    ):
        refused = await caller.patch(f"{CONTACTS}/ctc_maria", json=given)
        assert (refused.status_code, refused.json().get("path")) == (400, path), refused.text
    assert await change(caller) == before
    assert (await change(caller, vars={"v0": None, "v1": "x" * 4094}))["vars"]["v1"] == "x" * 4094


_TRACES = """
    WITH known AS (INSERT INTO bot_contacts (contact_id, session_id, tenant_id)
                   SELECT id, session_id, tenant_id FROM whatsapp_contacts WHERE tenant_id = $1),
    noted AS (INSERT INTO plugin_values (tenant_id, plugin, key, contact_id, value)
              SELECT tenant_id, 'optout', id, id, 'true' FROM whatsapp_contacts WHERE tenant_id = $1),
    paused AS (INSERT INTO bot_chats (session_id, chat, tenant_id)
               SELECT session_id, pn || '@s.whatsapp.net', tenant_id FROM whatsapp_contacts WHERE tenant_id = $1),
    asked AS (INSERT INTO agent_turns (id, tenant_id, session_id, chat, contact_id, agent, message_ids, cause, due_at)
              SELECT 'trn_' || id, tenant_id, session_id, pn || '@s.whatsapp.net', id, 'main', '{}', '{}', now()
              FROM whatsapp_contacts WHERE tenant_id = $1),
    asked_in_group AS (
        INSERT INTO agent_turns (id, tenant_id, session_id, chat, contact_id, agent, message_ids, cause, due_at)
        VALUES ('trn_group', $1, $2, $3, 'ctc_maria', 'main', '{}', '{}', now()))
    INSERT INTO shadow_decisions (id, tenant_id, session_id, chat, contact_id, message_id, cause, messages)
    SELECT 'shd_' || id || n, tenant_id, session_id, chat, contact, 'msg_1', '{}', '[]'
    FROM whatsapp_contacts
    CROSS JOIN LATERAL (VALUES (1, pn || '@s.whatsapp.net', NULL), (2, $3, id)) AS at (n, chat, contact)
    WHERE tenant_id = $1
"""


async def test_all_of_it_goes_with_the_contact(caller: Api, pool: Pool, session_id: str) -> None:
    """What bots, agents and plugins know of somebody, and it is told by an event that names nothing but the id."""
    await pool.execute(_TRACES, caller.company_id, session_id, GROUP)
    assert (await caller.delete(f"{CONTACTS}/ctc_maria")).status_code == 204
    left = {
        table: sorted(row["of"] for row in await pool.fetch(f"SELECT {column} AS of FROM {table}"))
        for table, column in (
            ("bot_contacts", "contact_id"),
            ("plugin_values", "key"),
            ("bot_chats", "chat"),
            ("agent_turns", "id"),
            ("shadow_decisions", "id"),
        )
    }
    assert left == {
        "bot_contacts": ["ctc_pedro"],
        "plugin_values": ["ctc_pedro"],
        "bot_chats": [MARIA_CHAT.replace("0001@", "0002@")],
        "agent_turns": ["trn_ctc_pedro"],
        "shadow_decisions": ["shd_ctc_pedro1", "shd_ctc_pedro2"],
    }
    [event] = await pool.fetch("SELECT type, contact_id, session_id, body FROM events")
    assert (event["type"], event["contact_id"], event["session_id"]) == ("contact.deleted", None, session_id)
    assert msgspec.json.decode(event["body"])["data"] == {"sessionId": session_id, "contactId": "ctc_maria"}
