"""Sentences for people, in the language that they read.

    said("The contact has no tag {tags}.", tags=…) ──► Said: a str, in English ──in_language(…, "pt-BR")──► a str

A sentence keeps its template and its values, so it can be said again in another language where it leaves: in the API's
answer, on the terminal. `said.pt-BR.json` has the Portuguese one of each English template, with the same names in braces.
What stands in the braces stays as it is, or is a sentence, or a part of one, itself. What is not there stays English.
"""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from string import Formatter
from typing import Any, Literal, TypeAlias

Language: TypeAlias = Literal["en", "pt-BR"]
LANGUAGES: tuple[Language, ...] = ("en", "pt-BR")
Sentence: TypeAlias = Callable[[], str]
"""Made once somebody wants to read it: most decisions are explained to nobody."""

_POINTS_AND_COMMAS = str.maketrans(",.", ".,")


class Said(str):
    """Reads as its English sentence. JSON is made of the plain str that `in_language` gives."""

    __slots__ = ("template", "values")
    template: str
    values: Mapping[str, Any]


def said(template: str, /, **values: Any) -> Said:
    """`template` as str.format takes it, and always written out where this is called: a test looks for it there."""
    return _make(template, values)


def joined(parts: Iterable[str], by: str = ", ") -> Said:
    """One after the other, in any language."""
    values = {f"part{number}": part for number, part in enumerate(parts)}
    return _make(by.join(f"{{{name}}}" for name in values), values)


def either(words: Sequence[str]) -> str:
    """`a, b or c`."""
    return words[0] if len(words) == 1 else any_of([joined(words[:-1]), words[-1]])


def any_of(words: Iterable[str]) -> Said:
    """`a or b or c`."""
    return _between(words, said("or"))


def all_of(words: Iterable[str]) -> Said:
    """`a and b and c`."""
    return _between(words, said("and"))


def in_language(text: str, language: Language) -> str:
    """A plain str: what was not `said`, or has no words in the language, stays as it is."""
    if not isinstance(text, Said) or language == "en":
        return str(text)
    words = catalogue().get(text.template, text.template)
    values = {
        name: in_language(value, language) if isinstance(value, str) else value
        for name, value in text.values.items()
    }
    return _PORTUGUESE.vformat(words, (), values)


@cache
def catalogue() -> dict[str, str]:
    """The Portuguese sentence of each English template."""
    path = Path(__file__).with_name("said.pt-BR.json")
    found: dict[str, str] = json.loads(path.read_text(encoding="utf-8"))
    return found


def _between(words: Iterable[str], word: Said) -> Said:
    """In one piece, however many there are: a sentence is as deep as what is put into it."""
    return joined([part for one in words for part in (word, one)][1:], " ")


def _make(template: str, values: Mapping[str, Any]) -> Said:
    made = Said(template.format_map(values))
    made.template, made.values = template, values
    return made


class _Portuguese(Formatter):
    """1,000.5 is 1.000,5."""

    def format_field(self, value: Any, format_spec: str) -> str:
        shown = format(value, format_spec)
        return shown.translate(_POINTS_AND_COMMAS) if isinstance(value, int | float) else shown


_PORTUGUESE = _Portuguese()
