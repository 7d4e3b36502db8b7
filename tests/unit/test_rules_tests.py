"""The `tests:` of a rule set, and what they say where something differs."""

import time

import pytest

from relay.replies.reading.check import read_rules
from relay.replies.rule_tests import TestResult, fits, run_tests

RULES = """\
version: 1
templates: {order: "Pedido {{ match.order }} está a caminho."}
rules:
  - id: order
    when: {regex: '^pedido (?P<order>\\d+)$'}
    do: [{reply: {template: order}}, {set: {last: "{{ match.order }}"}}, {tag: buyer}, {emit: order.asked}]
  - id: menu
    when: {keyword: menu}
    do: [{flow: menu}]
  - id: human
    when: {keyword: atendente}
    do: [{reply: Um momento…}, {handoff: true}]
  - id: stock
    when: {keyword: estoque}
    do: [{http: {url: https://shop.example/stock, else: [{reply: Não sei.}]}}, {reply: "{{ http.json.left }} peças"}]
  - id: poll
    when: {keyword: nota}
    do: [{reply: {text: Obrigado, poll: {question: Que nota?, options: [a, b]}}}, {reply: {media: {url: 'https://x/y.png', caption: Veja}}}]
  - {id: place, when: {types: [location]}, do: [{set: {lat: "{{ message.content.latitude }}"}}, {reply: "{{ message.content.name }}: {{ lat }}"}]}
  - {id: picture, when: {types: [image], starts: onde}, do: [{reply: "{{ message.content.mediaId }} {{ message.content.caption }}"}]}
  - {id: rest, priority: 0, when: {contains: '?'}, do: [{agent: main}]}
flows:
  menu:
    cancel: [sair]
    steps:
      - {id: which, ask: "1) Vendas\\n2) Suporte", capture: choice, match: {1: thanks, 2: handoff}}
      - {id: thanks, do: [{reply: Vendas já responde.}]}
tests:
"""


def run(tests: str) -> list[TestResult]:
    return run_tests(read_rules(RULES + tests, operator=False), "shop")


def only(expect: str, given: str = "text: pedido 42") -> list[str]:
    [result] = run(f"  - {{name: t, given: {{{given}}}, expect: {{{expect}}}}}\n")
    assert result.passed is not bool(result.problems)
    return result.problems


@pytest.mark.parametrize(
    ("given", "expect"),
    [
        ("text: Pedido 42", "rule: order, replies: [Pedido 42 está a caminho.], vars: {last: '42', order: 42}, tags: [buyer], events: [order.asked]"),
        ("text: Pedido 42", "replies: ['…42…'], handoff: false, agent: '', flow: ''"),
        ("text: menu", "rule: menu, flow: menu, step: which, replies: ['1) …2) Suporte']"),
        ("text: ATENDENTE", "rule: human, handoff: true, replies: [Um momento...]"),
        ("text: estoque, http: {left: 7}", "replies: [7 peças]"),
        ("text: estoque, http: {status: 500}", "replies: [Não sei.]"),
        ("type: location, content: {latitude: -23.55, name: Loja}", "rule: place, replies: ['Loja: -23.55'], vars: {lat: -23.55}"),
        ("type: image, text: Onde?, content: {mediaId: med_1}", "rule: picture, replies: [med_1 Onde?]"),
        ("type: poll_vote, content: {options: [pedido 42]}", "rule: order"),
        ("text: nota", "replies: [Obrigado, 'Que nota?', Veja]"),
        ("text: 'sim?'", "rule: rest, agent: main, replies: []"),
        ("text: xyz", "rule: '', replies: [], tags: [], events: []"),
        ("text: xyz, vars: {a: 1}, tags: [vip]", "vars: {a: 1, b: null}, tags: [vip]"),
        ("text: Pedido 42, chat: group", "rule: ''"),
    ],
)  # fmt: skip
def test_what_is_as_expected(given: str, expect: str) -> None:
    """Every kind of expectation, met."""
    assert only(expect, given) == []


@pytest.mark.parametrize(
    ("expect", "sentence"),
    [
        ("rule: human", "The rule is “order”, not “human”."),
        ("rule: ''", "The rule is “order”, not none."),
        ("replies: [Pedido 43…]", "Reply 1 is “Pedido 42 está a caminho.”, not “Pedido 43…”."),
        ("replies: []", "The bot says “Pedido 42 está a caminho.”, which is 1 and not 0."),
        ("vars: {last: 43}", "The variable last is “42”, not “43”."),
        ("vars: {other: x}", "The variable other is nothing, not “x”."),
        ("vars: {last: null}", "The variable last is “42”, not nothing."),
        ("tags: [vip]", "The contact's tags are “buyer”, not “vip”."),
        ("tags: []", "The contact's tags are “buyer”, not nothing."),
        ("events: []", "The events are “order.asked”, not nothing."),
        ("handoff: true", "No person is called."),
        ("agent: main", "The agent is none, not “main”."),
        ("flow: menu", "The flow afterwards is none, not “menu”."),
        ("step: which", "The step afterwards is none, not “which”."),
    ],
)
def test_what_differs_is_said(expect: str, sentence: str) -> None:
    """In words."""
    [found] = only(expect)
    assert found.startswith(sentence)


def test_why_the_expected_rule_did_not_fire_is_said() -> None:
    """The trigger or the condition that did not hold."""
    [found] = only("rule: order", "text: pedido x")
    assert found == "The rule is none, not “order”. The regular expression is not found in the text."
    [found] = only("rule: order", "text: pedido 42, chat: group")
    assert found.startswith("The rule is none, not “order”. ")


def test_a_conversation() -> None:
    """Turns share one chat; what differs names its turn."""
    turns = """\
  - name: sales
    turns:
      - {given: {text: menu}, expect: {step: which}}
      - {given: {text: '9'}, expect: {step: which}}
      - {given: {text: '1'}, expect: {replies: [Vendas já responde.], vars: {choice: '1'}, flow: ''}}
  - name: support
    turns:
      - {given: {text: menu}, expect: {flow: menu}}
      - {given: {text: '2'}, expect: {handoff: false}}
"""
    sales, support = run(turns)
    assert sales == TestResult(name="sales", passed=True, problems=[])
    assert support == TestResult(name="support", passed=False, problems=["Turn 2: A person is called."])


def test_tests_do_not_see_each_other() -> None:
    """Each begins with a new chat, however the one before has left it."""
    both = "".join(
        f"  - {{name: t{n}, given: {{text: atendente}}, expect: {{rule: human}}}}\n" for n in range(3)
    )
    assert [result.passed for result in run(both)] == [True] * 3


def test_tests_that_are_slow_are_ended() -> None:
    """However many there are, and however long their turns: what is left has failed, and says so."""
    turn = "{given: {text: menu}, expect: {flow: menu}}"
    rules = read_rules(
        RULES + f"  - {{name: a, turns: [{turn}]}}\n  - {{name: b, turns: [{turn}, {turn}]}}\n",
        operator=False,
    )
    seconds = iter([0.0, 1.0, 4.0, 6.0])
    first, second = run_tests(rules, "shop", clock=lambda: next(seconds))
    assert first.passed
    assert second.problems == ["The tests take more than 5 seconds of work: this was not tried."]


@pytest.mark.parametrize(
    ("pattern", "text", "expected"),
    [
        ("a", "a", True), ("a", "ab", False), ("", "", True), ("…", "", True), ("…", "anything\nat all", True),
        ("a…", "abc", True), ("…c", "abc", True), ("a…c", "abc", True), ("a…c", "ab", False), ("ab…b", "ab", False),
        ("…b…", "abc", True), ("…b…b…", "abc", False), ("…b…b…", "abb", True), ("a...c", "a.c", True),
        (" a … c ", "a b c", True), ("a……b", "ab", True), ("(…)*", "(x)*", True),
    ],
)  # fmt: skip
def test_dots_stand_for_anything(pattern: str, text: str, expected: bool) -> None:
    """And for nothing; all else is taken as it is."""
    assert fits(pattern, text) is expected


def test_many_dots_cost_little() -> None:
    """A pattern that a regular expression would choke on."""
    begun = time.monotonic()
    assert not fits("…a" * 2000 + "…b", "a" * 4000)
    assert time.monotonic() - begun < 1
