"""One line of the doctor's: what was looked at, how it is, and what to do where it is not well."""

from typing import Literal

from msgspec import Struct

Level = Literal["ok", "warn", "wrong"]


class Finding(Struct, frozen=True):
    level: Level
    subject: str
    sentence: str
    mend: str = ""


def ok(subject: str, sentence: str) -> Finding:
    return Finding("ok", subject, sentence)


def warn(subject: str, sentence: str, mend: str) -> Finding:
    return Finding("warn", subject, sentence, mend)


def wrong(subject: str, sentence: str, mend: str) -> Finding:
    return Finding("wrong", subject, sentence, mend)
