"""The regular expressions of a rule set: each has to be one, and all together are bounded.

A few characters can stand for a machine of thousands of states (`((a|b){1,30}){1,30}`); a rule set full of them would
take minutes and much memory to make ready.
"""

from collections.abc import Iterator
from typing import Any, TypeAlias

import re2

from relay.replies import schema
from relay.replies.matching.regex import check_regex, options
from relay.replies.reading.problems import Path
from relay.replies.said import said

Fault: TypeAlias = tuple[Path, str]

STATES_MOST = 200_000
"""Of all machines together; an everyday expression has 10 to 50."""


class PatternCheck:
    """Goes over the parts of one rule set, and counts."""

    def __init__(self) -> None:
        self._states = 0

    def faults_of(self, part: Any) -> Iterator[Fault]:
        """Places are below the part."""
        if not isinstance(part, schema.Trigger | schema.Validate) or part.regex is None:
            return
        case = isinstance(part, schema.Trigger) and part.case
        alone = isinstance(part.regex, str)
        for place, pattern in enumerate([part.regex] if isinstance(part.regex, str) else part.regex):
            sentence = self._look(pattern, case=case)
            if sentence is not None:
                yield ("regex",) if alone else ("regex", place), sentence

    def _look(self, pattern: str, *, case: bool) -> str | None:
        if self._states > STATES_MOST:
            # It has been told.
            return None
        sentence = check_regex(pattern, case=case)
        if sentence is not None:
            return sentence
        self._states += re2.compile(pattern.encode(errors="replace"), options(case=case)).programsize
        if self._states <= STATES_MOST:
            return None
        return said(
            "All regular expressions up to this one are too large together: use smaller numbers in {{…}}, or fewer of them."
        )
