"""Unified diffs: as `diff -u` writes them, and in bounded time."""

import difflib
import random
import time

import pytest

from relay.api.rule_diff import unified_diff


def apply(old: str, diff: str) -> str:
    """What `patch` makes of `old`."""
    before, after, place = old.splitlines(), [], 0
    for line in diff.splitlines()[2:]:
        if line.startswith("@@"):
            start, _, length = line.split()[1].lstrip("-").partition(",")
            first = int(start) if length == "0" else int(start) - 1
            after += before[place:first]
            place = first
        elif line[0] == "+":
            after.append(line[1:])
        else:
            assert before[place] == line[1:]
            place += 1
            after += [line[1:]] if line[0] == " " else []
    return "".join(f"{line}\n" for line in after + before[place:])


def test_a_diff_reads_as_people_know_it() -> None:
    """Names, places, three lines around a change, what went before what came."""
    old = "".join(f"{number}\n" for number in range(1, 21))
    new = old.replace("10\n", "ten\n").replace("20\n", "20\n21\n")
    assert unified_diff(old, new, old_name="a", new_name="b").splitlines() == [
        *difflib.unified_diff(old.splitlines(), new.splitlines(), "a", "b", lineterm="")
    ]
    assert unified_diff(old, old, old_name="a", new_name="b") == ""


@pytest.mark.parametrize("seed", range(5))
def test_a_diff_leads_from_the_old_text_to_the_new(seed: int) -> None:
    """Whatever the two are, empty ones among them."""
    chance = random.Random(seed)
    for _ in range(100):
        old, new = (
            "".join(chance.choice("abcd") + "\n" for _ in range(chance.randrange(20))) for _ in range(2)
        )
        assert apply(old, unified_diff(old, new, old_name="a", new_name="b")) == new


@pytest.mark.parametrize("lines", [9_000, 130_000])
def test_texts_made_to_be_hard_take_a_moment(lines: int) -> None:
    """Few different lines in many places, which keep difflib busy for hours."""
    chance = random.Random(1)
    old, new = ("".join(f"{chance.randrange(110)}\n" for _ in range(lines)) for _ in range(2))
    started = time.perf_counter()
    assert unified_diff(old, new, old_name="a", new_name="b")
    assert time.perf_counter() - started < 2
