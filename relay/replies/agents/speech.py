"""What an agent says, as messages: split where it leaves a line empty, each with the time that typing it takes."""

import re
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from msgspec import Struct

from relay.model.agent import AnySettings
from relay.replies.outcome import Cause, Planned

_TEXT_CHARACTERS = 1500
_TYPED_A_SECOND = 25.0
_TYPING_MOST_SECONDS = 6.0
_EMPTY_LINE = re.compile(r"\n[ \t]*\n\s*")
_THOUGHTS = re.compile(r"\A\s*<think>.*?</think>", re.DOTALL)


class Spoken(Struct, frozen=True, kw_only=True):
    """A message of an agent's; `content` is as the API takes it for `type`."""

    type: str = "text"
    content: dict[str, Any]


class Speech(Struct, frozen=True, kw_only=True):
    """An answer."""

    messages: Sequence[Spoken] = ()
    handoff: bool = False
    note: str | None = None
    """Why a person is wanted."""


def speak(text: str, *, most: int) -> list[Spoken]:
    """`text` as at most so many messages, without what a model thought aloud before it."""
    return [Spoken(content={"text": part}) for part in split(_THOUGHTS.sub("", storable(text)), most=most)]


def storable(text: str) -> str:
    """Without what Postgres cannot hold: NUL, and halves of surrogate pairs."""
    return text.replace("\0", "").encode(errors="replace").decode()


def split(text: str, *, most: int) -> list[str]:
    """Paragraphs, long ones cut at a space; where there are too many, short ones that follow each other together."""
    parts = [part for part in (part.strip() for part in _EMPTY_LINE.split(text)) if part]
    pieces = [piece for part in parts for piece in _cut(part)]
    while len(pieces) > most:
        joined = [len(one) + len(two) + 2 for one, two in pairwise(pieces)]
        at = joined.index(min(joined))
        if joined[at] > _TEXT_CHARACTERS:
            return [*pieces[: most - 1], pieces[most - 1][: _TEXT_CHARACTERS - 2] + " …"]
        pieces[at : at + 2] = [f"{pieces[at]}\n\n{pieces[at + 1]}"]
    return pieces


def _cut(part: str) -> list[str]:
    pieces = []
    while len(part) > _TEXT_CHARACTERS:
        at = max(part.rfind(gap, _TEXT_CHARACTERS // 2, _TEXT_CHARACTERS) for gap in ("\n", " "))
        at = at if at > 0 else _TEXT_CHARACTERS
        pieces.append(part[:at].rstrip())
        part = part[at:].lstrip()
    return [*pieces, part]


def plan(messages: Sequence[Spoken], settings: AnySettings, cause: Cause) -> list[Planned]:
    """All of them: `speak` bounds what it splits, and whoever makes messages itself says how many."""
    return [
        Planned(
            type=spoken.type,
            content=spoken.content,
            typing_seconds=_typing_seconds(spoken) if settings.typing else 0,
            cause=cause,
        )
        for spoken in messages
    ]


def _typing_seconds(spoken: Spoken) -> float:
    words = str(spoken.content.get("text") or spoken.content.get("caption") or "")
    return min(len(words) / _TYPED_A_SECOND, _TYPING_MOST_SECONDS)
