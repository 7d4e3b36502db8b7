"""Poll votes: WhatsApp says only the hashes of the options chosen; the poll itself says which those are."""

import hashlib
from collections.abc import Sequence

import msgspec

from relay.model.ids import MessageId
from relay.model.message import MessageType
from relay.store.inbound import NewMessage, PollName, find_polls
from relay.store.pool import Connection


async def name_votes(conn: Connection, messages: Sequence[NewMessage]) -> Sequence[NewMessage]:
    """`messages` with the options' names in place of the hashes, where the poll is known or arrives with them."""
    wanted = {_poll_of(message) for message in messages if message.type == MessageType.POLL_VOTE}
    if not wanted:
        return messages
    polls: dict[PollName, tuple[MessageId, list[str]]] = {
        (message.session_id, message.chat, message.wa_id): (message.id, message.content.get("options", []))
        for message in messages
        if message.type == MessageType.POLL
    }
    stored = await find_polls(conn, wanted)
    polls |= {name: (row["id"], row["options"] or []) for name, row in stored.items()}
    return [
        _named(message, polls.get(_poll_of(message))) if message.type == MessageType.POLL_VOTE else message
        for message in messages
    ]


def _poll_of(vote: NewMessage) -> PollName:
    return vote.session_id, vote.chat, str(vote.content.get("waMessageId"))


def _named(vote: NewMessage, poll: tuple[MessageId, list[str]] | None) -> NewMessage:
    if poll is None:
        return vote
    poll_id, options = poll
    content = vote.content | {"messageId": poll_id}
    # Without hashes the vote cannot be read on this device; with none in them it was taken back.
    given = content.pop("optionHashes", None)
    if given is not None:
        hashes = _texts(given)
        names = {_hash(name): name for name in _texts(options)}
        content["options"] = [names[one] for one in hashes if one in names]
        unknown = [one for one in hashes if one not in names]
        if unknown:
            content["optionHashes"] = unknown
    return msgspec.structs.replace(vote, content=content)


def _texts(options: object) -> list[str]:
    """The texts of what should be a list of them: whoever wrote it may have put anything there."""
    return [option for option in options if isinstance(option, str)] if isinstance(options, list) else []


def _hash(option: str) -> str:
    return hashlib.sha256(option.encode()).hexdigest()
