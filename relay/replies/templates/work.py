"""What a rendering may cost, and how values are read on the way: plain ones only, each size charged for."""

import math
from collections.abc import Mapping
from datetime import date, datetime, time, tzinfo
from itertools import islice
from typing import Any

import msgspec

from relay.replies.said import said
from relay.replies.templates.words import formatted, language_of

ALLOWANCE = 200_000
"""Characters and items that one rendering may handle."""
_MAX_TEXT = 65_536
_MAX_NUMBER = 1e30
_MAX_ITEMS = 1000
_MAX_DEPTH = 32


class TooMuch(Exception):
    """The rendering has used up its allowance, or asks for what there is not."""

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.detail = detail


class Work:
    """Of one rendering at a time: `begin` before each."""

    def __init__(self) -> None:
        self._left = self._output_left = 0
        self._zone: tzinfo | None = None
        self._language = "pt-BR"

    def begin(self, *, language: str, zone: tzinfo | None, max_output: int) -> None:
        self._left = ALLOWANCE
        self._output_left = max_output
        self._zone = zone
        self._language = language

    def charge(self, size: int) -> None:
        self._left -= size + 1
        if self._left < 0:
            raise TooMuch(said("it does too much work"))

    def output(self, value: Any) -> str:
        """What a `{{ }}` writes; minijinja's finalizer."""
        shown = value if isinstance(value, str) else self._text(value)
        self._output_left -= len(shown)
        if self._output_left < 0:
            raise TooMuch(said("its text is too long"))
        return shown

    def _text(self, value: Any) -> str:
        """As people read it: nothing for nothing, no `.0`, lists with commas."""
        shown = value if isinstance(value, str) else self._shown(value)
        self.charge(len(shown))
        if len(shown) > _MAX_TEXT:
            raise TooMuch(said("a text in it is too long"))
        return shown

    def _shown(self, value: Any) -> str:
        match value:
            case bool():
                return "true" if value else "false"
            case int():
                return str(value) if abs(value) < _MAX_NUMBER else ""
            case float():
                return str(int(value)) if value.is_integer() and abs(value) < 1e15 else repr(value)
            case datetime():
                return formatted(value, "%d/%m/%Y %H:%M", self._language)
            case list() | tuple():
                self.charge(len(value))
                return ", ".join(map(self._text, value))
            case dict():
                return self._json(value)
            case _:
                # Whatever else there is in Python, a method say, is nothing to people.
                return ""

    def _json(self, value: Any) -> str:
        try:
            made = msgspec.json.encode(value).decode()
        except (TypeError, ValueError) as error:
            raise TooMuch(said("a value in it is not JSON")) from error
        self.charge(len(made))
        return made

    def _charge_for(self, value: Any) -> None:
        """Of what comes into a filter minijinja has made a copy."""
        self.charge(len(value) if isinstance(value, str | list | tuple | dict) else 0)

    def _items(self, value: Any) -> list[Any]:
        """Of a list its items, of a text its characters, of a mapping its keys; of anything else none."""
        self._charge_for(value)
        return list(value) if isinstance(value, str | list | tuple | dict) else []

    def _number(self, value: Any) -> float | int | None:
        """Also of a text, as people of the language write numbers."""
        if isinstance(value, str):
            value = _parse(value.strip(), language_of(self._language))
        if isinstance(value, bool) or not isinstance(value, int | float):
            return None
        return value if math.isfinite(value) and abs(value) < _MAX_NUMBER else None

    def _moment(self, value: Any) -> datetime | None:
        """Of a moment, an ISO date or time, or Unix seconds."""
        try:
            if isinstance(value, int | float) and not isinstance(value, bool):
                return datetime.fromtimestamp(value, self._zone)
            if isinstance(value, str):
                value = datetime.fromisoformat(value.strip())
        except (ValueError, OverflowError, OSError):
            return None
        if isinstance(value, datetime):
            return value.astimezone(self._zone) if value.tzinfo and self._zone else value
        return datetime.combine(value, time()) if isinstance(value, date) else None


def bounded(value: Any, depth: int = 0) -> Any:
    """A plain value, cut where it is larger than templates should have to do with."""
    if isinstance(value, str):
        return value[:_MAX_TEXT]
    if depth > _MAX_DEPTH:
        return None
    if isinstance(value, list | tuple):
        return [bounded(one, depth + 1) for one in value[:_MAX_ITEMS]]
    if isinstance(value, dict):
        return {str(key): bounded(one, depth + 1) for key, one in islice(value.items(), _MAX_ITEMS)}
    return value


def part_of(value: Any, attribute: str | None) -> Any:
    if attribute is None:
        return value
    return value.get(attribute) if isinstance(value, Mapping) else None


def rank(value: Any) -> tuple[int, Any]:
    """Anything has its place: nothing, numbers, then texts, small letters and capitals alike."""
    if isinstance(value, int | float):
        return (1, value)
    return (2, value.casefold()) if isinstance(value, str) else (0, 0)


def _parse(text: str, language: str) -> float | int | None:
    if len(text) > 40:
        return None
    if "," in text:
        text = text.replace(",", "") if language == "en" else text.replace(".", "").replace(",", ".")
    try:
        return int(text)
    except ValueError:
        pass
    try:
        return float(text)
    except ValueError:
        return None
