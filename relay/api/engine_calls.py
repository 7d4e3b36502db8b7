"""What only a session's engine can do, asked of the host that runs it: edit, revoke, type, look up, groups, calls.

engine_requests ──bell──► host ──► engine ──► answer ──bell──► here         (15 s, then nobody waits any more)
"""

from datetime import timedelta
from typing import Any

from relay.api.services import Services
from relay.api.waiting import wait_for
from relay.model.errors import (
    Conflict,
    EngineError,
    InvalidInput,
    NotFound,
    NotReady,
    NotSupported,
    RelayError,
)
from relay.model.session import Session, SessionStatus
from relay.store import requests

_ANSWER_SECONDS = 15.0
# By the family's own code; what is not here is WhatsApp's or the engine's no.
_FAMILIES: dict[str, type[RelayError]] = {
    "engine_busy": NotReady,
    "not_ready": NotReady,
    "session_not_connected": Conflict,
    "conflict": Conflict,
    "not_found": NotFound,
    "not_supported": NotSupported,
    "invalid_input": InvalidInput,
}


def require_connected(session: Session) -> None:
    """Raises Conflict."""
    if session.status is not SessionStatus.CONNECTED:
        raise Conflict("The session is not connected.", code="session_not_connected")


async def call_engine(services: Services, session: Session, body: dict[str, Any]) -> dict[str, Any]:
    """The engine's result. Raises Conflict, NotFound, NotReady, NotSupported, EngineError."""
    require_connected(session)
    expires_at = services.now() + timedelta(seconds=_ANSWER_SECONDS)
    async with services.pool.acquire() as conn:
        request_id = await requests.insert_request(
            conn, tenant_id=session.tenant_id, session_id=session.id, body=body, expires_at=expires_at
        )
    services.doorbell.ring("requests")

    async def look() -> dict[str, Any] | None:
        async with services.pool.acquire() as conn:
            return await requests.find_answer(conn, request_id)

    answer = await wait_for(services.doorbell, "requests", look, seconds=_ANSWER_SECONDS)
    if answer is None:
        raise NotReady("The session did not answer in time. Try again.", code="engine_busy")
    error = answer.get("error")
    if error is not None:
        family = _FAMILIES.get(error.get("family", error["code"]), EngineError)
        raise family(error["detail"], code=error["code"])
    result: dict[str, Any] = answer["result"]
    return result
