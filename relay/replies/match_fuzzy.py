"""Words with spelling mistakes. Alike is `100 × (1 - mistakes / letters of both)`.

A mistake is a letter too many, missing, or wrong, or two letters that changed places (optimal string alignment, of
RapidFuzz). So at 85, the default: one mistake from four letters on, none in shorter words; two from seven. What is
compared with a phrase: the whole text, and any run of as many words in it as the phrase has.
"""

from rapidfuzz.distance import OSA

from relay.replies.match_seen import Seen


class Phrase:
    """Something to be like: words in small letters, with single spaces."""

    __slots__ = ("_length", "_most", "_share", "_text", "_words")

    def __init__(self, text: str, *, score: float) -> None:
        self._text = text
        self._length = len(text)
        self._words = text.count(" ") + 1
        self._share = 1 - score / 100 + 1e-9
        # mistakes <= share * (2 * length + mistakes): the other may be longer by as many as there are mistakes.
        self._most = int(self._share * 2 * self._length / (1 - self._share))

    def is_in(self, seen: Seen) -> bool:
        shortest, longest = self._length - self._most, self._length + self._most
        for length, run in seen.runs(self._words):
            if shortest <= length <= longest:
                allowed = int(self._share * (self._length + length))
                if OSA.distance(self._text, run, score_cutoff=allowed) <= allowed:
                    return True
        return False
