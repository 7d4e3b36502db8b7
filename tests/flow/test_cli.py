"""The operators' commands against a real server, as a terminal sees them: standard output, errors, exit status."""

import asyncio
import json
import secrets
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio
from aiohttp import web
from msgspec import Struct
from standardwebhooks import Webhook

from relay.model.api_key import is_key
from tests.api_client import OPERATOR_KEY
from tests.flow.serving import Program, Relay, environment, link, make_tenant, serving, until

pytestmark = pytest.mark.asyncio(loop_scope="module")

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
SECONDS = 30
AS_LIST = {"Accept": "application/json"}


class Ran(Struct, frozen=True):
    """How a command ended, and what it said."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    @property
    def rows(self) -> list[str]:
        """A table without its headings."""
        return self.out.splitlines()[1:]


class Terminal(Struct, frozen=True):
    """Where an operator types."""

    relay: Relay
    folder: Path

    def environ(self, **changes: str | None) -> dict[str, str]:
        given = {"RELAY_URL": self.relay.url, "RELAY_OPERATOR_KEY": OPERATOR_KEY, **changes}
        # The doctor asks for WhatsApp: a proxy that is not there keeps it on this machine.
        return environment({"host.proxy": "http://127.0.0.1:9"}, **given)

    async def run(self, *words: str, **changes: str | None) -> Ran:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "relay",
            *words,
            cwd=self.folder,
            env=self.environ(**changes),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        async with asyncio.timeout(SECONDS):
            out, err = await process.communicate()
        assert process.returncode is not None
        assert b"Traceback" not in err, err.decode()
        return Ran(process.returncode, out.decode(), err.decode())

    async def ok(self, *words: str, **changes: str | None) -> Ran:
        ran = await self.run(*words, **changes)
        assert ran.code == 0, ran
        return ran

    @asynccontextmanager
    async def running(self, *words: str, **changes: str | None) -> AsyncIterator[Program]:
        """A command that goes on."""
        program = await Program.start(self.folder, *words, environ=self.environ(**changes))
        try:
            yield program
        finally:
            await program.end_at_once()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def terminal(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Terminal]:
    """One server for all of these tests; each makes its own company."""
    folder = tmp_path_factory.mktemp("relay")
    async with serving(folder) as relay:
        yield Terminal(relay, folder)


def told(program: Program, words: str) -> Callable[[], Any]:
    async def look() -> bool:
        return words in program.told

    return look


def key_of(caller: httpx.AsyncClient) -> str:
    return caller.headers["Authorization"].removeprefix("Bearer ")


async def test_companies(terminal: Terminal) -> None:
    """Created, listed, shown, renamed; removed only with --yes."""
    made = (await terminal.ok("tenant", "create", "Padaria São João", "--json")).json
    company = made["companyId"]
    assert made["name"] == "Padaria São João"
    listed = await terminal.ok("tenant", "list")
    assert any(row.startswith(company) and "Padaria São João" in row for row in listed.rows)
    assert (await terminal.ok("tenant", "rename", company, "Nova", "--json")).json["name"] == "Nova"
    assert "Nova" in (await terminal.ok("tenant", "show", company)).out
    asked = await terminal.run("tenant", "delete", company)
    assert (asked.code, asked.out) == (2, "")
    assert "--yes" in asked.err
    assert "Nova" in asked.err
    await terminal.ok("tenant", "delete", company, "--yes")
    gone = await terminal.run("tenant", "show", company)
    assert (gone.code, gone.err) == (1, "relay: There is no such company.\n")


async def test_lists_over_many_pages(terminal: Terminal) -> None:
    """As many as asked for, and a word on standard error where there are more."""
    async with terminal.relay.client() as operator:
        for number in range(3):
            await operator.post("/api/v1/admin/tenants", json={"name": f"page {number}"})
    two = await terminal.ok("tenant", "list", "--limit", "2", "--json")
    assert [tenant["name"] for tenant in two.json] == ["page 2", "page 1"]
    assert "--limit" in two.err
    assert (await terminal.ok("tenant", "list", "--limit", "1000")).err == ""


async def test_keys(terminal: Terminal) -> None:
    """Shown once; a rotated one is another; a revoked one opens nothing; a company's does not do the operator's."""
    company = (await terminal.ok("tenant", "create", "Keys", "--json")).json["companyId"]
    words = ["key", "create", "--company", company, "--name", "crm", "--scopes", "sessions, webhooks"]
    made = (await terminal.ok(*words, "--expires-at", "2100-01-01T00:00:00Z", "--json")).json
    assert is_key(made["key"])
    assert (made["scopes"], made["expiresAt"]) == (["sessions", "webhooks"], "2100-01-01T00:00:00Z")
    listed = await terminal.ok("key", "list", "--company", company)
    assert [row.split()[0] for row in listed.rows] == [made["id"]]
    assert made["key"] not in listed.out
    rotated = (await terminal.ok("key", "rotate", made["id"], "--json")).json
    assert rotated["key"] != made["key"]
    as_company = {"RELAY_API_KEY": rotated["key"]}
    assert (await terminal.ok("session", "list", **as_company)).rows == []
    refused = await terminal.run("tenant", "list", **as_company)
    assert refused.code == 1
    assert refused.err == "relay: This call is the operator's. The key came from RELAY_API_KEY.\n"
    await terminal.ok("key", "revoke", rotated["id"])

    async def is_refused() -> bool:
        return (await terminal.run("session", "list", **as_company)).code == 1

    await until(is_refused, seconds=10, what="the revoked key is refused")


@pytest.mark.parametrize(
    ("words", "code", "sentence"),
    [
        (["tenant", "create", ""], 1, "(field name)"),
        (["key", "create", "--name", "x", "--scopes", "sessions"], 1, "--company"),
        (
            ["key", "create", "--company", "ten_x", "--name", "x", "--scopes", "sessions"],
            1,
            "no such company",
        ),
        (["key", "create", "--company", "ten_x", "--name", "x", "--scopes", "all"], 1, "(field scopes[0])"),
        (["session", "list", "--status", "asleep"], 2, "--status"),
        (["session", "show", "ses_unknown"], 1, "nothing with this id"),
        (["session", "connect", "../admin"], 2, "no id"),
        (["deliveries", "list"], 1, "--company"),
        (["deliveries", "list", "--company", "ten_x", "--since", "lately"], 1, "(field since)"),
        (["deliveries", "replay", "ep_x"], 2, "--since"),
        (["listen"], 1, "--company"),
        (["listen", "--company", "ten_x", "--types", "nonsense"], 1, "(field types[0])"),
        (["listen", "--company", "ten_x", "--forward-to", "localhost"], 2, "--forward-to"),
        (["tenant", "list", "--limit", "-1"], 2, "--limit"),
        (["tenant", "list", "--url", "http://127.0.0.1:1"], 1, "relay serve"),
        (["tenant", "list", "--url", "tomorrow"], 2, "--url"),
        (["tenant", "list", "--key-file", "/nowhere/at/all"], 2, "--key-file"),
        (["tenant", "list", "--config", "/nowhere/at/all"], 2, "/nowhere/at/all"),
        (["tenant"], 2, "ACTION"),
        ([], 2, "COMMAND"),
    ],
)
async def test_what_is_wrong_is_one_sentence(
    terminal: Terminal, words: list[str], code: int, sentence: str
) -> None:
    """1 where the server refuses or cannot be reached, 2 where the command cannot be understood."""
    ran = await terminal.run(*words)
    assert (ran.code, ran.out) == (code, "")
    assert sentence in ran.err
    assert len([line for line in ran.err.splitlines() if line.startswith("relay")]) == 1


@pytest.mark.parametrize(
    ("key", "code", "sentence"),
    [
        (None, 2, "RELAY_API_KEY"),
        ("rubbish", 1, "misspelled"),
        ("two\nlines", 2, "cannot be sent"),
    ],
)
async def test_a_key_that_opens_nothing(
    terminal: Terminal, key: str | None, code: int, sentence: str
) -> None:
    """Missing, misspelled, not a key at all: none of it is shown again."""
    ran = await terminal.run("tenant", "list", RELAY_OPERATOR_KEY=key)
    assert (ran.code, ran.out) == (code, "")
    assert sentence in ran.err
    assert key is None or key not in ran.err


async def test_a_server_that_is_no_relay(terminal: Terminal) -> None:
    """A page of somebody else's, and a redirection, which the key does not follow."""
    seen: list[web.Request] = []

    async def answer(request: web.Request) -> web.Response:
        seen.append(request)
        if len(seen) == 1:
            return web.Response(text="<h1>hello</h1>", content_type="text/html")
        raise web.HTTPFound("http://elsewhere.example/")

    async with receiving(answer) as url:
        page, moved = [await terminal.run("tenant", "list", "--url", url) for _ in range(2)]
    assert (page.code, moved.code, len(seen)) == (1, 1, 2)
    assert "address right" in page.err
    assert "http://elsewhere.example/" in moved.err


@asynccontextmanager
async def receiving(answer: Callable[[web.Request], Any]) -> AsyncIterator[str]:
    """A developer's own server."""
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


async def test_a_session_is_linked_from_a_terminal(terminal: Terminal) -> None:
    """The QR code is drawn, and the command ends once a phone has scanned it; then it is stopped and removed."""
    async with await make_tenant(terminal.relay) as caller:
        as_company = {"RELAY_API_KEY": key_of(caller)}
        words = ["session", "create", "Loja", "--engine", "sandbox", "--json"]
        session = (await terminal.ok(*words, **as_company)).json["id"]
        path = f"/api/v1/whatsapp/sessions/{session}"
        async with terminal.running("session", "connect", session, **as_company) as connecting:
            await connecting.says("Scan it")
            assert max(len(line) for line in connecting.lines if "▀" in line) > 40
            scanned = (await caller.post(f"{path}/sandbox/scan")).json()
            assert await connecting.ends() == 0
            assert connecting.lines[-1] == f"Connected as {scanned['phone']}."
        again = await terminal.ok("session", "connect", session, **as_company)
        assert again.out == f"Connected as {scanned['phone']}.\n"
        assert session in (await terminal.ok("session", "list", "--status", "connected", **as_company)).out
        stopped = await terminal.ok("session", "disconnect", session, "--json", **as_company)
        assert stopped.json["status"] == "disconnected"
        for action in ("logout", "delete"):
            asked = await terminal.run("session", action, session, **as_company)
            assert (asked.code, "--yes" in asked.err) == (2, True)
        logged_out = await terminal.ok("session", "logout", session, "--yes", "--json", **as_company)
        assert logged_out.json["phone"] is None
        await terminal.ok("session", "delete", session, "--yes", **as_company)
        assert (await terminal.run("session", "show", session, **as_company)).code == 1


async def test_a_session_is_linked_by_a_code(terminal: Terminal) -> None:
    """With --phone the code to type in is shown; a session that ends otherwise ends the command with 1."""
    async with await make_tenant(terminal.relay) as caller:
        as_company = {"RELAY_API_KEY": key_of(caller)}
        body = {"name": "Loja", "engine": "sandbox", "connect": False}
        made = await caller.post("/api/v1/whatsapp/sessions", json=body)
        session = made.json()["id"]
        words = ["session", "connect", session, "--phone", "+55 11 98765-4321"]
        async with terminal.running(*words, **as_company) as connecting:
            await connecting.says("Pairing code: ")
            await caller.post(f"/api/v1/whatsapp/sessions/{session}/disconnect")
            assert await connecting.ends() == 1
            assert "Disconnected on request." in connecting.told


async def test_deliveries(terminal: Terminal) -> None:
    """Listed, shown with their attempts, sent again, cancelled, replayed."""
    received: list[str] = []

    async def answer(request: web.Request) -> web.Response:
        received.append(request.headers["webhook-id"])
        return web.Response(status=204 if request.path == "/good" else 500)

    async with receiving(answer) as url, await make_tenant(terminal.relay) as caller:
        as_company = {"RELAY_API_KEY": key_of(caller)}
        good, bad = [
            (await caller.post("/api/v1/webhooks/endpoints", json={"url": url + path})).json()["id"]
            for path in ("/good", "/bad")
        ]
        for endpoint in (good, bad):
            await caller.post(f"/api/v1/webhooks/endpoints/{endpoint}/test")

        async def both() -> list[dict[str, Any]]:
            rows = (await terminal.ok("deliveries", "list", "--json", **as_company)).json
            return rows if len(rows) == 2 and all(row["attemptCount"] for row in rows) else []

        rows = await until(both, seconds=10, what="both were tried")
        by_endpoint = {row["endpointId"]: row for row in rows}
        done, owed = by_endpoint[good]["id"], by_endpoint[bad]["id"]
        shown = (await terminal.ok("deliveries", "show", done, **as_company)).out
        assert "succeeded  204" in shown
        listed = await terminal.ok("deliveries", "list", "--endpoint", good, **as_company)
        assert [row.split()[0] for row in listed.rows] == [done]
        cancelled = await terminal.ok("deliveries", "cancel", owed, "--json", **as_company)
        assert cancelled.json["status"] == "cancelled"
        ended = await terminal.run("deliveries", "cancel", owed, **as_company)
        assert (ended.code, "ended already" in ended.err) == (1, True)
        event = by_endpoint[good]["eventId"]
        await terminal.ok("deliveries", "redeliver", done, **as_company)

        async def came_twice() -> bool:
            return received.count(event) == 2

        await until(came_twice, seconds=10, what="it was sent again")
        replayed = await terminal.ok(
            "deliveries", "replay", good, "--since", "2020-01-01T00:00:00Z", "--json", **as_company
        )
        assert replayed.json["count"] >= 1


@pytest.mark.parametrize("before", [0, 1])
async def test_listening(terminal: Terminal, before: int) -> None:
    """Events are shown as they happen, and forwarded so that the Standard Webhooks library takes them.

    A connection that is lost, as an API process is, costs no event, whether there was one before or not.
    """
    bodies: dict[str, bytes] = {}

    async def answer(request: web.Request) -> web.Response:
        body = await request.read()
        Webhook(SECRET).verify(body, dict(request.headers))
        bodies[request.headers["webhook-id"]] = body
        return web.Response(status=202)

    async with receiving(answer) as url, await make_tenant(terminal.relay) as caller:
        session = await link(caller)
        inbound = f"/api/v1/whatsapp/sessions/{session}/sandbox/inbound"
        as_company = {"RELAY_API_KEY": key_of(caller), "RELAY_WEBHOOK_SECRET": SECRET}
        words = ["listen", "--types", "message.*", "--session", session]
        async with (
            terminal.running(*words, **as_company) as shown,
            terminal.running(*words, "--forward-to", f"{url}/hooks", **as_company) as forwarded,
        ):
            for program in (shown, forwarded):
                await until(told(program, "Listening"), seconds=20, what="it listens")
            hello = {"from": "5511987654321", "type": "text", "text": "olá\u2028você"}
            if before:
                await caller.post(inbound, json=hello)
                assert "202 Accepted in" in await line_with(forwarded, "message.received")
            # Held still, the forwarding one comes back only when everything has happened without it.
            forwarded.process.send_signal(signal.SIGSTOP)
            terminal.relay.kill("api")
            await until(told(shown, "Trying again"), seconds=20, what="the loss is told")
            await terminal_answers(terminal)
            for _ in range(3):
                await caller.post(inbound, json=hello)

            async def happened() -> list[str]:
                answer = await caller.get("/api/v1/events?types=message.*", headers=AS_LIST)
                ids = [event["id"] for event in answer.json()["events"]]
                return ids if len(ids) == before + 3 else []

            events = await until(happened, seconds=20, what="the messages are stored")
            forwarded.process.send_signal(signal.SIGCONT)

            async def all_came() -> bool:
                return len(bodies) >= before + 3

            await until(all_came, seconds=20, what="what happened meanwhile came too")
            await line_with(shown, events[-1])
            assert sum("olá\N{REPLACEMENT CHARACTER}você" in line for line in shown.lines) == before + 3
        assert list(bodies) == events
        assert {json.loads(body)["type"] for body in bodies.values()} == {"message.received"}


async def line_with(program: Program, words: str) -> str:
    async def look() -> str | None:
        return next((line for line in program.lines if words in line), None)

    return str(await until(look, seconds=20, what=words))


async def terminal_answers(terminal: Terminal) -> None:
    """The API is there again."""

    async def look() -> bool:
        try:
            async with terminal.relay.client() as client:
                return (await client.get("/livez")).status_code == 200
        except httpx.HTTPError:
            return False

    await until(look, seconds=20, what="the API answers again")


async def test_listening_makes_a_secret(terminal: Terminal) -> None:
    """It is told where none is given; one that is no secret is refused; an unreachable server is a result."""
    async with await make_tenant(terminal.relay) as caller:
        session = await link(caller)
        as_company = {"RELAY_API_KEY": key_of(caller)}
        words = ["listen", "--forward-to", "http://127.0.0.1:1/hooks"]
        refused = await terminal.run(*words, RELAY_WEBHOOK_SECRET="whsec_*", **as_company)
        assert (refused.code, "RELAY_WEBHOOK_SECRET" in refused.err) == (2, True)
        async with terminal.running(*words, **as_company) as program:
            await until(told(program, "Listening"), seconds=20, what="it listens")
            assert "whsec_" in program.told
            await caller.post(f"/api/v1/whatsapp/sessions/{session}/disconnect")
            assert "unreachable" in await line_with(program, "session.status")


def doctor(terminal: Terminal, *words: str) -> list[str]:
    port = terminal.relay.url.rpartition(":")[2]
    return ["doctor", "--data-dir", str(terminal.folder / "data"), "--port", port, *words]


def levels(ran: Ran) -> dict[str, str]:
    """By subject; the worst where one has several lines."""
    found: dict[str, str] = {}
    for line in ran.out.splitlines():
        level, subject = line[:5].strip(), line[7:19].strip()
        if ["ok", "warn", "wrong"].index(level) >= ["ok", "warn", "wrong"].index(found.get(subject, "ok")):
            found[subject] = level
    return found


async def test_the_doctor_finds_a_running_relay_well(terminal: Terminal) -> None:
    """Beside the server, through its socket: every check is there, none is wrong."""
    ran = await terminal.ok(*doctor(terminal))
    subjects = "python settings networks limits disk journal engine whatsapp port ready database clock schema partitions"
    assert {*subjects.split(), "live files", "secrets"} < set(levels(ran))
    assert "wrong" not in levels(ran).values()
    assert levels(ran)["database"] == levels(ran)["ready"] == levels(ran)["secrets"] == "ok"


async def test_the_doctor_tells_what_is_wrong_and_how_to_mend_it(terminal: Terminal, tmp_path: Path) -> None:
    """Another master key, an open network, a store that is away, a sample key beyond loopback."""
    other = tmp_path / "other.key"
    other.write_text(secrets.token_hex(32))
    other.chmod(0o600)
    ran = await terminal.run(
        *doctor(terminal),
        RELAY_OPERATOR_KEY="changeme",
        RELAY__VAULT__MASTER_KEY_FILE=str(other),
        RELAY__SERVER__HOST="0.0.0.0",
        RELAY__WEBHOOKS__ALLOW_NETWORKS='["0.0.0.0/0"]',
        RELAY__LIMITS__STORAGE="async+nothing://x",
    )
    assert ran.code == 1
    wrong = {subject for subject, level in levels(ran).items() if level == "wrong"}
    assert wrong == {"operator key", "networks", "limits", "secrets"}
    assert all(" → " in line for line in ran.out.splitlines() if not line.startswith("ok"))


async def test_the_doctor_tells_of_settings_and_databases(terminal: Terminal) -> None:
    """A setting that stops the start is a line like the others; a database that is away too, without its password."""
    broken = await terminal.run(*doctor(terminal), RELAY__WEBHOOKS__LEASE_SECONDS="1")
    assert (broken.code, levels(broken)) == (1, {"settings": "wrong"})
    url = "postgresql://relay:hushhush@127.0.0.1:1/relay"
    away = await terminal.run(*doctor(terminal), RELAY__DATABASE__URL=url)
    assert (away.code, levels(away)["database"]) == (1, "wrong")
    assert "hushhush" not in away.out + away.err


async def test_beside_a_stopped_server(terminal: Terminal, tmp_path: Path) -> None:
    """The doctor says what it cannot look at; `relay migrate` starts the embedded database, and stops it again."""
    data = tmp_path / "data"
    first = await terminal.ok("migrate", "--data-dir", str(data))
    assert "0001_initial.sql" in first.out
    assert (await terminal.ok("migrate", "--data-dir", str(data))).out == "nothing to do\n"
    stopped = await terminal.ok("doctor", "--data-dir", str(data), "--port", "0")
    assert levels(stopped)["database"] == levels(stopped)["postgres"] == "warn"
    data.chmod(0o755)
    opened = await terminal.ok("doctor", "--data-dir", str(data), "--port", "0")
    assert f"chmod 700 {data}" in opened.out


async def test_migrating_beside_a_running_server_is_refused(terminal: Terminal) -> None:
    """With a sentence, and the server goes on."""
    ran = await terminal.run("migrate", "--data-dir", str(terminal.folder / "data"))
    assert (ran.code, ran.out) == (2, "")
    assert "migrated its database when it started" in ran.err
    await terminal.ok("tenant", "list")


RULES = """\
version: 1
rules:
  - {id: hi, when: {keyword: oi}, do: [{reply: Olá}]}
tests:
  - {name: hi, given: {text: oi}, expect: {rule: hi, replies: [Olá]}}
"""


async def test_rule_sets(terminal: Terminal) -> None:
    """A company's own: pushed, shown to the letter, listed, rolled back, removed; a failing test keeps it out."""
    company = (await terminal.ok("tenant", "create", "Padaria", "--json")).json["companyId"]
    own = ("--company", company)
    file = terminal.folder / "own.yaml"
    file.write_text(RULES)
    tried = await terminal.ok("rules", "push", "shop.br", "own.yaml", "--dry-run", *own)
    assert tried.out == "shop.br is right: rules 1, flows 0, tests 1. Nothing was changed.\n"
    assert (await terminal.ok("rules", "list", *own)).rows == []
    pushed = await terminal.ok("rules", "push", "shop.br", "own.yaml", "--note", "first", *own)
    assert pushed.out == "shop.br is in force as version 1: rules 1, flows 0, tests 1.\n"
    again = await terminal.ok("rules", "push", "shop.br", "own.yaml", *own)
    assert again.out == "shop.br is in force already, as version 1.\n"
    file.write_text(RULES.replace("reply: Olá", "reply: Oi"))
    refused = await terminal.run("rules", "push", "shop.br", "own.yaml", *own)
    assert (refused.code, refused.out) == (1, "")
    assert "Reply 1 is “Oi”, not “Olá”." in refused.err
    await terminal.ok("rules", "push", "shop.br", "own.yaml", "--skip-tests", *own)
    [row] = (await terminal.ok("rules", "list", *own)).rows
    assert row.split()[:2] == ["shop.br", "2"]
    assert [line.split()[0] for line in (await terminal.ok("rules", "versions", "shop.br", *own)).rows] == [
        "2",
        "1",
    ]
    assert (await terminal.ok("rules", "show", "shop.br", "--version", "1", *own)).out == RULES
    rolled = await terminal.ok("rules", "rollback", "shop.br", "1", *own)
    assert rolled.out == "Version 1 of shop.br is in force again, as version 3.\n"
    assert (await terminal.ok("rules", "show", "shop.br", *own)).out == RULES
    assert (await terminal.run("rules", "delete", "shop.br", *own)).code == 2
    assert (await terminal.ok("rules", "delete", "shop.br", "--yes", *own)).out == "shop.br is removed.\n"
    assert "no such rule set" in (await terminal.run("rules", "show", "shop.br", *own)).err
