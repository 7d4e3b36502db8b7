"""What can be seen in one part of a rule set, knowing the whole: patterns, templates, addresses, names of lists."""

import re
from collections.abc import Iterator
from functools import cache, singledispatch
from itertools import chain
from typing import Any, TypeAlias
from urllib.parse import urlsplit

import msgspec

from relay.model.agent import DEBOUNCE_MOST_SECONDS
from relay.model.message import MessageType
from relay.replies import schema
from relay.replies.contents import NAMES
from relay.replies.reading.calendar_names import zone_faults
from relay.replies.reading.pattern_checks import PatternCheck
from relay.replies.reading.problems import Path
from relay.replies.reading.wording import quote, suggest, unknown
from relay.replies.said import said
from relay.replies.templates.render import check as check_template

Fault: TypeAlias = tuple[Path, str]

_WAIT_MOST_SECONDS = 600
_TYPING_MOST_SECONDS = 60
_HTTP_MOST_SECONDS = 30
_YEARS = range(1970, 2200)
_STATUSES = range(100, 600)
_PHONE = re.compile(r"\+?[\d\s().-]+")


def walk(part: Any, path: Path = ()) -> Iterator[tuple[Path, Any]]:
    """Everything within `part`, itself first, each with its place."""
    yield path, part
    below: Iterator[tuple[str | int, Any]] = iter(())
    if isinstance(part, msgspec.Struct):
        keys = zip(part.__struct_encode_fields__, part.__struct_fields__, strict=True)
        below = ((key, value) for key, name in keys if (value := getattr(part, name)) is not None)
    elif isinstance(part, dict):
        below = iter(part.items())
    elif isinstance(part, list):
        below = iter(enumerate(part))
    for name, value in below:
        yield from walk(value, (*path, name))


def part_faults(rule_set: schema.RuleSet) -> Iterator[Fault]:
    patterns = PatternCheck()
    for path, part in walk(rule_set):
        if isinstance(part, str) and _holds_template(part, path):
            sentence = check_template(part)
            if sentence is not None:
                yield path, sentence
        for where, sentence in chain(patterns.faults_of(part), _faults_of(part, rule_set)):
            yield (*path, *where), sentence
    for name, numbers in rule_set.lists.items():
        for place, number in enumerate(numbers):
            if not _is_phone(number):
                yield ("lists", name, place), _no_phone(number)


def _holds_template(text: str, path: Path) -> bool:
    """What the bot says and does may hold templates; what it looks for is taken as it is."""
    if path[0] == "templates":
        return True
    says = path[0] == "flows" or "do" in path
    return says and path[-1] != "regex" and any(opening in text for opening in ("{{", "{%", "{#"))


@singledispatch
def _faults_of(_part: Any, _rule_set: schema.RuleSet) -> Iterator[Fault]:
    """Places are below the part."""
    yield from ()


@_faults_of.register
def _(part: schema.Trigger, rule_set: schema.RuleSet) -> Iterator[Fault]:
    for place, name in enumerate(part.types or []):
        if name not in _types():
            yield ("types", place), unknown(name, _types(), said("message type"))
    for where, entry in _each(part.from_, ("from",)):
        if entry not in rule_set.lists and not _is_phone(entry):
            hint = suggest(entry, rule_set.lists) or "."
            yield (
                where,
                said(
                    "{entry} is neither a phone number nor one of `lists`{hint}",
                    entry=quote(entry),
                    hint=hint,
                ),
            )


@_faults_of.register
def _(part: schema.Given, _rule_set: schema.RuleSet) -> Iterator[Fault]:
    if part.type not in _types():
        yield ("type",), unknown(part.type, _types(), said("message type"))
    for name in part.content.keys() - NAMES:
        yield ("content", name), unknown(name, sorted(NAMES), said("field of a message"))
    if not _is_phone(part.from_):
        yield ("from",), _no_phone(part.from_)
    if part.at is not None and part.at.year not in _YEARS:
        yield ("at",), said("is not between {first} and {last}.", first=_YEARS[0], last=_YEARS[-1])
    if (
        isinstance(part.http, dict)
        and part.http.keys() == {"status"}
        and part.http["status"] not in _STATUSES
    ):
        yield ("http", "status"), said("must be a status of HTTP, such as 500.")


@_faults_of.register
def _(part: schema.Reply, rule_set: schema.RuleSet) -> Iterator[Fault]:
    if part.template is not None and part.template not in rule_set.templates:
        yield ("template",), unknown(part.template, rule_set.templates, said("template"))


@_faults_of.register
def _(part: schema.Time, _rule_set: schema.RuleSet) -> Iterator[Fault]:
    if part.timezone is not None:
        yield from zone_faults(part.timezone, ("timezone",))


@_faults_of.register
def _(part: schema.Action, _rule_set: schema.RuleSet) -> Iterator[Fault]:
    if part.wait is not None and part.wait > _WAIT_MOST_SECONDS:
        yield ("wait",), said("is more than {most}.", most="10m")
    if part.typing is not None and part.typing > _TYPING_MOST_SECONDS:
        yield ("typing",), said("is more than {most}.", most="60s")


@_faults_of.register
def _(part: schema.AgentAction, _rule_set: schema.RuleSet) -> Iterator[Fault]:
    if part.debounce > DEBOUNCE_MOST_SECONDS:
        yield ("debounce",), said("is more than {most}.", most="1m")


@_faults_of.register
def _(part: schema.HttpAction, _rule_set: schema.RuleSet) -> Iterator[Fault]:
    if not 0 < part.timeout <= _HTTP_MOST_SECONDS:
        yield (
            ("timeout",),
            said("must be more than 0 and at most {most}s: a contact is waiting.", most=_HTTP_MOST_SECONDS),
        )
    if not _is_address(part.url):
        yield ("url",), _no_address(part.url)


@_faults_of.register
def _(part: schema.MediaReply, _rule_set: schema.RuleSet) -> Iterator[Fault]:
    if part.url is not None and not _is_address(part.url):
        yield ("url",), _no_address(part.url)


def _each(given: str | list[str] | None, path: Path) -> Iterator[tuple[Path, str]]:
    if isinstance(given, str):
        yield path, given
    for place, text in enumerate(given if isinstance(given, list) else []):
        yield (*path, place), text


def _no_phone(number: str) -> str:
    return said("{number} is no phone number: write it as +55 11 91234-5678.", number=quote(number))


def _no_address(url: str) -> str:
    return said("{url} is no address: write https://… (or http://…, or a template).", url=quote(url))


def _is_address(url: str) -> bool:
    if url.lstrip().startswith("{{"):
        return True
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and bool(parts.netloc)


def _is_phone(text: str) -> bool:
    return bool(_PHONE.fullmatch(text)) and 8 <= sum(map(str.isdigit, text)) <= 15


@cache
def _types() -> tuple[str, ...]:
    return tuple(MessageType)
