"""Comparing what people write: without capitals, accents and punctuation, spelling mistakes allowed."""

import re
import unicodedata

from rapidfuzz import fuzz

_WORDS_LEAST = 3
_NO_WORD = re.compile(r"[^\w]+|_")


def fold(text: str) -> str:
    """`text` as it is compared: "  Não, OBRIGADO! " becomes "nao obrigado"."""
    plain = unicodedata.normalize("NFKD", text.casefold())
    letters = "".join(character for character in plain if not unicodedata.combining(character))
    return _NO_WORD.sub(" ", letters).strip()


def likeness(one: str, other: str) -> float:
    """How alike two folded texts are, of 100: spelling mistakes and another order of the words cost little.

    Where the shorter has three words or more, words that only the longer one has cost little, too.
    """
    if not one or not other:
        return 0.0
    alike = max(fuzz.ratio(one, other), fuzz.token_sort_ratio(one, other))
    if min(one.count(" "), other.count(" ")) < _WORDS_LEAST - 1:
        return alike
    return max(alike, fuzz.token_set_ratio(one, other) * 0.95)
