"""The pure pieces of the operators' commands."""

import argparse
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest

from relay.commands.checkup.database import check_skew
from relay.commands.checkup.machine import check_journals, check_master_key
from relay.commands.checkup.settings import check_networks, check_operator
from relay.commands.client import find_key, identifier, server_url
from relay.commands.link import draw
from relay.commands.listen import readable
from relay.commands.output import cell, plain, say_details, say_table
from relay.commands.sse import Parser, ServerEvent
from relay.config import Config, Server, Webhooks
from relay.engines.engine import Received
from relay.engines.journal_file import Record
from relay.host.journal import Journal
from relay.model.errors import ConfigError
from relay.model.ids import new_session_id, new_tenant_id
from relay.model.message import MessageType, Party
from relay.vault import create_master_key

STREAM = (
    b"retry: 2000\n: listening\n\n"
    b'id: evt_1\r\nevent: message.received\r\ndata: {"text":"a\xe2\x80\xa8b\xc2\x85c"}\r\n\r\n'
    b"data:one\ndata: two\n\n"
    b"event: nothing\n\n"
    b"id: evt_\x00\ndata: kept\rid: evt_2\r\rdata: half"
)
EVENTS = [
    ServerEvent(id="evt_1", type="message.received", data='{"text":"a\u2028b\x85c"}'.encode()),
    ServerEvent(id="evt_1", type="message", data=b"one\ntwo"),
    ServerEvent(id="evt_2", type="message", data=b"kept"),
]


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
def test_an_event_stream_is_read_however_it_is_cut(size: int) -> None:
    """Every kind of line end, in pieces of any size; the data stays byte for byte, U+2028 within it."""
    parser = Parser()
    chunks = [STREAM[at : at + size] for at in range(0, len(STREAM), size)]
    assert [event for chunk in chunks for event in parser.feed(chunk)] == EVENTS


def test_a_table_is_aligned_and_obeys_nobody(capsys: pytest.CaptureFixture[str]) -> None:
    """Wide characters count as two columns; what a name tells the terminal to do is not done."""
    rows = [{"id": "a", "name": "日本"}, {"id": "bcd", "name": "x\x1b[31m\ny"}, {"id": "e"}]
    say_table(rows, {"ID": "id", "NAME": "name", "AGAIN": "id"})
    assert capsys.readouterr().out.splitlines() == [
        "ID   NAME      AGAIN",
        "a    日本      a",
        "bcd  x�[31m�y  bcd",
        "e    -         e",
    ]
    say_details({"name": "x", "limits": {"perDay": 3, "pace": False}, "scopes": ["a", "b"]})
    assert capsys.readouterr().out.splitlines() == [
        "name           x",
        "limits.perDay  3",
        "limits.pace    no",
        "scopes         a, b",
    ]


def test_a_cell_is_short() -> None:
    """Instants without fractions, nothing as a dash, joined emoji as they are."""
    assert cell("2026-11-23T01:49:39.279433Z") == "2026-11-23 01:49:39Z"
    assert [cell(None), cell(""), cell(True), cell(0.25), cell(0)] == ["-", "-", "yes", "0.25", "0"]
    assert plain("\u202eevil \U0001f469\u200d\U0001f467") == "�evil \U0001f469\u200d\U0001f467"


def server(text: str | None, environ: dict[str, str] | None = None, **settings: object) -> str:
    config = Config(server=msgspec.convert(settings, Server))
    return server_url(argparse.Namespace(url=text), config, environ or {})


def test_the_server_is_named_or_is_this_machines() -> None:
    """--url before RELAY_URL before the settings."""
    assert server(None) == "http://127.0.0.1:8080"
    assert server(None, host="0.0.0.0", port=81) == "http://127.0.0.1:81"
    assert server(None, host="::", port=81) == "http://[::1]:81"
    assert server(None, {"RELAY_URL": "https://relay.example/"}) == "https://relay.example"
    assert server("http://[::1]:9", {"RELAY_URL": "https://relay.example"}) == "http://[::1]:9"


@pytest.mark.parametrize(
    "text", ["relay.example", "ftp://x", "http://", "http://x:99999", "http://x y", "http://u:p@x", "http://x?y=1", "http://[", "http://x\n"]
)  # fmt: skip
def test_what_is_no_server_is_refused(text: str) -> None:
    """Before anything is sent; a user name would be sent instead of the key."""
    with pytest.raises(ConfigError, match="--url"):
        server(text)


def test_a_server_on_any_free_port_must_be_named() -> None:
    """The settings cannot know it."""
    with pytest.raises(ConfigError, match="--url"):
        server(None, port=0)


def test_the_key_comes_from_a_file_or_the_environment(tmp_path: Path) -> None:
    """A file before a company's key before the operator's; the end of a line is not the key's."""
    both = {"RELAY_API_KEY": "company", "RELAY_OPERATOR_KEY": "operator"}
    file = tmp_path / "key"
    file.write_text("filed\n")
    assert find_key(str(file), both).text == "filed"
    assert find_key(None, both).text == "company"
    assert find_key(None, {"RELAY_API_KEY": "", "RELAY_OPERATOR_KEY": "operator"}).text == "operator"


@pytest.mark.parametrize("content", [b"", b"\n", b"two\nlines", "clé".encode(), b"\xff\xfe"])
def test_a_file_without_a_key_is_told(tmp_path: Path, content: bytes) -> None:
    """What could not stand in a header is refused, and never shown."""
    file = tmp_path / "key"
    file.write_bytes(content)
    with pytest.raises(ConfigError) as raised:
        find_key(str(file), {})
    assert "lines" not in raised.value.detail or "one line" in raised.value.detail
    with pytest.raises(ConfigError, match="RELAY_API_KEY"):
        find_key(None, {})


@pytest.mark.parametrize("text", ["", "..", "a/b", "ses_1?x", "ses 1", "x" * 101])
def test_only_an_id_goes_into_a_path(text: str) -> None:
    """A typed argument cannot make another call of a call."""
    assert identifier("ses_01k0wz78rr4p21pp6sy1awnb2w") == "ses_01k0wz78rr4p21pp6sy1awnb2w"
    with pytest.raises(argparse.ArgumentTypeError):
        identifier(text)


def test_a_body_is_shown_over_several_lines() -> None:
    """With nothing in it that a terminal would obey; what is no JSON is shown as it is."""
    assert readable('{"a":"b\x9bc"}'.encode()) == '{\n  "a": "b�c"\n}'
    assert readable(b"\xffnot json") == "\N{REPLACEMENT CHARACTER}not json"


def test_a_qr_code_is_drawn_as_a_square() -> None:
    """Every line has the same width, about twice as many columns as lines."""
    lines = draw("2@" + "a" * 200, colours=False).splitlines()
    assert len({len(line) for line in lines}) == 1
    assert abs(len(lines) * 2 - len(lines[0])) <= 1
    assert draw("x", colours=True).startswith("\x1b[97;40m█")


@pytest.mark.parametrize(
    ("network", "level"),
    [
        ("0.0.0.0/0", "wrong"),
        ("::/0", "wrong"),
        ("169.254.0.0/16", "wrong"),
        ("128.0.0.0/1", "wrong"),
        ("10.0.0.0/7", "warn"),
        ("fc00::/7", "warn"),
        ("10.0.0.0/8", "ok"),
        ("fd00:1::/32", "ok"),
    ],
)
def test_a_network_too_wide_is_told(network: str, level: str) -> None:
    """Everything, and the clouds' metadata address, is wrong; a very wide one is worth a word."""
    config = Config(webhooks=Webhooks(allow_networks=(network,)))
    assert [finding.level for finding in check_networks(config)] == [level]


def test_an_operator_key_is_held_against_samples() -> None:
    """A sample is wrong where others can try it, and worth a word on loopback."""
    far, near = Config(server=Server(host="0.0.0.0")), Config()
    sample, good = (
        {"RELAY_OPERATOR_KEY": "change-me-now-please"},
        {"RELAY_OPERATOR_KEY": "9f86d081884c7d659a2f"},
    )
    assert check_operator(far, sample).level == "wrong"
    assert check_operator(near, sample).level == "warn"
    assert check_operator(far, good).level == check_operator(far, {}).level == "ok"


def test_clocks_apart_are_told() -> None:
    """By how far they are apart, in either direction."""
    levels = [check_skew(seconds).level for seconds in (0.2, -0.2, 2, -2, 60, -60)]
    assert levels == ["ok", "ok", "warn", "warn", "wrong", "wrong"]


def test_a_master_key_is_looked_at(tmp_path: Path) -> None:
    """Missing, open to others, damaged, right."""
    config = Config(server=Server(data_dir=str(tmp_path)))
    path = tmp_path / "master.key"
    assert check_master_key(config)[0].level == "warn"
    create_master_key(path)
    finding, vault = check_master_key(config)
    assert finding.level == "ok"
    assert vault is not None
    path.chmod(0o644)
    assert "chmod 600" in check_master_key(config)[0].mend
    path.chmod(0o600)
    path.write_text("short")
    assert check_master_key(config)[0].level == "wrong"


def test_what_a_journal_holds_back_is_counted(tmp_path: Path) -> None:
    """As the journal itself counts it, before and after a commit; an empty folder holds nothing."""
    config = Config(server=Server(data_dir=str(tmp_path)))
    assert check_journals(config).level == "ok"
    slot = tmp_path / "journal" / "000"
    slot.mkdir(parents=True)
    journal = Journal(slot)
    entry = Received(
        wa_id="W1",
        chat="5511999998888@s.whatsapp.net",
        sender=Party(pn="5511999998888"),
        from_me=False,
        type=MessageType.TEXT,
        content={"text": "hello"},
        sent_at=datetime(2026, 1, 1, tzinfo=UTC),
    )
    journal.append(Record(new_tenant_id(), new_session_id(), entry))
    assert f" {journal.backlog_bytes} bytes" in " " + check_journals(config).sentence
    journal.commit(journal.read(10))
    assert check_journals(config).sentence == "Everything received is in the database."
    journal.close()
