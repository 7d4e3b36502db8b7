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
from relay.replies.said import joined, said
from relay.replies.trial import Trial, TrialState

_SECONDS = 5.0
_TOO_SLOW = said(
    "The tests take more than {seconds:g} seconds of work: this was not tried.", seconds=_SECONDS
)
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
        problems += [
            said("Turn {number}: {sentence}", number=number, sentence=sentence)
            if len(turns) > 1
            else sentence
            for sentence in differences(turn.expect, outcome, trial.state)
        ]
    return TestResult(name=test.name, passed=not problems, problems=problems)


def differences(expect: schema.Expect, outcome: Outcome, state: TrialState) -> Iterator[str]:
    """Only what is given is compared; an empty text stands for none."""
    rule = outcome.fired[0].rule if outcome.fired else None
    if expect.rule is not None and expect.rule != (rule or ""):
        what = _other(said("The rule"), expect.rule, rule)
        yield joined([what, *_reasons(expect.rule, outcome)], " ")
    flow, step = (state.flow.flow, state.flow.step) if state.flow else (None, None)
    if expect.flow is not None and expect.flow != (flow or ""):
        yield _other(said("The flow afterwards"), expect.flow, flow)
    if expect.step is not None and expect.step != (step or ""):
        yield _other(said("The step afterwards"), expect.step, step)
    agent = outcome.agent.agent if outcome.agent else None
    if expect.agent is not None and expect.agent != (agent or ""):
        yield _other(said("The agent"), expect.agent, agent)
    handoff = any(event.type == "automation.handoff" for event in outcome.events)
    if expect.handoff is not None and expect.handoff != handoff:
        yield said("A person is called.") if handoff else said("No person is called.")
    if expect.replies is not None:
        yield from _other_replies(expect.replies, outcome.messages or outcome.shadow)
    yield from _other_vars(expect.vars or {}, state.vars, outcome.match)
    yield from _other_tags(expect.tags, state.tags)
    events = [str(event.data["name"]) for event in outcome.events if event.type == "automation.event"]
    if expect.events is not None and expect.events != events:
        yield said(
            "The events are {events}, not {expected}.", events=_list(events), expected=_list(expect.events)
        )


def _other(what: str, expected: str, found: str | None) -> str:
    return said(
        "{what} is {found}, not {expected}.",
        what=what,
        found=quote(found) if found else said("none"),
        expected=quote(expected) if expected else said("none"),
    )


def _reasons(rule: str, outcome: Outcome) -> list[str]:
    """Why the rule that was expected did not fire, where that is known: one, or none."""
    notes = [note.detail for note in outcome.notes if note.rule in (rule, None) and not note.fired]
    return notes[:1] if rule else []


def _other_replies(expected: Sequence[str], messages: Sequence[Planned]) -> Iterator[str]:
    found = [text_of(message) for message in messages]
    if len(found) != len(expected):
        yield said(
            "The bot says {replies}, which is {count} and not {expected}.",
            replies=_list(found),
            count=len(found),
            expected=len(expected),
        )
        return
    for number, (pattern, text) in enumerate(zip(expected, found, strict=True), 1):
        if not fits(pattern, text):
            yield said(
                "Reply {number} is {reply}, not {expected}.",
                number=number,
                reply=quote(text),
                expected=quote(pattern),
            )


def _other_vars(expected: dict[str, Any], kept: dict[str, Any], match: dict[str, str]) -> Iterator[str]:
    """`order: 42` is also the text 42, which is what a regex finds."""
    for name, value in expected.items():
        found = kept.get(name, match.get(name))
        if found != value and (found is None or value is None or str(found) != str(value)):
            yield said(
                "The variable {name} is {value}, not {expected}.",
                name=name,
                value=_value(found),
                expected=_value(value),
            )


def _other_tags(expected: Sequence[str] | None, found: Sequence[str]) -> Iterator[str]:
    missing = set(expected or []) - set(found)
    if missing or (expected == [] and found):
        yield said(
            "The contact's tags are {tags}, not {expected}.",
            tags=_list(found),
            expected=_list(expected or []),
        )


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
    return ", ".join(map(quote, texts)) or said("nothing")


def _value(value: Any) -> str:
    return said("nothing") if value is None else quote(str(value))
