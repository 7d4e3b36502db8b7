"""Changing what was said, and what others see of it: edit, revoke, mark as read, typing.

    the engine does it ──► the row, its event and the deliveries owed in one transaction ──► rung

A message that is still queued is not revoked but cancelled: nobody has seen it.
"""

from typing import Annotated, Any

from litestar import delete, patch, post
from litestar.params import FromPath, JSONBody
from msgspec import Meta

from relay.api.auth import requires
from relay.api.content import Text
from relay.api.engine_calls import call_engine
from relay.api.messages import MessageDetailOut, message_detail_out
from relay.api.owner import owner_of
from relay.api.recipients import jid_of
from relay.api.request import Request
from relay.api.services import Services
from relay.api.session_view import get_callers_session
from relay.api.wire import In
from relay.model.errors import Conflict
from relay.model.event import Event
from relay.model.message import MEDIA_TYPES, Message, MessageStatus, MessageType
from relay.model.session import Session
from relay.model.tenant import Scope
from relay.store import chats, facts, inbound, messages, outbox, outgoing, sessions
from relay.store.inbound import Change

_MOST_READ = 1000
_EDITABLE = MEDIA_TYPES | {MessageType.TEXT}

Chat = Annotated[str, Meta(max_length=100)]


class EditIn(In, frozen=True, kw_only=True):
    text: Text
    """The new text, or a file's new caption."""


class ReadIn(In, frozen=True, kw_only=True):
    session_id: str
    chat: Chat
    """A JID, or a phone number in any usual spelling."""


class TypingIn(In, frozen=True, kw_only=True):
    session_id: str
    chat: Chat
    """A JID, or a phone number in any usual spelling."""
    typing: bool = True


@patch(
    "/messages/{message_id:str}", opt=requires(Scope.MESSAGES_SEND), summary="Edit a message that was sent"
)
async def update_message(
    request: Request, message_id: FromPath[str], data: JSONBody[EditIn]
) -> MessageDetailOut:
    services = request.services
    message, session = await _get_own(request, message_id)
    if message.type not in _EDITABLE:
        raise Conflict(f"A message of type {message.type} cannot be edited.", code="message_not_editable")
    if message.revoked_at is not None:
        raise Conflict("The message was revoked.", code="message_revoked")
    wa_id = _sent_id(message)
    await call_engine(
        services,
        session,
        {"kind": "edit", "chat": message.chat, "waMessageId": wa_id, "text": data.text},
    )
    change = _change(services, message, wa_id, data.text)
    async with services.pool.acquire() as conn, conn.transaction():
        rows = await inbound.edit_messages(conn, [change])
        owed = await outbox.insert_events(conn, [facts.message_edited(row) for row in rows])
        edited = await messages.get_message(conn, message.tenant_id, message.id)
    _ring(services, owed=owed)
    return message_detail_out(edited)


@delete(
    "/messages/{message_id:str}",
    opt=requires(Scope.MESSAGES_SEND),
    summary="Delete a message for everyone; one that is still queued is not sent",
)
async def delete_message(request: Request, message_id: FromPath[str]) -> None:
    services = request.services
    message, session = await _get_own(request, message_id)
    if message.revoked_at is not None:
        return
    if message.status is MessageStatus.QUEUED and await _cancel(services, message):
        return
    wa_id = _sent_id(message)
    await call_engine(services, session, {"kind": "revoke", "chat": message.chat, "waMessageId": wa_id})
    async with services.pool.acquire() as conn, conn.transaction():
        rows = await inbound.revoke_messages(conn, [_change(services, message, wa_id, "")])
        owed = await outbox.insert_events(conn, [facts.message_revoked(row) for row in rows])
    _ring(services, owed=owed)


@post(
    "/messages/{message_id:str}/read",
    opt=requires(Scope.MESSAGES_SEND),
    status_code=204,
    summary="Mark a message, and what its chat holds before it, as read",
)
async def read_up_to_message(request: Request, message_id: FromPath[str]) -> None:
    message, session = await _get_with_session(request, message_id)
    await _mark_read(request.services, session, message.chat, until=message.id)


@post("/chats/read", opt=requires(Scope.MESSAGES_SEND), status_code=204, summary="Mark a chat as read")
async def read_chat(request: Request, data: JSONBody[ReadIn]) -> None:
    session, chat = await _get_chat(request, data.session_id, data.chat)
    await _mark_read(request.services, session, chat, until=None)


@post(
    "/chats/typing",
    opt=requires(Scope.MESSAGES_SEND),
    status_code=204,
    summary="Show, or stop showing, that somebody types",
)
async def show_typing(request: Request, data: JSONBody[TypingIn]) -> None:
    session, chat = await _get_chat(request, data.session_id, data.chat)
    await call_engine(request.services, session, {"kind": "typing", "chat": chat, "typing": data.typing})


async def _get_with_session(request: Request, message_id: str) -> tuple[Message, Session]:
    async with request.services.pool.acquire() as conn:
        tenant_id = await owner_of(request, conn, message_id)
        message = await messages.get_message(conn, tenant_id, message_id)
        return message, await sessions.get_session(conn, tenant_id, message.session_id)


async def _get_own(request: Request, message_id: str) -> tuple[Message, Session]:
    """A message that the account itself wrote. Raises NotFound, Conflict."""
    message, session = await _get_with_session(request, message_id)
    if message.direction != "outgoing":
        raise Conflict("Only the account's own messages can be changed.", code="message_not_own")
    return message, session


async def _get_chat(request: Request, session_id: str, chat: str) -> tuple[Session, str]:
    jid = jid_of(chat, region=request.services.config.messages.default_region, path="chat")
    async with request.services.pool.acquire() as conn:
        return await get_callers_session(request, conn, session_id), jid


def _sent_id(message: Message) -> str:
    """Its WhatsApp id. Raises Conflict when it never reached WhatsApp."""
    if message.wa_id is None:
        raise Conflict(f"The message has not been sent; it is {message.status}.", code="message_not_sent")
    return message.wa_id


def _change(services: Services, message: Message, wa_id: str, value: str) -> Change:
    return Change(
        session_id=message.session_id,
        chat=message.chat,
        wa_id=wa_id,
        sender="me",
        at=services.now(),
        value=value,
    )


async def _cancel(services: Services, message: Message) -> bool:
    """Take a queued message back; False when it is being sent already."""
    async with services.pool.acquire() as conn, conn.transaction():
        row: Any = await outgoing.cancel_message(conn, message.tenant_id, message.id)
        if row is None:
            return False
        events: list[Event] = [facts.message_status(row, services.now())]
        owed = await outbox.insert_events(conn, events)
    services.doorbell.ring("messages")
    # The next one of its chat may go.
    services.doorbell.ring("outgoing")
    _ring(services, owed=owed)
    return True


async def _mark_read(services: Services, session: Session, chat: str, *, until: str | None) -> None:
    async with services.pool.acquire() as conn:
        unread = await chats.list_unread(
            conn, session.tenant_id, session.id, chat, until=until, limit=_MOST_READ
        )
    for one in unread:
        body = {"kind": "mark_read", "chat": chat, "sender": one.sender, "waMessageIds": one.wa_ids}
        await call_engine(services, session, body)
        async with services.pool.acquire() as conn, conn.transaction():
            await chats.mark_read(conn, session.tenant_id, session.id, chat, wa_ids=one.wa_ids)


def _ring(services: Services, *, owed: bool) -> None:
    services.doorbell.ring("events")
    if owed:
        services.doorbell.ring("deliveries")
