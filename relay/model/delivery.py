"""A delivery: one event owed to one endpoint.

    pending ──► succeeded     an attempt was answered 2xx
       │  ├───► exhausted     the schedule is used up
       │  └───► cancelled     on request, or its endpoint was removed
       ▲            │
       └── redeliver┘         the same delivery again, with a fresh schedule

Pending ones live in `deliveries`, a small hot table; an ended one's last attempt row carries how it ended.
"""

from datetime import datetime
from enum import StrEnum

from msgspec import Struct

from relay.model.ids import DeliveryId, EndpointId, EventId, TenantId


class DeliveryStatus(StrEnum):
    PENDING = "pending"
    SUCCEEDED = "succeeded"
    EXHAUSTED = "exhausted"
    CANCELLED = "cancelled"


class Outcome(StrEnum):
    """What became of one POST."""

    SUCCEEDED = "succeeded"
    REJECTED = "rejected"
    """Answered, but not with 2xx."""
    UNREACHABLE = "unreachable"
    BLOCKED = "blocked"
    """The address guard refused it, or a plugin that changes what is sent has failed: nothing was sent."""
    CANCELLED = "cancelled"
    """Not a POST: the row that records a cancelled delivery."""


class Delivery(Struct, frozen=True, kw_only=True):
    id: DeliveryId
    tenant_id: TenantId
    endpoint_id: EndpointId
    event_id: EventId
    event_type: str
    status: DeliveryStatus
    attempts: int
    next_attempt_at: datetime | None
    created_at: datetime


class Attempt(Struct, frozen=True, kw_only=True):
    tenant_id: TenantId
    delivery_id: DeliveryId
    number: int
    endpoint_id: EndpointId
    event_id: EventId
    event_type: str
    outcome: Outcome
    status_code: int | None
    duration_seconds: float
    response: str
    """The first characters of the answer."""
    final: DeliveryStatus | None
    at: datetime
