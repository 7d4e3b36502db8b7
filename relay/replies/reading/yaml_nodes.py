"""YAML as a tree of nodes that know where they stand; what a scalar means is for whoever knows what is expected.

    text ──► libyaml's events ──► Scalar | Items | Mapping, within bounds

The text may come from a stranger: its size, depth and number of nodes are bounded, and anchors, aliases, tags and
several documents, which rules have no use for, are refused.
"""

import re
from collections.abc import Iterator
from typing import Any, TypeAlias

import yaml
from msgspec import Struct

from relay.replies.reading.problems import Path
from relay.replies.said import said

BYTES_MOST = 256 * 1024
NODES_MOST = 20_000
DEPTH_MOST = 20

# libyaml's, which reads the same ten times as fast, wherever PyYAML was built with it.
_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_TABS = said("Indent with spaces, not tabs")
_HINTS = (
    ("mapping values are not allowed", said('A text that holds ": " needs quotes around it')),
    (
        "cannot start any token",
        said("A text that begins with @, ` or % needs quotes"),
    ),
    ("expected ','", said("A bracket is opened and never closed, or a comma is missing")),
    (
        "could not find expected ':'",
        said("A colon is missing, or a text of several lines needs quotes or `|`"),
    ),
    (
        "did not find expected key",
        said("The indentation does not fit the line above, or a quote is not closed"),
    ),
    ("did not find expected '-' indicator", said("A list goes on only with `-`, in the same column")),
    (
        "unknown escape character",
        said("Within double quotes a backslash is written twice; use single quotes"),
    ),
    ("unexpected end of stream", said("A quote or a bracket is opened and never closed")),
    ("node content", said("A bracket is opened and never closed, or a comma stands where a value should")),
)


class Scalar(Struct, frozen=True, kw_only=True):
    line: int
    column: int
    text: str
    plain: bool
    """Written without quotes, on one line: it may mean a number, true, nothing."""


class Items(Struct, frozen=True, kw_only=True):
    line: int
    column: int
    items: list["Node"]


class Entry(Struct, frozen=True, kw_only=True):
    key: Scalar
    value: "Node"


class Mapping(Struct, frozen=True, kw_only=True):
    line: int
    column: int
    entries: list[Entry]


Node: TypeAlias = Scalar | Items | Mapping


class NotReadable(Exception):
    """The text is no YAML, or more than rules may be; lines and columns count from 1."""

    def __init__(self, line: int, column: int, detail: str) -> None:
        super().__init__(detail)
        self.line = line
        self.column = column
        self.detail = detail


def read_nodes(source: str | bytes) -> Node | None:
    """None for a text without content. Raises NotReadable."""
    text = _decode(source)
    try:
        return _Builder(yaml.parse(text, Loader=_Loader)).document()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
        raise NotReadable(line, column, _explain(error, _character_at(text, line, column))) from None
    except yaml.reader.ReaderError as error:
        before = text[: error.position] if isinstance(error.position, int) else ""
        raise NotReadable(
            before.count("\n") + 1,
            1,
            said("Holds a character that YAML does not allow (U+{code:04X}).", code=_code(error.character)),
        ) from None


def find_node(root: Node, path: Path) -> Node:
    """What stands at `path`, or as near to it as the text goes."""
    for part in path:
        below = root.items if isinstance(root, Items) else []
        if isinstance(root, Mapping):
            below = [entry.value for entry in root.entries if entry.key.text == part][:1]
            part = 0  # noqa: PLW2901 - a mapping has one value by that name
        if not isinstance(part, int) or part >= len(below):
            return root
        root = below[part]
    return root


def _decode(source: str | bytes) -> str:
    try:
        encoded = source.encode() if isinstance(source, str) else source
        text = encoded.decode("utf-8-sig")
    except UnicodeError:
        raise NotReadable(1, 1, said("Is not UTF-8 text. Save the file as UTF-8.")) from None
    if len(encoded) > BYTES_MOST:
        raise NotReadable(
            1,
            1,
            said(
                "Has {count} bytes; at most {most} are read. Split it into several rule sets.",
                count=len(encoded),
                most=BYTES_MOST,
            ),
        )
    hidden = re.search(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]", text)
    if hidden:
        line = text.count("\n", 0, hidden.start()) + 1
        column = hidden.start() - text.rfind("\n", 0, hidden.start())
        detail = said("Holds a control character (U+{code:04X}): remove it.", code=ord(hidden[0]))
        raise NotReadable(line, column, detail)
    return text


def _code(character: Any) -> int:
    return character if isinstance(character, int) else ord(character)


def _character_at(text: str, line: int, column: int) -> str:
    """Empty at the end of a line, and of the text."""
    return "".join(text.split("\n")[line - 1 : line])[column - 1 : column]


def _explain(error: yaml.MarkedYAMLError, character: str) -> str:
    problem = f"{error.problem or error.context}"
    # libyaml says of a tab only that no word can begin with it.
    hint = _TABS if character == "\t" else next((hint for part, hint in _HINTS if part in problem), None)
    if hint:
        return said("Is not valid YAML. {hint} ({problem}).", hint=hint, problem=problem)
    return said("Is not valid YAML: {problem}.", problem=problem)


class _Builder:
    def __init__(self, events: Iterator[Any]) -> None:
        self._events = events
        self._nodes = 0

    def document(self) -> Node | None:
        next(self._events)  # the stream begins
        if isinstance(next(self._events), yaml.StreamEndEvent):
            return None
        root = self._node(next(self._events), 1)
        next(self._events)  # the document ends
        after = next(self._events)
        if not isinstance(after, yaml.StreamEndEvent):
            raise _refuse(
                after, said("A second document begins here. One file holds one rule set: remove `---`.")
            )
        return None if isinstance(root, Scalar) and not root.text and root.plain else root

    def _node(self, event: Any, depth: int) -> Node:
        self._refuse_what_rules_need_not(event, depth)
        line, column = _place(event)
        if isinstance(event, yaml.ScalarEvent):
            if "\x00" in event.value:
                raise _refuse(event, said(r"Holds the character \0, which cannot be kept: remove it."))
            return Scalar(line=line, column=column, text=event.value, plain=not event.style)
        if isinstance(event, yaml.SequenceStartEvent):
            return Items(line=line, column=column, items=list(self._items(depth)))
        return Mapping(line=line, column=column, entries=list(self._entries(depth)))

    def _refuse_what_rules_need_not(self, event: Any, depth: int) -> None:
        self._nodes += 1
        if self._nodes > NODES_MOST:
            raise _refuse(
                event, said("More than {most} values: split this into several rule sets.", most=NODES_MOST)
            )
        if depth > DEPTH_MOST:
            raise _refuse(event, said("Nested more than {most} levels deep.", most=DEPTH_MOST))
        if isinstance(event, yaml.AliasEvent):
            raise _refuse(
                event, said("Aliases (*{name}) are not read: write the value out.", name=event.anchor)
            )
        if event.anchor is not None:
            raise _refuse(event, said("Anchors (&{name}) are not read: remove it.", name=event.anchor))
        if event.tag is not None:
            raise _refuse(
                event, said("Tags ({tag}) are not read: remove it, or put the text in quotes.", tag=event.tag)
            )

    def _items(self, depth: int) -> Iterator[Node]:
        while not isinstance(event := next(self._events), yaml.SequenceEndEvent):
            yield self._node(event, depth + 1)

    def _entries(self, depth: int) -> Iterator[Entry]:
        while not isinstance(event := next(self._events), yaml.MappingEndEvent):
            key = self._node(event, depth + 1)
            if not isinstance(key, Scalar):
                raise _refuse(
                    event,
                    said(
                        'A key has to be one word or text. A value with {{{{ … }}}} needs quotes: "{{{{ … }}}}".'
                    ),
                )
            yield Entry(key=key, value=self._node(next(self._events), depth + 1))


def _place(event: Any) -> tuple[int, int]:
    return event.start_mark.line + 1, event.start_mark.column + 1


def _refuse(event: Any, detail: str) -> NotReadable:
    return NotReadable(*_place(event), detail)
