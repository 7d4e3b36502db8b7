"""Nodes of YAML into the structs of the schema; every problem is found, not only the first.

    Node + what the schema expects there ──► value | BROKEN, and Problems with their places

The schema itself is the guide (`msgspec.inspect`): a scalar is read as what is expected where it stands. Once a
struct is complete, `shapes.py` says whether its keys go together.
"""

import re
from collections.abc import Iterator
from functools import singledispatchmethod
from typing import Any

from msgspec import inspect, structs

from relay.replies.reading import scalars, wording
from relay.replies.reading.problems import Path, Problem, spell
from relay.replies.reading.shapes import find_faults
from relay.replies.reading.yaml_nodes import Entry, Items, Mapping, Node, Scalar, find_node
from relay.replies.said import either, said
from relay.replies.schema import RuleSet

BROKEN: Any = object()
"""Stands for what could not be read; the problem has been told."""
PROBLEMS_MOST = 100
_SCALARS = (
    inspect.StrType,
    inspect.BoolType,
    inspect.IntType,
    inspect.FloatType,
    inspect.LiteralType,
    inspect.CustomType,
    inspect.DateTimeType,
)


class TooManyProblems(Exception):
    """Enough to work on."""


class Converter:
    """`problems` fills up."""

    def __init__(self) -> None:
        self.problems: list[Problem] = []

    def read(self, node: Node, wanted: inspect.Type, path: Path = ()) -> Any:
        """The value, or BROKEN."""
        variants = wanted.types if isinstance(wanted, inspect.UnionType) else (wanted,)
        fitting = [variant for variant in variants if _fits(node, variant)]
        if not fitting:
            return self._tell(node, path, wording.misfit(node, variants))
        return self._read_as(fitting[0], node, path)

    @singledispatchmethod
    def _read_as(self, wanted: inspect.Type, node: Any, path: Path) -> Any:
        raise TypeError(f"The schema uses {wanted}, which is not read yet.")

    @_read_as.register
    def _(self, wanted: inspect.AnyType, node: Node, path: Path) -> Any:
        if isinstance(node, Scalar):
            return scalars.read_anything(node)
        if isinstance(node, Items):
            return [self.read(item, wanted, (*path, place)) for place, item in enumerate(node.items)]
        return {
            entry.key.text: self.read(entry.value, wanted, (*path, entry.key.text))
            for entry in self._entries(node, path)
        }

    @_read_as.register
    def _(self, wanted: inspect.StrType, node: Scalar, path: Path) -> Any:
        text = node.text
        if wanted.min_length and len(text) < wanted.min_length:
            return self._tell(node, path, said("is empty: write a text."))
        if wanted.max_length is not None and len(text) > wanted.max_length:
            detail = said(
                "has {count} characters; at most {most} are allowed.", count=len(text), most=wanted.max_length
            )
            return self._tell(node, path, detail)
        if wanted.pattern and not re.fullmatch(wanted.pattern, text):
            meaning = wording.meaning_of(wanted.pattern)
            return self._tell(
                node, path, said("{text} is not {meaning}.", text=wording.quote(text), meaning=meaning)
            )
        return text

    @_read_as.register
    def _(self, wanted: inspect.BoolType, node: Scalar, path: Path) -> Any:
        flag = scalars.read_flag(node.text)
        if flag is None:
            detail = said("must be true or false, not {text}.", text=wording.quote(node.text))
            return self._tell(node, path, detail)
        return flag

    @_read_as.register
    def _(self, wanted: inspect.IntType, node: Scalar, path: Path) -> Any:
        return self._read_number(wanted, scalars.read_integer(node.text), node, path, said("a whole number"))

    @_read_as.register
    def _(self, wanted: inspect.FloatType, node: Scalar, path: Path) -> Any:
        return self._read_number(wanted, scalars.read_number(node.text), node, path, said("a number"))

    def _read_number(
        self,
        wanted: inspect.IntType | inspect.FloatType,
        number: float | None,
        node: Scalar,
        path: Path,
        words: str,
    ) -> Any:
        if number is None:
            detail = said("must be {words}, not {text}.", words=words, text=wording.quote(node.text))
            return self._tell(node, path, detail)
        if (wanted.ge is not None and number < wanted.ge) or (wanted.le is not None and number > wanted.le):
            return self._tell(node, path, wording.out_of_bounds(node.text, wanted.ge, wanted.le))
        return number

    @_read_as.register
    def _(self, wanted: inspect.LiteralType, node: Scalar, path: Path) -> Any:
        for value in wanted.values:
            if str(value) == node.text:
                return value
        known = [str(value) for value in wanted.values]
        detail = said(
            "{text} is not known here: write {known}.", text=wording.quote(node.text), known=either(known)
        )
        return self._tell(node, path, detail)

    @_read_as.register
    def _(self, wanted: inspect.CustomType, node: Scalar, path: Path) -> Any:
        seconds = scalars.read_duration(node.text)
        if seconds is None:
            detail = said(
                "{text} is no duration: write 30s, 5m, 1h30m or 7d (at most 365d).",
                text=wording.quote(node.text),
            )
            return self._tell(node, path, detail)
        return seconds

    @_read_as.register
    def _(self, wanted: inspect.DateTimeType, node: Scalar, path: Path) -> Any:
        instant = scalars.read_instant(node.text)
        if instant is None:
            detail = said(
                "{text} is no date and time: write it as 2026-01-05T10:00.", text=wording.quote(node.text)
            )
            return self._tell(node, path, detail)
        return instant

    @_read_as.register
    def _(self, wanted: inspect.ListType, node: Items, path: Path) -> Any:
        count = len(node.items)
        if wanted.min_length and count < wanted.min_length:
            least = wanted.min_length
            detail = (
                said("needs {least} or more, and has {count}.", least=least, count=count)
                if count
                else said("needs {least} or more, and has none.", least=least)
            )
            return self._tell(node, path, detail)
        if wanted.max_length is not None and count > wanted.max_length:
            detail = said(
                "has {count} entries; at most {most} are allowed.", count=count, most=wanted.max_length
            )
            return self._tell(node, path, detail)
        read = [self.read(item, wanted.item_type, (*path, place)) for place, item in enumerate(node.items)]
        return BROKEN if any(value is BROKEN for value in read) else read

    @_read_as.register
    def _(self, wanted: inspect.DictType, node: Mapping, path: Path) -> Any:
        read = {}
        for entry in self._entries(node, path):
            here = (*path, entry.key.text)
            key = self.read(structs.replace(entry.key, plain=False), wanted.key_type, here)
            read[key] = self.read(entry.value, wanted.value_type, here)
        return BROKEN if BROKEN in read or any(value is BROKEN for value in read.values()) else read

    @_read_as.register
    def _(self, wanted: inspect.StructType, node: Mapping, path: Path) -> Any:
        fields = {field.encode_name: field for field in wanted.fields}
        given: dict[str, Any] = {}
        complete = True
        for entry in self._entries(node, path):
            field, here = fields.get(entry.key.text), (*path, entry.key.text)
            if field is None:
                self._tell(entry.key, here, wording.unknown_key(entry.key.text, wanted.cls, list(fields)))
                complete = False
            elif not _is_left_empty(entry.value, wanted, field):
                given[field.name] = self.read(entry.value, field.type, here)
        present = {entry.key.text for entry in node.entries}
        for field in wanted.fields:
            if field.required and field.encode_name not in present:
                self._tell(node, path, said("needs `{key}`.", key=field.encode_name))
                complete = False
        if not complete or any(value is BROKEN for value in given.values()):
            return BROKEN
        return self._checked(wanted.cls(**given), node, path)

    def _checked(self, made: Any, node: Mapping, path: Path) -> Any:
        faults = list(find_faults(made))
        for where, detail in faults:
            self._tell(find_node(node, where), (*path, *where), detail)
        return BROKEN if faults else made

    def _entries(self, node: Mapping, path: Path) -> Iterator[Entry]:
        """Each key once."""
        first: dict[str, int] = {}
        for entry in node.entries:
            key = entry.key.text
            if key in first:
                detail = said("stands here a second time; the first is on line {line}.", line=str(first[key]))
                self._tell(entry.key, (*path, key), detail)
            else:
                first[key] = entry.key.line
                yield entry

    def _tell(self, node: Node, path: Path, detail: str) -> Any:
        if len(self.problems) >= PROBLEMS_MOST:
            raise TooManyProblems
        self.problems.append(Problem(line=node.line, column=node.column, path=spell(path), detail=detail))
        return BROKEN


def _fits(node: Node, wanted: inspect.Type) -> bool:
    """Whether a node of this kind can be that; its content is another matter."""
    if isinstance(wanted, inspect.AnyType):
        return True
    if isinstance(node, Items):
        return isinstance(wanted, inspect.ListType)
    if isinstance(node, Mapping):
        return isinstance(wanted, inspect.StructType | inspect.DictType)
    # A key without a value would silently mean less than its author thinks.
    return isinstance(wanted, _SCALARS) and not scalars.is_nothing(node)


def _is_left_empty(node: Node, wanted: inspect.StructType, field: inspect.Field) -> bool:
    """A section of the whole set of which only the heading is there, the rest perhaps commented out."""
    return (
        wanted.cls is RuleSet
        and isinstance(node, Scalar)
        and scalars.is_nothing(node)
        and isinstance(field.type, inspect.ListType | inspect.DictType | inspect.StructType)
    )
