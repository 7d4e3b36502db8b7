"""What is wrong in a rule set: where, and in a sentence for whoever wrote it."""

from collections.abc import Sequence
from typing import TypeAlias

from msgspec import Struct

from relay.model.errors import InvalidInput
from relay.replies.said import joined, said

Path: TypeAlias = tuple[str | int, ...]
"""Keys as they are written, and places in lists, from the top."""


class Problem(Struct, frozen=True, kw_only=True):
    """`line` and `column` count from 1."""

    line: int
    column: int
    path: str
    """As `rules[2].when.regex`; empty: the whole."""
    detail: str
    """What is wrong, and what to write."""

    @property
    def sentence(self) -> str:
        return joined([self.path, self.detail], ": ") if self.path else self.detail


class RulesInvalid(InvalidInput):
    """A rule set cannot be put in force. There is at least one problem, in the order of the text."""

    code = "rules_invalid"

    def __init__(self, problems: Sequence[Problem]) -> None:
        first, more = problems[0], len(problems) - 1
        rest = said(" (and {more} more)", more=more) if more else ""
        super().__init__(
            said("Line {line}: {sentence}{rest}", line=str(first.line), sentence=first.sentence, rest=rest),
            path=first.path or None,
        )
        self.problems = list(problems)


def spell(path: Path) -> str:
    """`path` as people read it."""
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path).removeprefix(".")
