"""A chain of keys: each step gives one message's keys and the next link; links that were jumped over are kept for latecomers.

`peek` looks, `advance` moves: a message moves the chain only when its MAC or signature has proved it genuine.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from tests.phone_network.signal.errors import OldCounter, TooFarAhead
from tests.phone_network.signal.kdf import hkdf, mac

MOST_SKIPPED = 2000

Keys = TypeVar("Keys")


@dataclass(frozen=True)
class MessageKeys:
    """What one message of a session is encrypted and authenticated with."""

    cipher_key: bytes
    mac_key: bytes
    iv: bytes

    @classmethod
    def of(cls, seed: bytes) -> "MessageKeys":
        secret = hkdf(seed, info=b"WhisperMessageKeys", length=80)
        return cls(secret[:32], secret[32:64], secret[64:])


@dataclass(frozen=True)
class GroupKeys:
    """What one message to a group is encrypted with."""

    cipher_key: bytes
    iv: bytes

    @classmethod
    def of(cls, seed: bytes) -> "GroupKeys":
        secret = hkdf(seed, info=b"WhisperGroup", length=48)
        return cls(secret[16:], secret[:16])


@dataclass(frozen=True)
class Link:
    """One place of a chain: the key of the link, and its number."""

    key: bytes
    index: int

    @property
    def seed(self) -> bytes:
        return mac(self.key, b"\x01")

    @property
    def next(self) -> "Link":
        return Link(mac(self.key, b"\x02"), self.index + 1)


@dataclass
class Chain(Generic[Keys]):
    """The reading or writing end of a chain."""

    link: Link
    keys_of: Callable[[bytes], Keys]
    skipped: dict[int, bytes] = field(default_factory=dict)

    def step(self) -> tuple[int, Keys]:
        """The next message's number and keys, for the one who writes."""
        link, self.link = self.link, self.link.next
        return link.index, self.keys_of(link.seed)

    def peek(self, index: int) -> Keys:
        """The keys of any message not read before."""
        if index < self.link.index:
            if index not in self.skipped:
                raise OldCounter(f"message {index} was read before")
            return self.keys_of(self.skipped[index])
        if index - self.link.index > MOST_SKIPPED:
            raise TooFarAhead(f"message {index} when {self.link.index} was next")
        link = self.link
        while link.index < index:
            link = link.next
        return self.keys_of(link.seed)

    def advance(self, index: int) -> None:
        """Use up that message's keys; keep those of the messages before it."""
        if index < self.link.index:
            del self.skipped[index]
            return
        while self.link.index <= index:
            self.skipped[self.link.index] = self.link.seed
            self.link = self.link.next
        del self.skipped[index]
        for oldest in list(self.skipped)[: max(0, len(self.skipped) - MOST_SKIPPED)]:
            del self.skipped[oldest]
