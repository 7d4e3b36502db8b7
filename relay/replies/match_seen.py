"""A message as triggers look at it: each form of the text is made once, when it is first asked for."""

from collections.abc import Iterator
from functools import cached_property

from relay.replies.situation import Contact, Incoming
from relay.replies.text import LOOKED_AT_CHARACTERS, fold, normalize, words_of

_RUN_WORDS = 64
"""How many of the text's words `fuzzy` looks at."""


class Seen:
    """Of the text, the first 4,096 characters; see `LOOKED_AT_CHARACTERS`."""

    def __init__(self, message: Incoming, contact: Contact) -> None:
        self.message = message
        self.contact = contact
        self.text = message.text[:LOOKED_AT_CHARACTERS].strip()
        self.folded = fold(self.text)
        self._runs: dict[int, dict[int, list[str]]] = {}
        self._forms: dict[tuple[bool, bool], str] = {(False, False): self.folded}

    def form(self, *, case: bool, accents: bool) -> str:
        found = self._forms.get((case, accents))
        if found is None:
            found = self._forms[case, accents] = normalize(self.text, case=case, accents=accents)
        return found

    def words(self, *, case: bool, accents: bool) -> str:
        return words_of(self.form(case=case, accents=accents)) if case or accents else self.folded_words

    @cached_property
    def folded_words(self) -> str:
        return words_of(self.folded)

    @cached_property
    def encoded(self) -> bytes:
        return self.text.encode(errors="replace")

    @cached_property
    def phone(self) -> str | None:
        return canonical_phone(self.contact.pn) if self.contact.pn else None

    def runs(self, words: int) -> dict[int, list[str]]:
        """As many words in a row as asked for, wherever they stand, by how many characters they have."""
        found = self._runs.get(words)
        if found is None:
            found = self._runs[words] = {}
            for run in self._iterate_runs(words):
                found.setdefault(len(run), []).append(run)
        return found

    def _iterate_runs(self, count: int) -> Iterator[str]:
        words = self.folded_words.split()[:_RUN_WORDS]
        for start in range(len(words) - count + 1):
            yield " ".join(words[start : start + count])


def digits_of(number: str) -> str:
    return "".join(character for character in number if character in "0123456789")


def canonical_phone(number: str) -> str:
    """Its digits; of a Brazilian mobile number without the ninth one, which some accounts have and some have not."""
    digits = digits_of(number)
    if len(digits) == 13 and digits.startswith("55") and digits[4] == "9":
        return digits[:4] + digits[5:]
    return digits
