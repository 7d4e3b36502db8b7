"""A message as triggers look at it: each form of the text is made once, when it is first asked for."""

from functools import cached_property

from relay.replies.matching.text import LOOKED_AT_CHARACTERS, fold, normalize, words_of
from relay.replies.situation import Contact, Incoming

_RUN_WORDS = 64
"""How many of the text's words `fuzzy` looks at."""


class Seen:
    """Of the text, the first 4,096 characters; see `LOOKED_AT_CHARACTERS`.

    `contact` may be replaced between two rules, by what the one before has made of its tags.
    """

    def __init__(
        self, message: Incoming, contact: Contact, *, regex_characters: int = LOOKED_AT_CHARACTERS
    ) -> None:
        self.message = message
        self.contact = contact
        self.text = message.text[:LOOKED_AT_CHARACTERS].strip()
        self.folded = fold(self.text)
        self._regex_characters = regex_characters
        self._runs: dict[int, list[tuple[int, str]]] = {}
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
        """What regular expressions look at."""
        return self.text[: self._regex_characters].encode(errors="replace")

    @cached_property
    def phone(self) -> str | None:
        return canonical_phone(self.contact.pn) if self.contact.pn else None

    def runs(self, count: int) -> list[tuple[int, str]]:
        """So many words in a row, wherever they stand, and the whole text; each behind its number of characters."""
        found = self._runs.get(count)
        if found is None:
            words = self.folded_words.split()[:_RUN_WORDS]
            runs = {" ".join(words[start : start + count]) for start in range(len(words) - count + 1)}
            runs.add(self.folded_words.strip())
            found = self._runs[count] = [(len(run), run) for run in runs]
        return found


def digits_of(number: str) -> str:
    return "".join(character for character in number if character in "0123456789")


def canonical_phone(number: str) -> str:
    """Its digits; of a Brazilian mobile number without the ninth one, which some accounts have and some have not."""
    digits = digits_of(number)
    if len(digits) == 13 and digits.startswith("55") and digits[4] == "9":
        return digits[:4] + digits[5:]
    return digits
