"""Which keys of one part of a rule set go together, and which of them are needed.

Each part is looked at by itself, as soon as it is read; `check.py` sees to what depends on other parts.
"""

from collections import Counter
from collections.abc import Iterator
from functools import cache, singledispatch
from typing import Any, TypeAlias

import msgspec
from msgspec import structs

from relay.replies import schema
from relay.replies.reading.problems import Path

Fault: TypeAlias = tuple[Path, str]
"""Where below the part, and a sentence."""

_HOW_NOT_WHAT = {"case", "accents", "chats", "not_"}
"""Keys of a trigger that only narrow what the others say."""


def given_keys(part: msgspec.Struct) -> list[str]:
    """The keys, as they are written, whose values are not the defaults."""
    return [key for name, key, default in _fields_of(type(part)) if getattr(part, name) != default]


@cache
def _fields_of(cls: type[msgspec.Struct]) -> list[tuple[str, str, Any]]:
    """Name, key, and the value where nothing was written."""
    return [
        (
            field.name,
            field.encode_name,
            field.default if field.default_factory is msgspec.NODEFAULT else field.default_factory(),
        )
        for field in structs.fields(cls)
    ]


@singledispatch
def find_faults(_part: Any) -> Iterator[Fault]:
    """What is wrong within one struct of the schema."""
    yield from ()


@find_faults.register
def _(part: schema.Trigger) -> Iterator[Fault]:
    if not set(given_keys(part)) - _HOW_NOT_WHAT:
        yield (), "says nothing: write what the message is, such as `keyword: hello`."


@find_faults.register
def _(part: schema.When) -> Iterator[Fault]:
    said = set(given_keys(part)) - _HOW_NOT_WHAT
    if not said and not part.not_:
        yield (), "says nothing: write what the message is, such as `keyword: hello`, or `always: true`."
    if part.always and said - {"always"}:
        yield (
            ("always",),
            f"is true, so {_name(said - {'always'})} would never matter: leave out one of them.",
        )


@find_faults.register
def _(part: schema.Time) -> Iterator[Fault]:
    if not set(given_keys(part)) - {"timezone"}:
        yield (), "says nothing: write `after`, `before`, `weekday` or `holiday`."
    if part.after is not None and part.after == part.before:
        yield (
            ("before",),
            "is the same as `after`, so the time is never right: leave both out for the whole day.",
        )
    if part.after == "24:00":
        yield ("after",), "24:00 is the end of the day: write 00:00."
    if part.weekday == []:
        yield ("weekday",), "is empty, so no day is right: name days or leave it out."


@find_faults.register
def _(part: schema.Comparison) -> Iterator[Fault]:
    if not given_keys(part):
        yield (), "says nothing: write `exists`, `equals`, `not`, `above`, `below`, `in` or `contains`."


@find_faults.register
def _(part: schema.Condition) -> Iterator[Fault]:
    if not given_keys(part):
        yield (), "says nothing: write a condition, such as `time: {after: '09:00'}`."
    for name, value in (part.vars or {}).items():
        if isinstance(value, dict):
            try:
                comparison = msgspec.convert(value, schema.Comparison)
            except msgspec.ValidationError as error:
                yield ("vars", name), f"cannot be compared so: {str(error).partition(' - at')[0]}."
            else:
                yield from ((("vars", name), sentence) for _, sentence in find_faults(comparison))


@find_faults.register
def _(part: schema.MediaReply) -> Iterator[Fault]:
    if (part.url is None) == (part.media_id is None):
        yield (), "needs either `url` or `mediaId`."
    if part.voice and part.type != "audio":
        yield ("voice",), "goes with `type: audio` only."


@find_faults.register
def _(part: schema.PollReply) -> Iterator[Fault]:
    if len(set(part.options)) < len(part.options):
        yield ("options",), "holds the same option twice."
    if part.selectable > len(part.options):
        yield ("selectable",), f"is {part.selectable}, but there are only {len(part.options)} options."


@find_faults.register
def _(part: schema.Reply) -> Iterator[Fault]:
    if part.text is not None and part.template is not None:
        yield ("template",), "goes not with `text`: leave out one of them."
    attached = [name for name in ("media", "poll", "choices") if getattr(part, name) is not None]
    if len(attached) > 1:
        yield (attached[1],), f"goes not with `{attached[0]}`: make two replies of it."
    if part.text is None and part.template is None and not attached:
        yield (), "says nothing: write `text`, `template`, `media`, `poll` or `choices`."


@find_faults.register
def _(part: schema.Action) -> Iterator[Fault]:
    keys = given_keys(part)
    if not keys:
        yield (), "does nothing: write one action, such as `reply: Hello`."
    if len(keys) > 1:
        yield (
            (keys[1],),
            f"stands beside `{keys[0]}`: each action has one key; begin a new line with `-` for the next.",
        )
    for name in ("handoff", "resume", "stop", "continue_"):
        if getattr(part, name) is False:
            key = name.rstrip("_")
            yield (key,), f"is false, which does nothing: write `{key}: true` or leave it out."


@find_faults.register
def _(part: schema.Validate) -> Iterator[Fault]:
    if not given_keys(part):
        yield (), "says nothing: write `type`, `regex`, `min` or `max`."
    if part.min is not None and part.max is not None and part.min > part.max:
        yield ("max",), "is less than `min`, so no answer fits."


@find_faults.register
def _(part: schema.Step) -> Iterator[Fault]:
    if part.ask is None and not part.do:
        yield (), "does nothing: write `ask` or `do`."
    if part.ask is None:
        for key in ("capture", "match", "validate", "retry", "retry_text", "else"):
            if key in given_keys(part):
                yield (key,), "goes only with `ask`: without a question there is no answer."
    words = Counter(word.strip().casefold() for key in part.match or () for word in key.split("|"))
    for word, count in words.items():
        if count > 1:
            yield ("match",), f"has the answer “{word}” twice."
        if not word:
            yield ("match",), "has an empty answer: write a word, or use `else`."
    if part.match == {}:
        yield ("match",), "is empty: write answers, or leave it out."


@find_faults.register
def _(part: schema.Test) -> Iterator[Fault]:
    single = part.given is not None or part.expect is not None
    if single and part.turns is not None:
        yield ("turns",), "goes not with `given` and `expect`: put them into the first turn."
    elif part.turns is None and (part.given is None or part.expect is None):
        yield (), "needs `given` and `expect`, or `turns`."
    elif part.turns == []:
        yield ("turns",), "is empty."


@find_faults.register
def _(part: schema.Expect) -> Iterator[Fault]:
    if not given_keys(part):
        yield (), "expects nothing: write `rule`, `replies`, `vars` or the like."


def _name(keys: set[str]) -> str:
    return " and ".join(f"`{key}`" for key in sorted(keys))
