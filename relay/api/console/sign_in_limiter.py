"""How often an address may show a wrong key at the console: ten times a minute.

Counted where requests are (`limits.storage`). Behind a proxy everybody has the proxy's address: one that is on this
machine or in a private network is believed the last address that it names in `X-Forwarded-For`.
"""

import ipaddress
import logging
import time
from typing import Any

from limits import RateLimitItemPerMinute
from limits.aio.storage import Storage
from limits.aio.strategies import FixedWindowRateLimiter
from limits.errors import StorageError

from relay.model.errors import RateLimited

log = logging.getLogger(__name__)

_MOST = RateLimitItemPerMinute(10, namespace="console_sign_in")


class SignInLimiter:
    def __init__(self, storage: Storage) -> None:
        self._limiter = FixedWindowRateLimiter(storage)

    async def admit(self, address: str) -> None:
        """Raises RateLimited."""
        try:
            if await self._limiter.test(_MOST, address):
                return
            window = await self._limiter.get_window_stats(_MOST, address)
        except StorageError as error:
            log.warning("limits.storage_away", extra={"error": type(error).__name__})
            return
        raise RateLimited(
            "Too many wrong keys from this address. Wait a minute, then try again.",
            retry_after_seconds=window.reset_time - time.time(),
        )

    async def count_failure(self, address: str) -> None:
        try:
            await self._limiter.hit(_MOST, address)
        except StorageError as error:
            log.warning("limits.storage_away", extra={"error": type(error).__name__})


def address_of(scope: Any) -> str:
    """Where a request comes from, as far as one can know."""
    client = scope.get("client")
    peer = str(client[0]) if client else ""
    named = [value for name, value in scope["headers"] if name == b"x-forwarded-for"]
    said = named[-1].decode("latin-1").rpartition(",")[2].strip() if named else ""
    # Without an address of its own it came by a Unix socket.
    is_near = not peer or _is_address(peer, private=True)
    return said if is_near and _is_address(said) else peer


def _is_address(text: str, *, private: bool = False) -> bool:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return False
    return address.is_private or not private
