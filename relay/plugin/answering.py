"""What plugins may answer, held against the specification of their hooks; nonsense is the plugin's failure."""

from typing import Any

import msgspec

from relay.model.message import SENDABLE_TYPES
from relay.plugin.answers import Outgoing, Reply, reply

_SENDABLE = frozenset(kind.value for kind in SENDABLE_TYPES)
_WAIT_MOST_SECONDS = 600.0
_MOST_MESSAGES = 20
_MOST_TEXT = 65_536
_PAUSE_MOST_SECONDS = 365 * 86_400


def as_reply(answer: Any) -> Reply | None:
    """Of message_received and of actions."""
    if isinstance(answer, str):
        answer = reply(answer)
    if answer is None:
        return None
    if not isinstance(answer, Reply):
        raise TypeError(f"answered {type(answer).__name__}, not a Reply, a text or None")
    _check_messages(list(answer.messages))
    if answer.pause_seconds is not None and not 0 <= answer.pause_seconds <= _PAUSE_MOST_SECONDS:
        raise TypeError("pause_seconds is not between 0 and a year")
    if not all(isinstance(tag, str) and 0 < len(tag) <= 100 for tag in (*answer.tag, *answer.untag)):
        raise TypeError("tags are texts of 100 characters at most")
    # What is no JSON fails here, in the plugin's name, and not where it is stored.
    msgspec.json.encode((answer.set, answer.result))
    return answer


def as_messages(answer: Any) -> list[Outgoing] | None:
    """Of before_reply."""
    if answer is None:
        return None
    if not isinstance(answer, list | tuple):
        raise TypeError(f"answered {type(answer).__name__}, not a list of messages or None")
    return _check_messages(list(answer))


def as_bool(answer: Any) -> bool:
    """Of conditions."""
    if not isinstance(answer, bool):
        raise TypeError(f"answered {type(answer).__name__}, not True or False")
    return answer


def as_text(answer: Any) -> str:
    """Of tools."""
    if not isinstance(answer, str):
        raise TypeError(f"answered {type(answer).__name__}, not a text")
    return answer[:_MOST_TEXT]


def as_data(answer: Any) -> dict[str, Any] | None:
    """Of webhook_payload."""
    if answer is None:
        return None
    if not isinstance(answer, dict):
        raise TypeError(f"answered {type(answer).__name__}, not a dict or None")
    msgspec.json.encode(answer)
    return answer


def as_nothing(_answer: Any) -> None:
    """Of hooks that are told, not asked."""


def _check_messages(messages: list[Any]) -> list[Outgoing]:
    if len(messages) > _MOST_MESSAGES:
        raise TypeError(f"more than {_MOST_MESSAGES} messages")
    for one in messages:
        _check_message(one)
    return messages


def _check_message(message: Any) -> None:
    if not isinstance(message, Outgoing):
        raise TypeError(f"a message is an Outgoing, not {type(message).__name__}")
    if message.type not in _SENDABLE:
        raise TypeError(f"{message.type} is no type of message that can be sent")
    if message.type == "text" and not str(message.content.get("text", "")).strip():
        raise TypeError("a text needs words: content is {'text': …}")
    if len(message.text) > _MOST_TEXT:
        raise TypeError("a text is too long")
    for seconds in (message.typing_seconds, message.wait_seconds):
        if not 0 <= seconds <= _WAIT_MOST_SECONDS:
            raise TypeError("typing_seconds and wait_seconds are between 0 and 600")
    msgspec.json.encode(message.content)
