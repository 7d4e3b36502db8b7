"""What keeps the bot quiet, whatever rules say: it never talks to itself, to the past, or over a person.

Asked in this order; the first that holds is the answer.
"""

from datetime import timedelta

from relay.replies.matching.text import digest_of
from relay.replies.outcome import Note
from relay.replies.said import said
from relay.replies.situation import Said, Situation

_ECHO_SECONDS = 8.0
"""After the words go out: five, and what they may have waited for in the queue."""
_EARLY_SECONDS = 1.0
"""Clocks of two machines."""
_MINUTE, _HOUR = 60.0, 3600.0


def find_guard(situation: Situation) -> Note | None:
    """Why nothing is to be said; None where nothing stands in the way. `by_owner` is not asked about here."""
    message, contact, chat = situation.message, situation.contact, situation.chat
    if message.chat_type not in ("private", "group"):
        return _note("broadcast", said("Status broadcasts and channels are not answered."))
    if contact.ignored:
        return _note("ignored", said("The contact is ignored by bots."))
    patience = timedelta(seconds=situation.settings.offline_seconds)
    if message.offline and situation.now - message.sent_at > patience:
        return _note("offline", said("The message arrived late: the session had been offline for too long."))
    if message.answered:
        return _note("answered", said("A person has written in the chat since."))
    if chat.paused_until is not None and chat.paused_until > situation.now:
        until = chat.paused_until
        return _note(
            "paused", said("The bot is paused in this chat until {until:%Y-%m-%d %H:%M} UTC.", until=until)
        )
    return _find_loop(situation)


def _find_loop(situation: Situation) -> Note | None:
    """Two bots that answer each other say the same again, or too much."""
    now, before, settings = situation.now.timestamp(), situation.chat.said, situation.settings
    digest = digest_of(situation.message.text) if situation.message.text else ""
    if digest and any(one.digest == digest and _is_just_out(one, now) for one in before):
        return _note("echo", said("It repeats what the bot has just said: another bot's echo."))
    # The messages of one answer were said at one instant.
    last_minute = {one.at for one in before if now - one.at < _MINUTE}
    if len(last_minute) >= settings.replies_per_minute:
        count = len(last_minute)
        return _note(
            "cap", said("The bot has answered {count} times in this chat within a minute.", count=count)
        )
    last_hour = {one.at for one in before if now - one.at < _HOUR}
    if len(last_hour) >= settings.replies_per_hour:
        count = len(last_hour)
        return _note(
            "cap", said("The bot has answered {count} times in this chat within an hour.", count=count)
        )
    return None


def _is_just_out(one: Said, now: float) -> bool:
    return -_EARLY_SECONDS <= now - max(one.at, one.out_at) <= _ECHO_SECONDS


def _note(code: str, detail: str) -> Note:
    return Note(code=f"guard.{code}", detail=detail)
