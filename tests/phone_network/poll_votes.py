"""Votes on polls, which travel encrypted with the poll's own secret: the options by their hashes, in AES-256-GCM.

key = HKDF(secret, info = poll's id ‖ its author ‖ the voter ‖ "Poll Vote"), associated data = poll's id ‖ 00 ‖ the voter
"""

import secrets
from collections.abc import Sequence
from hashlib import sha256
from typing import Any

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from tests.phone_network.contents import milliseconds
from tests.phone_network.node import Jid
from tests.phone_network.protobufs import waE2E
from tests.phone_network.signal.kdf import hkdf


def seal_vote(poll_key: Any, secret: bytes, *, author: Jid, voter: Jid, options: Sequence[str]) -> Any:
    """The message that votes for these options, none of them to take a vote back."""
    cipher, associated = _cipher(secret, poll_key.ID, author=author, voter=voter)
    vote = waE2E.PollVoteMessage(selectedOptions=[sha256(option.encode()).digest() for option in options])
    iv = secrets.token_bytes(12)
    value = waE2E.PollEncValue(encPayload=cipher.encrypt(iv, vote.SerializeToString(), associated), encIV=iv)
    update = waE2E.PollUpdateMessage(
        pollCreationMessageKey=poll_key, vote=value, senderTimestampMS=milliseconds()
    )
    return waE2E.Message(pollUpdateMessage=update)


def open_vote(message: Any, secret: bytes, *, author: Jid, voter: Jid, options: Sequence[str]) -> list[str]:
    """Which of the poll's options were voted for. Raises cryptography's InvalidTag when it is no vote on that poll."""
    update = message.pollUpdateMessage
    cipher, associated = _cipher(secret, update.pollCreationMessageKey.ID, author=author, voter=voter)
    vote = waE2E.PollVoteMessage.FromString(
        cipher.decrypt(update.vote.encIV, update.vote.encPayload, associated)
    )
    hashes = set(vote.selectedOptions)
    return [option for option in options if sha256(option.encode()).digest() in hashes]


def _cipher(secret: bytes, poll_id: str, *, author: Jid, voter: Jid) -> tuple[AESGCM, bytes]:
    info = f"{poll_id}{author.account}{voter.account}Poll Vote".encode()
    return AESGCM(hkdf(secret, info=info, length=32)), f"{poll_id}\0{voter.account}".encode()
