"""The bots in rules/: fit to be used as they are, and nobody is answered by accident."""

import inspect
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from relay import first_start
from relay.replies import schema
from relay.replies.book import compile_set, make_book
from relay.replies.flows import step_name
from relay.replies.outcome import Outcome
from relay.replies.reading.check import read_rules
from relay.replies.rule_tests import run_tests
from relay.replies.trial import Trial

ROOT = Path(__file__).parents[2]
FILES = sorted((ROOT / "rules").glob("*.yaml"))
SESSIONS = {"concierge": "Concierge", "loja": "Loja", "support": "Support"}

by_file = pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)


def read(file: Path) -> schema.RuleSet:
    return read_rules(file.read_text(), operator=True)


def outcomes(rules: schema.RuleSet) -> Iterator[Outcome]:
    """Of every message of the set's tests."""
    for test in rules.tests:
        trial = Trial.of(rules, name="shipped")
        for given in [turn.given for turn in test.turns or ()] or [test.given or schema.Given()]:
            yield trial.say(given)


@pytest.mark.parametrize("action", ["check", "test"])
def test_the_commands_find_nothing_wrong(action: str) -> None:
    """As an operator runs them, over the folder."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith("RELAY")}
    words = [sys.executable, "-m", "relay", "rules", action]
    ran = subprocess.run(
        words, cwd=ROOT, env=environ, capture_output=True, text=True, check=False, timeout=60
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert ran.stderr == ""
    assert {Path(line.partition(":")[0]).stem for line in ran.stdout.splitlines()} == set(SESSIONS)


@by_file
def test_it_serves_one_session_of_the_demo_company(file: Path) -> None:
    """By name, so that no other account answers anybody."""
    rules = read(file)
    assert rules.tenants == ["Demo"]
    assert 'name="Demo"' in inspect.getsource(first_start)
    assert rules.sessions == [SESSIONS[file.stem]]


@by_file
def test_it_is_a_companys_own_without_the_line_tenants(file: Path) -> None:
    """As its comment says: the line is removed, and the rest can be put in force over the API."""
    text = file.read_text()
    assert text.count("\ntenants: [Demo]\n") == 1
    own = read_rules(text.replace("\ntenants: [Demo]\n", "\n"), operator=False)
    assert [result for result in run_tests(own, file.stem) if not result.passed] == []


@by_file
def test_its_tests_try_every_rule_and_step(file: Path) -> None:
    """Whoever changes a text or a word is told by the file itself what breaks."""
    rules = read(file)
    found = list(outcomes(rules))
    fired = {cause.rule for outcome in found for cause in outcome.fired}
    assert {rule.id for rule in rules.rules} - fired == set()
    reached: set[tuple[str | None, str | None]] = {
        (note.flow, note.step) for outcome in found for note in outcome.notes if note.flow
    }
    reached |= {(one.cause.flow, one.cause.step) for outcome in found for one in outcome.messages}
    asking = {
        (name, step_name(flow, place))
        for name, flow in rules.flows.items()
        for place, step in enumerate(flow.steps)
        if step.ask is not None
    }
    assert asking - reached == set()
    assert set(rules.flows) - {flow for flow, _ in reached} == set()


@by_file
def test_no_template_fails(file: Path) -> None:
    """A customer would be left without that answer."""
    notes = [note for outcome in outcomes(read(file)) for note in outcome.notes]
    assert notes
    assert [note for note in notes if note.code == "template_failed"] == []


def test_together_each_answers_in_its_own_session_only() -> None:
    """All three at work for one company."""
    book = make_book([compile_set(read(file), name=file.stem, version=None, own=False) for file in FILES])
    for name, session in SESSIONS.items():
        outcome = Trial(book).say(schema.Given(text="oi, reception, agent, atendente", session=session))
        assert outcome.cause.rule_set == name
    quiet = Trial(book).say(schema.Given(text="oi, reception, agent, atendente", session="Sandbox"))
    assert (quiet.verdict, quiet.messages) == ("none", [])
