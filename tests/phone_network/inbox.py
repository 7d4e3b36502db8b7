"""What a phone has got, in order, and a way to wait for more that needs no sleep."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from tests.phone_network.node import Jid
from tests.phone_network.watch import DEFAULT_SECONDS, Watch


@dataclass(frozen=True)
class Posted:
    """A message that somebody wrote: one that a phone got, or one that it said."""

    id: str
    chat: Jid
    """As the phone sees it: the other side of a 1:1 chat, or the group."""
    sender: Jid
    message: Any
    """The decoded `waE2E.Message`, without the envelope of an own device."""
    from_me: bool = False
    """Written by the phone's own account: on the phone, or by a client that is linked to it."""
    retries: int = 0
    """How often the phone had to ask for it again."""

    @property
    def kind(self) -> str:
        """The field that holds the content, such as `conversation` or `imageMessage`."""
        beside = ("messageContextInfo", "senderKeyDistributionMessage")
        return next((field.name for field, _ in self.message.ListFields() if field.name not in beside), "")

    @property
    def text(self) -> str:
        """The words of a text, in whichever of the two places they lie; empty for anything else."""
        return str(self.message.conversation or self.message.extendedTextMessage.text)

    @property
    def secret(self) -> bytes:
        """What votes on this message are encrypted with."""
        return bytes(self.message.messageContextInfo.messageSecret)


@dataclass(frozen=True)
class Receipt:
    """What a client says of messages: `delivered`, `inactive` (delivered, nobody looking), `read`, `played`, `retry`."""

    type: str
    by: Jid
    ids: tuple[str, ...]


T = TypeVar("T")


class Inbox(Generic[T]):
    """A list that can be waited for."""

    def __init__(self) -> None:
        self._items: list[T] = []
        self._watch = Watch()

    def __len__(self) -> int:
        return len(self._items)

    def __iter__(self) -> Iterator[T]:
        return iter(self._items)

    def __getitem__(self, index: int) -> T:
        return self._items[index]

    def put(self, item: T) -> None:
        self._items.append(item)
        self._watch.changed()

    async def first(
        self,
        where: Callable[[T], object] = lambda _: True,
        *,
        what: str = "a phone gets something",
        within_seconds: float = DEFAULT_SECONDS,
    ) -> T:
        """The first item like that, now or when it comes. Raises TimeoutError."""
        found: list[T] = []
        looked_at = 0

        def look() -> bool:
            nonlocal looked_at
            found.extend(item for item in self._items[looked_at:] if where(item))
            looked_at = len(self._items)
            return bool(found)

        await self._watch.until(look, what, within_seconds=within_seconds)
        return found[0]

    async def at_least(self, count: int, *, within_seconds: float = DEFAULT_SECONDS) -> list[T]:
        """All items, as soon as there are so many. Raises TimeoutError."""
        what = f"a phone gets {count} things"
        await self._watch.until(lambda: len(self._items) >= count, what, within_seconds=within_seconds)
        return list(self._items)
