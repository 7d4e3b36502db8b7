"""The filters of templates: `{{ contact.name|first_name }}`, `{{ total|money }}`, `{{ now|date('%d/%m') }}` and more.

minijinja's own have no bounds, so these stand in for them: each is charged for what it is given and what it makes, and
takes nothing, which is what a variable that does not exist comes as, for an empty text or zero.
"""

from decimal import ROUND_HALF_UP, Decimal
from typing import Any
from urllib.parse import quote

from relay.replies.said import said
from relay.replies.templates.words import formatted, money_of, number_words
from relay.replies.templates.work import TooMuch, Work, part_of, rank

_MAX_RANGE = 1000
FUNCTIONS = frozenset({"range"})
TESTS = frozenset(
    [
        "defined",
        "undefined",
        "none",
        "number",
        "integer",
        "float",
        "string",
        "sequence",
        "mapping",
        "iterable",
        "boolean",
        "true",
        "false",
        "odd",
        "even",
        "divisibleby",
        "startingwith",
        "endingwith",
        "in",
        "eq",
        "ne",
        "lt",
        "le",
        "gt",
        "ge",
    ]
)


class Filters(Work):
    """A name with `_` behind it is one that Python uses."""

    # --- of texts -----------------------------------------------------------------------------------------------

    def upper(self, value: Any) -> str:
        return self._text(value).upper()

    def lower(self, value: Any) -> str:
        return self._text(value).lower()

    def capitalize(self, value: Any) -> str:
        return self._text(value).capitalize()

    def title(self, value: Any) -> str:
        return self._text(value).title()

    def trim(self, value: Any, characters: str | None = None) -> str:
        return self._text(value).strip(characters)

    def string(self, value: Any) -> str:
        return self._text(value)

    def replace(self, value: Any, old: Any, new: Any = "") -> str:
        text, old, new = self._text(value), self._text(old), self._text(new)
        if not old:
            return text
        # Before it is made: afterwards is too late.
        self.charge(text.count(old) * len(new))
        return text.replace(old, new)

    def truncate(self, value: Any, length: int = 100, end: str = "…") -> str:
        text = self._text(value)
        return text if len(text) <= length else text[: max(0, length - len(end))].rstrip() + self._text(end)

    def split(self, value: Any, by: str | None = None) -> list[str]:
        return self._text(value).split(by or None)

    def lines(self, value: Any) -> list[str]:
        return self._text(value).splitlines()

    def urlencode(self, value: Any) -> str:
        return quote(self._text(value), safe="")

    def first_name(self, value: Any) -> str:
        """The first word with a letter in it."""
        return next((word for word in self._text(value).split() if any(map(str.isalpha, word))), "")

    def digits(self, value: Any) -> str:
        return "".join(character for character in self._text(value) if character in "0123456789")

    def tojson(self, value: Any) -> str:
        return self._json(value)

    # --- of numbers, dates --------------------------------------------------------------------------------------

    def int_(self, value: Any, default: int = 0) -> int:
        number = self._number(value)
        return default if number is None else int(number)

    def float_(self, value: Any, default: float = 0.0) -> float:
        number = self._number(value)
        return default if number is None else float(number)

    def round_(self, value: Any, digits: int = 0) -> float | int:
        """A half goes up, as people round."""
        number = Decimal(str(self._number(value) or 0))
        rounded = number.quantize(Decimal(1).scaleb(-min(max(digits, 0), 12)), ROUND_HALF_UP)
        return float(rounded) if digits > 0 else int(rounded)

    def abs_(self, value: Any) -> float | int:
        return abs(self._number(value) or 0)

    def times(self, value: Any, by: Any) -> float | int:
        """A product of numbers, for loops."""
        return (self._number(value) or 0) * (self._number(by) or 0)

    def number(self, value: Any, digits: int | None = None) -> str:
        """`1.234,5`, or `1,234.5` in English."""
        number = self._number(value)
        return "" if number is None else number_words(number, digits, self._language)

    def money(self, value: Any, currency: Any = None) -> str:
        """`R$ 1.234,56`, or `$1,234.56` in English."""
        number = self._number(value)
        return "" if number is None else money_of(number, self._text(currency), self._language)

    def date(self, value: Any, format: str = "%d/%m/%Y") -> str:
        moment = self._moment(value)
        return "" if moment is None else formatted(moment, format, self._language)

    def time(self, value: Any, format: str = "%H:%M") -> str:
        return self.date(value, format)

    # --- of lists and anything ----------------------------------------------------------------------------------

    def default(self, value: Any, other: Any = "", empty: bool = False) -> Any:  # noqa: FBT001, FBT002 - as in Jinja
        """`other` where there is nothing; with `empty`, for an empty text as well."""
        self._charge_for(value)
        return other if value is None or (empty and not value) else value

    def length(self, value: Any) -> int:
        self._charge_for(value)
        return len(value) if isinstance(value, str | list | tuple | dict) else 0

    def first(self, value: Any) -> Any:
        self._charge_for(value)
        return value[0] if isinstance(value, str | list | tuple) and value else None

    def last(self, value: Any) -> Any:
        self._charge_for(value)
        return value[-1] if isinstance(value, str | list | tuple) and value else None

    def join(self, value: Any, by: Any = "", attribute: str | None = None) -> str:
        texts = [self._text(part_of(item, attribute)) for item in self._items(value)]
        separator = self._text(by)
        self.charge(len(texts) * len(separator))
        return self._text(separator.join(texts))

    def list_(self, value: Any) -> list[Any]:
        return self._items(value)

    def items(self, value: Any) -> list[Any]:
        return [(key, value[key]) for key in self._items(value)] if isinstance(value, dict) else []

    def map_(
        self, value: Any, name: str | None = None, *arguments: Any, attribute: str | None = None
    ) -> list[Any]:
        items = [part_of(item, attribute) for item in self._items(value)]
        if name is None:
            return items
        if name not in FILTERS or name == "map":
            raise TooMuch(said("there is no filter {name} for map", name=name))
        apply = getattr(self, FILTERS[name])
        return [apply(item, *arguments) for item in items]

    def sort(self, value: Any, reverse: bool = False, attribute: str | None = None) -> list[Any]:  # noqa: FBT001, FBT002
        return sorted(self._items(value), key=lambda item: rank(part_of(item, attribute)), reverse=reverse)

    def unique(self, value: Any) -> list[Any]:
        kept: dict[str, Any] = {}
        for item in self._items(value):
            kept.setdefault(self._json(item), item)
        return list(kept.values())

    def reverse(self, value: Any) -> Any:
        return self._text(value)[::-1] if isinstance(value, str) else self._items(value)[::-1]

    def min_(self, value: Any) -> Any:
        return min(self._items(value), key=rank, default=None)

    def max_(self, value: Any) -> Any:
        return max(self._items(value), key=rank, default=None)

    def sum_(self, value: Any, attribute: str | None = None) -> float | int:
        return sum(self._number(part_of(item, attribute)) or 0 for item in self._items(value))

    # --- functions ----------------------------------------------------------------------------------------------

    def make_range(self, start: int, stop: int | None = None, step: int = 1) -> list[int]:
        made = range(start) if stop is None else range(start, stop, step)
        if len(made) > _MAX_RANGE:
            raise TooMuch(said("a range in it has more than {most:,} numbers", most=_MAX_RANGE))
        self.charge(len(made))
        return list(made)


_METHODS = [
    "upper",
    "lower",
    "capitalize",
    "title",
    "trim",
    "string",
    "replace",
    "truncate",
    "split",
    "lines",
    "urlencode",
    "first_name",
    "digits",
    "tojson",
    "int_",
    "float_",
    "round_",
    "abs_",
    "times",
    "number",
    "money",
    "date",
    "time",
    "default",
    "length",
    "first",
    "last",
    "join",
    "list_",
    "items",
    "map_",
    "sort",
    "unique",
    "reverse",
    "min_",
    "max_",
    "sum_",
]
FILTERS = {method.rstrip("_"): method for method in _METHODS} | {"d": "default", "count": "length"}
"""The method of each."""
