"""Which of our languages a caller reads: `Accept-Language`, as RFC 9110 (12.5.4) has it.

Sentences about rules are said in it; programs go by codes, which are the same in any language.
"""

import re
from typing import Any

from litestar.connection import ASGIConnection

from relay.replies.said import Language

_RANGE = re.compile(
    r"\s*(?P<tag>\*|[A-Za-z]{1,8}(?:-[A-Za-z0-9]{1,8})*)\s*(?:;\s*[qQ]=(?P<weight>[01](?:\.\d{0,3})?)\s*)?"
)


def language_of(request: ASGIConnection[Any, Any, Any, Any]) -> Language:
    """The one that is wanted most, of those that we have; English where none is."""
    return negotiate(request.headers.get("accept-language", ""))


def negotiate(header: str) -> Language:
    best: Language = "en"
    most = 0.0
    for given in header.split(","):
        found = _RANGE.fullmatch(given)
        language = _language(found["tag"]) if found else None
        weight = float(found["weight"] or 1) if found else 0.0
        # Of two that are wanted alike, the first.
        if language is not None and weight > most:
            best, most = language, weight
    return best


def _language(tag: str) -> Language | None:
    match tag.lower().partition("-")[0]:
        case "pt":
            return "pt-BR"
        case "en" | "*":
            return "en"
        case _:
            return None
