"""Which rules a text may be for: the anchors of all of them, looked for in four passes over the text.

    folded text ──► RE2 set of literals  ─┐
    its words   ──► RE2 set of literals  ─┼─► indexes of rules with an anchor in the text
    as written  ──► RE2 sets of regexes  ─┘

A set is one automaton, built as texts come by, in bounded memory. Where that does not suffice, all rules of the set are
named, and the exact look at each of them decides: slower, never wrong.
"""

import re2

from relay.replies.matching.parts import Anchor, Anchors, Where
from relay.replies.matching.regex import options
from relay.replies.matching.seen import Seen

_SET_BYTES = 16 << 20
_SET_PATTERNS = 1000


class Index:
    def __init__(self) -> None:
        self._owners: dict[Where, dict[str, list[int]]] = {}
        self._sets: list[tuple[Where, _Set]] = []

    def add(self, owner: int, anchors: Anchors) -> None:
        for where, anchor in anchors:
            pattern = anchor.text if where.startswith("regex") else _literal(anchor)
            self._owners.setdefault(where, {}).setdefault(pattern, []).append(owner)

    def build(self) -> None:
        for where, owners in self._owners.items():
            patterns = list(owners.items())
            for start in range(0, len(patterns), _SET_PATTERNS):
                made = _build_sets(patterns[start : start + _SET_PATTERNS], case=where != "regex")
                self._sets.extend((where, one) for one in made)

    def find(self, seen: Seen) -> set[int]:
        """A rule that is not among them has no anchor in the text."""
        hits: set[int] = set()
        texts: dict[Where, bytes] = {}
        for where, one in self._sets:
            text = texts.get(where)
            if text is None:
                text = texts[where] = _text_of(seen, where)
            one.collect(text, hits)
        return hits


class _Set:
    """`compiled` None: the patterns are too much for a set."""

    __slots__ = ("_compiled", "_owners")

    def __init__(self, owners: list[list[int]], compiled: re2.Set | None) -> None:
        self._owners = owners
        self._compiled = compiled

    def collect(self, text: bytes, hits: set[int]) -> None:
        found = None if self._compiled is None else self._compiled.Match(text)
        # The first pattern is in every text: not found, RE2 has run out of memory and has nothing to say.
        if not found:
            for owners in self._owners:
                hits.update(owners)
            return
        for index in found:
            if index:
                hits.update(self._owners[index - 1])


def _build_sets(patterns: list[tuple[str, list[int]]], *, case: bool) -> list[_Set]:
    chosen = options(case=case, max_mem_bytes=_SET_BYTES)
    chosen.never_capture = True
    made = re2.Set.SearchSet(chosen)
    owners = [found for _pattern, found in patterns]
    try:
        made.Add(b"")
        for pattern, _owners in patterns:
            made.Add(pattern.encode(errors="replace"))
        made.Compile()
    except re2.error:
        if len(patterns) == 1:
            return [_Set(owners, None)]
        half = len(patterns) // 2
        return [*_build_sets(patterns[:half], case=case), *_build_sets(patterns[half:], case=case)]
    return [_Set(owners, made)]


def _literal(anchor: Anchor) -> str:
    return f"{'^' if anchor.start else ''}{re2.escape(anchor.text)}{'$' if anchor.end else ''}"


def _text_of(seen: Seen, where: Where) -> bytes:
    if where == "folded":
        return seen.folded.encode(errors="replace")
    if where == "words":
        return seen.folded_words.encode(errors="replace")
    return seen.encoded
