"""What commands print: aligned tables and lists for people, JSON for machines.

A name or a text is somebody else's words: control characters, which could move a terminal's cursor or colour what
comes after, are shown as `\N{REPLACEMENT CHARACTER}`.
"""

import re
import sys
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

from relay.logs import say

_INSTANT = re.compile(r"(\d{4}-\d\d-\d\d)T(\d\d:\d\d:\d\d)(?:\.\d+)?Z")
_GAP = "  "
_HIDDEN = ("Cc", "Cf", "Cs", "Zl", "Zp")
_JOINERS = "\u200c\u200d"
"""Parts of emoji and of Persian and Indian words."""


def note(text: str) -> None:
    """A line for the person only, on standard error."""
    sys.stderr.write(text + "\n")


def say_json(value: Any) -> None:
    say(msgspec.json.format(msgspec.json.encode(value), indent=2).decode())


def say_table(rows: Sequence[Mapping[str, Any]], columns: Mapping[str, str]) -> None:
    """`columns` are headings with the field each one shows."""
    lines = [list(columns)] + [[cell(row.get(field)) for field in columns.values()] for row in rows]
    widths = [max(map(_width, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        say(_GAP.join(map(_pad, line, widths)).rstrip())


def say_details(thing: Mapping[str, Any]) -> None:
    """One field a line; what is nested is named by its path."""
    fields = list(_flatten(thing))
    width = max((len(name) for name, _ in fields), default=0)
    for name, value in fields:
        say(f"{name:{width}}{_GAP}{cell(value)}")


def cell(value: Any) -> str:
    """A value in a few words."""
    match value:
        case None | "" | []:
            return "-"
        case bool():
            return "yes" if value else "no"
        case float():
            return f"{value:g}"
        case list():
            return ", ".join(cell(item) for item in value)
    text = plain(str(value))
    instant = _INSTANT.fullmatch(text)
    return f"{instant[1]} {instant[2]}Z" if instant else text


def plain(text: str) -> str:
    """`text` on one line, with nothing in it that a terminal would obey."""
    return "".join("\N{REPLACEMENT CHARACTER}" if _is_hidden(character) else character for character in text)


def _is_hidden(character: str) -> bool:
    return unicodedata.category(character) in _HIDDEN and character not in _JOINERS


def _flatten(thing: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in thing.items():
        if isinstance(value, dict):
            yield from _flatten(value, f"{path}{name}.")
        else:
            yield path + name, value


def _width(text: str) -> int:
    """Columns that a terminal uses for it."""
    return sum(
        0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text
    )


def _pad(text: str, width: int) -> str:
    return text + " " * (width - _width(text))
