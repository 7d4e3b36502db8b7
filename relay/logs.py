"""Structured logging, masked: `noun.verb_past` plus fields, one line each.

Messages are constants; what varies stands in `extra`. A filter masks what looks like a number, an API key, a
signing secret or a URL's query in every field, so that a slip in one call does not reach a file.
"""

import logging
import re
import sys
from datetime import UTC, datetime
from typing import Any

import msgspec

_STANDARD = frozenset(logging.makeLogRecord({}).__dict__) | {
    "message",
    "asctime",
    "taskName",
    "color_message",
}
_MASKS = (
    (re.compile(r"\b(relay|whsec)_[A-Za-z0-9+/=_-]{6,}"), r"\1_***"),
    (re.compile(r"(://)[^/@\s]*@"), r"\1***@"),
    (re.compile(r"(https?://[^\s?#]*)[?#][^\s]*"), r"\1?***"),
    (re.compile(r"(?<![\w.:-])\+?\d{8,15}(?![\w.-])"), "***"),
    # Postgres repeats the row that it refused.
    (re.compile(r"^(DETAIL|CONTEXT):.*$", re.MULTILINE), r"\1: ***"),
    (re.compile(r"\+?\d{6,20}(?=(:\d+)?@(s\.whatsapp\.net|lid|g\.us))"), "***"),
)


def mask(text: str) -> str:
    """`text` without phone numbers, keys, credentials and URL queries."""
    for pattern, replacement in _MASKS:
        text = pattern.sub(replacement, text)
    return text


def _fields(record: logging.LogRecord, *, masked: bool) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in record.__dict__.items():
        if key in _STANDARD:
            continue
        plain = value if isinstance(value, int | float | bool | None) else str(value)
        found[key] = mask(plain) if masked and isinstance(plain, str) else plain
    return found


class _Formatter(logging.Formatter):
    def __init__(self, *, masked: bool) -> None:
        super().__init__()
        self._masked = masked

    def _message(self, record: logging.LogRecord) -> str:
        text = record.getMessage()
        if record.exc_info:
            text = f"{text}\n{self.formatException(record.exc_info)}"
        return mask(text) if self._masked else text


class TextFormatter(_Formatter):
    def format(self, record: logging.LogRecord) -> str:
        at = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        fields = "".join(f" {key}={value}" for key, value in _fields(record, masked=self._masked).items())
        head, _, trace = self._message(record).partition("\n")
        line = f"{at} {record.levelname.lower():7} {head}{fields}"
        return f"{line}\n{trace}" if trace else line


class JsonFormatter(_Formatter):
    def format(self, record: logging.LogRecord) -> str:
        at = datetime.fromtimestamp(record.created, UTC)
        line = {
            "at": at,
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": self._message(record),
        }
        return msgspec.json.encode(line | _fields(record, masked=self._masked)).decode()


def configure(*, level: str, style: str, masked: bool) -> None:
    """Send all logging to standard error; standard output is for the lines that are a contract."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter(masked=masked) if style == "json" else TextFormatter(masked=masked))
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    for noisy in ("httpx", "httpcore", "asyncio", "uvicorn"):
        logging.getLogger(noisy).setLevel(logging.WARNING)


def say(line: str) -> None:
    """A line on standard output, for whoever started us."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()
