"""Sentences about what does not fit, for people who know no schema."""

from collections.abc import Iterable, Sequence

from msgspec import inspect
from rapidfuzz import fuzz, process, utils

from relay.replies.reading.scalars import is_nothing
from relay.replies.reading.yaml_nodes import Items, Mapping, Node, Scalar
from relay.replies.schema import Duration

_MEANINGS = {
    r"^[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}$": "a name (letters without accents, digits, _ . and -, at most 64)",
    r"^([01]\d|2[0-3]):[0-5]\d$|^24:00$": "a time of day such as 09:00",
    "^[A-Z]{2}$": "a country's two capital letters such as BR",
    r"^(\d{4}-)?\d{2}-\d{2}$": "a date such as 2026-12-24, or 12-24 for every year",
    r"^[a-z][a-z0-9_.-]{0,63}$": "a name in small letters such as order.paid",
}
_NAMES = {
    "RuleSet": "a rule set",
    "Rule": "a rule",
    "Trigger": "a trigger",
    "Condition": "a condition",
    "Comparison": "a comparison",
    "Action": "an action",
    "Reply": "a reply",
    "Flow": "a flow",
    "Step": "a step",
    "Test": "a test",
    "Turn": "a turn",
}
_SHOWN_MOST = 60
_NAMED_MOST = 20
_NAME_MOST = 64


def misfit(node: Node, variants: Sequence[inspect.Type]) -> str:
    """That none of `variants` is this kind of thing."""
    words = " or ".join(
        dict.fromkeys(_describe(one) for one in variants if not isinstance(one, inspect.NoneType))
    )
    if isinstance(node, Scalar) and is_nothing(node):
        return f"is empty: write {words}, or leave the key out."
    return f"must be {words}, not {_kind(node)}."


def _describe(wanted: inspect.Type) -> str:
    match wanted:
        case inspect.ListType(item_type=inspect.StructType(cls=cls)):
            return f"a list of {name_of(cls).partition(' ')[2]}s, each after a `-`"
        case inspect.ListType():
            return "a list such as [a, b]"
        case inspect.DictType():
            return "`name: value` pairs"
        case inspect.StructType(cls=cls):
            return f"the keys of {name_of(cls)}"
        case inspect.BoolType():
            return "true or false"
        case inspect.LiteralType(values=values):
            return either([str(value) for value in values])
        case inspect.IntType() | inspect.FloatType():
            return "a number"
        case inspect.CustomType(cls=cls) if cls is Duration:
            return "a duration such as 30s"
        case inspect.DateTimeType():
            return "a date and time such as 2026-01-05T10:00"
    return "a text"


def _kind(node: Node) -> str:
    match node:
        case Items():
            return "a list"
        case Mapping():
            return "`key: value` pairs"
    return quote(node.text)


def name_of(cls: type) -> str:
    """A struct by the word that people know it by; others by the key that they stand under."""
    if cls.__name__ in _NAMES:
        return _NAMES[cls.__name__]
    return f"`{cls.__name__.removesuffix('Action').removesuffix('Reply').lower()}`"


def unknown_key(key: str, cls: type, known: Sequence[str]) -> str:
    hint = suggest(key, known) or f"; the keys are {', '.join(sorted(known))}."
    return f"is no key of {name_of(cls)}{hint}"


def unknown(name: str, known: Iterable[str], kind: str) -> str:
    """That there is no such thing, and which one may be meant."""
    names = list(known)
    hint = suggest(name, names)
    if not hint:
        shown = names[:_NAMED_MOST] + (["…"] if len(names) > _NAMED_MOST else [])
        hint = f": there is {either(shown)}." if names else f": there is no {kind} yet."
    return f"{quote(name)} is no {kind}{hint}"


def suggest(word: str, known: Iterable[str]) -> str:
    """The end of a sentence; empty where nothing is near."""
    near = process.extractOne(
        word[:_NAME_MOST], list(known), scorer=fuzz.ratio, processor=utils.default_process, score_cutoff=70
    )
    return f"; did you mean `{near[0]}`?" if near else ""


def either(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} or {words[-1]}"


def quote(text: str) -> str:
    """`text` in quotes, shortened, on one line."""
    shown = " ".join(text.split())
    return f"“{shown[:_SHOWN_MOST]}…”" if len(shown) > _SHOWN_MOST else f"“{shown}”"


def meaning_of(pattern: str) -> str:
    return _MEANINGS.get(pattern, f"of the form {pattern}")
