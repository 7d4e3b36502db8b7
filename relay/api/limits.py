"""How many requests a key may make: `limits.requests` of the configuration, as `100/second; 2000/minute`.

Counted by the `limits` package, in this process or in a store that several processes share (`limits.storage`). An
answer says how the tightest limit stands, in the headers of the IETF draft:

    RateLimit-Policy: "requests";q=100;w=1
    RateLimit: "requests";r=37;t=1
"""

import logging
import time
from typing import Any

from limits import RateLimitItem, parse_many
from limits.aio.storage import Storage
from limits.aio.strategies import FixedWindowRateLimiter
from limits.errors import ConfigurationError, StorageError
from limits.storage import storage_from_string
from litestar.types import Message, Scope

from relay.config import Limits
from relay.model.errors import ConfigError, RateLimited
from relay.model.ids import KeyId

log = logging.getLogger(__name__)

_STATE = "rate_limit_headers"


class RequestLimiter:
    def __init__(self, items: list[RateLimitItem], storage: Storage) -> None:
        self._items = items
        self._limiter = FixedWindowRateLimiter(storage)
        self._policy = ", ".join(
            f'"requests";q={item.amount};w={item.get_expiry()}' for item in items
        ).encode()

    async def admit(self, scope: Any, key_id: KeyId) -> None:
        """Count a request; leaves the headers for `add_headers`. Raises RateLimited."""
        try:
            await self._count(scope, key_id)
        except StorageError as error:
            # A store that is away limits nobody: better too many requests than none.
            log.warning("limits.storage_away", extra={"error": type(error).__name__})

    async def _count(self, scope: Any, key_id: KeyId) -> None:
        tightest: tuple[int, int] | None = None
        for item in self._items:
            admitted = await self._limiter.hit(item, key_id)
            window = await self._limiter.get_window_stats(item, key_id)
            seconds = max(1, round(window.reset_time - time.time()))
            standing = (window.remaining if admitted else 0, seconds)
            tightest = min(tightest or standing, standing)
            if not admitted:
                self._leave_headers(scope, standing)
                raise RateLimited(
                    f"More than {item.amount} requests in {item.get_expiry()} seconds with this key.",
                    retry_after_seconds=seconds,
                )
        if tightest is not None:
            self._leave_headers(scope, tightest)

    def _leave_headers(self, scope: Any, standing: tuple[int, int]) -> None:
        remaining, seconds = standing
        scope["state"][_STATE] = [
            (b"ratelimit-policy", self._policy),
            (b"ratelimit", f'"requests";r={remaining};t={seconds}'.encode()),
        ]


async def add_headers(message: Message, scope: Scope) -> None:
    """Litestar's hook before anything is sent; only installed where requests are limited."""
    if message["type"] == "http.response.start":
        message["headers"] = [*message["headers"], *scope["state"].get(_STATE, ())]


def make_limiter(config: Limits) -> RequestLimiter | None:
    """None where nothing is limited. Raises ConfigError."""
    if not config.requests.strip():
        return None
    try:
        items = parse_many(config.requests)
    except ValueError:
        raise ConfigError(
            f"limits.requests: {config.requests!r} is no limit; write it as `100/second` or `2000/minute`."
        ) from None
    return RequestLimiter(items, open_storage(config))


def open_storage(config: Limits) -> Storage:
    """Where it is counted. Raises ConfigError."""
    try:
        # For a redis:// storage: the client that is installed with us. Other storages pass it over.
        storage = storage_from_string(config.storage, wrap_exceptions=True, implementation="redispy")
    except (ConfigurationError, ImportError) as error:
        raise ConfigError(f"limits.storage: {error}") from None
    if not isinstance(storage, Storage):
        raise ConfigError("limits.storage: needs an asynchronous storage, as `async+memory://`.")
    return storage
