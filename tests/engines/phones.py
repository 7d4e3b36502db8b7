"""What the engines' suite needs of a phone network, whichever engine is behind it, and who listens to the engine.

Each engine's network implements `PhoneNetwork`; the suite speaks to it alone.
"""

from datetime import datetime
from typing import Any, Protocol, TypeVar

from relay.engines.engine import (
    Account,
    AuthChanged,
    Engine,
    Entry,
    Listener,
    Signal,
)

T = TypeVar("T")


class Recorder:
    """A listener that keeps what it hears, in order."""

    def __init__(self) -> None:
        self.signals: list[Signal] = []
        self.entries: list[Entry] = []

    def signal(self, signal: Signal) -> None:
        self.signals.append(signal)

    def journal(self, entry: Entry) -> None:
        self.entries.append(entry)

    @property
    def names(self) -> list[str]:
        """What was signalled, by name."""
        return [type(signal).__name__ for signal in self.signals]

    def get(self, kind: type[T]) -> T:
        """The last signal or entry of `kind`."""
        return self.list_of(kind)[-1]

    def list_of(self, kind: type[T]) -> list[T]:
        """All signals or entries of `kind`."""
        return [said for said in [*self.signals, *self.entries] if isinstance(said, kind)]

    @property
    def auth(self) -> bytes:
        return self.get(AuthChanged).auth


class PhoneNetwork(Protocol):
    """A WhatsApp with phones in it, whose time the test moves."""

    @property
    def now(self) -> datetime: ...

    async def new_account(self, **how: Any) -> Account:
        """An account that was never linked."""

    async def linked_account(self) -> Account:
        """One that was linked before."""

    def engine(self, account: Account, listener: Listener) -> Engine: ...

    def engine_elsewhere(self, account: Account, listener: Listener) -> Engine:
        """The same on another machine."""

    async def settle(self) -> None:
        """Let everything happen that is due now."""

    async def advance(self, seconds: float) -> None:
        """Time passes, and what is due in it happens."""

    async def scan(self, account: Account, phone: str | None = None) -> None:
        """A phone scans (or types in) the code on show."""

    async def say(self, account: Account, **inbound: Any) -> int:
        """Somebody does something that reaches the account: `InboundIn`'s fields."""

    async def fault(self, account: Account, kind: str, **how: Any) -> None:
        """Something breaks: `FaultIn`'s fields."""

    async def read_outbox(self, account: Account) -> list[dict[str, Any]]:
        """What the phones, and WhatsApp, received from the account, oldest first, as the sandbox's outbox tells it.

        Each has a `kind` and a `chat` (None where it is about none): `message` {type, content, replyTo, mentions, waId},
        `edit` {waId, text}, `revoke` {waId}, `read` {waIds}, `typing` {typing}, `presence` {available},
        `profile_name` {name}, `profile_picture` {sizeBytes}, `reject_call` {callId}. A message's content holds what a
        phone can see of it.
        """


async def connect(phones: PhoneNetwork, account: Account, listener: Listener) -> Engine:
    """A started engine whose account was linked before."""
    engine = phones.engine(account, listener)
    await engine.start()
    await phones.settle()
    return engine


async def link(phones: PhoneNetwork, account: Account, listener: Listener) -> Engine:
    """A started engine whose account has just been linked."""
    engine = phones.engine(account, listener)
    await engine.start()
    await phones.settle()
    await phones.scan(account)
    return engine
