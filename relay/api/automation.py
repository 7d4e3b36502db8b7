"""Chats and their bot: how it stands in one, and keeping it quiet there or letting it speak again.

pause ──► bot_chats, the agent's turn, flows, the bot's queued answers, their events: one transaction ──► rung
"""

from datetime import datetime, timedelta
from typing import Annotated, Literal

import msgspec
from litestar import get, post
from litestar.params import JSONBody, QueryParameter
from msgspec import Meta

from relay.api.auth import requires
from relay.api.owner import owner_of
from relay.api.recipients import jid_of
from relay.api.request import Request
from relay.api.session_view import get_callers_session
from relay.api.wire import In, Out
from relay.model.errors import InvalidInput
from relay.model.event import Event
from relay.model.ids import SessionId
from relay.model.session import Session
from relay.model.tenant import Scope
from relay.replies.events import automation_event
from relay.replies.situation import FlowState
from relay.store import agent_turns, bot_chats, bot_states, contacts, facts, outbox
from relay.store.bot_chats import BotChat, PauseReason
from relay.store.pool import Connection
from relay.store.session_locks import seize_sessions

_HOUR_SECONDS = 3600.0
_LONGEST_SECONDS = 2_592_000

Chat = Annotated[str, Meta(max_length=100)]


class ChatAutomationIn(In, frozen=True, kw_only=True):
    session_id: str
    chat: Chat
    """A JID, or a phone number in any usual spelling."""
    action: Literal["pause", "resume"]
    seconds: Annotated[float, Meta(gt=0, le=_LONGEST_SECONDS)] | None = None
    """How long a pause lasts; left out: the session's `bot.pauseSeconds`."""


class ChatAutomationOut(Out, frozen=True, kw_only=True):
    session_id: SessionId
    chat: str
    paused_until: datetime | None
    paused_reason: PauseReason | None
    flow: str | None
    """The flow that the contact of a private chat is in."""
    step: str | None
    agent: str | None
    """The agent that has a question in hand."""
    replies_last_hour: int


@get("/chats/automation", opt=requires(Scope.MESSAGES_READ), summary="Read how the bot stands in a chat")
async def read_chat_automation(
    request: Request,
    session_id: Annotated[str, QueryParameter(name="sessionId")],
    chat: Annotated[str, QueryParameter(max_length=100, description="A JID, or a phone number.")],
) -> ChatAutomationOut:
    async with request.services.pool.acquire() as conn:
        session, jid = await _find_chat(request, conn, session_id, chat)
        found = await bot_chats.get_chat(conn, session.tenant_id, session.id, jid)
    return _out(session, jid, found, now=request.services.now())


@post(
    "/chats/automation",
    opt=requires(Scope.MESSAGES_SEND),
    status_code=200,
    summary="Keep the bot quiet in a chat, or let it speak again",
)
async def update_chat_automation(request: Request, data: JSONBody[ChatAutomationIn]) -> ChatAutomationOut:
    if data.action == "resume" and data.seconds is not None:
        raise InvalidInput("Only a pause lasts `seconds`.", path="seconds")
    services = request.services
    now = services.now()
    async with services.pool.acquire() as conn, conn.transaction():
        # Who is about to answer has finished then, and its words are taken back; who waits sees what is changed.
        owner = await owner_of(request, conn, data.session_id)
        await seize_sessions(conn, owner, SessionId(data.session_id))
        session, jid = await _find_chat(request, conn, data.session_id, data.chat)
        if data.action == "pause":
            seconds = session.bot.pause_seconds if data.seconds is None else data.seconds
            events = await _pause(conn, session, jid, now=now, until=now + timedelta(seconds=seconds))
        else:
            events = await _resume(conn, session, jid, now=now)
        owed = await outbox.insert_events(conn, events)
        found = await bot_chats.get_chat(conn, session.tenant_id, session.id, jid)
    # The agent that was asked stops; what stands behind a cancelled answer may go.
    services.doorbell.ring("replies")
    services.doorbell.ring("messages")
    services.doorbell.ring("outgoing")
    services.doorbell.ring("events")
    if owed:
        services.doorbell.ring("deliveries")
    return _out(session, jid, found, now=now)


async def _find_chat(request: Request, conn: Connection, session_id: str, chat: str) -> tuple[Session, str]:
    """The session, and the chat by the name that it goes by: the number, where a LID's is known."""
    jid = jid_of(chat, region=request.services.config.messages.default_region, path="chat")
    session = await get_callers_session(request, conn, session_id)
    name, _, server = jid.partition("@")
    if server == "lid":
        numbers = await contacts.list_numbers(conn, [(session.id, name)])
        if numbers:
            jid = f"{numbers[session.id, name]}@s.whatsapp.net"
    return session, jid


async def _pause(
    conn: Connection, session: Session, jid: str, *, now: datetime, until: datetime
) -> list[Event]:
    """Keep the bot quiet, and take back what it was about to say."""
    await bot_chats.pause_chat(
        conn, tenant_id=session.tenant_id, session_id=session.id, chat=jid, until=until, reason="request"
    )
    await agent_turns.delete_turns(conn, [(session.id, jid)])
    await bot_states.end_flows(conn, session.tenant_id, session.id, jid)
    cancelled = await bot_chats.cancel_answers(conn, session.id, jid)
    told = await _event(
        conn, session, jid, "automation.paused", at=now, data={"reason": "request", "until": until}
    )
    return [told, *(facts.message_status(row, now) for row in cancelled)]


async def _resume(conn: Connection, session: Session, jid: str, *, now: datetime) -> list[Event]:
    resumed = await bot_chats.resume_chat(
        conn, tenant_id=session.tenant_id, session_id=session.id, chat=jid, now=now
    )
    return [await _event(conn, session, jid, "automation.resumed", at=now, data={})] if resumed else []


async def _event(
    conn: Connection, session: Session, jid: str, event_type: str, *, at: datetime, data: dict[str, object]
) -> Event:
    found = await bot_chats.get_chat(conn, session.tenant_id, session.id, jid)
    return automation_event(
        event_type,
        at=at,
        tenant_id=session.tenant_id,
        session_id=session.id,
        chat=jid,
        contact_id=found.contact_id,
        data=data,
    )


def _out(session: Session, jid: str, found: BotChat, *, now: datetime) -> ChatAutomationOut:
    paused = found.paused_until is not None and found.paused_until > now
    flow = None if found.flow is None else msgspec.convert(found.flow, FlowState)
    if flow is not None and flow.expires_at <= now:
        flow = None
    return ChatAutomationOut(
        session_id=session.id,
        chat=jid,
        paused_until=found.paused_until if paused else None,
        paused_reason=found.paused_reason if paused else None,
        flow=None if flow is None else flow.flow,
        step=None if flow is None else flow.step,
        agent=found.agent,
        # The messages of one answer were said at one instant.
        replies_last_hour=len({at for at, _digest in found.said if now.timestamp() - at < _HOUR_SECONDS}),
    )
