"""Regular expressions that a stranger wrote: RE2 only, whose time is linear in the text, in bounded memory."""

from typing import Any

import re2

from relay.replies.text import LOOKED_AT_CHARACTERS

MAX_CHARACTERS = 1000
_MAX_MEM_BYTES = 1 << 20
"""Of one compiled expression; RE2 refuses what would need more."""


def options(*, case: bool, max_mem_bytes: int = _MAX_MEM_BYTES) -> Any:
    chosen = re2.Options()
    chosen.max_mem = max_mem_bytes
    chosen.case_sensitive = case
    chosen.log_errors = False
    return chosen


class Regex:
    """Compiled when it is first needed: of the many that a tenant may have, few are hit."""

    __slots__ = ("_case", "_compiled", "pattern")

    def __init__(self, pattern: str, *, case: bool) -> None:
        self.pattern = pattern
        self._case = case
        self._compiled: Any = None

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
        if self._compiled is None:
            self._compiled = re2.compile(self.pattern.encode(errors="replace"), options(case=self._case))
        # Bytes: with a str, re2 counts characters for every group.
        return self._compiled.search(text)


def find_regex(pattern: str, text: str, *, case: bool = False) -> dict[str, str] | None:
    """The named groups where the pattern is in the text; None where it is not. Once: a matcher keeps its own."""
    return Regex(pattern, case=case).find_groups(text[:LOOKED_AT_CHARACTERS].strip().encode(errors="replace"))


def check_regex(pattern: str, *, case: bool) -> str | None:
    """What is wrong with it, as a sentence; None where it is fine."""
    if len(pattern) > MAX_CHARACTERS:
        return (
            f"The regular expression has {len(pattern)} characters; at most {MAX_CHARACTERS:,} are allowed."
        )
    try:
        re2.compile(pattern.encode(errors="replace"), options(case=case))
    except re2.error as error:
        return _sentence(str(error.args[0].decode() if isinstance(error.args[0], bytes) else error.args[0]))
    return None


def _sentence(said: str) -> str:
    if "too large" in said:
        return "The regular expression becomes too large; use smaller numbers of repetitions in {…}."
    hint = ""
    if "(?" in said or "escape" in said:
        hint = " Look-ahead, look-behind and back references do not exist here (RE2)."
    return f"The regular expression is not valid: {said}.{hint}"
