"""A tenant sees itself: a matrix made from the app's own list of routes, with a key of every kind at every route.

Each route needs its row in `CALLS`: a new one without an example fails here, so that none is forgotten.
"""

import json
from typing import Any, Literal

import httpx
import pytest
from litestar.routes import HTTPRoute
from msgspec import Struct

from relay.model.ids import TenantId
from relay.store.pool import Pool
from tests.accounts import MARIA_CHAT, add_session
from tests.api_client import ALL_SCOPES, Api

V1 = "/api/v1"
_PHONE = "+55 11 98888-0001"
_HOOK = "https://hooks.example.com/in"

Route = tuple[str, str]


class Call(Struct, frozen=True, kw_only=True):
    """An example of a route: what it acts on, and what it is asked."""

    kind: Literal["one", "list", "make", "self"]
    body: Any = None
    query: dict[str, str] = {}
    scopes: tuple[str, ...] = ()
    """The scopes that open it, where the route's `opt` does not say so."""


def one(body: Any = None, **query: str) -> Call:
    """Acts on things that are named by ids; `{session}` stands for the id of an example."""
    return Call(kind="one", body=body, query=query)


def listing(scopes: tuple[str, ...] = (), **query: str) -> Call:
    return Call(kind="list", query=query, scopes=scopes)


def make(**body: Any) -> Call:
    """Makes something new, for the company that is named or the caller's own."""
    return Call(kind="make", body=body)


def self() -> Call:
    """About the caller alone, whatever its key may do."""
    return Call(kind="self")


_EVENTS = ("messages:read", "webhooks")
_SESSION = f"{V1}/whatsapp/sessions/{{session_id}}"
_ENDPOINT = f"{V1}/webhooks/endpoints/{{endpoint_id}}"
_DELIVERY = f"{V1}/webhooks/deliveries/{{delivery_id}}"
_RULE_SET = f"{V1}/rules/{{name}}"
_AGENT = f"{V1}/agents/{{agent_id}}"
_MESSAGE = f"{V1}/whatsapp/messages/{{message_id}}"
_CHAT = {"sessionId": "{session_id}", "chat": MARIA_CHAT}

# Those that end a thing come last.
CALLS: dict[Route, Call] = {
    ("GET", f"{V1}/whatsapp/sessions"): listing(),
    ("GET", f"{V1}/whatsapp/messages"): listing(sessionId="{session_id}", contactId="{contact_id}"),
    ("GET", f"{V1}/whatsapp/chats"): listing(sessionId="{session_id}"),
    ("GET", f"{V1}/whatsapp/contacts"): listing(sessionId="{session_id}", tag="vip"),
    ("GET", f"{V1}/whatsapp/health"): listing(),
    ("GET", f"{V1}/whatsapp/health/rates"): listing(),
    ("GET", f"{V1}/whatsapp/health/problems"): listing(),
    ("GET", f"{V1}/webhooks/endpoints"): listing(),
    ("GET", f"{V1}/webhooks/deliveries"): listing(endpointId="{endpoint_id}"),
    ("GET", f"{V1}/events"): listing(_EVENTS, sessionId="{session_id}"),
    ("GET", f"{V1}/rules"): listing(),
    ("GET", f"{V1}/rules/shadow"): listing(ruleSet="{name}", sessionId="{session_id}"),
    ("GET", f"{V1}/agents"): listing(),
    ("GET", f"{V1}/agents/usage"): listing(),
    ("GET", f"{V1}/admin/keys"): listing(),
    ("GET", f"{V1}/console/session"): self(),
    ("DELETE", f"{V1}/console/session"): self(),
    ("GET", f"{V1}/admin/tenants"): listing(),
    ("POST", f"{V1}/whatsapp/sessions"): make(name="x", connect=False),
    ("POST", f"{V1}/whatsapp/media"): make(),
    ("POST", f"{V1}/webhooks/endpoints"): make(url=_HOOK),
    ("POST", f"{V1}/rules/explain"): make(text="x"),
    ("POST", f"{V1}/agents"): make(name="x", kind="openai", settings={"model": "small"}),
    ("PUT", _RULE_SET): make(version=1),
    ("POST", f"{V1}/admin/keys"): make(name="x", scopes=["rules"]),
    ("POST", f"{V1}/admin/tenants"): make(name="x"),
    ("GET", f"{V1}/admin/tenants/{{company_id}}"): one(),
    ("PATCH", f"{V1}/admin/tenants/{{company_id}}"): one({"name": "x"}),
    ("DELETE", f"{V1}/admin/tenants/{{company_id}}"): one(),
    ("GET", _SESSION): one(),
    ("PATCH", _SESSION): one({"name": "x"}),
    ("GET", f"{_SESSION}/qr"): one(),
    ("POST", f"{_SESSION}/sandbox/scan"): one({}),
    ("POST", f"{_SESSION}/sandbox/inbound"): one({"from": _PHONE, "text": "x"}),
    ("POST", f"{_SESSION}/sandbox/fault"): one({"kind": "clear"}),
    ("GET", f"{_SESSION}/sandbox/outbox"): one(),
    ("PUT", f"{_SESSION}/presence"): one({"available": True}),
    ("PUT", f"{_SESSION}/profile"): one({"name": "x"}),
    ("GET", f"{_SESSION}/contacts/{{contact_id}}/picture"): one(),
    ("GET", f"{_SESSION}/groups"): one(),
    ("GET", f"{_SESSION}/groups/{{jid}}"): one(),
    ("POST", f"{_SESSION}/calls/{{message_id}}/reject"): one(),
    ("POST", f"{_SESSION}/disconnect"): one(),
    ("GET", _MESSAGE): one(),
    ("PATCH", _MESSAGE): one({"text": "x"}),
    ("POST", f"{_MESSAGE}/read"): one(),
    ("POST", f"{V1}/whatsapp/send"): one(
        {"sessionId": "{session_id}", "to": _PHONE, "type": "text", "content": "x"}
    ),
    ("POST", f"{V1}/whatsapp/chats/read"): one(_CHAT),
    ("POST", f"{V1}/whatsapp/chats/typing"): one(_CHAT),
    ("GET", f"{V1}/whatsapp/chats/automation"): one(sessionId="{session_id}", chat=MARIA_CHAT),
    ("POST", f"{V1}/whatsapp/chats/automation"): one({**_CHAT, "action": "pause"}),
    ("POST", f"{V1}/whatsapp/contacts/check"): one({"sessionId": "{session_id}", "phones": [_PHONE]}),
    ("GET", f"{V1}/whatsapp/contacts/{{contact_id}}"): one(),
    ("PATCH", f"{V1}/whatsapp/contacts/{{contact_id}}"): one({"tags": ["vip"]}),
    ("GET", f"{V1}/whatsapp/media/{{media_id}}"): one(),
    ("GET", _ENDPOINT): one(),
    ("PATCH", _ENDPOINT): one({"description": "x"}),
    ("POST", f"{_ENDPOINT}/rotate"): one(),
    ("POST", f"{_ENDPOINT}/test"): one(),
    ("GET", f"{_ENDPOINT}/statistics"): one(),
    ("POST", f"{_ENDPOINT}/replay"): one({"since": "2026-01-01T00:00:00Z"}),
    ("GET", _DELIVERY): one(),
    ("POST", f"{_DELIVERY}/cancel"): one(),
    ("POST", f"{_DELIVERY}/redeliver"): one(),
    ("GET", _RULE_SET): one(),
    ("GET", f"{_RULE_SET}/versions"): one(),
    ("GET", f"{_RULE_SET}/versions/{{version}}"): one(),
    ("GET", f"{_RULE_SET}/diff"): one(),
    ("POST", f"{_RULE_SET}/rollback"): one({"version": 1234567890}),
    ("GET", _AGENT): one(),
    ("PATCH", _AGENT): one({"enabled": True}),
    ("POST", f"{_AGENT}/rotate-secret"): one(),
    ("POST", f"{_AGENT}/try"): one({"text": "x"}),
    ("GET", f"{_AGENT}/calls"): one(),
    ("GET", f"{V1}/events/{{event_id}}"): Call(kind="one", scopes=_EVENTS),
    ("POST", f"{V1}/admin/keys/{{key_id}}/rotate"): one(),
    ("DELETE", f"{V1}/admin/keys/{{key_id}}"): one(),
    ("DELETE", _MESSAGE): one(),
    ("DELETE", f"{V1}/whatsapp/contacts/{{contact_id}}"): one(),
    ("DELETE", _ENDPOINT): one(),
    ("DELETE", _RULE_SET): one(),
    ("DELETE", _AGENT): one(),
    ("POST", f"{_SESSION}/connect"): one(),
    ("POST", f"{_SESSION}/logout"): one(),
    ("DELETE", _SESSION): one(),
}


class Matrix(Struct, frozen=True, kw_only=True):
    """Two companies, what the first one has, and the routes of the app."""

    api: Api
    ours: Api
    theirs: Api
    ids: dict[str, str]
    routes: dict[Route, dict[str, Any]]

    def needed(self, route: Route) -> set[str]:
        """The scopes of which a key must hold one."""
        scope = self.routes[route].get("scope")
        return {str(scope)} if scope else set(CALLS[route].scopes)


def routes_of(api: Api) -> dict[Route, dict[str, Any]]:
    """Every route that asks for a key, with its `opt`."""
    return {
        (method, route.path_format): handler.opt
        for route in api.app.routes
        if isinstance(route, HTTPRoute)
        for handler in route.route_handlers
        for method in handler.http_methods
        if method != "OPTIONS" and "public" not in handler.opt
    }


_FILL = """
    WITH linked AS (UPDATE whatsapp_sessions SET phone = '5511960000000', lid = '1' WHERE id = $2),
    met AS (INSERT INTO whatsapp_contacts (id, tenant_id, session_id, pn, name)
            VALUES ('ctc_' || substr($2, 5), $1, $2, '5511999990001', 'Maria')),
    said AS (INSERT INTO whatsapp_chats (session_id, jid, tenant_id, last_message_id)
             VALUES ($2, $3, $1, 'msg_' || substr($2, 5))),
    ruled AS (INSERT INTO rule_sets (tenant_id, name, version) VALUES ($1, 'set_' || substr($2, 5), 1234567890)),
    wrote AS (INSERT INTO rule_set_versions (tenant_id, name, version, source)
              VALUES ($1, 'set_' || substr($2, 5), 1234567890, 'version: 1')),
    would AS (INSERT INTO shadow_decisions (id, tenant_id, session_id, chat, contact_id, message_id, cause, messages)
              VALUES ('dec_' || substr($2, 5), $1, $2, $3, 'ctc_' || substr($2, 5), 'msg_' || substr($2, 5),
                      jsonb_build_object('ruleSet', 'set_' || substr($2, 5)), '[]'))
    INSERT INTO whatsapp_messages (id, tenant_id, session_id, chat, direction, origin, sender, type, content,
                                   status, wa_id, contact_id, sent_at)
    VALUES ('msg_' || substr($2, 5), $1, $2, $3, 'outgoing', 'api', 'me', 'text', '{"text": "hello"}', 'sent', 'W1',
            'ctc_' || substr($2, 5), now())
"""


async def examples(caller: Api, pool: Pool) -> dict[str, str]:
    """One thing of each kind that a company can have."""
    async with pool.acquire() as conn:
        _tenant, session_id = await add_session(conn, tenant_id=TenantId(caller.company_id))
        await conn.execute(_FILL, caller.company_id, session_id, MARIA_CHAT)
    media = await caller.post(f"{V1}/whatsapp/media", content=b"x", headers={"Content-Type": "text/plain"})
    endpoint = await caller.post(f"{V1}/webhooks/endpoints", json={"url": _HOOK})
    hook = {"name": "engine", "kind": "http", "settings": {"url": "https://hooks.invalid/in", "retries": 0}}
    agent = await caller.post(f"{V1}/agents", json=hook)
    tested = await caller.post(f"{V1}/webhooks/endpoints/{endpoint.json()['id']}/test")
    await caller.make_key(caller.company_id, "rules")
    keys = (await caller.get(f"{V1}/admin/keys")).json()["keys"]
    return {
        "company_id": caller.company_id,
        "session_id": session_id,
        "contact_id": "ctc_" + session_id[4:],
        "message_id": "msg_" + session_id[4:],
        "media_id": media.json()["mediaId"],
        "endpoint_id": endpoint.json()["id"],
        "agent_id": agent.json()["id"],
        "event_id": tested.json()["eventId"],
        "delivery_id": tested.json()["deliveryId"],
        "name": "set_" + session_id[4:],
        # Long enough not to stand in an answer by chance.
        "version": "1234567890",
        "key_id": next(key["id"] for key in keys if key["scopes"] == ["rules"]),
        # A group's name is WhatsApp's, and nobody's here.
        "jid": "120363041234567890@g.us",
    }


@pytest.fixture
async def matrix(api: Api, pool: Pool) -> Matrix:
    ours, theirs = await api.as_tenant("ours"), await api.as_tenant("theirs")
    return Matrix(api=api, ours=ours, theirs=theirs, ids=await examples(ours, pool), routes=routes_of(api))


async def ask(
    caller: Api, route: Route, ids: dict[str, str], *, query: dict[str, str] | None = None, **extra: Any
) -> httpx.Response:
    """Call a route's example with these ids in its path, its query and its body."""
    call = CALLS[route]
    given = call.query if query is None else query
    body = None if call.body is None else {**filled(call.body, ids), **extra}
    return await caller.request(
        route[0],
        route[1].format_map(ids),
        params={name: value.format_map(ids) for name, value in given.items()},
        headers={"Accept": "application/json"},
        json=body or None,
    )


def filled(body: Any, ids: dict[str, str]) -> Any:
    """The body with ids in place of their names."""
    text = json.dumps(body)
    for name, value in ids.items():
        text = text.replace("{" + name + "}", value)
    return json.loads(text)


def unknown(ids: dict[str, str]) -> dict[str, str]:
    """Ids that look as good and name nothing."""
    return {name: value[:-4] + "zzzz" for name, value in ids.items()}


_TABLES = """
    SELECT table_name FROM information_schema.columns JOIN pg_class ON relname = table_name AND NOT relispartition
    WHERE table_schema = 'public' AND column_name = 'tenant_id'
"""


async def fingerprint(pool: Pool, tenant_id: str) -> dict[str, str]:
    """Every row that a company has, table by table."""
    return {
        row["table_name"]: await pool.fetchval(
            f"SELECT md5(string_agg(t::text, ',' ORDER BY t::text)) FROM {row['table_name']} t WHERE tenant_id = $1",
            tenant_id,
        )
        for row in await pool.fetch(_TABLES)
    }


async def test_every_route_has_an_example(api: Api) -> None:
    """A new route is not forgotten here, and none that is gone stays."""
    assert routes_of(api).keys() == CALLS.keys()


async def test_without_a_key_every_route_is_closed(matrix: Matrix) -> None:
    """401, whatever is asked; a key that is misspelled or unknown opens no more."""
    for route in CALLS:
        for key in (None, "relay_x", "x" * 55):
            response = await ask(matrix.api.with_key(key), route, matrix.ids)
            assert response.status_code == 401, (route, response.text)
            assert response.headers["WWW-Authenticate"] == "Bearer"


async def test_a_key_that_lacks_the_scope_is_refused(matrix: Matrix, pool: Pool) -> None:
    """403 at every route for a key with all other scopes; what is the operator's takes no company's key at all."""
    keys: dict[str, Api] = {}
    before = await fingerprint(pool, matrix.ours.company_id)
    for route, opt in matrix.routes.items():
        if CALLS[route].kind == "self":
            continue
        if "operator_only" in opt:
            caller = matrix.ours
        else:
            needed = matrix.needed(route)
            assert needed, f"{route} asks for no scope"
            others = sorted(set(ALL_SCOPES) - needed - {"admin"})
            if ",".join(others) not in keys:
                keys[",".join(others)] = matrix.api.with_key(
                    await matrix.api.make_key(matrix.ours.company_id, *others)
                )
                before = await fingerprint(pool, matrix.ours.company_id)
            caller = keys[",".join(others)]
        response = await ask(caller, route, matrix.ids)
        assert response.status_code == 403, (route, response.text)
        assert response.json()["code"] in ("scope_missing", "operator_only")
    assert await fingerprint(pool, matrix.ours.company_id) == before


async def test_another_companys_ids_are_unknown_ids(matrix: Matrix, pool: Pool) -> None:
    """404 with the very same body, and nothing of the owner's has changed by a byte."""
    before = await fingerprint(pool, matrix.ours.company_id)
    for route, call in CALLS.items():
        if call.kind != "one" or "operator_only" in matrix.routes[route]:
            continue
        foreign = await ask(matrix.theirs, route, matrix.ids)
        invented = await ask(matrix.theirs, route, unknown(matrix.ids))
        assert foreign.status_code == 404, (route, foreign.text)
        assert (foreign.status_code, foreign.json()) == (invented.status_code, invented.json()), route
    assert await fingerprint(pool, matrix.ours.company_id) == before


# No host runs here: to wait for one to stop a session is to wait for nothing.
_WAIT_FOR_THE_HOST = {("POST", f"{_SESSION}/connect"), ("POST", f"{_SESSION}/logout"), ("DELETE", _SESSION)}


async def test_the_owners_key_opens_what_is_its_own(matrix: Matrix, pool: Pool) -> None:
    """The same calls with the owner's key find their things: the 404s are not those of wrong examples."""
    for route, call in CALLS.items():
        if "operator_only" in matrix.routes[route]:
            continue
        ids = matrix.ids
        if route in _WAIT_FOR_THE_HOST:
            async with pool.acquire() as conn:
                _tenant, bare = await add_session(conn, tenant_id=TenantId(matrix.ours.company_id))
            ids = {**ids, "session_id": bare}
        response = await ask(matrix.ours, route, ids)
        assert response.status_code not in (401, 403, 404), (route, response.text)
        assert response.status_code < 500, (route, response.text)
        if call.kind == "list":
            assert response.status_code == 200, (route, response.text)


async def test_lists_show_nothing_of_others(matrix: Matrix) -> None:
    """Neither as they are, nor filtered by the other's ids; to name the other company is to name none."""
    for route, call in CALLS.items():
        if call.kind != "list" or "operator_only" in matrix.routes[route]:
            continue
        for query in ({}, *({name: value} for name, value in call.query.items())):
            response = await ask(matrix.theirs, route, matrix.ids, query=query)
            assert response.status_code in (200, 404), (route, response.text)
            shown = response.text
            assert not [value for value in matrix.ids.values() if value in shown], (route, query)
        foreign = await ask(matrix.theirs, route, matrix.ids, query={"companyId": "{company_id}"})
        invented = await ask(matrix.theirs, route, unknown(matrix.ids), query={"companyId": "{company_id}"})
        assert foreign.status_code == 404, (route, foreign.text)
        assert foreign.json() == invented.json()


async def test_nothing_is_made_for_others(matrix: Matrix, pool: Pool) -> None:
    """To name another company in what is to be made is to name none."""
    before = await fingerprint(pool, matrix.ours.company_id)
    for route, call in CALLS.items():
        if call.kind == "list" or "operator_only" in matrix.routes[route] or route[0] != "POST":
            continue
        if route == ("POST", f"{V1}/whatsapp/media"):
            response = await matrix.theirs.post(
                route[1], params={"companyId": matrix.ids["company_id"]}, content=b"x"
            )
        elif call.kind == "make":
            response = await ask(matrix.theirs, route, matrix.ids, companyId=matrix.ids["company_id"])
        else:
            continue
        assert response.status_code == 404, (route, response.text)
    assert await fingerprint(pool, matrix.ours.company_id) == before


async def test_ids_within_a_body_are_the_callers_own(matrix: Matrix, pool: Pool) -> None:
    """An answer to, a reaction to, or a file of another company's is as one that does not exist."""
    mine = await examples(matrix.theirs, pool)
    base = {"sessionId": mine["session_id"], "to": _PHONE}
    for part in (
        {"type": "text", "content": "x", "replyTo": matrix.ids["message_id"]},
        {"type": "reaction", "content": {"messageId": matrix.ids["message_id"], "emoji": "x"}},
        {"type": "document", "content": {"mediaId": matrix.ids["media_id"]}},
    ):
        response = await matrix.theirs.post(f"{V1}/whatsapp/send", json={**base, **part})
        assert response.status_code == 400, response.text
        invented = json.loads(
            json.dumps(part)
            .replace(matrix.ids["message_id"], unknown(matrix.ids)["message_id"])
            .replace(matrix.ids["media_id"], unknown(matrix.ids)["media_id"])
        )
        again = await matrix.theirs.post(f"{V1}/whatsapp/send", json={**base, **invented})
        assert again.json() == response.json()
    hook = {"url": _HOOK, "sessions": [matrix.ids["session_id"]]}
    refused = await matrix.theirs.post(f"{V1}/webhooks/endpoints", json=hook)
    assert refused.status_code in (400, 404), refused.text
