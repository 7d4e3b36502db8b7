"""Rule sets over the API: checked to the last line, put in force by version, rolled back, and nobody else's business."""

import asyncio
import itertools
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
from msgspec import structs

from relay.config import Config, Rules
from relay.janitor import Janitor
from relay.model.ids import TenantId
from relay.store import rule_sets, shadow_decisions, tenants
from relay.store.pool import Pool
from relay.store.shadow_decisions import ShadowDecision
from tests.accounts import MARIA_CHAT, add_session
from tests.api_client import OPERATOR_KEY, Api, serve_api

RULES = "/api/v1/rules"
HELLO = """\
version: 1
rules:
  - id: hello
    when: {keyword: oi}
    do: [{reply: "Olá!"}]
flows:
  menu: {steps: [{ask: "1 ou 2?", capture: choice}]}
tests:
  - {name: greets, given: {text: Oi}, expect: {rule: hello, replies: ["Olá!"]}}
"""
YAML = {"Content-Type": "application/yaml"}


@pytest.fixture
async def api(pool: Pool, url: str, tmp_path: Path) -> AsyncIterator[Api]:
    """The caller of a company on a server whose operator's rules are those in `tmp_path`."""
    config = structs.replace(Config(), rules=Rules(folder=str(tmp_path)))
    async with serve_api(pool, url, config=config) as operator:
        yield await operator.as_tenant("Acme", "rules")


async def put(api: Api, name: str, source: str | bytes, **params: Any) -> httpx.Response:
    return await api.put(f"{RULES}/{name}", content=source, headers=YAML, params=params)


def saying(text: str) -> str:
    """A rule set that answers everything with `text`."""
    return f"version: 1\nrules:\n  - id: all\n    when: {{always: true}}\n    do:\n      - reply: {text}\n"


async def rules_version(pool: Pool, company_id: str) -> int:
    async with pool.acquire() as conn:
        return await tenants.get_rules_version(conn, TenantId(company_id))


# --- the life of a rule set ----------------------------------------------------------------------------------------


async def test_a_rule_set_is_made_read_listed_changed_and_removed(api: Api) -> None:
    """The YAML comes back as it was given; each other text is a version, the same one again is none."""
    made = await put(api, "shop", HELLO, note="first")
    assert made.status_code == 201, made.text
    body = made.json()
    assert (body["name"], body["version"], body["changed"]) == ("shop", 1, True)
    assert (body["rules"], body["flows"], body["tests"]) == (1, 1, 1)

    read = (await api.get(f"{RULES}/shop")).json()
    assert (read["source"], read["note"], read["createdAt"]) == (HELLO, "first", body["createdAt"])
    alone = await api.get(f"{RULES}/shop", headers={"Accept": "application/yaml"})
    assert (alone.text, alone.headers["content-type"].partition(";")[0]) == (HELLO, "application/yaml")

    again = await put(api, "shop", HELLO, note="second")
    assert (again.status_code, again.json()) == (200, {**body, "changed": False})
    changed = await put(api, "shop", saying("Bom dia"))
    assert (changed.status_code, changed.json()["version"], changed.json()["changed"]) == (200, 2, True)

    await put(api, "a.first", saying("x"))
    listed = (await api.get(RULES)).json()
    assert [(one["name"], one["version"]) for one in listed["ruleSets"]] == [("a.first", 1), ("shop", 2)]
    assert listed["nextCursor"] is None

    assert (await api.delete(f"{RULES}/shop")).status_code == 204
    for gone in (f"{RULES}/shop", f"{RULES}/shop/versions", f"{RULES}/shop/versions/1", f"{RULES}/shop/diff"):
        assert (await api.get(gone)).status_code == 404
    assert (await api.delete(f"{RULES}/shop")).status_code == 404


async def test_versions_are_listed_read_and_compared(api: Api) -> None:
    """Newest first and paged; a diff shows what changed, between any two or with the one before."""
    for text in ("one", "two", "three"):
        await put(api, "shop", saying(text), note=f"say {text}")
    page = (await api.get(f"{RULES}/shop/versions", params={"limit": "2"})).json()
    assert [(one["version"], one["note"]) for one in page["versions"]] == [(3, "say three"), (2, "say two")]
    rest = await api.get(f"{RULES}/shop/versions", params={"cursor": page["nextCursor"]})
    assert [one["version"] for one in rest.json()["versions"]] == [1]
    assert rest.json()["nextCursor"] is None

    first = (await api.get(f"{RULES}/shop/versions/1")).json()
    assert (first["version"], first["source"], first["note"]) == (1, saying("one"), "say one")
    yaml = await api.get(f"{RULES}/shop/versions/2", headers={"Accept": "application/yaml"})
    assert yaml.text == saying("two")

    latest = (await api.get(f"{RULES}/shop/diff")).json()
    assert (latest["from"], latest["to"]) == (2, 3)
    assert latest["diff"].splitlines()[-2:] == ["-      - reply: two", "+      - reply: three"]
    plain = await api.get(
        f"{RULES}/shop/diff", params={"from": "1", "to": "2"}, headers={"Accept": "text/plain"}
    )
    assert plain.text.startswith("--- shop (version 1)\n+++ shop (version 2)\n@@ ")
    back = (await api.get(f"{RULES}/shop/diff", params={"from": "3", "to": "1"})).json()
    assert "+      - reply: one" in back["diff"]
    assert (await api.get(f"{RULES}/shop/diff", params={"from": "2", "to": "2"})).json()["diff"] == ""


async def test_a_rollback_is_a_new_version_of_an_old_text(api: Api) -> None:
    """History stays a line, and says what happened; to roll back to what is in force changes nothing."""
    for text in ("one", "two"):
        await put(api, "shop", saying(text))
    rolled = await api.post(f"{RULES}/shop/rollback", json={"version": 1})
    assert rolled.status_code == 200, rolled.text
    assert (rolled.json()["version"], rolled.json()["changed"]) == (3, True)
    read = (await api.get(f"{RULES}/shop")).json()
    assert (read["source"], read["note"]) == (saying("one"), "rollback to 1")
    same = (await api.post(f"{RULES}/shop/rollback", json={"version": 1})).json()
    assert (same["version"], same["changed"]) == (3, False)
    assert (await api.post(f"{RULES}/shop/rollback", json={"version": 9})).status_code == 404
    assert (await api.post(f"{RULES}/shop/rollback", json={"version": 2**40})).status_code == 400


async def test_a_dry_run_says_the_same_and_changes_nothing(api: Api, pool: Pool) -> None:
    """Before there is a set, and beside the one in force; what is wrong is told as it would be."""
    before = await rules_version(pool, api.company_id)
    tried = await put(api, "shop", HELLO, dryRun="true")
    assert (tried.status_code, tried.json()["version"], tried.json()["changed"]) == (200, None, True)
    assert (tried.json()["rules"], tried.json()["createdAt"]) == (1, None)
    assert (await api.get(RULES)).json()["ruleSets"] == []

    await put(api, "shop", HELLO)
    tried = await put(api, "shop", saying("x"), dryRun="true")
    assert (tried.json()["version"], tried.json()["changed"]) == (1, True)
    assert (await put(api, "shop", HELLO, dryRun="true")).json()["changed"] is False
    assert (await put(api, "shop", "rules: 1", dryRun="true")).status_code == 422
    assert (await api.get(f"{RULES}/shop")).json()["source"] == HELLO
    assert await rules_version(pool, api.company_id) == before + 1


async def test_every_change_raises_the_number_that_responders_look_at(api: Api, pool: Pool) -> None:
    """Put, rolled back, removed: each raises it; what changes nothing does not, nor does another company's."""
    other = await api.with_key(OPERATOR_KEY).as_tenant("Other")
    seen = [await rules_version(pool, api.company_id)]
    rollback = partial(api.post, f"{RULES}/shop/rollback", json={"version": 1})
    changes: list[Callable[[], Awaitable[httpx.Response]]] = [
        partial(put, api, "shop", saying("one")),
        partial(put, api, "shop", saying("two")),
        partial(put, api, "shop", saying("two")),
        partial(put, api, "shop", "version: 2"),
        rollback,
        partial(api.delete, f"{RULES}/shop"),
        partial(api.delete, f"{RULES}/shop"),
        partial(put, other, "shop", saying("one")),
    ]
    for change in changes:
        await change()
        seen.append(await rules_version(pool, api.company_id))
    assert [after - before for before, after in itertools.pairwise(seen)] == [1, 1, 0, 0, 1, 1, 0, 0]


# --- what is refused -----------------------------------------------------------------------------------------------


async def test_what_is_wrong_is_told_line_by_line(api: Api) -> None:
    """Every mistake of a text with its line, column and path; nothing is put in force."""
    source = HELLO.replace("keyword: oi", "regex: '('").replace('reply: "Olá!"', "replay: x")
    refused = await put(api, "shop", source)
    assert (refused.status_code, refused.headers["content-type"]) == (422, "application/problem+json")
    body = refused.json()
    assert body["code"] == "rules_invalid"
    assert (body["errors"][0]["line"], body["errors"][0]["path"].partition(".")[0]) == (5, "rules[0]")
    assert body["detail"].startswith("Line 5")
    assert body["errors"][0]["column"] > 1
    assert "replay" in body["errors"][0]["detail"] or "replay" in body["errors"][0]["path"]

    broken = (await put(api, "shop", "version: 1\nrules:\n  - id: a\n   when: x\n")).json()
    assert (broken["code"], broken["errors"][0]["line"]) == ("rules_invalid", 4)
    regex = (await put(api, "shop", HELLO.replace("keyword: oi", "regex: '('"))).json()
    assert (regex["errors"][0]["line"], regex["errors"][0]["path"]) == (4, "rules[0].when.regex")
    assert (await api.get(RULES)).json()["ruleSets"] == []


async def test_a_set_whose_own_tests_fail_is_not_put_in_force(api: Api) -> None:
    """Each failed test is named with what differed; whoever insists may skip them."""
    source = HELLO.replace('replies: ["Olá!"]', 'replies: ["Bom dia"]')
    for refused in (await put(api, "shop", source), await put(api, "shop", source, dryRun="true")):
        assert refused.status_code == 422
        assert refused.json()["code"] == "rules_tests_failed"
        [failed] = refused.json()["errors"]
        assert failed["test"] == "greets"
        assert "Bom dia" in failed["detail"]
        assert "Olá!" in failed["detail"]
    assert (await api.get(f"{RULES}/shop")).status_code == 404
    assert (await put(api, "shop", source, skipTests="true")).status_code == 201


@pytest.mark.parametrize(
    "source",
    [
        b"",
        b"\x00\x01\x02",
        b"\xff\xfe\x00v",
        bytes(range(256)) * 16,
        HELLO.encode() + b"# \xe9",
        HELLO.encode() + b"# \x00",
        b"version: 1\n# " + b"x" * 300_000,
        b"[" * 100_000,
        b"- " * 50_000,
        b"? " * 50_000,
        b"{a: " * 50_000,
        b"a: &a [x, x]\nb: *a\n",
        b"version: !!python/object/apply:os.system [id]\n",
        b"---\nversion: 1\n---\nversion: 1\n",
        b"version: " + b"9" * 5000,
        b"null",
        b"[]",
        b"42",
        b'"version: 1"',
        b"version: 1\nversion: 1\n",
        b"version: 1\ntenants: ['*']\n",
    ],
    ids=lambda source: repr(source[:12]) + f" {len(source)}",
)
async def test_rubbish_is_a_problem_with_a_line(api: Api, source: bytes) -> None:
    """Bytes that are no text, bombs, what YAML can do and rules need not: 422, in a moment."""
    started = time.monotonic()
    refused = await put(api, "shop", source)
    assert refused.status_code == 422, refused.text
    assert refused.json()["code"] == "rules_invalid"
    assert refused.json()["errors"][0]["line"] >= 1
    assert time.monotonic() - started < 5
    assert (await api.get(RULES)).json()["ruleSets"] == []


async def test_a_body_beyond_what_any_may_have_is_refused(api: Api) -> None:
    """The server's own cap comes before the rules'; a form is no rule set."""
    assert (await put(api, "shop", b"#" * 5_000_000)).status_code == 413
    form = await api.put(f"{RULES}/shop", files={"file": b"version: 1"})
    assert (form.status_code, form.json()["path"]) == (400, "Content-Type")


@pytest.mark.parametrize("content_type", ["text/yaml", "application/x-yaml", "text/plain", "", None])
async def test_yaml_by_any_name_is_yaml(api: Api, content_type: str | None) -> None:
    """Programs that send files seldom know what to call them."""
    headers = {} if content_type is None else {"Content-Type": content_type}
    made = await api.put(f"{RULES}/shop", content=saying("x").encode(), headers=headers)
    assert made.status_code == 201


@pytest.mark.parametrize(
    "name",
    ["schema", "explain", "shadow", "-x", ".x", "a b", "é", "x" * 65, "a%0A", "a;b", "%27", "x%00"],
)
async def test_names_are_plain(api: Api, name: str) -> None:
    """What a path, a file or a log could misread is no name, and those with a meaning of their own are taken."""
    refused = await put(api, name, saying("x"))
    assert refused.status_code in (400, 405), refused.text
    assert (await api.get(RULES)).json()["ruleSets"] == []


@pytest.mark.parametrize("version", ["0", "-1", "1.0", "x", "9" * 400, "²", "1e3", "2147483648"])
async def test_a_version_is_a_number(api: Api, version: str) -> None:
    """Anything else is a version that is not there."""
    await put(api, "shop", saying("x"))
    assert (await api.get(f"{RULES}/shop/versions/{version}")).status_code == 404


async def test_there_are_fifty_sets_and_a_hundred_versions_at_most(api: Api, pool: Pool) -> None:
    """The fifty-first is refused, a change of one of the fifty is not; the oldest version goes for the newest."""
    async with pool.acquire() as conn:
        tenant_id = TenantId(api.company_id)
        for number in range(rule_sets.SETS_MOST):
            await rule_sets.put_rule_set(conn, tenant_id, f"set-{number}", saying("x"))
        for number in range(rule_sets.VERSIONS_MOST):
            await rule_sets.put_rule_set(conn, tenant_id, "set-0", saying(f"x{number}"))
    refused = await put(api, "one-more", saying("x"))
    assert (refused.status_code, refused.json()["code"]) == (409, "rule_sets_full")
    changed = await put(api, "set-1", saying("y"))
    assert (changed.status_code, changed.json()["version"]) == (200, 2)
    assert (await api.get(f"{RULES}/set-0/versions/1")).status_code == 404
    kept = (await api.get(f"{RULES}/set-0/versions", params={"limit": "200"})).json()["versions"]
    assert [one["version"] for one in kept] == list(range(101, 1, -1))

    page = (await api.get(RULES, params={"limit": "30"})).json()
    rest = (await api.get(RULES, params={"limit": "30", "cursor": page["nextCursor"]})).json()
    names = [one["name"] for one in page["ruleSets"] + rest["ruleSets"]]
    assert names == sorted(f"set-{number}" for number in range(50))


async def test_two_who_write_at_once_make_two_versions(api: Api) -> None:
    """Neither is lost, and each is told its own."""
    await put(api, "shop", saying("start"))
    answers = await asyncio.gather(*(put(api, "shop", saying(f"x{number}")) for number in range(6)))
    assert sorted(answer.json()["version"] for answer in answers) == [2, 3, 4, 5, 6, 7]


# --- whose it is -----------------------------------------------------------------------------------------------------


async def test_another_company_sees_nothing_and_changes_nothing(api: Api) -> None:
    """The same name is another set; what one has, the other cannot read, compare, roll back or remove."""
    await put(api, "shop", saying("one"))
    await put(api, "shop", saying("two"))
    other = await api.with_key(OPERATOR_KEY).as_tenant("Other")
    for method, path, body in (
        ("GET", "", None),
        ("GET", "/versions", None),
        ("GET", "/versions/1", None),
        ("GET", "/diff", None),
        ("GET", "/diff?from=1&to=2", None),
        ("POST", "/rollback", {"version": 1}),
        ("DELETE", "", None),
    ):
        response = await other.request(method, f"{RULES}/shop{path}", json=body)
        assert response.status_code == 404, (method, path, response.text)
    assert (await other.get(RULES)).json()["ruleSets"] == []
    mine = await put(other, "shop", saying("mine"))
    assert (mine.status_code, mine.json()["version"]) == (201, 1)
    assert (await put(other, "shop", saying("x"), companyId=api.company_id)).status_code == 404
    read = (await api.get(f"{RULES}/shop")).json()
    assert (read["version"], read["source"]) == (2, saying("two"))


async def test_the_operator_names_the_company(api: Api) -> None:
    """A name alone says nothing of whose set it is."""
    operator = api.with_key(OPERATOR_KEY)
    assert (await put(operator, "shop", saying("x"))).json()["code"] == "company_required"
    assert (await put(operator, "shop", saying("x"), companyId="ten_nobody")).status_code == 404
    assert (await put(operator, "shop", saying("x"), companyId=api.company_id)).status_code == 201
    assert (await api.get(f"{RULES}/shop")).status_code == 200


async def test_a_key_without_the_scope_is_refused(api: Api) -> None:
    """`rules` is needed, and no other scope stands in for it but `admin`."""
    caller = await api.with_key(OPERATOR_KEY).as_tenant("Reader", "messages:read", "sessions", "webhooks")
    assert (await put(caller, "shop", saying("x"))).json()["code"] == "scope_missing"


# --- trying rules out ------------------------------------------------------------------------------------------------


async def explain(api: Api, text: str, **fields: Any) -> dict[str, Any]:
    response = await api.post(f"{RULES}/explain", json={"text": text, **fields})
    assert response.status_code == 200, response.text
    told: dict[str, Any] = response.json()
    return told


async def test_a_draft_is_explained_before_it_is_in_force(api: Api, pool: Pool) -> None:
    """What would be said, by which rule, and why the others kept quiet; nothing is kept of it."""
    before = await rules_version(pool, api.company_id)
    told = await explain(api, "Oi!", source=HELLO)
    assert (told["verdict"], told["rule"]) == ("rules", "hello")
    assert [reply["content"] for reply in told["replies"]] == [{"text": "Olá!"}]
    assert [note["fired"] for note in told["notes"] if note.get("rule") == "hello"] == [True]
    silent = await explain(api, "tchau", source=HELLO)
    assert (silent["verdict"], silent["rule"], silent["replies"]) == ("none", None, [])
    [note] = [note for note in silent["notes"] if note.get("rule") == "hello"]
    assert not note.get("fired", False)
    assert note["code"]
    assert note["detail"]
    wrong = await api.post(f"{RULES}/explain", json={"text": "x", "source": "version: 1\nrules: 7\n"})
    assert (wrong.status_code, wrong.json()["code"]) == (422, "rules_invalid")
    assert wrong.json()["errors"][0]["line"] == 2
    assert await rules_version(pool, api.company_id) == before


async def test_whatever_a_message_holds_is_explained(api: Api) -> None:
    """Its content is for templates and triggers; one that no message could have breaks nothing."""
    source = "version: 1\nrules: [{id: a, when: {always: true}, do: [{reply: '{{ message.text }} {{ message.content }}'}]}]"
    deep: Any = []
    for _ in range(900):
        deep = [deep]
    for content, text in (
        ({"options": ["hoje"]}, 'hoje {"options":["hoje"]}'),
        ({"latitude": -23.5, "key": "x"}, '{"latitude":-23.5}'),
        ({"text": {"a": 1}, "caption": 5, "contacts": "x"}, None),
        ({"options": deep, "contacts": deep, "mediaId": deep}, None),
    ):
        told = await explain(api, "", type="poll_vote", content=content, source=source)
        (reply,) = told["replies"]
        assert text is None or reply["content"]["text"] == text


async def test_the_rules_in_force_are_explained(api: Api) -> None:
    """Those of the company that asks, as they are at that moment, and no other's."""
    other = await api.with_key(OPERATOR_KEY).as_tenant("Other")
    assert (await explain(api, "oi"))["replies"] == []
    await put(api, "shop", HELLO)
    told = await explain(api, "oi")
    assert (told["ruleSet"], told["rule"]) == ("shop", "hello")
    await put(api, "shop", saying("Changed"))
    assert (await explain(api, "oi"))["replies"][0]["content"] == {"text": "Changed"}
    assert (await explain(other, "oi"))["replies"] == []
    await api.delete(f"{RULES}/shop")
    await put(api, "shop", saying("New"))
    await put(api, "shop", saying("Newer"))
    assert (await explain(api, "oi"))["replies"][0]["content"] == {"text": "Newer"}


async def test_the_operators_files_are_explained_to_those_whom_they_serve(api: Api, tmp_path: Path) -> None:
    """A company's own rules come first; another company, whom the file does not name, has none of it."""
    other = await api.with_key(OPERATOR_KEY).as_tenant("Other")
    (tmp_path / "house.yaml").write_text(saying("House").replace("rules:", "tenants: [Acme]\nrules:"))
    told = await explain(api, "x")
    assert (told["ruleSet"], told["replies"][0]["content"]) == ("house", {"text": "House"})
    assert (await explain(other, "x"))["replies"] == []
    await put(api, "mine", saying("Mine"))
    assert (await explain(api, "x"))["ruleSet"] == "mine"


async def test_a_set_for_one_session_is_explained_for_that_session(api: Api, pool: Pool) -> None:
    """By the session's name; a draft is tried whatever it says, unless a session is named."""
    async with pool.acquire() as conn:
        _, session_id = await add_session(conn, tenant_id=TenantId(api.company_id))
        name = await conn.fetchval("SELECT name FROM whatsapp_sessions WHERE id = $1", session_id)
    here = saying("Here").replace("rules:", f"sessions: [{name}]\nrules:")
    elsewhere = saying("Here").replace("rules:", "sessions: [nowhere]\nrules:")
    await put(api, "shop", here)
    assert (await explain(api, "x", sessionId=session_id))["rule"] == "all"
    assert (await explain(api, "x"))["rule"] is None
    assert (await explain(api, "x", source=elsewhere))["rule"] == "all"
    assert (await explain(api, "x", source=elsewhere, sessionId=session_id))["rule"] is None
    other = await api.with_key(OPERATOR_KEY).as_tenant("Other")
    foreign = await other.post(f"{RULES}/explain", json={"text": "x", "sessionId": session_id})
    assert foreign.status_code == 404


async def test_what_shadow_rules_would_say_is_explained_apart(api: Api) -> None:
    """It is no reply, and the rule is noted as one in shadow mode."""
    told = await explain(api, "x", source=saying("Hidden").replace("rules:", "shadow: true\nrules:"))
    assert (told["replies"], told["verdict"]) == ([], "none")
    assert [one["content"] for one in told["shadow"]] == [{"text": "Hidden"}]


FLOW = """\
version: 1
rules:
  - {id: start, when: {keyword: menu}, do: [{flow: ask}]}
flows:
  ask: {steps: [{ask: "Seu nome?", capture: name}, {do: [{reply: "Oi {{ vars.name }}"}]}]}
"""


async def test_a_conversation_goes_on_with_its_state(api: Api) -> None:
    """What the answer gives back as `state` is where the next message begins."""
    first = await explain(api, "menu", source=FLOW)
    assert first["replies"][0]["content"] == {"text": "Seu nome?"}
    second = await explain(api, "Ana", source=FLOW, state=first["state"])
    assert [reply["content"] for reply in second["replies"]] == [{"text": "Oi Ana"}]
    assert second["vars"]["name"] == "Ana"
    assert (second["verdict"], second["flow"]) == ("flow", "ask")
    alone = await explain(api, "Ana", source=FLOW)
    assert alone["replies"] == []


@pytest.mark.parametrize(
    "fields",
    [
        {"at": "0001-01-01T00:00:00"},
        {"at": "9999-12-31T23:59:59-12:00"},
        {"at": 5},
        {"http": {"status": "x"}},
        {"http": {"status": 10**30}},
        {"state": {"pausedUntil": "2026-01-01T00:00:00"}},
        {"state": {"lastAt": "9999-12-31T23:59:59Z"}},
        {"state": {"fired": {"x": "2026-01-01T00:00:00"}}},
        {"state": {"flow": {"set": "x", "flow": "x", "step": "x", "expires_at": "2026-01-01T00:00:00"}}},
        {"state": {"said": [["x"]]}},
        {"state": []},
        {"chat": "channel"},
        {"tags": "x"},
        {"nobodysField": 1},
        {"text": "x" * 70_000},
    ],
    ids=lambda fields: str(fields)[:40],
)
async def test_what_cannot_be_tried_is_refused(api: Api, fields: dict[str, Any]) -> None:
    """A time beyond the calendar, a state that nobody answered: a 400 that names the field."""
    refused = await api.post(f"{RULES}/explain", json={"text": "x", "source": FLOW, **fields})
    assert refused.status_code == 400, refused.text
    assert refused.json()["path"].partition(".")[0] == next(iter(fields))


async def test_odd_states_do_no_harm(api: Api) -> None:
    """A flow that is gone, a step that is gone, odd numbers: an answer all the same."""
    later = "2026-06-01T00:00:00Z"
    for state in (
        {"flow": {"set": "own:draft", "flow": "gone", "step": "x", "expires_at": later}},
        {"flow": {"set": "own:draft", "flow": "ask", "step": "gone", "expires_at": later}},
        {"flow": {"set": "gone", "flow": "ask", "step": "1", "tries": -(2**62), "expires_at": later}},
        {"said": [[1e300, "x"], [-1e300, "x"]]},
        {"vars": {"name": {"deep": [[[{}]]]}}, "tags": ["x"] * 1000, "fired": {"own:draft/start": later}},
    ):
        await explain(api, "menu", source=FLOW, state=state, at="2026-01-05T10:00")


async def test_a_session_that_is_named_is_the_companys_own(api: Api) -> None:
    """Another's, or none at all, is unknown."""
    unknown = await api.post(f"{RULES}/explain", json={"text": "x", "sessionId": "ses_nobody"})
    assert unknown.status_code == 404


async def test_editors_get_the_schema_without_a_key(api: Api) -> None:
    """A JSON Schema that says what a rule set is."""
    answer = await api.with_key(None).get(f"{RULES}/schema")
    assert answer.status_code == 200
    assert {"rules", "flows", "tests"} <= answer.json()["$defs"]["RuleSet"]["properties"].keys()


# --- shadow mode -------------------------------------------------------------------------------------------------------


async def test_shadow_decisions_are_listed_newest_first(api: Api, pool: Pool) -> None:
    """By rule set and session, paged; another company sees none; those of a session that is gone are not kept."""
    async with pool.acquire() as conn:
        _, session_id = await add_session(conn, tenant_id=TenantId(api.company_id))
        await shadow_decisions.insert_decisions(
            conn,
            [
                ShadowDecision(
                    tenant_id=api.company_id,
                    session_id=session if number != 3 else "ses_gone",
                    chat=MARIA_CHAT,
                    contact_id=None,
                    message_id=f"msg_{number}",
                    cause={"ruleSet": "a" if number % 2 else "b", "rule": "hello"},
                    messages=[{"type": "text", "content": {"text": f"{number}"}}],
                )
                for number, session in enumerate([session_id] * 6)
            ],
        )
    page = (await api.get(f"{RULES}/shadow", params={"limit": "3"})).json()
    assert [one["messageId"] for one in page["decisions"]] == ["msg_5", "msg_4", "msg_2"]
    first = page["decisions"][0]
    assert first["messages"] == [{"type": "text", "content": {"text": "5"}}]
    assert (first["automation"], first["sessionId"]) == ({"ruleSet": "a", "rule": "hello"}, session_id)
    rest = (await api.get(f"{RULES}/shadow", params={"cursor": page["nextCursor"]})).json()
    assert [one["messageId"] for one in rest["decisions"]] == ["msg_1", "msg_0"]
    of_b = (await api.get(f"{RULES}/shadow", params={"ruleSet": "b"})).json()["decisions"]
    assert [one["messageId"] for one in of_b] == ["msg_4", "msg_2", "msg_0"]
    assert (await api.get(f"{RULES}/shadow", params={"sessionId": "ses_x"})).json()["decisions"] == []
    other = await api.with_key(OPERATOR_KEY).as_tenant("Other")
    assert (await other.get(f"{RULES}/shadow")).json()["decisions"] == []


async def test_old_shadow_decisions_go_with_the_events(api: Api, pool: Pool, tmp_path: Path) -> None:
    """After `retention.event_days`, by the janitor."""
    async with pool.acquire() as conn:
        _, session_id = await add_session(conn, tenant_id=TenantId(api.company_id))
        decision = ShadowDecision(
            tenant_id=api.company_id,
            session_id=session_id,
            chat=MARIA_CHAT,
            contact_id=None,
            message_id="msg_1",
            cause={},
            messages=[],
        )
        await shadow_decisions.insert_decisions(conn, [decision])
    config = api.services.config
    days = config.retention.event_days
    for later, left in ((days - 1, 1), (days + 1, 0)):
        now = datetime.now(UTC) + timedelta(days=later)
        await Janitor(pool, api.services.blobs, config, now=lambda now=now: now).work()  # type: ignore[misc]
        assert await pool.fetchval("SELECT count(*) FROM shadow_decisions") == left
