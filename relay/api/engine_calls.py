"""What only a session's engine can do, asked of the host that runs it: edit, revoke, mark as read, type, look up.

engine_requests ──bell──► host ──► engine ──► answer ──bell──► here         (15 s, then nobody waits any more)
"""

from datetime import timedelta
from typing import Any

from relay.api.services import Services
from relay.api.waiting import wait_for
from relay.model.errors import Conflict, EngineError, InvalidInput, NotReady, NotSupported, RelayError
from relay.model.session import Session, SessionStatus
from relay.store import requests

_ANSWER_SECONDS = 15.0
_ERRORS: dict[str, type[RelayError]] = {
    "engine_busy": NotReady,
    "session_not_connected": Conflict,
    "not_supported": NotSupported,
    "invalid_input": InvalidInput,
}


async def call_engine(services: Services, session: Session, body: dict[str, Any]) -> dict[str, Any]:
    """The engine's result. Raises Conflict, NotReady, NotSupported, EngineError."""
    if session.status is not SessionStatus.CONNECTED:
        raise Conflict("The session is not connected.", code="session_not_connected")
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
        raise _ERRORS.get(error["code"], EngineError)(error["detail"], code=error["code"])
    result: dict[str, Any] = answer["result"]
    return result
