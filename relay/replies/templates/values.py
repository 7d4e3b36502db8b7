"""What a template can name: `contact`, `vars`, `message`, `match`, `now`, `session`, `greeting`, what calls answered."""

from collections.abc import Mapping
from typing import Any

from relay.replies.contents import shown
from relay.replies.matching.hours import Calendar
from relay.replies.matching.text import LOOKED_AT_CHARACTERS
from relay.replies.situation import Situation
from relay.replies.templates.words import greeting_of
from relay.replies.templates.work import bounded


def values_of(
    situation: Situation,
    *,
    calendar: Calendar,
    match: Mapping[str, str],
    answers: Mapping[str, Any],
    language: str,
) -> dict[str, Any]:
    """Plain values by name. A variable of the contact also goes by its own name, where that is not taken."""
    message, contact = situation.message, situation.contact
    now = calendar.local(situation.now)
    name = contact.name or message.sender_name or ""
    variables = {key: bounded(value) for key, value in contact.vars.items()}
    return {
        **variables,
        **{key: bounded(value) for key, value in answers.items()},
        "contact": {
            "name": name,
            "first_name": _first_word(name),
            "phone": contact.pn or "",
            "tags": sorted(contact.tags),
        },
        "vars": variables,
        "message": {
            "text": message.text[:LOOKED_AT_CHARACTERS],
            "type": message.type,
            "content": shown(message.content),
        },
        "match": dict(match),
        "now": now,
        "session": {"name": message.session_name, "phone": message.session_phone or ""},
        "greeting": greeting_of(now, language),
        "language": language,
    }


def _first_word(name: str) -> str:
    return next((word for word in name.split() if any(map(str.isalpha, word))), "")
