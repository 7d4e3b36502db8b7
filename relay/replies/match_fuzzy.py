"""Words with spelling mistakes. Alike is `100 × (1 - mistakes / letters of both)`.

A mistake is a letter too many, missing, or wrong, or two letters that changed places (optimal string alignment, of
RapidFuzz). So at 85, the default: one mistake from four letters on, none in shorter words; two from seven. What is
compared with a phrase: the whole text, and any run of as many words in it as the phrase has.
"""

from rapidfuzz.distance import OSA

from relay.replies.match_seen import Seen


class Phrase:
    """Something to be like; `text` as words in small letters, with single spaces."""

    __slots__ = ("_most", "_share", "_words", "text")

    def __init__(self, text: str, *, score: float) -> None:
        self.text = text
        self._share = 1 - score / 100
        self._words = text.count(" ") + 1
        # mistakes <= share * (2 * letters + mistakes): the other may be longer by as many as there are mistakes.
        self._most = int(self._share * 2 * len(text) / (1 - self._share) + 1e-9)

    def is_in(self, seen: Seen) -> bool:
        if self._is_like(seen.folded_words.strip()):
            return True
        runs = seen.runs(self._words)
        letters = len(self.text)
        for length in range(letters - self._most, letters + self._most + 1):
            if any(self._is_like(run) for run in runs.get(length, ())):
                return True
        return False

    def _is_like(self, text: str) -> bool:
        if abs(len(text) - len(self.text)) > self._most or not text:
            return False
        allowed = int(self._share * (len(text) + len(self.text)) + 1e-9)
        return OSA.distance(self.text, text, score_cutoff=allowed) <= allowed
