"""Words with spelling mistakes. Alike is `100 × (1 - mistakes / letters of both)`.

A mistake is a letter too many, missing, or wrong, or two letters that changed places (optimal string alignment, of
RapidFuzz). So at 85, the default: one mistake from four letters on, none in shorter words; two from seven. What is
compared with a phrase: the whole text, and any run of as many words in it as the phrase has.
"""

from collections.abc import Iterable

from rapidfuzz.distance import OSA

from relay.replies.matching.seen import Seen


class Phrases:
    """What a text may be like: each as words in small letters, with single spaces."""

    __slots__ = ("_by_words", "_share")

    def __init__(self, texts: Iterable[str], *, score: float) -> None:
        self._share = share = 1 - score / 100 + 1e-9
        by_words: dict[int, list[tuple[str, int, int, int]]] = {}
        for text in texts:
            length = len(text)
            # mistakes <= share * (2 * length + mistakes): the other may be longer by as many as there are mistakes.
            most = int(share * 2 * length / (1 - share))
            by_words.setdefault(text.count(" ") + 1, []).append((text, length, length - most, length + most))
        self._by_words = tuple(by_words.items())

    def any_in(self, seen: Seen) -> bool:
        # One loop in one function: this is most of what rules with `fuzzy` cost.
        share, distance = self._share, OSA.distance
        for words, phrases in self._by_words:
            runs = seen.runs(words)
            for text, length, shortest, longest in phrases:
                for run_length, run in runs:
                    if shortest <= run_length <= longest:
                        mistakes = distance(text, run, score_cutoff=longest - length)
                        if mistakes <= share * (length + run_length):
                            return True
        return False
