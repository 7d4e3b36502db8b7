"""Which of a tenant's rules a message is for.

    message ─► Index (all anchors at once) ─► candidates, in order ─► each looked at exactly ─► index, named groups

Rules that no text can rule out (`types`, `always`, `fuzzy` …) are always candidates in chats of their kind.
The first 4,096 characters of a text count; for regexes fewer, where those of a tenant are huge (`characters_for`).
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import product
from typing import Protocol

from msgspec import Struct

from relay.replies import schema
from relay.replies.matching.index import Index
from relay.replies.matching.parts import Anchors, Lists, Part, Parts, parts_of
from relay.replies.matching.regex import characters_for, check_regex, find_regex
from relay.replies.matching.seen import Seen, digits_of
from relay.replies.said import any_of, joined, said
from relay.replies.situation import Contact, Incoming

__all__ = ["Matcher", "Watched", "check_regex", "digits_of", "find_regex"]


class Watched(Protocol):
    @property
    def rule(self) -> schema.Rule: ...

    @property
    def lists(self) -> Mapping[str, frozenset[str]]:
        """Phone numbers by the list's name."""


class _Compiled(Struct, frozen=True, kw_only=True):
    """A rule's `when`."""

    chats: frozenset[str]
    parts: Parts
    any: tuple[Parts, ...] | None
    none: tuple[Parts, ...]
    empty: bool
    """Nothing is said, not even `always`: it is for no message."""


class Matcher:
    """`entries` in the order in which they are to be tried."""

    def __init__(self, entries: Sequence[Watched]) -> None:
        self._compiled = [_compile(entry.rule.when, entry.lists) for entry in entries]
        self._index = Index()
        self._open: dict[tuple[str, str | None], list[int]] = {}
        """Those without an anchor, by kind of chat and type of message."""
        self._regex_characters = characters_for(sum(map(_size, self._compiled)))
        for number, compiled in enumerate(self._compiled):
            anchors = _anchors(compiled)
            if anchors is None:
                for place in product(compiled.chats, _types(compiled)):
                    self._open.setdefault(place, []).append(number)
            else:
                self._index.add(number, anchors)
        self._index.build()

    def look_at(self, message: Incoming, contact: Contact) -> Seen:
        """For `find` and `why`."""
        return Seen(message, contact, regex_characters=self._regex_characters)

    def find(self, seen: Seen) -> Iterator[tuple[int, dict[str, str]]]:
        """Entries whose `when` holds, in order, with the named groups of the first regex found.

        Each is looked at when it is asked for: what its triggers see of the contact is `seen.contact` by then.
        """
        kinds = _kinds(seen.message)
        candidates = self._index.find(seen) if seen.text else set()
        for place in product(kinds, (None, seen.message.type)):
            candidates.update(self._open.get(place, ()))
        for number in sorted(candidates):
            compiled = self._compiled[number]
            if not compiled.chats.isdisjoint(kinds) and _holds(compiled, seen):
                yield number, _groups(compiled, seen)

    def why(self, index: int, seen: Seen) -> tuple[bool, str, str]:
        """Whether an entry's `when` holds, a stable code, and a sentence that quotes the rule, never the message."""
        compiled = self._compiled[index]
        if compiled.chats.isdisjoint(_kinds(seen.message)):
            detail = said(
                "The rule is for {chats} messages; this one is not.", chats=any_of(sorted(compiled.chats))
            )
            return False, "trigger.chats", detail
        missing = _first_missing(compiled, seen)
        if missing is not None:
            return False, *missing
        return True, "trigger.holds", said("Everything under `when` holds.")


def _compile(when: schema.When, lists: Lists) -> _Compiled:
    parts = list(parts_of(when, lists).parts)
    for trigger in when.all or ():
        parts.extend(parts_of(trigger, lists).parts)
    return _Compiled(
        chats=frozenset([when.chats] if isinstance(when.chats, str) else when.chats),
        parts=Parts(parts=tuple(parts)),
        any=None if when.any is None else tuple(parts_of(trigger, lists) for trigger in when.any),
        none=tuple(parts_of(trigger, lists) for trigger in when.not_),
        empty=not (when.always or parts or when.any or when.not_),
    )


def _types(compiled: _Compiled) -> Iterable[str | None]:
    """None: any type."""
    return next((part.types for part in compiled.parts.parts if part.types is not None), (None,))


def _size(compiled: _Compiled) -> int:
    """Of its regexes together."""
    every = (compiled.parts, *(compiled.any or ()), *compiled.none)
    return sum(regex.size for parts in every for part in parts.parts for regex in part.regexes)


def _anchors(compiled: _Compiled) -> Anchors | None:
    own = compiled.parts.anchors
    if own is not None or compiled.any is None:
        return own
    found: list[Anchors] = []
    for parts in compiled.any:
        if parts.anchors is None:
            return None
        found.append(parts.anchors)
    return tuple(anchor for anchors in found for anchor in anchors)


def _kinds(message: Incoming) -> tuple[str, ...]:
    if message.chat_type == "private":
        return ("any", "private")
    if message.chat_type == "group":
        return ("any", "group", "mentioned") if message.mentioned else ("any", "group")
    return ("any",)


def _holds(compiled: _Compiled, seen: Seen) -> bool:
    # A loop, not all(): this is asked of every candidate.
    for part in compiled.parts.parts:
        if not part.holds(seen):
            return False
    if compiled.any is not None and not any(parts.hold(seen) for parts in compiled.any):
        return False
    if compiled.none and any(parts.hold(seen) for parts in compiled.none):
        return False
    return not compiled.empty


def _first_missing(compiled: _Compiled, seen: Seen) -> tuple[str, str] | None:
    for part in compiled.parts.parts:
        if not part.holds(seen):
            return _told(part, seen)
    if compiled.any is not None and not any(parts.hold(seen) for parts in compiled.any):
        return _none_of_any(compiled.any, seen)
    for number, parts in enumerate(compiled.none, 1):
        if parts.hold(seen):
            keys = ", ".join(part.code.removeprefix("trigger.") for part in parts.parts)
            return "trigger.not", said(
                "Number {number} under `not` ({keys}) holds.", number=number, keys=keys
            )
    if compiled.empty:
        return "trigger.empty", said("Nothing is said under `when`; `always: true` is for every message.")
    return None


def _none_of_any(alternatives: Sequence[Parts], seen: Seen) -> tuple[str, str]:
    sentences = []
    for parts in alternatives:
        missing = next((part for part in parts.parts if not part.holds(seen)), None)
        sentences.append(said("It is empty.") if missing is None else _told(missing, seen)[1])
    if len(set(sentences)) == 1:
        return "trigger.any", sentences[0]
    return "trigger.any", said("None under `any` holds: {reasons}", reasons=joined(sentences, " "))


def _told(part: Part, seen: Seen) -> tuple[str, str]:
    if part.needs_text and not seen.text:
        key = part.code.removeprefix("trigger.")
        return "trigger.no_text", said("The message has no text, which `{key}` needs.", key=key)
    return part.code, part.no()


def _groups(compiled: _Compiled, seen: Seen) -> dict[str, str]:
    """A regex of an alternative that does not hold says nothing."""
    alternatives = [parts for parts in compiled.any or () if any(part.regexes for part in parts.parts)]
    for parts in (compiled.parts, *(parts for parts in alternatives if parts.hold(seen))):
        for part in parts.parts:
            for regex in part.regexes:
                groups = regex.find_groups(seen.encoded)
                if groups is not None:
                    return groups
    return {}
