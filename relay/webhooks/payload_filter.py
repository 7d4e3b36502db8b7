"""What plugins make of an event's data before it is sent to an endpoint.

The log of events keeps what happened as it was: a filter changes what leaves, at each attempt anew.
"""

from datetime import datetime
from typing import Any

import msgspec
from msgspec import Struct

from relay.model.event import body_of
from relay.plugin import WebhookEvent
from relay.plugin.asking import filter_payload
from relay.plugin.calling import Caller, PluginFailed
from relay.store.deliveries import Claimed


class _Body(Struct):
    timestamp: datetime
    data: dict[str, Any]


_decode = msgspec.json.Decoder(_Body).decode


class PayloadFilter:
    def __init__(self, caller: Caller) -> None:
        self._caller = caller

    async def apply(self, delivery: Claimed, body: bytes) -> bytes | None:
        """The body to send; None where a filter has failed: what it might have hidden must not be sent."""
        if not self._caller.hooks("webhook_payload", delivery.tenant_id):
            return body
        stored = _decode(body)
        event = WebhookEvent(
            id=delivery.event_id,
            type=delivery.event_type,
            timestamp=stored.timestamp,
            data=stored.data,
            endpoint_id=delivery.endpoint_id,
        )
        session_id = stored.data.get("sessionId")
        try:
            changed = await filter_payload(
                self._caller, event, tenant_id=delivery.tenant_id, session_id=session_id
            )
        except PluginFailed:
            return None
        if changed is None:
            return body
        return body_of(delivery.event_type, stored.timestamp, changed).encode()
