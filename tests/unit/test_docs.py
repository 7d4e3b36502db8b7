"""The documentation says what the code does: nothing is left out, and nothing is named that is not there."""

import base64
import json
import os
import re
import shlex
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast, get_args

import httpx
import msgspec
import pytest
import yaml
from litestar import Litestar
from msgspec import structs

from relay.__main__ import _parser
from relay.api.app import ROUTES
from relay.api.request import Request
from relay.api.telemetry import Telemetry
from relay.api.wire import JsonBody
from relay.config import Config
from relay.egress.signing import Signer
from relay.engines import transcode
from relay.engines.neonize_calls import NotOnWhatsApp
from relay.engines.transcode_job import PIXELS_MOST
from relay.host.ledger import _events
from relay.model.errors import NotSupported, OutcomeUnknown, SendRejected
from relay.model.event import EVENT_TYPES, Event
from relay.model.ids import ContactId, MessageId, SessionId, TenantId
from relay.model.sandbox import FaultKind
from relay.model.session import REASONS, SessionLimits, SessionStatus
from relay.model.tenant import Scope
from relay.replies.events import automation_event
from relay.store import facts
from relay.store.figures import Figures
from relay.store.inbound import NewMessage
from relay.store.pool import Pool
from relay.store.sessions import Request as Wanted
from relay.store.sessions import StatusChange

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    [
        *(ROOT / "docs").glob("*.md"),
        *(ROOT / name for name in ("README.md", "CHANGELOG.md", "rules/README.md", "plugins/README.md")),
    ]
)
SENDING = ("engines/compose.py", "engines/neonize_calls.py", "host/sender.py")
SOURCE = "\n".join(path.read_text() for path in (ROOT / "relay").rglob("*.py"))


def read(name: str) -> str:
    return (ROOT / name).read_text()


def section(text: str, heading: str) -> str:
    """What stands below a heading, up to the next of its rank."""
    rank = heading.partition(" ")[0]
    return text.partition(f"\n{heading}\n")[2].partition(f"\n{rank} ")[0]


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"^ *```{language}\n(.*?)^ *```$", text, re.DOTALL | re.MULTILINE)


def first_column(text: str) -> set[str]:
    """Everything in backticks in the first column of the tables in `text`."""
    cells = re.findall(r"^\| (.*?) \|", text, re.MULTILINE)
    return {word for cell in cells for word in re.findall(r"`([^`]+)`", cell)}


# --- nothing is left out -----------------------------------------------------------------------------------------


def test_every_event_type_has_a_heading() -> None:
    """docs/webhooks.md tells of the event types that there are, and of no other."""
    told = re.findall(r"^### `(.+)`$", section(read("docs/webhooks.md"), "## Every event"), re.MULTILINE)
    assert set(told) == set(EVENT_TYPES)


def test_every_setting_stands_with_its_default() -> None:
    """docs/operating.md lists the keys of the structs, each with the struct's own default."""
    table = section(read("docs/operating.md"), "## Settings")
    told = dict(re.findall(r"^\| `([a-z]+\.[a-z_]+)` \| (.+?) \|", table, re.MULTILINE))
    defaults = msgspec.to_builtins(Config())
    expected = {f"{name}.{key}": value for name, keys in defaults.items() for key, value in keys.items()}
    shown = {
        key: "" if value == "empty" else yaml.safe_load(value.strip("`").replace("[[", "[ ["))
        for key, value in told.items()
    }
    assert shown == json.loads(json.dumps(expected))


@pytest.mark.parametrize(
    ("page", "heading"),
    [
        ("docs/operating.md", "## Session reasons"),
        ("docs/whatsapp.md", "## Reasons"),
        ("docs/whatsapp.pt-BR.md", "## Motivos"),
    ],
)
def test_every_reason_is_explained(page: str, heading: str) -> None:
    """Each session reason has a row that says what to do: to operators, to companies, and to those in Portuguese."""
    assert first_column(section(read(page), heading)) - {"reason"} == set(REASONS)


def test_every_reason_that_engines_give_has_a_sentence() -> None:
    """What an engine gives as the reason of a refusal is one that people are told of."""
    given = set(re.findall(r'ConnectFailed\(reason="(\w+)"', SOURCE))
    assert given
    assert given <= set(REASONS)


def test_every_error_of_a_send_is_explained() -> None:
    """The codes with which a message can fail, as the code that sends it writes them."""
    sending = "\n".join((ROOT / "relay" / name).read_text() for name in SENDING)
    given = set(re.findall(r'SendRejected\([^)]*code="(\w+)"', sending, re.DOTALL))
    given |= {error.code for error in (SendRejected, NotOnWhatsApp, NotSupported, OutcomeUnknown)} | {
        transcode.CODE
    }
    table = section(section(read("docs/webhooks.md"), "## Every event"), "### `message.status`")
    assert given | {"cancelled", "error"} == first_column(table)


def test_limits_of_converting_are_those_of_the_code() -> None:
    """docs/whatsapp.md and docs/security.md say what a conversion may take."""
    limits = transcode.LIMITS
    sentence = f"{limits.cpu_seconds} s of processor time, {limits.output_bytes // 1024**2} MiB of output"
    assert sentence in read("docs/whatsapp.md")
    assert sentence in read("docs/security.md")
    assert f"{PIXELS_MOST // 1_000_000} megapixels" in read("docs/whatsapp.md")


def test_containers_are_given_room_for_live_files() -> None:
    """Docker's own 64 MB hold a dozen accounts: every way to start one says more."""
    compose = yaml.safe_load(read("compose.yaml"))
    assert compose["services"]["relay"]["shm_size"] == "1gb"
    for name in ("README.md", "Dockerfile"):
        assert re.findall(r"docker run (?!--shm-size 1g )", read(name)) == []


def test_every_metric_is_explained() -> None:
    """Each metric that /metrics shows has a row, and no other does."""
    told = {
        name for name in first_column(section(read("docs/operating.md"), "## Metrics")) if "…" not in name
    }
    assert told == set(_metrics())


def _metrics() -> Iterator[str]:
    # Nothing is asked of the database: the figures are given.
    telemetry = Telemetry(cast(Pool, None))
    telemetry._shown.figures = Figures(
        sessions={},
        hosts=0,
        owed=0,
        oldest_due_seconds=0.0,
        queued=0,
        replies=0,
        oldest_reply_seconds=0.0,
        agent_questions=0,
    )
    for metric in telemetry._registry.collect():
        if metric.name.startswith("relay_"):
            yield metric.name + {"counter": "_total", "info": "_info"}.get(metric.type, "")


def test_every_command_is_listed() -> None:
    """The README's table has a row for each command."""
    told = {
        row.split()[1]
        for row in first_column(section(read("README.md"), "## The command line"))
        if " " in row
    }
    assert told == set(_parser()._subparsers._group_actions[0].choices)  # type: ignore[union-attr,arg-type]


def test_every_scope_and_fault_and_variable_is_named() -> None:
    """Scopes, the sandbox's faults, and the variables that the code reads."""
    assert set(Scope) <= first_column(section(read("docs/security.md"), "## Who may do what"))
    faults = section(read("docs/api.md"), "## The sandbox")
    assert [kind for kind in get_args(FaultKind) if f"`{kind}`" not in faults] == []
    variables = set(re.findall(r'"(RELAY_[A-Z]+(?:_[A-Z]+)*)"', SOURCE))
    assert variables <= first_column(section(read("docs/operating.md"), "## The environment"))


def test_every_page_is_reached_from_the_readme() -> None:
    """A page that nothing links to is not found."""
    for page in (ROOT / "docs").glob("*.md"):
        assert f"](docs/{page.name})" in read("README.md")


# --- nothing is named that is not there --------------------------------------------------------------------------


def _routes() -> set[tuple[str, str]]:
    """(method, path) of each route, its parameters as `{}`."""
    return {
        (method, re.sub(r"\{.*?\}", "{}", route.path_format))
        for route in Litestar(ROUTES, request_class=Request, dto=JsonBody, openapi_config=None).routes
        for method in getattr(route, "methods", ())
    }


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_path_in_a_page_is_a_route(page: Path) -> None:
    """Each path that a page names is served, by that method where it names one."""
    routes = _routes() | {("GET", "/docs"), ("GET", "/docs/openapi.json")}
    text = page.read_text().replace("$API/", "/api/v1/").replace("… /", "…/")
    text = re.sub(r"(GET|POST|PUT|PATCH|DELETE) /whatsapp/", r"\1 /api/v1/whatsapp/", text)
    pattern = r"(?<![\w.*/])(?:(GET|POST|PUT|PATCH|DELETE) )?(/(?:api/v1|livez|readyz|metrics|docs)\b[^\s`?|\\\")]*)"
    for method, path in re.findall(pattern, text):
        place = re.sub(r"\{.*?\}|\$[A-Z]+|\b[a-z]+_…", "{}", path.rstrip(".,:;…/"))
        known = {method for method, route in routes if route == place}
        if not method and any(route.startswith(place + "/") for _, route in routes):
            continue
        assert method in known if method else known, f"{method} {path}"


def test_every_log_line_that_is_told_of_is_written() -> None:
    """The table of log lines names none that the code has lost."""
    for name in first_column(section(read("docs/operating.md"), "## Logs")) - {"logs.level: debug"}:
        assert f'"{name}"' in SOURCE, name


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_somewhere(page: Path) -> None:
    """Relative links lead to files, and to headings that are in them."""
    for target in re.findall(r"\]\((?!https?://)([^)\s]+)\)", page.read_text()):
        name, _, anchor = target.partition("#")
        file = (page.parent / name).resolve() if name else page
        assert file.is_file(), target
        if anchor:
            assert anchor in _anchors(file), target


def _anchors(page: Path) -> set[str]:
    """The names under which headings can be linked to."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_a_page_is_finished(page: Path) -> None:
    """No promise of later work, no folder of somebody's machine, no package index."""
    found = re.findall(r"TODO|FIXME|TBD|XXX|/home/|/root/|/Users/|/tmp/|pypi\.|npmjs\.", page.read_text())
    assert found == []


def test_every_file_that_the_architecture_names_is_there() -> None:
    """`host/host.py` and the like."""
    for name in re.findall(r"`(?:relay/)?((?:\w+/)+(?:\w+\.py)?|\w+\.py)`", read("docs/architecture.md")):
        assert (ROOT / "relay" / name).exists(), name


# --- the examples ------------------------------------------------------------------------------------------------


def test_examples_can_be_read() -> None:
    """JSON is JSON, Python compiles, shell parses."""
    for page in PAGES:
        text = page.read_text()
        for example in blocks(text, "json"):
            json.loads(example)
        for example in blocks(text, "python"):
            compile(example, page.name, "exec")
        for example in blocks(text, "sh"):
            subprocess.run(["bash", "-n"], input=example, text=True, check=True)


def test_commands_can_be_parsed() -> None:
    """Each `relay …` and `make …` of the pages is one that the command line and the Makefile know."""
    targets = set(re.findall(r"^([a-z-]+):", read("Makefile"), re.MULTILINE))
    for page in PAGES:
        for line in re.findall(
            r"^(?: {4}|.*\.venv/bin/)((?:RELAY_\S+ )?(?:relay|make) .*)$", page.read_text(), re.MULTILINE
        ):
            words = shlex.split(line.partition("#")[0].partition("`")[0].replace("$SESSION", "ses_x"))
            program = next(place for place, word in enumerate(words) if word in {"relay", "make"})
            if words[program] == "make":
                assert words[program + 1] in targets, line
            else:
                _parser().parse_args([word.replace("…", "x") for word in words[program + 1 :]])


def _example(event_type: str) -> dict[str, Any]:
    text = section(section(read("docs/webhooks.md"), "## Every event"), f"### `{event_type}`")
    shown: dict[str, Any] = json.loads(blocks(text, "json")[0])
    return shown


def _data(event: Event) -> dict[str, Any]:
    data: dict[str, Any] = json.loads(event.body)["data"]
    return data


AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
MESSAGE = NewMessage(
    id=MessageId("msg_1"),
    tenant_id="ten_1",
    session_id="ses_1",
    chat="1@s.whatsapp.net",
    direction="inbound",
    origin="contact",
    sender="1@s.whatsapp.net",
    sender_pn="1",
    sender_lid=None,
    contact_id="ctc_1",
    status="received",
    sent_at=AT,
    sender_name=None,
    type="text",
    content={"emoji": "x", "waMessageId": "y"},
    wa_id="y",
    reply_to=None,
    mentions=[],
)


def test_examples_of_message_events_have_the_fields_that_are_sent() -> None:
    """Field by field, against the functions that make the events."""
    row = {**structs.asdict(MESSAGE), "error": None, "edited_at": AT, "revoked_at": AT}
    call = structs.replace(MESSAGE, type="call")
    file = {"mediaId": "med_1", "mediaStatus": "stored", "mimetype": "image/png", "sizeBytes": 1}
    made = [
        facts.message_received(MESSAGE, offline=False, history=False),
        facts.message_received(call, offline=False, history=False),
        facts.message_status(row, AT),
        facts.message_media({**row, "content": file}, AT),
        facts.message_edited(row),
        facts.message_revoked(row),
        facts.message_reaction(MESSAGE),
    ]
    for event in made:
        assert list(_example(event.type)) == list(_data(event)), event.type
    assert _example("message.received")["from"].keys() == _data(made[0])["from"].keys()


def test_examples_of_session_events_have_the_fields_that_are_sent() -> None:
    """The same for what a host tells of a session."""
    wanted = Wanted(
        id=SessionId("ses_1"),
        tenant_id=TenantId("ten_1"),
        engine="sandbox",
        wanted="up",
        wanted_at=AT,
        logout=False,
        request=1,
        status=SessionStatus.CONNECTING,
        limits=SessionLimits(),
        proxy=None,
        link_method="qr",
        link_phone=None,
        banned_until=None,
    )
    change = StatusChange(
        status=SessionStatus.CONNECTING, reason="waiting_for_scan", qr="2@x", qr_expires_at=AT
    )
    status, qr = _events(wanted, change, tell=True)
    assert list(_example("session.status")) == list(_data(status))
    assert list(_example("session.qr")) == list(_data(qr))


def test_examples_of_bots_events_have_the_fields_that_are_sent() -> None:
    """Each names its chat as all do; one of a contact that is gone names that, and nothing else of it."""
    whose: dict[str, Any] = {"at": AT, "tenant_id": TenantId("ten_1"), "session_id": SessionId("ses_1")}
    contact_id = ContactId("ctc_1")
    for event_type in (name for name in EVENT_TYPES if name.startswith("automation.")):
        shown = _example(event_type)
        data = {
            key: value
            for key, value in shown.items()
            if key not in ("sessionId", "chat", "chatType", "contactId", "ruleSet", "rule", "agent")
        }
        event = automation_event(
            event_type, **whose, chat="1@s.whatsapp.net", contact_id=contact_id, data=data
        )
        assert list(shown) == list(_data(event)), event_type
    gone = facts.contact_deleted(**whose, contact_id=contact_id)
    assert list(_example("contact.deleted")) == list(_data(gone))


SECRET = "whsec_" + base64.b64encode(b"0123456789abcdef01234567").decode()


@contextmanager
def receiving(script: str) -> Iterator[str]:
    """An example receiver at work on a port of its own; answers its URL."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process = subprocess.Popen(
        [sys.executable, "-c", script.replace("9000", str(port))],
        env={**os.environ, "WEBHOOK_SECRET": SECRET},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        deadline = time.monotonic() + 20
        while True:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            assert process.poll() is None
            assert time.monotonic() < deadline, "the receiver does not listen"
            time.sleep(0.02)
        yield f"http://127.0.0.1:{port}/"
    finally:
        process.kill()
        process.wait()


@pytest.mark.parametrize("page", ["README.md", "docs/webhooks.md"])
def test_an_example_receiver_tells_genuine_from_forged(page: str) -> None:
    """The receivers that people copy accept our signature, and nothing else."""
    tour = read(page)
    script = next(iter(re.findall(r"receiver\.py <<'END'\n(.*?)^END$", tour, re.DOTALL | re.MULTILINE)), None)
    body, now = b'{"type": "webhook.test"}', int(time.time())
    genuine = {"webhook-id": "evt_1", "webhook-timestamp": str(now)}
    genuine["webhook-signature"] = Signer([SECRET]).sign("evt_1", now, body)
    old = {"webhook-id": "evt_1", "webhook-timestamp": str(now - 3600)}
    old["webhook-signature"] = Signer([SECRET]).sign("evt_1", now - 3600, body)
    with receiving(script or blocks(tour, "python")[0]) as url, httpx.Client(trust_env=False) as client:
        assert client.post(url, content=body, headers=genuine).status_code == 204
        assert client.post(url, content=body + b" ", headers=genuine).status_code == 401
        assert client.post(url, content=body, headers=old).status_code == 401
