"""`relay rules` on files of this machine, as a terminal sees it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

GOOD = """\
version: 1
tenants: ['*']
rules:
  - {id: order, when: {regex: '^pedido (?P<order>\\d+)$'}, do: [{reply: "Pedido {{ match.order }}\\nObrigado"}, {set: {last: "{{ match.order }}"}}]}
  - {id: vip, when: {tags: vip, keyword: oi}, if: [{vars: {visits: {above: 2}}}], do: [{reply: Olá de novo}, {tag: known}]}
  - {id: human, when: {keyword: atendente}, do: [{handoff: true}]}
tests:
  - {name: an order, given: {text: Pedido 42}, expect: {rule: order, replies: ['Pedido 42…']}}
"""
BAD = GOOD.replace("keyword: oi", "keywrod: oi").replace("handoff: true", "handof: true")


def relay(folder: Path, *words: str) -> tuple[int, list[str], str]:
    ran = subprocess.run(
        [sys.executable, "-m", "relay", "rules", *words],
        cwd=folder,
        env={name: value for name, value in os.environ.items() if not name.startswith("RELAY_")},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert "Traceback" not in ran.stderr, ran.stderr
    return ran.returncode, ran.stdout.splitlines(), ran.stderr


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "rules").mkdir()
    (tmp_path / "rules" / "shop.yaml").write_text(GOOD)
    return tmp_path


def test_check_says_file_line_and_column(folder: Path) -> None:
    """All mistakes of all files, one a line; exit status 1. Without files: those of the folder."""
    assert relay(folder, "check")[:2] == (0, ["rules/shop.yaml: right (rules 3, flows 0, tests 1)"])
    (folder / "rules" / "bad.yaml").write_text(BAD)
    code, lines, _ = relay(folder, "check")
    assert code == 1
    assert lines == [
        "rules/bad.yaml:5:33: rules[1].when.keywrod: is no key of `when`; did you mean `keyword`?",
        "rules/bad.yaml:6:51: rules[2].do[0].handof: is no key of an action; did you mean `handoff`?",
        "rules/shop.yaml: right (rules 3, flows 0, tests 1)",
    ]
    assert relay(folder, "check", "rules/shop.yaml")[0] == 0
    assert relay(folder, "check", "nowhere.yaml")[:2] == (
        1,
        ["nowhere.yaml:1:1: Cannot be read: No such file or directory."],
    )


def test_check_knows_whose_a_file_is(folder: Path) -> None:
    """In the folder it has to say whom it serves; elsewhere it may be a company's own."""
    own = GOOD.replace("tenants: ['*']\n", "")
    (folder / "own.yaml").write_text(own)
    assert relay(folder, "check", "own.yaml")[0] == 0
    (folder / "rules" / "own.yaml").write_text(own)
    assert relay(folder, "check", "rules/own.yaml")[0] == 1
    (folder / "elsewhere.yaml").write_text(GOOD)
    assert relay(folder, "check", "elsewhere.yaml")[0] == 0


def test_an_empty_folder_is_told(tmp_path: Path) -> None:
    """Nothing checked is not the same as nothing wrong."""
    code, _, err = relay(tmp_path, "check")
    assert code == 2
    assert "there is no *.yaml" in err


def test_test_runs_the_tests(folder: Path) -> None:
    """Each by name; what differs below it; exit status 1."""
    assert relay(folder, "test")[:2] == (0, ["rules/shop.yaml: an order: passed"])
    (folder / "rules" / "shop.yaml").write_text(GOOD.replace("rule: order", "rule: human"))
    code, lines, _ = relay(folder, "test")
    assert (code, lines[0]) == (1, "rules/shop.yaml: an order: FAILED")
    assert lines[1].startswith("    The rule is “order”, not “human”.")
    (folder / "rules" / "shop.yaml").write_text(BAD)
    assert relay(folder, "test")[0] == 1


def test_explain_says_what_and_why(folder: Path) -> None:
    """Every rule with its reason, and what would be said; several texts are one conversation."""
    code, lines, _ = relay(folder, "explain", "--text", "Pedido 42", "--text", "atendente")
    assert code == 0
    assert lines[0] == "> Pedido 42"
    assert lines[2].split()[:2] == ["shop/order", "fired"]
    assert lines[3:6] == ["says: Pedido 42", "    Obrigado", "sets last to 42"]
    assert lines[7] == "> atendente"
    assert [line.split()[:2] for line in lines[9:12]] == [
        ["shop/order", "trigger.regex"],
        ["shop/vip", "trigger.keyword"],
        ["shop/human", "fired"],
    ]
    assert lines[12] == "calls a person"


def test_all_three_speak_portuguese(folder: Path) -> None:
    """With `--language pt-BR`; without it every line is English, as programs may read it."""
    language = ("--language", "pt-BR")
    checked = relay(folder, "check", *language)[1]
    assert checked == [
        relay(folder, "check")[1][0]
        .replace("right (rules", "certo (regras")
        .replace("flows", "fluxos")
        .replace("tests", "testes")
    ]
    assert relay(folder, "test", *language)[1] == ["rules/shop.yaml: an order: passou"]
    explained = relay(folder, "explain", *language, "--text", "Pedido 42")[1]
    assert explained[2].split(maxsplit=2)[2] == "A regra disparou."
    assert explained[3:6] == ["diz: Pedido 42", "    Obrigado", "guarda 42 em last"]
    (folder / "rules" / "shop.yaml").write_text("version: 1\ntenants: ['*']\nruels: []\n")
    place = "rules/shop.yaml:3:1: ruels: "
    for action in (["check"], ["test"], ["explain", "--text", "oi"]):
        code, lines, _ = relay(folder, *action, *language)
        assert (code, lines) == (
            1,
            [f"{place}não é uma chave de um conjunto de regras; você quis dizer `rules`?"],
        )
        assert relay(folder, *action)[1] == [f"{place}is no key of a rule set; did you mean `rules`?"]


def test_explain_takes_what_was_before(folder: Path) -> None:
    """Variables are read as in a file: 3 is a number."""
    words = (
        "explain",
        "--text",
        "oi",
        "--tag",
        "vip",
        "--from",
        "+55 11 98888-7777",
        "--at",
        "2026-01-05T10:00",
    )
    assert "says: Olá de novo" in relay(folder, *words, "--var", "visits=3")[1]
    assert relay(folder, *words, "--var", "visits=1")[1][-1] == "The bot says and does nothing."
    assert (
        relay(folder, *words, "--chat", "group", "--var", "visits=3")[1][-1]
        == "The bot says and does nothing."
    )
    assert relay(folder, "explain", "--text", "oi", "--at", "soon")[0] == 2
    assert relay(folder, "explain", "--text", "oi", "--type", "fax")[0] == 2
    held = ("explain", "--text", "", "--content", '{"text": "Pedido 42"}')
    assert "says: Pedido 42" in relay(folder, *held)[1]
    assert relay(folder, *held[:-1], "[1]")[0] == 2


def test_schema_is_printed(folder: Path) -> None:
    """As the copy in docs/."""
    shipped = Path(__file__).parents[2] / "docs" / "rules.schema.json"
    code, lines, _ = relay(folder, "schema")
    assert code == 0
    assert "\n".join(lines) + "\n" == shipped.read_text()
    assert json.loads(shipped.read_text())["$ref"] == "#/$defs/RuleSet"


def test_push_checks_before_it_sends(folder: Path) -> None:
    """A file with a mistake goes nowhere: its lines are told here, before any server is asked."""
    (folder / "own.yaml").write_text("version: 1\nrulez: []\n")
    (folder / "key").write_text("relay_x")
    words = ("push", "shop", "own.yaml", "--url", "http://127.0.0.1:9", "--key-file", "key")
    code, lines, err = relay(folder, *words)
    assert code == 1
    assert lines == ["own.yaml:2:1: rulez: is no key of a rule set; did you mean `rules`?"]
    assert "nothing was sent" in err
