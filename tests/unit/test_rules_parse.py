"""The text of a rule set: what YAML would twist, what is refused, and where every mistake is said to be."""

import time
from datetime import datetime
from typing import Any

import msgspec
import pytest

from relay.replies import schema
from relay.replies.reading.parse import parse
from relay.replies.reading.problems import RulesInvalid
from relay.replies.schema import RuleSet

HEAD = "version: 1\n"


def read(text: str | bytes) -> RuleSet:
    return parse(text)[0]


def problems(text: str | bytes) -> list[tuple[int, int, str, str]]:
    with pytest.raises(RulesInvalid, match="Line") as raised:
        parse(text)
    return [msgspec.structs.astuple(problem) for problem in raised.value.problems]


def problem(text: str | bytes) -> tuple[int, int, str, str]:
    """The only one."""
    [found] = problems(text)
    return found


def rule(line: str) -> schema.Rule:
    """A rule with one line more."""
    return read(
        f"{HEAD}rules:\n  - id: a\n    when: {{always: true}}\n    do: [{{stop: true}}]\n    {line}\n"
    ).rules[0]


def trigger(line: str) -> schema.When:
    return read(f"{HEAD}rules: [{{id: a, when: {{{line}}}, do: [stop: true]}}]").rules[0].when


def test_words_that_yaml_takes_for_something_else_stay_words() -> None:
    """Norway's problem and its relatives: where a text is wanted, what was written is the text."""
    text = HEAD + (
        "flows:\n"
        "  menu:\n"
        "    cancel: [no, off, 0x1F, 1_000, 12:30]\n"
        "    steps:\n"
        "      - ask: yes\n"
        "        match: {yes: end, no: end, on: end, off: end, sim: end, não: end, 1: end, 2.50: end, null: end, 09:00: end}\n"
    )
    [step] = read(text).flows["menu"].steps
    assert list(step.match or {}) == ["yes", "no", "on", "off", "sim", "não", "1", "2.50", "null", "09:00"]
    assert step.ask == "yes"
    assert read(text).flows["menu"].cancel == ["no", "off", "0x1F", "1_000", "12:30"]
    assert trigger("keyword: [1, 2.0, true, 2026-12-24, on]").keyword == [
        "1",
        "2.0",
        "true",
        "2026-12-24",
        "on",
    ]
    assert trigger("equals: 42").equals == "42"
    assert trigger("equals: 007").equals == "007"


def test_times_and_dates_are_what_was_written() -> None:
    """09:00 is not 540, and a date is no date where a text is wanted."""
    made = rule("if: [{time: {after: 09:00, before: 18:00, weekday: [mon]}}]").if_[0].time
    assert made is not None
    assert (made.after, made.before) == ("09:00", "18:00")
    assert read(HEAD + "holidays: {country: BR, dates: [2026-12-24, 12-31]}").holidays.dates == [
        "2026-12-24",
        "12-31",
    ]
    given = (
        read(HEAD + "tests: [{name: t, given: {text: 5, at: 2026-01-05T10:00}, expect: {rule: 1}}]")
        .tests[0]
        .given
    )
    assert given is not None
    assert (given.text, given.at) == ("5", datetime.fromisoformat("2026-01-05T10:00"))


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("42", 42), ("-1.5", -1.5), ("1e3", 1000.0), ("true", True), ("False", False), ("null", None), ("~", None),
        ("yes", "yes"), ("no", "no"), ("007", "007"), ("+5511912345678", "+5511912345678"), ("0x1F", "0x1F"),
        ("1_000", "1_000"), ("09:00", "09:00"), ("2026-01-05", "2026-01-05"), (".inf", ".inf"), ("1e999", "1e999"),
        ("12345678901234567890", "12345678901234567890"), ("'42'", "42"), ("[1, {a: no}]", [1, {"a": "no"}]),
    ],
)  # fmt: skip
def test_anything_is_read_without_losing_what_was_written(written: str, value: Any) -> None:
    """Where any value may stand: numbers and true are such, codes and phone numbers stay text."""
    action = (
        read(f"{HEAD}rules: [{{id: a, when: {{always: true}}, do: [{{set: {{x: {written}}}}}]}}]")
        .rules[0]
        .do[0]
    )
    read_value = (action.set or {})["x"]
    assert (read_value, type(read_value)) == (value, type(value))


@pytest.mark.parametrize(
    ("written", "seconds"),
    [("30s", 30), ("5m", 300), ("2h", 7200), ("1h30m", 5400), ("7d", 604_800), ("45", 45), ("'45'", 45), ("1.5", 1.5),
     ("0.25s", 0.25), ("1d2h3m4s", 93_784), ("365d", 365 * 86_400), ("0", 0)],
)  # fmt: skip
def test_durations(written: str, seconds: float) -> None:
    """Units in their order, or a bare number of seconds."""
    made = rule(f"cooldown: {written}").cooldown
    assert made == seconds
    assert isinstance(made, float)


@pytest.mark.parametrize(
    "written",
    ["366d", "soon", "1h 30m", "30m1h", "-5s", "1e3", ".inf", "5 m", "''", "9999999999", "1:30", "5M"],
)
def test_what_is_no_duration(written: str) -> None:
    """Nothing is guessed."""
    _, _, path, detail = problem(
        f"{HEAD}rules:\n  - {{id: a, when: {{always: true}}, do: [stop: true], cooldown: {written}}}\n"
    )
    assert path == "rules[0].cooldown"
    assert "write 30s, 5m, 1h30m or 7d" in detail


def test_switches_and_numbers_may_be_written_as_people_do() -> None:
    """`enabled: yes` and a number in quotes mean what they say where nothing else could be meant."""
    made = read(
        "version: '1'\nenabled: no\nshadow: on\nrules: [{id: a, priority: '10', when: {always: yes}, do: [stop: True]}]"
    )
    assert (made.version, made.enabled, made.shadow) == (1, False, True)
    assert (made.rules[0].priority, made.rules[0].when.always) == (10, True)


def test_headings_without_anything_below_are_no_mistake() -> None:
    """A section whose entries are commented out; but within a rule an empty key would change what it means."""
    assert read(HEAD + "rules:\n  # - id: later\ntests:\nflows:\ndefaults:\n") == RuleSet(version=1)
    found = problem(
        HEAD + "rules:\n  - id: a\n    when:\n      keyword: x\n      tags:\n    do: [stop: true]\n"
    )
    assert found[2:] == (
        "rules[0].when.tags",
        "is empty: write a text or a list such as [a, b], or leave the key out.",
    )


# --- what is refused -----------------------------------------------------------------------------------------------


def _bomb() -> str:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 12)]
    return "\n".join(lines)


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        (_bomb(), 1, "Anchors (&a0)"),
        ("version: 1\nrules: *x", 2, "Aliases (*x)"),
        ("version: 1\n<<: *x", 2, "Aliases (*x)"),
        ("version: 1\ndescription: !!python/object/apply:os.system [id]", 2, "Tags (tag:yaml.org,2002:python/object/apply:os.system)"),
        ("version: 1\ndescription: !mine x", 2, "Tags (!mine)"),
        ("version: !!int 1", 1, "Tags"),
        ("version: 1\nx: " + "[" * 30 + "]" * 30, 2, "more than 20 levels"),
        ("version: 1\nx: " + "[" * 100_000, 2, "more than 20 levels"),
        ("- " * 100_000, 1, "more than 20 levels"),
        ("version: 1\nx: " + "{a: " * 10_000, 2, "more than 20 levels"),
        ("x: [" + "1, " * 20_001 + "]", 1, "More than 20000 values"),
        ("# " + "x" * (256 * 1024), 1, "at most 262144 are read"),
        ("version: 1\n---\nversion: 1", 2, "A second document"),
        ("version: 1\ndescription: a\x00b", 2, "control character (U+0000)"),
        ('version: 1\ndescription: "a\\0b"', 2, "the character \\0"),
        ("version: 1\ndescription: a\x1bb", 2, "control character (U+001B)"),
        (b"version: 1\ndescription: \xff", 1, "not UTF-8"),
        ("version: 1\n".encode("utf-16"), 1, "not UTF-8"),
        ("version: 1\ndescription: \ud800", 1, "not UTF-8"),
        ('version: 1\ndescription: "\\ud800"', 2, "not valid YAML"),
        ("version: 1\ndescription: \ufffe", 2, "does not allow (U+FFFE)"),
        ("", 1, "Is empty"),
        ("# only a comment\n", 1, "Is empty"),
        ("version: 1\n[a]: b", 2, "A key has to be"),
        ("version: 1\ndescription: a: b", 2, 'A text that holds ": " needs quotes'),
        ("version: 1\n\tdescription: a", 2, "spaces, not tabs"),
        ("version: 1\ndescription: @me", 2, "needs quotes"),
        ("version: 1\ndescription: 'a", 2, "never closed"),
        ("version: 1\nrules: [{id: a", 3, "never closed"),
        ("version: 1\ndescription: {{ x }}", 2, "needs quotes"),
        ('version: 1\ndescription: "\\d"', 2, "single quotes"),
    ],
    ids=lambda value: repr(value)[:40],
)  # fmt: skip
def test_hostile_and_broken_yaml(text: str | bytes, line: int, words: str) -> None:
    """Refused at once, at its line, with what to do; nothing is expanded, made or run."""
    begun = time.monotonic()
    found = problem(text)
    assert found[0] == line, found
    assert words in found[3]
    assert time.monotonic() - begun < 2


def test_the_largest_that_is_read_is_read_soon() -> None:
    """Text of the whole size, in short values: bounded work."""
    lines = "".join(f"  - {{id: r{n}, when: {{keyword: a}}, do: [{{reply: b}}]}}\n" for n in range(1500))
    begun = time.monotonic()
    assert len(read(HEAD + "rules:\n" + lines + "#" * 150_000).rules) == 1500
    assert time.monotonic() - begun < 5


def test_a_key_stands_once() -> None:
    """In structs, in pairs and where anything may stand; the first line is named."""
    text = HEAD + (
        "templates:\n"
        "  a: x\n"
        "  a: y\n"
        "rules:\n"
        "  - id: a\n"
        "    when: {always: true}\n"
        "    when: {keyword: x}\n"
        "    do:\n"
        "      - emit:\n"
        "          name: x\n"
        "          data: {k: 1, k: 2}\n"
        "description: a\n"
        "version: 1\n"
    )
    assert [(line, path) for line, _, path, _ in problems(text)] == [
        (4, "templates.a"),
        (8, "rules[0].when"),
        (12, "rules[0].do[0].emit.data.k"),
        (14, "version"),
    ]
    assert problems(text)[1][3] == "stands here a second time; the first is on line 7."


# --- where, and in which words ---------------------------------------------------------------------------------------


def test_every_mistake_is_told_with_its_place() -> None:
    """One look finds them all, in the order of the text, line and column exact."""
    text = """\
version: 2
defaults:
  cooldwon: 30s
rules:
  - id: first rule
    when: {keywrod: hi}
    do: [{reply: Hi}]
  - when:
      always: maybe
    do:
      - reply: {text: a, template: b}
      - typing: long
      - reply: x
        stop: true
flows:
  menu:
    steps:
      - capture: x
tests: nothing
"""
    assert problems(text) == [
        (1, 10, "version", "“2” is not known here: write 1."),
        (3, 3, "defaults.cooldwon", "is no key of `defaults`; did you mean `cooldown`?"),
        (5, 9, "rules[0].id", "“first rule” is not a name (letters without accents, digits, _ . and -, at most 64)."),
        (6, 12, "rules[0].when.keywrod", "is no key of `when`; did you mean `keyword`?"),
        (8, 5, "rules[1]", "needs `id`."),
        (9, 15, "rules[1].when.always", "must be true or false, not “maybe”."),
        (11, 36, "rules[1].do[0].reply.template", "goes not with `text`: leave out one of them."),
        (12, 17, "rules[1].do[1].typing", "“long” is no duration: write 30s, 5m, 1h30m or 7d (at most 365d)."),
        (14, 15, "rules[1].do[2].stop", "stands beside `reply`: each action has one key; begin a new line with `-` for the next."),
        (18, 9, "flows.menu.steps[0]", "does nothing: write `ask` or `do`."),
        (18, 18, "flows.menu.steps[0].capture", "goes only with `ask`: without a question there is no answer."),
        (19, 8, "tests", "must be a list of tests, each after a `-`, not “nothing”."),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("line", "path", "words"),
    [
        ("when: {}", "when", "or `always: true`"),
        ("when: {chats: group}", "when", "or `always: true`"),
        ("when: {case: true, accents: true}", "when", "says nothing"),
        ("when: {always: true, keyword: x}", "when.always", "`keyword` would never matter"),
        ("when: {any: []}", "when.any", "needs 1 or more"),
        ("when: {any: [{case: true}]}", "when.any[0]", "says nothing"),
        ("when: {fuzzy: {like: x, score: 20}}", "when.fuzzy.score", "from 50 to 100"),
        ("when: {chats: everyone}", "when.chats", "write any, group, mentioned or private"),
        ("when: {types: text}", "when.types", "must be a list such as [a, b]"),
        ("when: keyword", "when", "must be the keys of `when`"),
        ("when: {keyword: []}", "when.keyword", "needs 1 or more"),
        ("when: {keyword: {a: b}}", "when.keyword", "must be a text or a list such as [a, b]"),
        ("if: [{}]", "if[0]", "says nothing"),
        ("if: [{time: {timezone: UTC}}]", "if[0].time", "`after`, `before`"),
        ("if: [{time: {after: '25:00'}}]", "if[0].time.after", "a time of day such as 09:00"),
        ("if: [{time: {after: '9:00'}}]", "if[0].time.after", "a time of day such as 09:00"),
        ("if: [{time: {after: 09:00, before: 09:00}}]", "if[0].time.before", "is the same as `after`"),
        ("if: [{time: {weekday: [monday]}}]", "if[0].time.weekday[0]", "fri, mon"),
        ("if: [{vars: {x: {abov: 5}}}]", "if[0].vars.x", "cannot be compared"),
        ("if: [{vars: {x: {}}}]", "if[0].vars.x", "says nothing"),
        ("if: [{percentage: 120}]", "if[0].percentage", "from 0 to 100"),
        ("do: []", "do", "needs 1 or more"),
        ("do: [{}]", "do[0]", "does nothing"),
        ("do: [{reply: ''}]", "do[0].reply", "is empty"),
        ("do: [{reply: {quote: true}}]", "do[0].reply", "says nothing"),
        ("do: [{reply: {text: x, poll: {question: q, options: [a, b]}, choices: {options: [a]}}}]", "do[0].reply.choices", "goes not with `poll`"),
        ("do: [{reply: {media: {}}}]", "do[0].reply.media", "either `url` or `mediaId`"),
        ("do: [{reply: {poll: {question: q, options: [a, a]}}}]", "do[0].reply.poll.options", "twice"),
        ("do: [{reply: {poll: {question: q, options: [a, b], selectable: 3}}}]", "do[0].reply.poll.selectable", "only 2 options"),
        ("do: [{stop: false}]", "do[0].stop", "write `stop: true`"),
        ("do: [{continue: no}]", "do[0].continue", "write `continue: true`"),
        ("do: {reply: x}", "do", "must be a list of actions, each after a `-`"),
        ("do: [{emit: {name: Paid}}]", "do[0].emit.name", "small letters"),
        ("do: [{http: {url: 'https://a', method: get}}]", "do[0].http.method", "DELETE, GET"),
        ("priority: high", "priority", "must be a whole number"),
        ("priority: 2000", "priority", "from -1000 to 1000"),
        ("priority: 1.5", "priority", "must be a whole number"),
    ],
)  # fmt: skip
def test_what_does_not_go_together(line: str, path: str, words: str) -> None:
    """Each slip gets a sentence that says what to write."""
    fields = {"when": "{always: true}", "do": "[stop: true]"}
    rest = ", ".join(f"{key}: {value}" for key, value in fields.items() if not line.startswith(key + ":"))
    found = problem(f"{HEAD}rules:\n  - {{id: a, {rest},\n     {line}}}\n")
    assert found[2] == f"rules[0].{path}"
    assert words in found[3], found


@pytest.mark.parametrize(
    ("line", "path", "words"),
    [
        ("{ask: x, match: {}}", "match", "is empty"),
        ("{ask: x, match: {a: end, 'A|b': end}}", "match", "“a” twice"),
        ("{ask: x, match: {'a|': end}}", "match", "empty answer"),
        ("{ask: x, retry: 11}", "retry", "from 0 to 10"),
        ("{ask: x, validate: {}}", "validate", "says nothing"),
        ("{ask: x, validate: {min: 5, max: 1}}", "validate.max", "less than `min`"),
        ("{do: [stop: true], retry_text: x}", "retry_text", "only with `ask`"),
        ("{ask: x, match: {1: {goto: a, stop: true}}}", "match.1.stop", "stands beside `goto`"),
    ],
)  # fmt: skip
def test_steps_that_make_no_sense(line: str, path: str, words: str) -> None:
    """The same for flows."""
    found = problem(f"{HEAD}flows: {{f: {{steps: [{line}]}}}}")
    assert found[2] == f"flows.f.steps[0].{path}"
    assert words in found[3], found


def test_tests_say_what_is_given_and_expected() -> None:
    """One message, or turns, not both and not half."""
    for entry, words in (
        ("{name: a, given: {text: x}}", "needs `given` and `expect`"),
        ("{name: a, turns: []}", "is empty"),
        ("{name: a, given: {text: x}, turns: [{given: {}, expect: {rule: a}}]}", "goes not with"),
        ("{name: a, given: {text: x}, expect: {}}", "expects nothing"),
    ):
        assert words in problem(f"{HEAD}tests: [{entry}]")[3]


def test_mistakes_beyond_a_hundred_are_not_told() -> None:
    """A text that is wrong everywhere costs no more than a hundred sentences."""
    assert len(problems(HEAD + "".join(f"key{n}: 1\n" for n in range(5000)))) == 100


def test_the_error_names_the_first_and_how_many_more() -> None:
    """What a log line or an API's answer shows in one sentence."""
    with pytest.raises(
        RulesInvalid, match=r"^Line 2: colour: is no key of a rule set.* \(and 1 more\)$"
    ) as raised:
        parse("version: 1\ncolour: red\nshape: x\n")
    assert (raised.value.code, raised.value.path) == ("rules_invalid", "colour")
