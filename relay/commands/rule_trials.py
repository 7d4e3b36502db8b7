"""Rule files of this machine: what is wrong in them, whether their tests pass, what they would answer and why.

A file in `rules.folder`, or one that says `tenants`, is an operator's; any other is a company's own, to be pushed.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from msgspec import structs

from relay.commands.client import CallFailed
from relay.commands.output import cell, note, plain, say_json, say_table
from relay.config import Config
from relay.logs import say
from relay.model.errors import ConfigError
from relay.model.message import MessageType
from relay.replies import schema
from relay.replies.book import Book, compile_set, make_book
from relay.replies.outcome import Emitted, Outcome, Planned
from relay.replies.reading.check import check as check_rules
from relay.replies.reading.check import read_rules
from relay.replies.reading.json_schema import make_schema
from relay.replies.reading.parse import parse
from relay.replies.reading.problems import RulesInvalid
from relay.replies.reading.rule_files import find_rule_files, read_bounded
from relay.replies.reading.scalars import read_anything, read_instant
from relay.replies.reading.yaml_nodes import Scalar
from relay.replies.rule_tests import run_tests, text_of
from relay.replies.said import Language, in_language, joined, said
from relay.replies.trial import Trial

_NOTE_COLUMNS = {"RULE": "rule", "RESULT": "code", "WHY": "detail"}


class FileRefused(CallFailed):
    """The mistakes have been printed; the command ends with 1."""

    code = "rules_invalid"


def check(arguments: argparse.Namespace, config: Config) -> int:
    """1 where any file has a mistake."""
    wrong = False
    for path in _files(arguments, config):
        try:
            rules = _read(path, config)
        except RulesInvalid as error:
            wrong = True
            _say_problems(path, error, arguments.language)
        else:
            right = said(
                "{file}: right (rules {rules}, flows {flows}, tests {tests})",
                file=_shown(path),
                rules=len(rules.rules),
                flows=len(rules.flows),
                tests=len(rules.tests),
            )
            say(in_language(right, arguments.language))
    return int(wrong)


def test(arguments: argparse.Namespace, config: Config) -> int:
    """1 where any test fails, or a file has a mistake."""
    wrong = False
    for path in _files(arguments, config):
        try:
            results = run_tests(_read(path, config), path.stem)
        except RulesInvalid as error:
            wrong = True
            _say_problems(path, error, arguments.language)
            continue
        for result in results:
            wrong |= not result.passed
            outcome = in_language(said("passed") if result.passed else said("FAILED"), arguments.language)
            say(f"{_shown(path)}: {plain(result.name)}: {outcome}")
            for sentence in result.problems:
                say(f"    {plain(in_language(sentence, arguments.language))}")
        if not results:
            note(in_language(said("{file} has no tests.", file=_shown(path)), arguments.language))
    return int(wrong)


def explain(arguments: argparse.Namespace, config: Config) -> int:
    """1 where a file has a mistake: what a bot would answer without it is no use to anybody."""
    if arguments.type is not None and arguments.type not in set(MessageType):
        raise ConfigError(f"--type: is one of {', '.join(MessageType)}.")
    at = read_instant(arguments.at) if arguments.at is not None else None
    if arguments.at is not None and at is None:
        raise ConfigError("--at: is a date and time such as 2026-01-05T10:00.")
    try:
        trial = Trial(_book(arguments, config))
    except FileRefused:
        return 1
    given: dict[str, Any] = {
        "at": at,
        "type": arguments.type,
        "content": arguments.content,
        "chat": arguments.chat,
        "from_": arguments.from_,
        "name": arguments.name,
        "session": arguments.session,
        "first_contact": arguments.first_contact or None,
        "tags": arguments.tag,
        "vars": {name: _value(text) for name, text in arguments.var},
    }
    given = {key: value for key, value in given.items() if value is not None}
    for number, text in enumerate(arguments.text):
        if number:
            say("")
            given.pop("at", None)
        outcome = trial.say(schema.Given(text=text, **given))
        _say_outcome(text, outcome, arguments.language)
    return 0


def print_schema(_arguments: argparse.Namespace, _config: Config) -> int:
    say_json(make_schema())
    return 0


def read_own(path: Path) -> bytes:
    """The text of a company's own rules, checked. Raises FileRefused, once the mistakes are printed."""
    try:
        content = read_bounded(path)
        read_rules(content, operator=False)
    except RulesInvalid as error:
        _say_problems(path, error, "en")
        raise FileRefused(f"{_shown(path)} has mistakes; nothing was sent.") from None
    return content


def _files(arguments: argparse.Namespace, config: Config) -> list[Path]:
    """Raises ConfigError where there is none."""
    found = arguments.files or list(find_rule_files(Path(config.rules.folder)))
    if not found:
        raise ConfigError(
            f"rules.folder: there is no *.yaml in {config.rules_folder}. Name the files, or the folder in the settings."
        )
    return list(found)


def _read(path: Path, config: Config) -> schema.RuleSet:
    """Raises RulesInvalid."""
    rules, marks = parse(read_bounded(path))
    operator = rules.tenants is not None or path.absolute().parent == config.rules_folder
    problems = check_rules(rules, marks, operator=operator)
    if problems:
        raise RulesInvalid(problems)
    return rules


def _book(arguments: argparse.Namespace, config: Config) -> Book:
    """All files together, whichever company they serve."""
    sets = []
    refused = False
    for path in _files(arguments, config):
        try:
            rules = _read(path, config)
        except RulesInvalid as error:
            _say_problems(path, error, arguments.language)
            refused = True
            continue
        if not rules.enabled:
            note(in_language(said("{file} is not enabled.", file=_shown(path)), arguments.language))
            continue
        if arguments.session is None:
            rules = structs.replace(rules, sessions=[])
        sets.append(compile_set(rules, name=path.stem, version=None, own=False))
    if refused:
        raise FileRefused("Some files have mistakes.")
    return make_book(sets)


def _value(text: str) -> Any:
    """As it would be read in a rule file."""
    return read_anything(Scalar(line=1, column=1, text=text, plain=True))


def _say_problems(path: Path, error: RulesInvalid, language: Language) -> None:
    for problem in error.problems:
        sentence = in_language(problem.sentence, language)
        say(f"{_shown(path)}:{problem.line}:{problem.column}: {plain(sentence)}")


def _shown(path: Path) -> str:
    return plain(str(path))


def _say_outcome(text: str, outcome: Outcome, language: Language) -> None:
    say(f"> {plain(text)}")
    rows = [
        {
            "rule": "/".join(name for name in (one.rule_set, one.rule or one.flow, one.step) if name),
            "code": one.code,
            "detail": in_language(one.detail, language),
        }
        for one in outcome.notes
    ]
    say_table(rows, _NOTE_COLUMNS)
    for line in _lines(outcome) or [said("The bot says and does nothing.")]:
        say(in_language(line, language))


def _lines(outcome: Outcome) -> list[str]:
    """What comes of it, one thing a line."""
    return [
        *(line for one in outcome.messages for line in _spoken(said("says"), one)),
        *(line for one in outcome.shadow for line in _spoken(said("would say (shadow)"), one)),
        *(
            said("sets {name} to {value}", name=plain(name), value=cell(value))
            for name, value in outcome.set.items()
        ),
        *(said("forgets {name}", name=plain(name)) for name in outcome.unset),
        *(said("tags {tag}", tag=plain(tag)) for tag in outcome.tag),
        *(said("untags {tag}", tag=plain(tag)) for tag in outcome.untag),
        *([said("hands to the agent {name}", name=plain(outcome.agent.agent))] if outcome.agent else []),
        *(_event(event) for event in outcome.events),
        *([said("goes on where it paused")] if outcome.resume else []),
        *_flow(outcome),
    ]


def _flow(outcome: Outcome) -> Iterator[str]:
    flow = outcome.flow
    if flow:
        yield said("waits for an answer in {flow}, step {step}", flow=flow.flow, step=flow.step)
    elif outcome.end_flow and outcome.cause.flow:
        yield said("ends the flow")


def _spoken(verb: str, message: Planned) -> Iterator[str]:
    first, *rest = text_of(message).split("\n")
    kind = "" if message.type == "text" else f" ({message.type})"
    yield joined([verb, f"{kind}: {plain(first)}"], "")
    yield from (f"    {plain(line)}" for line in rest)


def _event(event: Emitted) -> str:
    if event.type == "automation.handoff":
        return said("calls a person")
    if event.type == "automation.paused":
        return said("keeps quiet until {until:%Y-%m-%d %H:%M} UTC", until=event.data["until"])
    return said("emits {name}", name=plain(str(event.data.get("name", event.type))))
