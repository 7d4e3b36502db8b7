"""Calls: they come as `call.received`, and can be declined. Relay takes none."""

from litestar import post
from litestar.params import FromPath

from relay.api.auth import requires
from relay.api.engine_calls import call_engine
from relay.api.request import Request
from relay.api.session_view import get_callers_session
from relay.host.arrivals import sender_of
from relay.model.errors import Conflict, NotFound
from relay.model.message import MessageType
from relay.model.tenant import Scope
from relay.store import messages


@post(
    "/sessions/{session_id:str}/calls/{message_id:str}/reject",
    opt=requires(Scope.MESSAGES_SEND),
    status_code=204,
    summary="Decline a call, by the messageId of its `call.received`",
)
async def reject_call(request: Request, session_id: FromPath[str], message_id: FromPath[str]) -> None:
    async with request.services.pool.acquire() as conn:
        session = await get_callers_session(request, conn, session_id)
        call = await messages.get_message(conn, session.tenant_id, message_id)
    if call.session_id != session.id:
        raise NotFound("There is no such message.")
    if call.type is not MessageType.CALL:
        raise Conflict("That message is no call.", code="not_a_call")
    caller = sender_of(call.sender, from_me=False)
    asked = {"kind": "reject_call", "callId": call.wa_id, "caller": caller}
    await call_engine(request.services, session, asked)
