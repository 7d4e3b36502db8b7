"""docs/rules.md and its Portuguese sister do what they say: examples are read, tests run, tables tried row by row.

A YAML block is a whole set where it begins with `version:`; otherwise its first line says where it belongs (`# in rules:`).
"""

import json
import re
import textwrap
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest
from msgspec import inspect, structs

from relay.model.message import MessageType
from relay.model.session import BotSettings
from relay.replies import actions, decide, flows, rule_tests, schema
from relay.replies.matching import regex as match_regex
from relay.replies.reading import yaml_nodes
from relay.replies.reading.check import read_rules
from relay.replies.reading.problems import RulesInvalid
from relay.replies.rule_tests import run_tests, text_of
from relay.replies.said import in_language
from relay.replies.templates.filters import FILTERS
from relay.replies.trial import Trial
from relay.store import rule_sets

DOCS = Path(__file__).parents[2] / "docs"
LANGUAGES = {"rules.md": "en", "rules.pt-BR.md": "pt-BR"}
PAGES = {name: (DOCS / name).read_text() for name in LANGUAGES}
# What examples name.
TOP = "version: 1\nholidays: {country: BR}\nlists: {vips: ['+55 11 91234-5678']}\n"
BESIDE = {
    "templates": "hours: From 9 to 18.",
    "flows": "menu: {steps: [{ask: What?}]}",
    "rules": "- {id: one, when: {always: true}, do: [{stop: true}]}",
}

on_each_page = pytest.mark.parametrize("page", PAGES)


def yaml_blocks(page: str) -> list[str]:
    return re.findall(r"^```yaml\n(.*?)^```$", PAGES[page], re.DOTALL | re.MULTILINE)


def whole_sets(page: str) -> Iterator[str]:
    """Those that are shown, and those that the quick start writes."""
    yield from (block for block in yaml_blocks(page) if block.startswith("version:"))
    yield from re.findall(r"\.yaml <<'END'\n(.*?)^END$", PAGES[page], re.DOTALL | re.MULTILINE)


def table(page: str, *headings: str) -> list[list[str]]:
    """The rows of the table whose first column is called so, in either language."""
    found = re.search(
        rf"^ *\| (?:{'|'.join(headings)}) \|.*\n *\|[- |]+\n((?: *\|.*\n)+)", PAGES[page], re.MULTILINE
    )
    assert found is not None, headings
    rows = [re.split(r"(?<!\\)\|", line)[1:-1] for line in found[1].splitlines()]
    return [[cell.strip().replace("\\|", "|") for cell in row] for row in rows]


def codes(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


def reading(**parts: str) -> schema.RuleSet:
    """A set of these parts, and of what examples name beside them."""
    written = {**BESIDE, **parts}
    text = "".join(f"{key}:\n{textwrap.indent(value, '  ')}\n" for key, value in written.items())
    return read_rules(TOP + text, operator=False)


def rule(**parts: str) -> str:
    written = {"when": "always: true", "do": "- stop: true", **parts}
    text = "".join(f"{key}:\n{textwrap.indent(value, '  ')}\n" for key, value in written.items())
    return "- id: one\n" + textwrap.indent(text, "  ")


def given(example: str) -> schema.Given:
    """A message as the tables write it: its text, or a mapping as in `tests`."""
    mapping = example if example.startswith("{") else f"{{text: {json.dumps(example)}}}"
    (test,) = reading(tests=f"- {{name: one, given: {mapping}, expect: {{rule: one}}}}").tests
    return test.given or schema.Given()


def fires(rules: schema.RuleSet, example: str) -> bool:
    return bool(Trial.of(rules, name="page").say(given(example)).fired)


@on_each_page
def test_the_mistake_that_is_shown_is_told_so(page: str) -> None:
    """The line in the quick start is what `check` says of the file that it writes, in the page's language."""
    shown = re.search(r"^    \w+\.yaml:(\d+):(\d+): (.*keywrd.*)$", PAGES[page], re.MULTILINE)
    assert shown is not None
    first = re.findall(r"\.yaml <<'END'\n(.*?)^END$", PAGES[page], re.DOTALL | re.MULTILINE)[0]
    with pytest.raises(RulesInvalid) as refused:
        read_rules(first.replace("keyword", "keywrd", 1), operator=False)
    problem = refused.value.problems[0]
    sentence = in_language(problem.sentence, "en" if page == "rules.md" else "pt-BR")
    assert shown.groups() == (str(problem.line), str(problem.column), sentence)


@on_each_page
def test_whole_sets_are_right_and_their_tests_pass(page: str) -> None:
    """Each could be put in force as it stands."""
    found = list(whole_sets(page))
    assert len(found) > 5
    for text in found:
        rules = read_rules(text, operator=False)
        assert [result for result in run_tests(rules, "page") if not result.passed] == []


def test_the_example_of_the_readme_is_right() -> None:
    """The first bot that most people see."""
    (text,) = re.findall(
        r"^```yaml\n(.*?)^```$", (DOCS.parent / "README.md").read_text(), re.DOTALL | re.MULTILINE
    )
    assert [result.passed for result in run_tests(read_rules(text, operator=False), "readme")] == [True]


@on_each_page
def test_fragments_are_right_where_they_belong(page: str) -> None:
    """Each says in its first line what it is a part of."""
    for block in yaml_blocks(page):
        if not block.startswith("version:"):
            where = re.match(r"# (?:in|em) (\w+):\n", block)
            assert where is not None, block
            reading(**{where[1]: block})


@on_each_page
def test_triggers_fit_what_the_table_says(page: str) -> None:
    """And do not fit what it says they do not."""
    for example, fits, misfits, *_ in table(page, "trigger", "gatilho"):
        rules = reading(rules=rule(when=codes(example)[0]))
        assert codes(fits), example
        assert [one for one in codes(fits) if not fires(rules, one)] == [], example
        assert [one for one in codes(misfits) if fires(rules, one)] == [], example


@on_each_page
def test_conditions_hold_where_the_table_says(page: str) -> None:
    """And nowhere else."""
    for example, holds, fails, *_ in table(page, "condition", "condição"):
        rules = reading(rules=rule(**{"if": f"- {codes(example)[0]}"}))
        assert [one for one in codes(holds) if not fires(rules, one)] == [], example
        assert [one for one in codes(fails) if fires(rules, one)] == [], example


@on_each_page
def test_actions_can_be_done(page: str) -> None:
    """Each example is read, and no template in it fails."""
    for example, *_ in table(page, "action", "ação"):
        rules = reading(rules=rule(do=f"- {codes(example)[0]}"))
        notes = Trial.of(rules, name="page").say(given("hi")).notes
        assert "fired" in [note.code for note in notes]
        assert [note for note in notes if note.code == "template_failed"] == [], example


@on_each_page
def test_filters_make_what_the_table_says(page: str) -> None:
    """Each example has its result, for the values above the table; and each filter is there."""
    sample = "{text: hi, name: Maria Silva, vars: {total: 1234.5, city: são paulo, list: [3, 1, 3], items: [{name: cake, price: 12}, {name: tea, price: 8}]}}"
    said = structs.replace(given(sample), at=datetime(2026, 1, 5, 10, 0))  # noqa: DTZ001 - in the set's zone
    told: set[str] = set()
    for names, examples, results in table(page, "filter", "filtro"):
        told |= set(codes(names))
        for example, result in zip(codes(examples), codes(results), strict=True):
            reply = rule(do=f"- reply: {json.dumps(example, ensure_ascii=False)}")
            rules = reading(rules=reply, defaults=f"language: {LANGUAGES[page]}")
            (message,) = Trial.of(rules, name="page").say(said).messages
            assert text_of(message) == result, example
    assert told == set(FILTERS)


# --- nothing is left out --------------------------------------------------------------------------------------------


def _keys(wanted: inspect.Type, seen: dict[type, list[str]]) -> dict[type, list[str]]:
    """Every struct of the schema, with its keys as people write them."""
    match wanted:
        case inspect.StructType(cls=cls, fields=fields) if cls not in seen:
            seen[cls] = [field.encode_name for field in fields]
            for field in fields:
                _keys(field.type, seen)
        case inspect.UnionType(types=types):
            for one in types:
                _keys(one, seen)
        case inspect.ListType(item_type=inner) | inspect.DictType(value_type=inner):
            _keys(inner, seen)
        case _:
            pass
    return seen


@on_each_page
def test_every_key_is_named(page: str) -> None:
    """Of every struct in the schema, within backticks or an example."""
    code = "\n".join([*yaml_blocks(page), *codes(re.sub(r"```.*?```", "", PAGES[page], flags=re.DOTALL))])
    words = set(re.findall(r"[A-Za-z_]+", code))
    keys = _keys(inspect.type_info(schema.RuleSet), {})
    # Of a comparison, which the schema holds as anything.
    _keys(inspect.type_info(schema.Comparison), keys)
    assert len(keys) > 20
    assert {cls.__name__: missing for cls, names in keys.items() if (missing := set(names) - words)} == {}


@on_each_page
def test_limits_are_those_of_the_code(page: str) -> None:
    """The table of limits, against the constants."""
    told = PAGES[page].replace(".", "").replace(",", "")
    limits = [
        f"{yaml_nodes.BYTES_MOST // 1024} KiB",
        f"{rule_tests._SECONDS:g} s",
        str(match_regex.MAX_CHARACTERS),
        f"{actions._WAIT_MOST_SECONDS / 60:g} min",
        f"{actions._TYPING_MOST_SECONDS:g} s",
    ]
    assert [limit for limit in limits if limit not in told] == []
    rows = {
        cells[0]: [int(n) for n in re.findall(r"\d+", cells[1])] for cells in table(page, "what", "o quê")
    }
    assert [actions._MESSAGES_MOST, decide._MOST_FIRED, flows._MOST_STEPS] in rows.values()
    assert [rule_sets.SETS_MOST, rule_sets.VERSIONS_MOST] in rows.values()
    settings = BotSettings()
    assert [settings.replies_per_minute, settings.replies_per_hour] in rows.values()


def test_types_are_those_that_there_are() -> None:
    """The types that the tables name."""
    for page in PAGES:
        row = next(cells for cells in table(page, "trigger", "gatilho") if "types:" in cells[0])
        named = re.findall(r"[a-z]+", row[-1])
        assert set(named) <= set(MessageType), page


def test_the_pages_say_the_same() -> None:
    """As many headings, examples and rows in both."""
    shapes = [
        (
            [len(heading) for heading in re.findall(r"^(#+) ", text, re.MULTILINE)],
            len(yaml_blocks(page)),
            text.count("```sh"),
            len(re.findall(r"^ *\|", text, re.MULTILINE)),
        )
        for page, text in PAGES.items()
    ]
    assert shapes[0] == shapes[1]
