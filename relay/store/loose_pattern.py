"""A text as a regular expression of Postgres that finds it whatever the case and the accents: «nao» finds «Não».

    n           a                o            each letter as a class of all that differ from it in case and accents alone,
    [nN…]‹´›*  [aAàÀáÁãÃ…]‹´›*  [oOòÒ…]‹´›*   followed by accents that stand for themselves, as some keyboards write them

So it needs neither an extension nor anything of the database's locale. All other characters are plain ones, and what a
person types cannot make the expression slow: it has no groups, no alternatives and nothing to go back for.
"""

import re
import unicodedata
from collections import defaultdict
from functools import cache

_ACCENTS = "[\u0300-\u036f]*"
_ACCENT = re.compile("[\u0300-\u036f]")
# Letters end long before it but for those of scripts that know neither case nor these accents.
_LAST_LETTER = 0x24FF


def loose_pattern(text: str) -> str:
    """For `~`."""
    letters = _ACCENT.sub("", text) or text
    return "".join(_class_of(letter) + _ACCENTS for letter in letters)


def _class_of(letter: str) -> str:
    if letter.isalpha():
        return f"[{letter}{''.join(_alike().get(_folded(letter), ()))}]"
    return letter if letter.isalnum() or letter.isspace() or ord(letter) > 127 else "\\" + letter


@cache
def _alike() -> dict[str, list[str]]:
    """The letters by what is left of them without case and accents."""
    alike = defaultdict(list)
    for letter in map(chr, range(_LAST_LETTER)):
        if letter.isalpha():
            alike[_folded(letter)].append(letter)
    return alike


def _folded(letter: str) -> str:
    """Of one that is more than a letter and accents, as syllables are: the letter itself."""
    folded = _ACCENT.sub("", unicodedata.normalize("NFD", letter)).casefold()
    return folded if len(folded) == 1 else letter
