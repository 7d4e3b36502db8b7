"""An attempt as callers see it, in a delivery's log and in an endpoint's statistics."""

from datetime import datetime

from relay.api.wire import Out
from relay.model.delivery import Attempt, DeliveryStatus, Outcome
from relay.model.ids import DeliveryId, EventId


class AttemptOut(Out, frozen=True, kw_only=True):
    delivery_id: DeliveryId
    event_id: EventId
    event_type: str
    number: int
    outcome: Outcome
    status_code: int | None
    duration_seconds: float
    response: str
    """The first characters of the answer, or why there is none."""
    final: DeliveryStatus | None
    """How the delivery ended, on its last attempt."""
    at: datetime


def attempt_out(attempt: Attempt) -> AttemptOut:
    return AttemptOut(
        delivery_id=attempt.delivery_id,
        event_id=attempt.event_id,
        event_type=attempt.event_type,
        number=attempt.number,
        outcome=attempt.outcome,
        status_code=attempt.status_code,
        duration_seconds=attempt.duration_seconds,
        response=attempt.response,
        final=attempt.final,
        at=attempt.at,
    )
