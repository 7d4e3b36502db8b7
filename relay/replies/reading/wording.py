"""Sentences about what does not fit, for people who know no schema."""

from collections.abc import Iterable, Sequence

from msgspec import inspect
from rapidfuzz import fuzz, process, utils

from relay.replies.reading.scalars import is_nothing
from relay.replies.reading.yaml_nodes import Items, Mapping, Node, Scalar
from relay.replies.said import any_of, either, said
from relay.replies.schema import Duration

_MEANINGS = {
    r"^[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}$": said(
        "a name (letters without accents, digits, _ . and -, at most 64)"
    ),
    r"^([01]\d|2[0-3]):[0-5]\d$|^24:00$": said("a time of day such as 09:00"),
    "^[A-Z]{2}$": said("a country's two capital letters such as BR"),
    r"^(\d{4}-)?\d{2}-\d{2}$": said("a date such as 2026-12-24, or 12-24 for every year"),
    r"^[a-z][a-z0-9_.-]{0,63}$": said("a name in small letters such as order.paid"),
}
_NAMES = {
    "RuleSet": said("a rule set"),
    "Rule": said("a rule"),
    "Trigger": said("a trigger"),
    "Condition": said("a condition"),
    "Comparison": said("a comparison"),
    "Action": said("an action"),
    "Reply": said("a reply"),
    "Flow": said("a flow"),
    "Step": said("a step"),
    "Test": said("a test"),
    "Turn": said("a turn"),
}
_SEVERAL = {
    "Rule": said("rules"),
    "Trigger": said("triggers"),
    "Condition": said("conditions"),
    "Action": said("actions"),
    "Step": said("steps"),
    "Test": said("tests"),
    "Turn": said("turns"),
}
_SHOWN_MOST = 60
_NAMED_MOST = 20
_NAME_MOST = 64


def misfit(node: Node, variants: Sequence[inspect.Type]) -> str:
    """That none of `variants` is this kind of thing."""
    words = any_of(dict.fromkeys(_describe(one) for one in variants if not isinstance(one, inspect.NoneType)))
    if isinstance(node, Scalar) and is_nothing(node):
        return said("is empty: write {words}, or leave the key out.", words=words)
    return said("must be {words}, not {text}.", words=words, text=_kind(node))


def out_of_bounds(text: str, least: float | None, most: float | None) -> str:
    """In numbers as YAML has them."""
    bounds = (
        said("{least} or more", least=str(least))
        if most is None
        else said("from {least} to {most}", least=str(least), most=str(most))
    )
    return said("must be {words}, not {text}.", words=bounds, text=text)


def _describe(wanted: inspect.Type) -> str:
    match wanted:
        case inspect.ListType(item_type=inspect.StructType(cls=cls)):
            return said("a list of {things}, each after a `-`", things=_SEVERAL[cls.__name__])
        case inspect.ListType():
            return said("a list such as [a, b]")
        case inspect.DictType():
            return said("`name: value` pairs")
        case inspect.StructType(cls=cls):
            return said("the keys of {thing}", thing=name_of(cls))
        case inspect.BoolType():
            return said("true or false")
        case inspect.LiteralType(values=values):
            return either([str(value) for value in values])
        case inspect.IntType() | inspect.FloatType():
            return said("a number")
        case inspect.CustomType(cls=cls) if cls is Duration:
            return said("a duration such as 30s")
        case inspect.DateTimeType():
            return said("a date and time such as 2026-01-05T10:00")
    return said("a text")


def _kind(node: Node) -> str:
    match node:
        case Items():
            return said("a list")
        case Mapping():
            return said("`key: value` pairs")
    return quote(node.text)


def name_of(cls: type) -> str:
    """A struct by the word that people know it by; others by the key that they stand under."""
    if cls.__name__ in _NAMES:
        return _NAMES[cls.__name__]
    return f"`{cls.__name__.removesuffix('Action').removesuffix('Reply').lower()}`"


def unknown_key(key: str, cls: type, known: Sequence[str]) -> str:
    hint = suggest(key, known) or said("; the keys are {keys}.", keys=", ".join(sorted(known)))
    return said("is no key of {thing}{hint}", thing=name_of(cls), hint=hint)


def unknown(name: str, known: Iterable[str], kind: str) -> str:
    """That there is no such thing, and which one may be meant."""
    names = list(known)
    hint = suggest(name, names)
    if not hint:
        shown = names[:_NAMED_MOST] + (["…"] if len(names) > _NAMED_MOST else [])
        hint = (
            said(": there is {known}.", known=either(shown))
            if names
            else said(": there is no {kind} yet.", kind=kind)
        )
    return said("{name} is no {kind}{hint}", name=quote(name), kind=kind, hint=hint)


def suggest(word: str, known: Iterable[str]) -> str:
    """The end of a sentence; empty where nothing is near."""
    near = process.extractOne(
        word[:_NAME_MOST], list(known), scorer=fuzz.ratio, processor=utils.default_process, score_cutoff=70
    )
    return said("; did you mean `{near}`?", near=near[0]) if near else ""


def quote(text: str) -> str:
    """`text` in quotes, shortened, on one line."""
    shown = " ".join(text.split())
    return f"“{shown[:_SHOWN_MOST]}…”" if len(shown) > _SHOWN_MOST else f"“{shown}”"


def meaning_of(pattern: str) -> str:
    return _MEANINGS.get(pattern) or said("of the form {pattern}", pattern=pattern)
