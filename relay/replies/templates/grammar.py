"""What a template may say. minijinja counts steps, not bytes: a handful of steps can double a text forty times over.

So of its language only that is let through in which nothing can grow: `{{ }}`, `if`, `for`, comments; the filters of
`template_filters.py`, which are bounded; no `set`, no macros, no blocks, no calls but `range`, no `~`, lists of plain
values only, and `*` only outside of loops, by a small number (a text times a number is a longer text). What then remains is
bounded by the length of the template, minijinja's fuel, and the work that filters and output are charged for.
"""

import re
from collections.abc import Iterator
from typing import NamedTuple

from relay.replies.said import said
from relay.replies.templates.filters import FILTERS, FUNCTIONS, TESTS

MAX_CHARACTERS = 8192
_MAX_SUMS = 32
_MAX_FACTOR = 100
_MAX_DEPTH = 20
_STATEMENTS = frozenset({"if", "elif", "else", "endif", "for", "endfor"})
_WORDS = frozenset(
    {"and", "or", "not", "in", "is", "if", "else", "true", "false", "none", "True", "False", "None"}
)
_LITERALS = frozenset({"true", "false", "none", "True", "False", "None"})
_PLAIN_LISTS = said("a list in brackets may hold texts and numbers only")
_OPEN = re.compile(r"\{[{%#]")
_TOKEN = re.compile(
    r"""(?P<space>\s+)
    |(?P<text>"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*')
    |(?P<number>\d[\w.]*)
    |(?P<name>[^\W\d]\w*)
    |(?P<sign>\*\*|//|[=!<>]=|.)""",
    re.VERBOSE | re.DOTALL,
)


class Refused(Exception):
    """`detail` without a full stop; `line` from 1, 0 where it is not known."""

    def __init__(self, detail: str, line: int = 0) -> None:
        super().__init__(detail)
        self.detail = detail
        self.line = line


class _Token(NamedTuple):
    kind: str
    text: str


class _Tag(NamedTuple):
    line: int
    is_statement: bool
    tokens: list[_Token]


def check_grammar(source: str) -> None:
    """Raises `Refused`. What is merely wrong, minijinja says."""
    if len(source) > MAX_CHARACTERS:
        raise Refused(said("it has more than {most:,} characters", most=MAX_CHARACTERS))
    counts = {"+": 0}
    depth = loops = 0
    for tag in _iterate_tags(source):
        try:
            word = tag.tokens[0].text if tag.is_statement and tag.tokens else ""
            if tag.is_statement and word not in _STATEMENTS:
                raise Refused(said("{{% {word} %}} is not available; only if and for are", word=word))
            depth += word in ("if", "for")
            loops += word == "for"
            if depth > _MAX_DEPTH:
                raise Refused(said("more than {most} if and for stand within each other", most=_MAX_DEPTH))
            _TagCheck(
                tag.tokens[1:] if word else tag.tokens, statement=word, counts=counts, in_loop=loops > 0
            ).run()
            depth -= word in ("endif", "endfor")
            loops -= word == "endfor"
        except Refused as refused:
            raise Refused(refused.detail, tag.line) from None


def _iterate_tags(source: str) -> Iterator[_Tag]:
    at = 0
    while (opening := _OPEN.search(source, at)) is not None:
        line = source.count("\n", 0, opening.start()) + 1
        kind = opening.group()
        if kind == "{#":
            end = source.find("#}", opening.end())
            if end < 0:
                return
            at = end + 2
            continue
        tokens, at = _read_tag(source, opening.end(), "}}" if kind == "{{" else "%}", line)
        yield _Tag(line, kind == "{%", tokens)


def _read_tag(source: str, at: int, end: str, line: int) -> tuple[list[_Token], int]:
    """The tokens up to the end of the tag, and where the text goes on."""
    tokens: list[_Token] = []
    if source[at : at + 1] in ("-", "+"):
        at += 1
    while not source.startswith(end, at):
        if source[at : at + 1] in ("-", "+") and source.startswith(end, at + 1):
            return tokens, at + 1 + len(end)
        found = _TOKEN.match(source, at)
        if found is None:
            raise Refused(said("{end} is missing", end=end), line)
        kind, text = str(found.lastgroup), found.group()
        if text in ("{", "}", '"', "'"):
            is_brace = text in "{}"
            detail = (
                said("braces are not available within a tag") if is_brace else said("a quote is not closed")
            )
            raise Refused(detail, line)
        if kind != "space":
            tokens.append(_Token(kind, text))
        at = found.end()
    return tokens, at + len(end)


class _TagCheck:
    """One tag, from left to right; `open` are the brackets around the place: call, group, list, part."""

    def __init__(
        self, tokens: list[_Token], *, statement: str, counts: dict[str, int], in_loop: bool
    ) -> None:
        self._tokens = tokens
        self._targets = statement == "for"
        self._counts = counts
        self._products = 0
        self._in_loop = in_loop
        self._open: list[str] = []

    def run(self) -> None:
        for place, token in enumerate(self._tokens):
            before = self._tokens[place - 1] if place else _Token("", "")
            if token.kind == "name":
                self._name(place, token.text, before.text)
            elif token.kind == "sign":
                self._sign(place, token.text, before)

    def _name(self, place: int, name: str, before: str) -> None:
        if name == "in":
            self._targets = False
        elif name == "recursive":
            raise Refused(_not_available("recursive"))
        elif before == "|":
            if name not in FILTERS:
                raise Refused(said("there is no filter {name}", name=name))
        elif before == "is" or (before == "not" and place > 1 and self._tokens[place - 2].text == "is"):
            if name not in TESTS and name != "not":
                raise Refused(said("there is no test {name}", name=name))
        elif before == "." and name.startswith("_"):
            raise Refused(_not_available(name))
        if "list" in self._open and name not in _LITERALS:
            raise Refused(_PLAIN_LISTS)

    def _sign(self, place: int, sign: str, before: _Token) -> None:
        if sign in "([":
            self._open.append(self._bracket(place, sign, before))
            if len(self._open) > _MAX_DEPTH:
                raise Refused(said("too many brackets stand within each other"))
        elif sign in ")]":
            if not self._open:
                raise Refused(said("{sign} closes nothing", sign=sign))
            self._open.pop()
        elif "list" in self._open and sign not in (",", "-"):
            raise Refused(_PLAIN_LISTS)
        else:
            self._operator(place, sign, before)

    def _operator(self, place: int, sign: str, before: _Token) -> None:
        if sign == "~":
            raise Refused(said("~ is not available; write {{{{ a }}}}{{{{ b }}}}"))
        if sign == "," and not self._targets and self._open[-1:] not in (["call"], ["list"]):
            raise Refused(said("a comma stands where none can"))
        if sign == "+":
            self._counts["+"] += 1
            if self._counts["+"] > _MAX_SUMS:
                raise Refused(said("+ stands in it more than {most} times", most=_MAX_SUMS))
        elif sign in ("*", "**"):
            self._product(place, sign, before)

    def _bracket(self, place: int, sign: str, before: _Token) -> str:
        is_value = before.kind in ("text", "number") or before.text in (")", "]")
        is_name = before.kind == "name" and before.text not in _WORDS
        if "list" in self._open:
            raise Refused(_PLAIN_LISTS)
        if sign == "[":
            return "part" if is_value or is_name else "list"
        if not is_value and not is_name:
            return "group"
        called_by = self._tokens[place - 2].text if place > 1 else ""
        if is_name and (called_by in ("|", "is") or (called_by == "not" and before.text in TESTS)):
            return "call"
        if is_name and called_by != "." and before.text in FUNCTIONS:
            return "call"
        if before.text in FILTERS:
            raise Refused(said("{name}(…) cannot be called; write {{{{ value|{name} }}}}", name=before.text))
        raise Refused(said("{name}(…) cannot be called", name=before.text))

    def _product(self, place: int, sign: str, before: _Token) -> None:
        after = self._tokens[place + 1] if place + 1 < len(self._tokens) else _Token("", "")
        self._products += 1
        is_small = any(_is_small(token) for token in (before, after))
        if sign == "**" or self._in_loop or self._products > 1 or not is_small:
            raise Refused(
                said(
                    "{sign} is available once, outside of loops, by a number up to {most};"
                    " write {{{{ price|times(count) }}}}",
                    sign=sign,
                    most=_MAX_FACTOR,
                )
            )


def _not_available(name: str) -> str:
    return said("{name} is not available", name=name)


def _is_small(token: _Token) -> bool:
    if token.kind != "number":
        return False
    try:
        return float(token.text) <= _MAX_FACTOR
    except ValueError:
        return False
