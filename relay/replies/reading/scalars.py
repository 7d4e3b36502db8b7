"""What a scalar of YAML means where the schema knows what it expects.

YAML 1.1 makes `no` false, 09:00 a number and 2026-12-24 a date. Here a text that is wanted is the text that was
written; only where anything may stand are `true`, `null` and decimal numbers more than text. What has a leading
zero or plus stays text even there: it is a phone number or a code.
"""

import math
import re
from datetime import datetime
from typing import Any

from relay.replies.reading.yaml_nodes import Scalar
from relay.replies.schema import Duration

_NOTHING = {"", "~", "null", "Null", "NULL"}
_TRUE = {"true", "yes", "on"}
_FALSE = {"false", "no", "off"}
_INTEGER = re.compile(r"-?(0|[1-9][0-9]{0,17})")
_NUMBER = re.compile(r"-?(0|[1-9][0-9]{0,17})(\.[0-9]{1,30})?([eE][-+]?[0-9]{1,3})?")
_DURATION = re.compile(
    r"(?:(?P<d>[0-9]{1,6})d)?(?:(?P<h>[0-9]{1,6})h)?(?:(?P<m>[0-9]{1,6})m)?"
    r"(?:(?P<s>[0-9]{1,9}(?:\.[0-9]{1,3})?)s?)?"
)
_SECONDS = {"d": 86_400, "h": 3600, "m": 60, "s": 1}
DURATION_MOST = 365 * 86_400


def is_nothing(scalar: Scalar) -> bool:
    return scalar.plain and scalar.text in _NOTHING


def read_anything(scalar: Scalar) -> Any:
    """YAML 1.2's core meanings, less those that would lose what people wrote."""
    if not scalar.plain:
        return scalar.text
    if is_nothing(scalar):
        return None
    if scalar.text in {"true", "True", "TRUE", "false", "False", "FALSE"}:
        return scalar.text.lower() == "true"
    integer = read_integer(scalar.text)
    number = read_number(scalar.text) if integer is None else integer
    return scalar.text if number is None else number


def read_flag(text: str) -> bool | None:
    """None where it is neither."""
    word = text.strip().lower()
    return True if word in _TRUE else False if word in _FALSE else None


def read_integer(text: str) -> int | None:
    return int(text) if _INTEGER.fullmatch(text) else None


def read_number(text: str) -> float | None:
    """None also for what is infinite."""
    if not _NUMBER.fullmatch(text):
        return None
    number = float(text)
    return number if math.isfinite(number) else None


def read_instant(text: str) -> datetime | None:
    try:
        return datetime.fromisoformat(text.strip())
    except ValueError:
        return None


def read_duration(text: str) -> Duration | None:
    """`30s`, `1h30m`, `7d` or a bare number of seconds. None where it is none of these, or more than a year."""
    found = _DURATION.fullmatch(text.strip())
    if not found or not found[0]:
        return None
    seconds = sum(float(amount) * _SECONDS[unit] for unit, amount in found.groupdict().items() if amount)
    return Duration(seconds) if seconds <= DURATION_MOST else None
