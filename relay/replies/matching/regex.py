"""Regular expressions that a stranger wrote: RE2 only, whose time is linear in the text, in bounded memory."""

from typing import Any

import re2

from relay.replies.matching.text import LOOKED_AT_CHARACTERS
from relay.replies.said import joined, said

MAX_CHARACTERS = 1000
MAX_SIZE = 5000
"""Steps of one program: `.{1,300}` has some 2,700, an e-mail address 40."""
_MAX_MEM_BYTES = 1 << 20
"""Of one compiled expression; RE2 refuses what would need more."""
_STEPS_PER_MESSAGE = 50_000_000
"""Some 50 ms, at worst; an ordinary text costs some 10 µs however many expressions there are."""
_LOOKED_AT_LEAST = 128


def options(*, case: bool, max_mem_bytes: int = _MAX_MEM_BYTES) -> Any:
    chosen = re2.Options()
    chosen.max_mem = max_mem_bytes
    chosen.case_sensitive = case
    chosen.log_errors = False
    return chosen


class Regex:
    """One that RE2 does not take is in no text: a rule set may be older than the bounds that stand here."""

    __slots__ = ("_compiled", "pattern", "size")

    def __init__(self, pattern: str, *, case: bool) -> None:
        self.pattern = pattern
        self._compiled: Any = None
        self.size = 0
        """Of its program: steps that a character may cost. 0: RE2 does not take it."""
        try:
            compiled = _compile(pattern, case=case)
        except re2.error:
            return
        if compiled.programsize <= MAX_SIZE:
            self._compiled, self.size = compiled, compiled.programsize

    def is_in(self, text: bytes) -> bool:
        return self._search(text) is not None

    def find_groups(self, text: bytes) -> dict[str, str] | None:
        """The named groups of the first place that fits, without those that took no part; None where none fits."""
        found = self._search(text)
        if found is None:
            return None
        return {
            name.decode(): value.decode(errors="replace")
            for name, value in found.groupdict().items()
            if value is not None
        }

    def _search(self, text: bytes) -> Any:
        # Bytes: with a str, re2 counts characters for every group.
        return None if self._compiled is None else self._compiled.search(text)


def characters_for(size: int) -> int:
    """How much of a text expressions look at whose programs have `size` steps together: all of it, unless they are huge."""
    return min(LOOKED_AT_CHARACTERS, max(_LOOKED_AT_LEAST, _STEPS_PER_MESSAGE // max(size, 1)))


def find_regex(pattern: str, text: str, *, case: bool = False) -> dict[str, str] | None:
    """The named groups where the pattern is in the text; None where it is not. Once: a matcher keeps its own."""
    return Regex(pattern, case=case).find_groups(text[:LOOKED_AT_CHARACTERS].strip().encode(errors="replace"))


def check_regex(pattern: str, *, case: bool) -> str | None:
    """What is wrong with it, as a sentence; None where it is fine."""
    if len(pattern) > MAX_CHARACTERS:
        return said(
            "The regular expression has {count} characters; at most {most:,} are allowed.",
            count=len(pattern),
            most=MAX_CHARACTERS,
        )
    try:
        size = _compile(pattern, case=case).programsize
    except re2.error as error:
        return _sentence(str(error.args[0].decode() if isinstance(error.args[0], bytes) else error.args[0]))
    return _sentence("too large") if size > MAX_SIZE else None


def _compile(pattern: str, *, case: bool) -> Any:
    return re2.compile(pattern.encode(errors="replace"), options(case=case))


def _sentence(reason: str) -> str:
    if "too large" in reason:
        return said("The regular expression becomes too large; use smaller numbers of repetitions in {{…}}.")
    sentence = said("The regular expression is not valid: {reason}.", reason=reason)
    if "(?" in reason or "escape" in reason:
        hint = said("Look-ahead, look-behind and back references do not exist here (RE2).")
        return joined([sentence, hint], " ")
    return sentence
