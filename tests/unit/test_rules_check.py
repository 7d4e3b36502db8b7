"""What only a look at the whole rule set shows; and the one door for everybody."""

import time

import msgspec
import pytest

from relay.replies.reading.check import read_rules
from relay.replies.reading.problems import RulesInvalid

GOOD = """\
version: 1
defaults: {timezone: America/Sao_Paulo}
holidays: {country: BR, state: SP, dates: [12-24]}
lists: {team: [+55 11 91234-5678, "5511912345679"]}
templates: {hi: "Olá {{ contact.name }}!"}
rules:
  - id: hi
    when: {any: [{regex: '^oi (?P<who>\\w+)$'}, {from: [team, +55 11 91234-5670]}, {types: [image, text]}]}
    if: [{time: {after: 22:00, before: 06:00, timezone: Europe/Lisbon}}]
    do:
      - typing: 2s
      - reply: {template: hi}
      - http: {url: "{{ vars.base }}/orders", else: [{reply: "{{ http.status }}"}, {goto: menu}]}
      - flow: menu
flows:
  menu:
    steps:
      - {id: first, ask: "1 or 2", match: {1: first, 2: [{reply: ok}, {goto: other}], 3: end, 4: {handoff: true}}, else: handoff}
  other:
    steps: [{do: [{goto: menu}]}, {ask: x, validate: {regex: '^\\d+$'}, do: [{goto: end}]}]
tests:
  - {name: hi, given: {text: oi eu}, expect: {rule: hi}}
"""


def problems(text: str, *, operator: bool = False) -> list[tuple[int, int, str, str]]:
    with pytest.raises(RulesInvalid, match="Line") as raised:
        read_rules(text, operator=operator)
    return [msgspec.structs.astuple(problem) for problem in raised.value.problems]


def test_what_is_right_is_taken() -> None:
    """Every way to name a list, a template, a flow, a step, an end."""
    assert read_rules(GOOD, operator=False).rules[0].id == "hi"
    assert read_rules(GOOD.encode() + b"tenants: ['*']", operator=True).tenants == ["*"]


@pytest.mark.parametrize(
    ("old", "new", "line", "path", "words"),
    [
        ("id: hi", "id: ok\n    when: {always: true}\n    do: [stop: true]\n  - id: ok", 10, "rules[1].id", "another rule's already"),
        ("name: hi", "name: a, given: {}, expect: {rule: x}}\n  - {name: a", 23, "tests[1].name", "another test's already"),
        ("{do: [{goto: menu}]}", "{id: a, ask: x}, {id: a, ask: x}", 20, "flows.other.steps[1].id", "another step's already"),
        ("ask: x, validate", "id: end, ask: x, validate", 20, "flows.other.steps[1].id", "cannot be named `end`"),
        ("  other:", "  handoff: {steps: [{ask: x}]}\n  other:", 19, "flows.handoff", "cannot be named"),
        ("America/Sao_Paulo", "America/Sao_Paolo", 2, "defaults.timezone", "did you mean `America/Sao_Paulo`?"),
        ("America/Sao_Paulo", "../etc/passwd", 2, "defaults.timezone", "no time zone"),
        ("America/Sao_Paulo", "America", 2, "defaults.timezone", "no time zone"),
        ("Europe/Lisbon", "Lisboa", 9, "rules[0].if[0].time.timezone", "no time zone"),
        ("country: BR", "country: XX", 3, "holidays.country", "no known holidays"),
        ("state: SP", "state: Bahia", 3, "holidays.state", "no state of BR"),
        ("country: BR, ", "", 3, "holidays.state", "needs `country`"),
        ("12-24", "02-30", 3, "holidays.dates[0]", "no day of the calendar"),
        ("12-24", "2025-02-29", 3, "holidays.dates[0]", "no day of the calendar"),
        ('"5511912345679"', "maria", 4, "lists.team[1]", "no phone number"),
        ("from: [team,", "from: [teem,", 8, "rules[0].when.any[1].from[0]", "did you mean `team`?"),
        ("types: [image, text]", "types: [picture]", 8, "rules[0].when.any[2].types[0]", "no message type"),
        ("(?P<who>\\w+)", "(?P<who>\\w+", 8, "rules[0].when.any[0].regex", ""),
        ("(?P<who>\\w+)", "(?=x)", 8, "rules[0].when.any[0].regex", ""),
        ("'^\\d+$'", "'['", 20, "flows.other.steps[1].validate.regex", ""),
        ("{{ contact.name }}!", "{{ contact.name }!", 5, "templates.hi", ""),
        ('"{{ http.status }}"', '"{{ http.status"', 13, "rules[0].do[2].http.else[0].reply", ""),
        ('ask: "1 or 2"', 'ask: "{% if %}"', 18, "flows.menu.steps[0].ask", ""),
        ("template: hi", "template: hy", 12, "rules[0].do[1].reply.template", "there is hi."),
        ("- flow: menu", "- flow: menus", 14, "rules[0].do[3].flow", "did you mean `menu`?"),
        ("- flow: menu", "- goto: first", 14, "rules[0].do[3].goto", "is no flow"),
        ("- flow: menu", "- goto: end", 14, "rules[0].do[3].goto", "is no flow"),
        ("1: first", "1: fist", 18, "flows.menu.steps[0].match.1", "did you mean `first`?"),
        ("else: handoff", "else: handof", 18, "flows.menu.steps[0].else", "did you mean `handoff`?"),
        ("{goto: other}", "{goto: nowhere}", 18, "flows.menu.steps[0].match.2[1].goto", "no step or flow"),
        ("typing: 2s", "typing: 61s", 11, "rules[0].do[0].typing", "more than 60s"),
        ("typing: 2s", "wait: 11m", 11, "rules[0].do[0].wait", "more than 10m"),
        ("typing: 2s", "agent: {name: a, debounce: 61s}", 11, "rules[0].do[0].agent.debounce", "more than 1m"),
        ('url: "{{ vars.base }}/orders"', "url: ftp://x", 13, "rules[0].do[2].http.url", "no address"),
        ('url: "{{ vars.base }}/orders"', "url: 'http://['", 13, "rules[0].do[2].http.url", "no address"),
        ('url: "{{ vars.base }}/orders"', "url: https://x, timeout: 5m", 13, "rules[0].do[2].http.timeout", "at most 30s"),
        ("given: {text: oi eu}", "given: {type: fax}", 22, "tests[0].given.type", "no message type"),
        ("given: {text: oi eu}", "given: {content: {latitud: 1}}", 22, "tests[0].given.content.latitud", "did you mean `latitude`?"),
        ("given: {text: oi eu}", "given: {content: {url: x}}", 22, "tests[0].given.content.url", "no field of a message"),
        ("given: {text: oi eu}", "given: {from: me}", 22, "tests[0].given.from", "no phone number"),
        ("given: {text: oi eu}", "given: {at: 0001-01-01}", 22, "tests[0].given.at", "between 1970"),
        ("given: {text: oi eu}", "given: {http: {status: x}}", 22, "tests[0].given.http.status", "status of HTTP"),
        ("version: 1", "version: 1\ntenants: ['*']", 2, "tenants", "operator's files only"),
    ],
)  # fmt: skip
def test_one_slip_is_told_where_it_is(old: str, new: str, line: int, path: str, words: str) -> None:
    """The line, the path, and a sentence that helps."""
    text = GOOD.replace(old, new, 1)
    assert text != GOOD
    [found] = problems(text)
    assert (found[0], found[2]) == (line, path), found
    assert words in found[3]
    assert found[3][-1] in ".?"


def test_an_operators_file_says_whom_it_serves() -> None:
    """Nobody is served by mistake."""
    assert problems(GOOD, operator=True)[0][2:] == (
        "tenants", "is missing: an operator's file says whom it serves, as `tenants: ['*']` for all."
    )  # fmt: skip
    assert problems(GOOD + "tenants: []", operator=True)[0][0] == 23


def test_all_are_told_in_the_order_of_the_text() -> None:
    """Not only the first."""
    text = GOOD.replace("template: hi", "template: hy").replace("flow: menu", "flow: x").replace("BR", "XX")
    assert [found[0] for found in problems(text)] == [3, 12, 14]


def test_a_text_that_is_wrong_everywhere_is_cheap() -> None:
    """Thousands of names that lead nowhere, each like thousands of others: bounded sentences, bounded time."""
    flows = "".join(f"  flow{n}: {{steps: [{{do: [{{goto: flaw{n}}}]}}]}}\n" for n in range(1800))
    begun = time.monotonic()
    assert len(problems(f"version: 1\nflows:\n{flows}")) == 100
    assert time.monotonic() - begun < 5


def test_regular_expressions_are_bounded_together() -> None:
    """Short ones that stand for large machines: refused before they take minutes and memory to make ready."""
    lists = (", ".join(f"'((a|b){{1,30}}){{1,30}}{n}{m}'" for m in range(400)) for n in range(10))
    rules = "".join(
        f"  - {{id: r{n}, when: {{regex: [{one}]}}, do: [stop: true]}}\n" for n, one in enumerate(lists)
    )
    begun = time.monotonic()
    [found] = problems(f"version: 1\nrules:\n{rules}")
    assert found[2] == "rules[0].when.regex[54]"
    assert "too large together" in found[3]
    assert time.monotonic() - begun < 5


def test_many_everyday_regular_expressions_are_fine() -> None:
    """The bound is far from what people write."""
    patterns = ", ".join(f"'^(?:pedido|order)\\s+(?P<order>\\d{{4,8}})-{n}$'" for n in range(500))
    read_rules(
        f"version: 1\nrules: [{{id: a, when: {{regex: [{patterns}]}}, do: [stop: true]}}]", operator=False
    )
