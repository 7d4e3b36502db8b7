"""What plugins keep: values under keys, each plugin's for itself and each tenant's apart.

The running server keeps them in Postgres (store/plugin_values.py), tests in memory; the same limits hold for both.
"""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, Protocol

import msgspec
from msgspec import Struct

MOST_VALUE_BYTES = 64 * 1024
MOST_KEY_CHARACTERS = 200
MOST_KEYS = 10_000
"""Of one plugin for one tenant."""


class StorageFull(Exception):
    """A plugin has as many keys of this tenant as it may have."""

    def __init__(self) -> None:
        super().__init__(f"A plugin keeps {MOST_KEYS} values of a tenant at most: let old ones expire.")


class Storage(Protocol):
    """Values are whatever JSON can say."""

    async def get(self, key: str, default: Any = None) -> Any:
        """The value; `default` where there is none, or where it has expired."""

    async def set(
        self,
        key: str,
        value: Any,
        *,
        expires_seconds: float | None = None,
        contact_id: str | None = None,
    ) -> None:
        """Put `value` there, for good or for so long. With `contact_id` it goes when the contact is deleted.

        Raises ValueError on a key or value that is too long, StorageFull.
        """

    async def delete(self, key: str) -> bool:
        """Whether there was one."""

    async def list(self, prefix: str = "", *, limit: int = 1000) -> dict[str, Any]:
        """The first `limit` values whose keys begin with `prefix`, by key."""


MakeStorage = Callable[[str, str], Storage]
"""By tenant and plugin."""


def checked_key(key: str) -> str:
    """Raises ValueError."""
    if not 1 <= len(key) <= MOST_KEY_CHARACTERS or "\0" in key:
        raise ValueError(f"A key has 1 to {MOST_KEY_CHARACTERS} characters.")
    return key


def checked_value(value: Any) -> Any:
    """The value as JSON gives it back. Raises ValueError on one that is too long, TypeError on what is no JSON."""
    encoded = msgspec.json.encode(value)
    if len(encoded) > MOST_VALUE_BYTES:
        raise ValueError(f"A value has {MOST_VALUE_BYTES} bytes of JSON at most.")
    if b"\\u0000" in encoded:
        raise ValueError("A value holds no NUL characters.")
    return msgspec.json.decode(encoded)


class _Kept(Struct, frozen=True):
    value: Any
    expires_at: datetime | None
    contact_id: str | None


class MemoryStorage:
    """For tests."""

    def __init__(self, now: Callable[[], datetime]) -> None:
        self._now = now
        self._kept: dict[str, _Kept] = {}

    async def get(self, key: str, default: Any = None) -> Any:
        kept = self._living().get(key)
        return default if kept is None else kept.value

    async def set(
        self,
        key: str,
        value: Any,
        *,
        expires_seconds: float | None = None,
        contact_id: str | None = None,
    ) -> None:
        value, key = checked_value(value), checked_key(key)
        living = self._living()
        if key not in living and len(living) >= MOST_KEYS:
            raise StorageFull
        expires_at = None if expires_seconds is None else self._now() + timedelta(seconds=expires_seconds)
        living[key] = _Kept(value, expires_at, contact_id)

    async def delete(self, key: str) -> bool:
        return self._living().pop(key, None) is not None

    async def list(self, prefix: str = "", *, limit: int = 1000) -> dict[str, Any]:
        living = self._living()
        keys = sorted(key for key in living if key.startswith(prefix))[:limit]
        return {key: living[key].value for key in keys}

    def forget(self, contact_id: str) -> None:
        """As when the contact is deleted."""
        self._kept = {key: kept for key, kept in self._kept.items() if kept.contact_id != contact_id}

    def _living(self) -> dict[str, _Kept]:
        now = self._now()
        for key, kept in list(self._kept.items()):
            if kept.expires_at is not None and kept.expires_at <= now:
                del self._kept[key]
        return self._kept
