"""What differs between two texts, as a unified diff.

difflib alone takes minutes over texts that are made to be hard; here the lines are compared by rapidfuzz, whose cost is
bounded by their number, and difflib only groups what it found.
"""

from collections.abc import Iterator, Sequence
from difflib import SequenceMatcher
from itertools import groupby

from rapidfuzz.distance import LCSseq

_LINES_MOST = 10_000
"""Of a text, beside what both begin and end with; more are shown as replaced as a whole."""
_CONTEXT = 3

Opcode = tuple[str, int, int, int, int]


def unified_diff(old: str, new: str, *, old_name: str, new_name: str) -> str:
    """Empty where nothing differs."""
    a, b = old.splitlines(), new.splitlines()
    hunks = list(_hunks(a, b))
    if not hunks:
        return ""
    return "\n".join([f"--- {old_name}", f"+++ {new_name}", *hunks]) + "\n"


def _hunks(a: Sequence[str], b: Sequence[str]) -> Iterator[str]:
    grouping = SequenceMatcher(None, "", "")
    # Where difflib keeps what it has found, and looks first.
    grouping.opcodes = _opcodes(a, b)  # type: ignore[attr-defined]
    for group in grouping.get_grouped_opcodes(_CONTEXT):
        if all(tag == "equal" for tag, *_ in group):
            continue
        (_, a_from, _, b_from, _), (_, _, a_to, _, b_to) = group[0], group[-1]
        yield f"@@ -{_range(a_from, a_to)} +{_range(b_from, b_to)} @@"
        for tag, i1, i2, j1, j2 in group:
            if tag == "equal":
                yield from (f" {line}" for line in a[i1:i2])
                continue
            yield from (f"-{line}" for line in a[i1:i2])
            yield from (f"+{line}" for line in b[j1:j2])


def _range(start: int, end: int) -> str:
    """As `diff -u` counts: from 1, and an empty range from the line before it."""
    length = end - start
    if length == 1:
        return str(start + 1)
    return f"{start + 1 if length else start},{length}"


def _opcodes(a: Sequence[str], b: Sequence[str]) -> list[Opcode]:
    shortest = min(len(a), len(b))
    head = next((n for n in range(shortest) if a[n] != b[n]), shortest)
    rest = shortest - head
    tail = next((n for n in range(rest) if a[-1 - n] != b[-1 - n]), rest)
    i, j = len(a) - tail, len(b) - tail
    return [
        *([("equal", 0, head, 0, head)] if head else []),
        *_differences(a[head:i], b[head:j], head),
        *([("equal", i, len(a), j, len(b))] if tail else []),
    ]


def _differences(a: Sequence[str], b: Sequence[str], offset: int) -> Iterator[Opcode]:
    if not a and not b:
        return
    if max(len(a), len(b)) > _LINES_MOST:
        yield ("replace", offset, offset + len(a), offset, offset + len(b))
        return
    # What is removed and what is added at one place stand together, removed first.
    for equal, found in groupby(LCSseq.opcodes(a, b), key=lambda op: op.tag == "equal"):
        run = list(found)
        first, last = run[0], run[-1]
        yield (
            "equal" if equal else "replace",
            offset + first.src_start,
            offset + last.src_end,
            offset + first.dest_start,
            offset + last.dest_end,
        )
