"""What handlers work with: built once by the composition root, the same for every request."""

from collections.abc import Callable
from datetime import UTC, datetime

from msgspec import Struct

from relay.config import Config
from relay.egress.guard import AddressGuard
from relay.store.blobs import Blobs
from relay.store.doorbell import Doorbell
from relay.store.pool import Pool
from relay.vault import Vault


def utc_now() -> datetime:
    return datetime.now(UTC)


class Services(Struct, frozen=True, kw_only=True):
    config: Config
    pool: Pool
    vault: Vault
    doorbell: Doorbell
    blobs: Blobs
    guard: AddressGuard
    operator_key: str | None = None
    """RELAY_OPERATOR_KEY, which opens what a stored operator's key opens."""
    now: Callable[[], datetime] = utc_now
