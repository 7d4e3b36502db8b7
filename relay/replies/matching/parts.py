"""A `when` as a list of parts, each of which must hold; and each with what a person may read about it.

    When ─► chats · equals · keyword · … · any · not  ─► Part(code, holds(seen), anchors, sentence)

An anchor is a pattern without which the part cannot hold: `match_index.py` looks for the anchors of all rules at once.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Literal

from msgspec import Struct

from relay.replies import schema
from relay.replies.matching.fuzzy import Phrases
from relay.replies.matching.regex import Regex
from relay.replies.matching.seen import Seen, canonical_phone
from relay.replies.matching.text import fold, normalize, words_of
from relay.replies.said import Sentence, either, joined, said

Lists = Mapping[str, frozenset[str]]
Where = Literal["folded", "words", "regex", "regex_case"]
Anchors = tuple[tuple[Where, "Anchor"], ...]


class Anchor(Struct, frozen=True):
    """A literal with its ends fixed or not, or a regular expression."""

    text: str
    start: bool = False
    end: bool = False


class Part(Struct, frozen=True, kw_only=True):
    code: str
    holds: Callable[[Seen], bool]
    no: Sentence
    """Where it does not hold."""
    anchors: Anchors | None = None
    """One of these is in the text where the part holds; None: nothing can be said."""
    needs_text: bool = False
    regexes: tuple[Regex, ...] = ()
    types: frozenset[str] | None = None
    """It holds for messages of these types only."""


class Parts(Struct, frozen=True, kw_only=True):
    """Of one trigger: all must hold. Without any it never does."""

    parts: tuple[Part, ...]

    def hold(self, seen: Seen) -> bool:
        return bool(self.parts) and all(part.holds(seen) for part in self.parts)

    @property
    def anchors(self) -> Anchors | None:
        """Those of the part that has the fewest."""
        return min((part.anchors for part in self.parts if part.anchors is not None), key=len, default=None)


def parts_of(trigger: schema.Trigger, lists: Lists) -> Parts:
    """Those of a trigger's own keys."""
    return Parts(parts=(*_text_parts(trigger), *_other_parts(trigger, lists)))


# --- of the text ----------------------------------------------------------------------------------------------------


def _text_parts(trigger: schema.Trigger) -> Iterator[Part]:
    mode = _Mode(case=trigger.case, accents=trigger.accents)
    if trigger.equals is not None:
        yield _equals(mode, several(trigger.equals))
    if trigger.keyword is not None:
        yield _keyword(mode, several(trigger.keyword))
    if trigger.starts is not None:
        yield _edge(mode, several(trigger.starts), start=True)
    if trigger.ends is not None:
        yield _edge(mode, several(trigger.ends), start=False)
    if trigger.contains is not None:
        yield _contains(mode, several(trigger.contains))
    if trigger.regex is not None:
        yield _regex(several(trigger.regex), case=trigger.case)
    if trigger.fuzzy is not None:
        yield _fuzzy(trigger.fuzzy)


class _Mode(Struct, frozen=True, kw_only=True):
    """What is looked at of letters."""

    case: bool
    accents: bool

    def texts(self, values: Sequence[str]) -> tuple[str, ...]:
        """Without what is nothing but invisible characters, which would be in every text."""
        made = (normalize(value, case=self.case, accents=self.accents) for value in values)
        return tuple(value for value in made if value)

    def of(self, seen: Seen) -> str:
        return seen.form(case=self.case, accents=self.accents)

    def words(self, seen: Seen) -> str:
        return seen.words(case=self.case, accents=self.accents)


def _equals(mode: _Mode, values: Sequence[str]) -> Part:
    texts = frozenset(mode.texts(values))
    return Part(
        code="trigger.equals",
        holds=lambda seen: mode.of(seen) in texts,
        no=lambda: said("The text is not {values}.", values=_any_of(values)),
        anchors=_folded(texts, start=True, end=True),
        needs_text=True,
    )


def _edge(mode: _Mode, values: Sequence[str], *, start: bool) -> Part:
    texts = mode.texts(values)
    return Part(
        code="trigger.starts" if start else "trigger.ends",
        holds=(lambda seen: mode.of(seen).startswith(texts))
        if start
        else (lambda seen: mode.of(seen).endswith(texts)),
        no=lambda: (
            said("The text does not start with {values}.", values=_any_of(values))
            if start
            else said("The text does not end with {values}.", values=_any_of(values))
        ),
        anchors=_folded(texts, start=start, end=not start),
        needs_text=True,
    )


def _contains(mode: _Mode, values: Sequence[str]) -> Part:
    texts = mode.texts(values)

    def holds(seen: Seen) -> bool:
        text = mode.of(seen)
        return any(value in text for value in texts)

    return Part(
        code="trigger.contains",
        holds=holds,
        no=lambda: (
            _missing(values[0])
            if len(values) == 1
            else said("None of the words {values} is in the text.", values=_listed(values))
        ),
        anchors=_folded(texts),
        needs_text=True,
    )


def _keyword(mode: _Mode, values: Sequence[str]) -> Part:
    """What has no letters or digits, an emoji say, is looked for as it is."""
    texts = mode.texts(values)
    words = tuple(found for found in map(words_of, texts) if found)
    symbols = tuple(value for value in texts if not words_of(value))

    def holds(seen: Seen) -> bool:
        text = mode.words(seen)
        if any(word in text for word in words):
            return True
        return bool(symbols) and any(symbol in mode.of(seen) for symbol in symbols)

    return Part(
        code="trigger.keyword",
        holds=holds,
        no=lambda: (
            _missing(values[0])
            if len(values) == 1
            else said("None of the keywords {values} is in the text.", values=_listed(values))
        ),
        anchors=_keyword_anchors(mode, words, symbols),
        needs_text=True,
    )


def _keyword_anchors(mode: _Mode, words: Sequence[str], symbols: Sequence[str]) -> Anchors | None:
    if not mode.case and not mode.accents:
        of_words: Anchors = tuple(("words", Anchor(word)) for word in words)
    else:
        # Where accents are characters of their own they are no letters: a word may be a part of a folded one.
        longest = _folded([max(word.split(), key=len) for word in words])
        if longest is None:
            return None
        of_words = longest
    of_symbols = _folded(symbols)
    return None if of_symbols is None else of_words + of_symbols


def _regex(values: Sequence[str], *, case: bool) -> Part:
    regexes = tuple(Regex(value, case=case) for value in values)
    where: Where = "regex_case" if case else "regex"
    return Part(
        code="trigger.regex",
        holds=lambda seen: bool(seen.text) and any(regex.is_in(seen.encoded) for regex in regexes),
        no=lambda: (
            said("The regular expression is not found in the text.")
            if len(values) == 1
            else said("None of the regular expressions is found in the text.")
        ),
        anchors=tuple((where, Anchor(regex.pattern)) for regex in regexes if regex.size),
        needs_text=True,
        regexes=regexes,
    )


def _fuzzy(fuzzy: schema.Texts | schema.Fuzzy) -> Part:
    wanted = fuzzy if isinstance(fuzzy, schema.Fuzzy) else schema.Fuzzy(like=fuzzy)
    values = several(wanted.like)
    texts = (words_of(fold(value)).strip() for value in values)
    phrases = Phrases(filter(None, texts), score=wanted.score)
    return Part(
        code="trigger.fuzzy",
        holds=lambda seen: bool(seen.folded_words) and phrases.any_in(seen),
        no=lambda: said(
            "Nothing in the text is like {values} by {score:g} of 100.",
            values=_any_of(values),
            score=wanted.score,
        ),
        needs_text=True,
    )


def _folded(
    values: Sequence[str] | frozenset[str], *, start: bool = False, end: bool = False
) -> Anchors | None:
    folded = [fold(value) for value in values]
    if not all(folded):
        return None
    return tuple(("folded", Anchor(text, start=start, end=end)) for text in folded)


# --- of everything else ---------------------------------------------------------------------------------------------


def _other_parts(trigger: schema.Trigger, lists: Lists) -> Iterator[Part]:
    if trigger.types is not None:
        yield _types(trigger.types)
    if trigger.from_ is not None:
        yield _from(several(trigger.from_), lists)
    if trigger.tags is not None:
        yield tags_part(several(trigger.tags))
    if trigger.first_contact is not None:
        yield _first_contact(wanted=trigger.first_contact)


def _types(values: Sequence[str]) -> Part:
    types = frozenset(values)
    return Part(
        code="trigger.types",
        holds=lambda seen: seen.message.type in types,
        no=lambda: said("The message's type is not {values}.", values=_any_of(values)),
        types=types,
    )


def _from(values: Sequence[str], lists: Lists) -> Part:
    phones: set[str] = set()
    for value in values:
        phones.update(map(canonical_phone, lists.get(value, (value,))))
    phones.discard("")
    return Part(
        code="trigger.from",
        holds=lambda seen: seen.phone in phones,
        no=lambda: said("The sender's number is not among those under `from`."),
    )


def tags_part(values: Sequence[str]) -> Part:
    tags = frozenset(values)
    return Part(
        code="trigger.tags",
        holds=lambda seen: not tags.isdisjoint(seen.contact.tags),
        no=lambda: said("The contact has no tag {tags}.", tags=_any_of(values)),
    )


def _first_contact(*, wanted: bool) -> Part:
    return Part(
        code="trigger.first_contact",
        holds=lambda seen: seen.contact.first == wanted,
        no=lambda: (
            said("It is not the first message of this chat.")
            if wanted
            else said("It is the first message of this chat.")
        ),
    )


# --- sentences ------------------------------------------------------------------------------------------------------

_SHOWN = 5


def several(values: schema.Texts) -> list[str]:
    return [values] if isinstance(values, str) else values


def _any_of(values: Sequence[str]) -> str:
    return either(_shown(values))


def _listed(values: Sequence[str]) -> str:
    return joined(_shown(values))


def _shown(values: Sequence[str]) -> list[str]:
    shown = [f'"{_short(value)}"' for value in values[:_SHOWN]]
    return shown if len(values) <= _SHOWN else [*shown, said("{count} more", count=len(values) - _SHOWN)]


def _missing(value: str) -> str:
    return said('"{value}" is not in the text.', value=_short(value))


def _short(value: str) -> str:
    return value if len(value) <= 40 else f"{value[:39]}…"
