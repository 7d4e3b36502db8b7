"""Texts as people mean them: without regard to capitals, accents, and how the words are spaced."""

import re
import unicodedata
from hashlib import blake2b

LOOKED_AT_CHARACTERS = 4096
"""Of a message; what comes after them no rule sees. A message may have 65,536."""

_NOT_WORD = re.compile(r"[\W_]+")


class _Dropping(dict[int, int | None]):
    """For `str.translate`: drops the characters of some categories, learning as it meets them."""

    def __init__(self, *categories: str) -> None:
        super().__init__()
        self._categories = categories

    def __missing__(self, code: int) -> int | None:
        kept = None if unicodedata.category(chr(code)) in self._categories else code
        if len(self) < 10_000:
            self[code] = kept
        return kept


# Joiners and marks of direction have no shape; WhatsApp itself puts some around names.
_SHAPELESS = _Dropping("Cf")
_ACCENTS = _Dropping("Cf", "Mn", "Me")


def fold(text: str) -> str:
    """Small letters, no accents, one space between words."""
    if text.isascii():
        return " ".join(text.lower().split())
    # Twice: what is taken apart may have capitals, what is made small may have accents.
    apart = unicodedata.normalize("NFKD", text).casefold()
    return " ".join(unicodedata.normalize("NFKD", apart).translate(_ACCENTS).casefold().split())


def normalize(text: str, *, case: bool, accents: bool) -> str:
    """As `fold`, with capitals kept where `case`, accents where `accents`."""
    if not case and not accents:
        return fold(text)
    if not accents:
        return " ".join(unicodedata.normalize("NFKD", text).translate(_ACCENTS).split())
    text = unicodedata.normalize("NFKC", text.translate(_SHAPELESS))
    return " ".join((text if case else unicodedata.normalize("NFKC", text.casefold())).split())


def words_of(text: str) -> str:
    """The words alone, with a space before, between and after them; punctuation and emoji are none. "" without any."""
    words = _NOT_WORD.sub(" ", text).strip()
    return f" {words} " if words else ""


def digest_of(text: str) -> str:
    """Short, the same for texts that `fold` makes the same; "" where there is nothing. For telling echoes."""
    folded = fold(text[:LOOKED_AT_CHARACTERS])
    return blake2b(folded.encode(errors="replace"), digest_size=9).hexdigest() if folded else ""
