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
from relay.replies.said import all_of, said

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
        yield (), said("says nothing: write what the message is, such as `keyword: hello`.")


@find_faults.register
def _(part: schema.When) -> Iterator[Fault]:
    given = set(given_keys(part)) - _HOW_NOT_WHAT
    if not given and not part.not_:
        yield (
            (),
            said("says nothing: write what the message is, such as `keyword: hello`, or `always: true`."),
        )
    if part.always and given - {"always"}:
        yield (
            ("always",),
            said(
                "is true, so {others} would never matter: leave out one of them.",
                others=_names(given - {"always"}),
            ),
        )


@find_faults.register
def _(part: schema.Time) -> Iterator[Fault]:
    if not set(given_keys(part)) - {"timezone"}:
        yield (), said("says nothing: write `after`, `before`, `weekday` or `holiday`.")
    if part.after is not None and part.after == part.before:
        yield (
            ("before",),
            said("is the same as `after`, so the time is never right: leave both out for the whole day."),
        )
    if part.after == "24:00":
        yield ("after",), said("24:00 is the end of the day: write 00:00.")
    if part.weekday == []:
        yield ("weekday",), said("is empty, so no day is right: name days or leave it out.")


@find_faults.register
def _(part: schema.Comparison) -> Iterator[Fault]:
    if not given_keys(part):
        yield (), said("says nothing: write `exists`, `equals`, `not`, `above`, `below`, `in` or `contains`.")


@find_faults.register
def _(part: schema.Condition) -> Iterator[Fault]:
    if not given_keys(part):
        yield (), said("says nothing: write a condition, such as `time: {{after: '09:00'}}`.")
    for name, value in (part.vars or {}).items():
        if isinstance(value, dict):
            try:
                comparison = msgspec.convert(value, schema.Comparison)
            except msgspec.ValidationError as error:
                reason = str(error).partition(" - at")[0]
                yield ("vars", name), said("cannot be compared so: {reason}.", reason=reason)
            else:
                yield from ((("vars", name), sentence) for _, sentence in find_faults(comparison))


@find_faults.register
def _(part: schema.MediaReply) -> Iterator[Fault]:
    if (part.url is None) == (part.media_id is None):
        yield (), said("needs either `url` or `mediaId`.")
    if part.voice and part.type != "audio":
        yield ("voice",), said("goes with `type: audio` only.")


@find_faults.register
def _(part: schema.PollReply) -> Iterator[Fault]:
    if len(set(part.options)) < len(part.options):
        yield ("options",), said("holds the same option twice.")
    if part.selectable > len(part.options):
        yield (
            ("selectable",),
            said(
                "is {selectable}, but there are only {count} options.",
                selectable=part.selectable,
                count=len(part.options),
            ),
        )


@find_faults.register
def _(part: schema.Reply) -> Iterator[Fault]:
    if part.text is not None and part.template is not None:
        yield ("template",), said("goes not with `text`: leave out one of them.")
    attached = [name for name in ("media", "poll", "choices") if getattr(part, name) is not None]
    if len(attached) > 1:
        yield (attached[1],), f"goes not with `{attached[0]}`: make two replies of it."
    if part.text is None and part.template is None and not attached:
        yield (), said("says nothing: write `text`, `template`, `media`, `poll` or `choices`.")


@find_faults.register
def _(part: schema.Action) -> Iterator[Fault]:
    keys = given_keys(part)
    if not keys:
        yield (), said("does nothing: write one action, such as `reply: Hello`.")
    if len(keys) > 1:
        yield (
            (keys[1],),
            said(
                "stands beside `{first}`: each action has one key; begin a new line with `-` for the next.",
                first=keys[0],
            ),
        )
    for name in ("handoff", "resume", "stop", "continue_"):
        if getattr(part, name) is False:
            key = name.rstrip("_")
            yield (key,), said("is false, which does nothing: write `{key}: true` or leave it out.", key=key)


@find_faults.register
def _(part: schema.Validate) -> Iterator[Fault]:
    if not given_keys(part):
        yield (), said("says nothing: write `type`, `regex`, `min` or `max`.")
    if part.min is not None and part.max is not None and part.min > part.max:
        yield ("max",), said("is less than `min`, so no answer fits.")


@find_faults.register
def _(part: schema.Step) -> Iterator[Fault]:
    if part.ask is None and not part.do:
        yield (), said("does nothing: write `ask` or `do`.")
    if part.ask is None:
        for key in ("capture", "match", "validate", "retry", "retry_text", "else"):
            if key in given_keys(part):
                yield (key,), said("goes only with `ask`: without a question there is no answer.")
    words = Counter(word.strip().casefold() for key in part.match or () for word in key.split("|"))
    for word, count in words.items():
        if count > 1:
            yield ("match",), said("has the answer “{word}” twice.", word=word)
        if not word:
            yield ("match",), said("has an empty answer: write a word, or use `else`.")
    if part.match == {}:
        yield ("match",), said("is empty: write answers, or leave it out.")


@find_faults.register
def _(part: schema.Test) -> Iterator[Fault]:
    single = part.given is not None or part.expect is not None
    if single and part.turns is not None:
        yield ("turns",), said("goes not with `given` and `expect`: put them into the first turn.")
    elif part.turns is None and (part.given is None or part.expect is None):
        yield (), said("needs `given` and `expect`, or `turns`.")
    elif part.turns == []:
        yield ("turns",), said("is empty.")


@find_faults.register
def _(part: schema.Expect) -> Iterator[Fault]:
    if not given_keys(part):
        yield (), said("expects nothing: write `rule`, `replies`, `vars` or the like.")


def _names(keys: set[str]) -> str:
    return all_of(f"`{key}`" for key in sorted(keys))
