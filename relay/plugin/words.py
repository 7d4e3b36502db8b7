"""Comparing what people write: without capitals, accents and punctuation, spelling mistakes allowed."""

import re
import unicodedata

from rapidfuzz import fuzz

_NO_WORD = re.compile(r"[^\w]+|_")


def fold(text: str) -> str:
    """`text` as it is compared: "  Não, OBRIGADO! " becomes "nao obrigado"."""
    plain = unicodedata.normalize("NFKD", text.casefold())
    letters = "".join(character for character in plain if not unicodedata.combining(character))
    return _NO_WORD.sub(" ", letters).strip()


def likeness(one: str, other: str) -> float:
    """How alike two folded texts are, of 100; words that only one of them has count little."""
    if not one or not other:
        return 0.0
    return max(fuzz.ratio(one, other), fuzz.token_set_ratio(one, other) * 0.95)
