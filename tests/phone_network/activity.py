"""What clients did that leaves no message behind: marked as read, typed, came online, subscribed, hung up, fetched settings.

    await activity.first(Read, lambda read: message_id in read.message_ids)

waits until it has happened, so that no test has to sleep.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias, TypeVar

from tests.phone_network.node import Jid
from tests.phone_network.watch import DEFAULT_SECONDS, Watch

READ = ("read", "read-self", "played")


@dataclass(frozen=True)
class Read:
    """A receipt by which a client says what became of messages to it."""

    by: Jid
    """The account's phone number and device."""
    type: str
    """`read`, `read-self`, `played`, `inactive` (delivered while not online), `delivered`."""
    chat: Jid
    sender: Jid | None
    """In groups: who wrote the messages."""
    message_ids: tuple[str, ...]


@dataclass(frozen=True)
class Typing:
    by: Jid
    chat: Jid
    state: str
    """`composing`, `paused`, or `recording` (composing audio)."""


@dataclass(frozen=True)
class Online:
    by: Jid
    available: bool
    name: str
    """The push name that others see."""


@dataclass(frozen=True)
class Subscribed:
    by: Jid
    to: Jid


@dataclass(frozen=True)
class Rejected:
    by: Jid
    caller: Jid
    call_id: str


@dataclass(frozen=True)
class LoggedOut:
    """A client removed itself."""

    by: Jid
    reason: str


@dataclass(frozen=True)
class Synced:
    """A client was given a collection of the account's settings up to this version."""

    by: Jid
    collection: str
    version: int


Act: TypeAlias = Read | Typing | Online | Subscribed | Rejected | LoggedOut | Synced
A = TypeVar("A", Read, Typing, Online, Subscribed, Rejected, LoggedOut, Synced)


class Activity:
    """All of it, in order."""

    def __init__(self) -> None:
        self.acts: list[Act] = []
        self._watch = Watch()

    def record(self, act: Act) -> None:
        self.acts.append(act)
        self._watch.changed()

    def all(self, kind: type[A]) -> list[A]:
        return [act for act in self.acts if isinstance(act, kind)]

    def marked_read(self, by: Jid) -> set[str]:
        """The ids of the messages that an account's clients marked as read."""
        read = (act for act in self.all(Read) if act.by.account == by.account and act.type in READ)
        return {message_id for act in read for message_id in act.message_ids}

    async def first(
        self,
        kind: type[A],
        where: Callable[[A], bool] = lambda _: True,
        *,
        number: int = 1,
        within_seconds: float = DEFAULT_SECONDS,
    ) -> A:
        """The first act like that, or a later one; waits for it if need be. Raises TimeoutError."""

        def found() -> list[A]:
            return [act for act in self.all(kind) if where(act)]

        what = f"a client is seen: {kind.__name__} ({number})"
        await self._watch.until(lambda: len(found()) >= number, what, within_seconds=within_seconds)
        return found()[number - 1]
