"""The `tests:` of a rule set: each is tried on a made-up chat, and what came is held against what was expected.

given ──► Trial.say ──► Outcome ──► compared with `expect` ──► sentences on what differs
"""

import re
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from msgspec import Struct, structs

from relay.replies import schema
from relay.replies.book import Book, compile_set, make_book
from relay.replies.outcome import Outcome, Planned
from relay.replies.reading.wording import quote
from relay.replies.trial import Trial, TrialState

_SECONDS = 5.0
_TOO_SLOW = f"The tests take more than {_SECONDS:g} seconds of work: this was not tried."
_ANYTHING = re.compile(r"…|\.\.\.")


class TestResult(Struct, frozen=True, kw_only=True):
    __test__ = False  # no test of pytest's

    name: str
    passed: bool
    problems: list[str]
    """Sentences on what differs."""


def run_tests(
    rule_set: schema.RuleSet, name: str, *, clock: Callable[[], float] = time.thread_time
) -> list[TestResult]:
    """Of the set alone, whichever sessions it serves; in the order of the text. `clock` counts seconds of work."""
    anywhere = structs.replace(rule_set, sessions=[], enabled=True)
    book = make_book([compile_set(anywhere, name=name, version=None, own=True)])
    until = clock() + _SECONDS
    return [_run(test, book, lambda: clock() < until) for test in rule_set.tests]


def _run(test: schema.Test, book: Book, in_time: Callable[[], bool]) -> TestResult:
    trial = Trial(book)
    turns = test.turns or [
        schema.Turn(given=test.given or schema.Given(), expect=test.expect or schema.Expect())
    ]
    problems: list[str] = []
    for number, turn in enumerate(turns, 1):
        if not in_time():
            problems.append(_TOO_SLOW)
            break
        outcome = trial.say(turn.given)
        before = f"Turn {number}: " if len(turns) > 1 else ""
        problems += [before + sentence for sentence in differences(turn.expect, outcome, trial.state)]
    return TestResult(name=test.name, passed=not problems, problems=problems)


def differences(expect: schema.Expect, outcome: Outcome, state: TrialState) -> Iterator[str]:
    """Only what is given is compared; an empty text stands for none."""
    rule = outcome.fired[0].rule if outcome.fired else None
    if expect.rule is not None and expect.rule != (rule or ""):
        yield _other("The rule", expect.rule, rule) + _reason(expect.rule, outcome)
    flow, step = (state.flow.flow, state.flow.step) if state.flow else (None, None)
    if expect.flow is not None and expect.flow != (flow or ""):
        yield _other("The flow afterwards", expect.flow, flow)
    if expect.step is not None and expect.step != (step or ""):
        yield _other("The step afterwards", expect.step, step)
    agent = outcome.agent.agent if outcome.agent else None
    if expect.agent is not None and expect.agent != (agent or ""):
        yield _other("The agent", expect.agent, agent)
    handoff = any(event.type == "automation.handoff" for event in outcome.events)
    if expect.handoff is not None and expect.handoff != handoff:
        yield "A person is called." if handoff else "No person is called."
    if expect.replies is not None:
        yield from _other_replies(expect.replies, outcome.messages or outcome.shadow)
    yield from _other_vars(expect.vars or {}, state.vars, outcome.match)
    yield from _other_tags(expect.tags, state.tags)
    events = [str(event.data["name"]) for event in outcome.events if event.type == "automation.event"]
    if expect.events is not None and expect.events != events:
        yield f"The events are {_list(events)}, not {_list(expect.events)}."


def _other(what: str, expected: str, found: str | None) -> str:
    return f"{what} is {quote(found) if found else 'none'}, not {quote(expected) if expected else 'none'}."


def _reason(rule: str, outcome: Outcome) -> str:
    """Why the rule that was expected did not fire, where that is known."""
    notes = [note.detail for note in outcome.notes if note.rule in (rule, None) and not note.fired]
    return f" {notes[0]}" if rule and notes else ""


def _other_replies(expected: Sequence[str], messages: Sequence[Planned]) -> Iterator[str]:
    found = [text_of(message) for message in messages]
    if len(found) != len(expected):
        yield f"The bot says {_list(found)}, which is {len(found)} and not {len(expected)}."
        return
    for number, (pattern, text) in enumerate(zip(expected, found, strict=True), 1):
        if not fits(pattern, text):
            yield f"Reply {number} is {quote(text)}, not {quote(pattern)}."


def _other_vars(expected: dict[str, Any], kept: dict[str, Any], match: dict[str, str]) -> Iterator[str]:
    """`order: 42` is also the text 42, which is what a regex finds."""
    for name, value in expected.items():
        found = kept.get(name, match.get(name))
        if found != value and (found is None or value is None or str(found) != str(value)):
            yield f"The variable {name} is {_value(found)}, not {_value(value)}."


def _other_tags(expected: Sequence[str] | None, found: Sequence[str]) -> Iterator[str]:
    missing = set(expected or []) - set(found)
    if missing or (expected == [] and found):
        yield f"The contact's tags are {_list(found)}, not {_list(expected or [])}."


def text_of(message: Planned) -> str:
    """What the contact reads: a text, a caption, a poll's question."""
    content = message.content
    return str(content.get("text") or content.get("caption") or content.get("question") or "")


def fits(pattern: str, text: str) -> bool:
    """`…` (or `...`) stands for anything. Found from left to right, in linear time."""
    first, *rest = [part.strip() for part in _ANYTHING.split(pattern.strip())]
    text = text.strip()
    if not rest:
        return first == text
    if not text.startswith(first):
        return False
    place = len(first)
    for part in rest[:-1]:
        place = text.find(part, place)
        if place < 0:
            return False
        place += len(part)
    return text.endswith(rest[-1]) and len(text) - len(rest[-1]) >= place


def _list(texts: Sequence[str]) -> str:
    return ", ".join(map(quote, texts)) or "nothing"


def _value(value: Any) -> str:
    return "nothing" if value is None else quote(str(value))
