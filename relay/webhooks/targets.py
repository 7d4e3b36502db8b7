"""What sending to an endpoint takes, opened once and kept for a second.

A changed URL, a rotated secret, a disabled endpoint show within that second; a claim, besides, never takes from a
disabled one.
"""

from collections.abc import Callable, Iterable, Mapping

from relay.egress.signing import Signer
from relay.model.ids import EndpointId
from relay.store import endpoints
from relay.store.endpoints import Target
from relay.store.pool import Connection
from relay.vault import Vault

_FRESH_SECONDS = 1.0
_RESERVED = frozenset(
    {
        "host",
        "content-length",
        "content-type",
        "content-encoding",
        "transfer-encoding",
        "connection",
        "user-agent",
    }
)


class Destination:
    """An endpoint that can be sent to."""

    def __init__(self, target: Target, loaded_at: float) -> None:
        self.url = target.url
        self.loaded_at = loaded_at
        self._signer = Signer(target.secrets)
        self._headers = _own_headers(target.headers) | {"Content-Type": "application/json"}

    def headers(self, webhook_id: str, timestamp: int, body: bytes) -> dict[str, str]:
        """The headers of one attempt, signed afresh."""
        return self._headers | {
            "webhook-id": webhook_id,
            "webhook-timestamp": str(timestamp),
            "webhook-signature": self._signer.sign(webhook_id, timestamp, body),
        }


def _own_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """The endpoint's own, without those that are ours to set."""
    return {
        name: value
        for name, value in headers.items()
        if name.lower() not in _RESERVED and not name.lower().startswith("webhook-")
    }


class Targets:
    """A cache of destinations by endpoint."""

    def __init__(self, vault: Vault, *, clock: Callable[[], float]) -> None:
        self._vault = vault
        self._clock = clock
        self._known: dict[EndpointId, Destination] = {}

    async def load(self, conn: Connection, endpoint_ids: Iterable[EndpointId]) -> None:
        """Make `find` know those of `endpoint_ids` that are enabled, none older than a second."""
        now = self._clock()
        stale = [
            endpoint_id
            for endpoint_id in endpoint_ids
            if (known := self._known.get(endpoint_id)) is None or now - known.loaded_at >= _FRESH_SECONDS
        ]
        if not stale:
            return
        for endpoint_id in stale:
            self._known.pop(endpoint_id, None)
        for target in await endpoints.list_targets(conn, self._vault, stale):
            self._known[target.id] = Destination(target, now)

    def find(self, endpoint_id: EndpointId) -> Destination | None:
        return self._known.get(endpoint_id)

    def forget_idle(self) -> None:
        now = self._clock()
        self._known = {
            endpoint_id: known
            for endpoint_id, known in self._known.items()
            if now - known.loaded_at < _FRESH_SECONDS
        }
