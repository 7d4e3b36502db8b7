"""Messages and chats as they are read."""

from datetime import datetime
from typing import Annotated, Any, Literal

import msgspec
from litestar import get
from litestar.params import FromPath, FromQuery, QueryParameter
from msgspec import field

from relay.api.auth import requires, tenant_of
from relay.api.instants import Since, Until, parse_instant
from relay.api.owner import Company, owner_of
from relay.api.paging import Cursor, Limit, Page
from relay.api.request import Request
from relay.api.wire import Out
from relay.model.ids import ContactId, MessageId, SessionId
from relay.model.message import Message, MessageStatus, MessageType, Origin, Party
from relay.model.tenant import Scope
from relay.store import messages
from relay.store.facts import chat_kind
from relay.store.message_search import Found, search_messages
from relay.store.messages import Chat, Filter, LastMessage

SessionFilter = Annotated[str | None, QueryParameter(name="sessionId")]
Text = Annotated[
    str | None,
    QueryParameter(
        min_length=1,
        max_length=100,
        description="Words in them, whatever the case and accents. A call looks through some thousand messages: "
        "go on with `nextCursor` until it is null, though a page may be short or empty.",
    ),
]


class MessageOut(Out, frozen=True, kw_only=True):
    id: MessageId
    message_id: MessageId
    session_id: SessionId
    chat: str
    chat_type: str
    contact_id: ContactId | None
    """The other side of a private chat, or who wrote in a group."""
    direction: Literal["inbound", "outgoing"]
    origin: Origin
    from_: Party = field(name="from")
    """Who wrote it; nobody is named for what the account itself wrote."""
    sender_name: str | None
    type: MessageType
    content: dict[str, Any]
    status: MessageStatus
    error: str | None
    wa_message_id: str | None
    reply_to: str | None
    mentions: list[str]
    edited_at: datetime | None
    revoked_at: datetime | None
    sent_at: datetime
    automation: dict[str, Any] | None
    """Why a bot said it: its `ruleSet` and `rule`, `flow` and `step`, `agent`, `plugin`, and the `messageId` answered."""


class StepOut(Out, frozen=True, kw_only=True):
    """When a message came to stand so."""

    status: MessageStatus
    at: datetime


class MessageDetailOut(MessageOut, frozen=True, kw_only=True):
    history: list[StepOut]
    """Oldest first."""


class MessageList(Out, frozen=True, kw_only=True):
    messages: list[MessageOut]
    next_cursor: str | None


class BotOut(Out, frozen=True, kw_only=True):
    """How the bot stands in a chat."""

    paused_until: datetime


class LastMessageOut(Out, frozen=True, kw_only=True):
    message_id: MessageId
    direction: Literal["inbound", "outgoing"]
    origin: Origin
    type: MessageType
    text: str | None
    """Its text, caption, file's name, poll's question …, cut to 200 characters; null where there is none."""
    status: MessageStatus
    sender_name: str | None
    revoked_at: datetime | None
    sent_at: datetime


class ChatOut(Out, frozen=True, kw_only=True):
    session_id: SessionId
    chat: str
    chat_type: str
    name: str | None
    contact_id: ContactId | None
    last_message_id: MessageId | None
    last_message_at: datetime | None
    last_message: LastMessageOut | None
    """Null where nothing was said yet, or retention has removed it."""
    unread: int
    automation: BotOut | None
    """Only while the bot is paused in the chat."""


class ChatList(Out, frozen=True, kw_only=True):
    chats: list[ChatOut]
    next_cursor: str | None


@get("/messages", opt=requires(Scope.MESSAGES_READ), summary="List messages, newest first")
async def list_messages(
    request: Request,
    *,
    company_id: Company = None,
    session_id: SessionFilter = None,
    chat: FromQuery[str | None] = None,
    direction: FromQuery[Literal["inbound", "outgoing"] | None] = None,
    type: FromQuery[MessageType | None] = None,
    status: FromQuery[MessageStatus | None] = None,
    contact_id: Annotated[str | None, QueryParameter(name="contactId")] = None,
    since: Since = None,
    until: Until = None,
    text: Text = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> MessageList:
    page = Page.of(limit, cursor)
    wanted = Filter(
        session_id=session_id,
        chat=chat,
        direction=direction,
        type=type,
        status=status,
        contact_id=contact_id,
        since=parse_instant(since, path="since"),
        until=parse_instant(until, path="until"),
    )
    tenant_id = tenant_of(request.principal, company_id)
    async with request.services.pool.acquire() as conn:
        if text is None:
            rows = await messages.list_messages(conn, tenant_id, wanted, before=page.before, limit=page.fetch)
            found = Found(messages=rows, looked_to=None)
        else:
            found = await search_messages(
                conn, tenant_id, wanted, text=text, before=page.before, limit=page.fetch
            )
    shown, next_cursor = page.cut(found.messages, lambda message: message.id, looked_to=found.looked_to)
    return MessageList(messages=[MessageOut(**_fields(row)) for row in shown], next_cursor=next_cursor)


@get(
    "/messages/{message_id:str}",
    opt=requires(Scope.MESSAGES_READ),
    summary="Read a message with the history of its status",
)
async def read_message(request: Request, message_id: FromPath[str]) -> MessageDetailOut:
    async with request.services.pool.acquire() as conn:
        tenant_id = await owner_of(request, conn, message_id)
        message = await messages.get_message(conn, tenant_id, message_id)
    return message_detail_out(message)


@get("/chats", opt=requires(Scope.MESSAGES_READ), summary="List chats, the latest message first")
async def list_chats(
    request: Request,
    company_id: Company = None,
    session_id: SessionFilter = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> ChatList:
    page = Page.of(limit, cursor)
    tenant_id = tenant_of(request.principal, company_id)
    async with request.services.pool.acquire() as conn:
        rows = await messages.list_chats(
            conn, tenant_id, session_id=session_id, before=page.before, limit=page.fetch
        )
    shown, next_cursor = page.cut(rows, lambda chat: chat.last_message_id or "")
    return ChatList(chats=[_chat_out(chat) for chat in shown], next_cursor=next_cursor)


def message_detail_out(message: Message) -> MessageDetailOut:
    # As the database wrote them, which spells UTC in its own way.
    history = msgspec.convert(message.history, list[StepOut])
    return MessageDetailOut(history=history, **_fields(message))


def _fields(message: Message) -> dict[str, Any]:
    sender, inbound = message.sender, message.direction == "inbound"
    return {
        "id": message.id,
        "message_id": message.id,
        "session_id": message.session_id,
        "chat": message.chat,
        "chat_type": chat_kind(message.chat),
        "contact_id": sender.contact_id,
        "direction": message.direction,
        "origin": message.origin,
        "from_": sender if inbound else Party(pn=sender.pn, lid=sender.lid),
        "sender_name": message.sender_name,
        "type": message.type,
        "content": message.content,
        "status": message.status,
        "error": message.error,
        "wa_message_id": message.wa_id,
        "reply_to": message.reply_to,
        "mentions": message.mentions,
        "edited_at": message.edited_at,
        "revoked_at": message.revoked_at,
        "sent_at": message.sent_at,
        "automation": message.automation,
    }


def _chat_out(chat: Chat) -> ChatOut:
    return ChatOut(
        session_id=chat.session_id,
        chat=chat.jid,
        chat_type=chat_kind(chat.jid),
        name=chat.name,
        contact_id=chat.contact_id,
        last_message_id=chat.last_message_id,
        last_message_at=chat.last_message_at,
        last_message=None if chat.last_message is None else _last_message_out(chat.last_message),
        unread=chat.unread,
        automation=None if chat.paused_until is None else BotOut(paused_until=chat.paused_until),
    )


def _last_message_out(message: LastMessage) -> LastMessageOut:
    return LastMessageOut(
        message_id=message.id,
        direction="inbound" if message.direction == "inbound" else "outgoing",
        origin=message.origin,
        type=message.type,
        text=message.text,
        status=message.status,
        sender_name=message.sender_name,
        revoked_at=message.revoked_at,
        sent_at=message.sent_at,
    )
