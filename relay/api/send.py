"""POST /send: a message is checked, made durable, and answered; the host that runs the session sends it.

body ──► session ──► recipient ──► content ──► budget (when it rejects) ──► Acceptor ──► 202
                                                                               └─ Prefer: wait ─► 200, settled
"""

import re
from typing import Annotated, Any

import msgspec
from litestar import Response, post
from litestar.params import JSONBody
from msgspec import UNSET, Meta, UnsetType, field, structs

from relay.api.accept import Sending
from relay.api.auth import requires
from relay.api.content import PollVoteContent, ReactionContent, check_vote, convert, structured, text_of
from relay.api.idempotency import OWN_IDEMPOTENCY, hash_of, judge, read_key, route_of
from relay.api.media_source import keep_given_media
from relay.api.recipients import jid_of
from relay.api.request import Request
from relay.api.services import Services
from relay.api.waiting import wait_for
from relay.api.wire import In, Out
from relay.model.errors import InvalidInput, NotFound, NotReady, RelayError
from relay.model.ids import MessageId, TenantId, new_message_id
from relay.model.message import MEDIA_TYPES, SENDABLE_TYPES, Message, MessageStatus, MessageType, Origin
from relay.model.tenant import Scope
from relay.store import idempotency, messages
from relay.store.idempotency import Answer, Place
from relay.store.outgoing import Accepted

_MOST_WAIT_SECONDS = 60
_UNSETTLED = frozenset({MessageStatus.QUEUED, MessageStatus.SENDING})
_WAIT = re.compile(rb"(?:^|,)\s*wait\s*=\s*\"?([0-9]{1,4})\"?\s*(?:[;,]|$)", re.IGNORECASE)


class SendIn(In, frozen=True, kw_only=True):
    session_id: str
    to: Annotated[str, Meta(max_length=100)]
    """A phone number in any usual spelling, a JID, or a group's JID."""
    type: MessageType
    content: str | dict[str, Any]
    """The text, or the type's own fields."""
    reply_to: str | None = None
    """The messageId that it answers."""
    mentions: Annotated[list[Annotated[str, Meta(max_length=100)]], Meta(max_length=1024)] = field(
        default_factory=list
    )
    by_person: bool | UnsetType = UNSET
    """A person wrote this: the bot keeps quiet in that chat for the session's `bot.pauseSeconds`.

    Left out it is true for who is signed in at the console, and false for a key.
    """
    company_id: str | None = None


class SendOut(Out, frozen=True, kw_only=True):
    message_id: MessageId
    status: MessageStatus
    error: str | UnsetType = UNSET
    wa_message_id: str | UnsetType = UNSET


@post(
    "/send",
    opt={**requires(Scope.MESSAGES_SEND), **OWN_IDEMPOTENCY},
    status_code=202,
    summary="Send a message; `Prefer: wait=10` waits for WhatsApp's acknowledgement",
)
async def send_message(request: Request, data: JSONBody[SendIn]) -> Response[SendOut]:
    services = request.services
    if request.principal.console and data.by_person is UNSET:
        data = structs.replace(data, by_person=True)
    tenant_id = request.principal.tenant_id
    if tenant_id is not None and data.company_id not in (None, tenant_id):
        raise NotFound("There is no such company.")
    sending = await services.acceptor.get_sending(tenant_id or data.company_id, data.session_id)
    out = SendOut(message_id=new_message_id(), status=MessageStatus.QUEUED)
    answer = await _answer(request, sending.tenant_id, out)
    replayed = await _accept(services, sending, data, out.message_id, answer)
    if replayed is not None and answer is not None:
        _status, body = judge(replayed, answer.body_hash)
        out = _decode(body)
    headers = {} if replayed is None else {"Idempotent-Replayed": "true"}
    wait_seconds = _wait_seconds(request)
    if not wait_seconds:
        return Response(out, status_code=202, headers=headers)
    settled = await _wait(services, sending.tenant_id, out.message_id, wait_seconds)
    headers["Preference-Applied"] = f"wait={wait_seconds}"
    return Response(settled or out, status_code=200 if settled else 202, headers=headers)


async def _answer(request: Request, tenant_id: TenantId, out: SendOut) -> Answer | None:
    """What a retry with the same Idempotency-Key is to be answered."""
    key = read_key(request)
    if key is None:
        return None
    return Answer(
        place=Place(tenant_id=tenant_id, route=route_of(request), key=key),
        body_hash=hash_of(request, await request.body()),
        status_code=202,
        body=_encode(out),
    )


async def _accept(
    services: Services, sending: Sending, data: SendIn, message_id: MessageId, answer: Answer | None
) -> Answer | None:
    """Queue the message; answers what its key was answered before, if it was."""
    rejects = sending.limits.when_exceeded == "reject"
    if answer is not None and (rejects or data.type in MEDIA_TYPES):
        # A retry takes no second budget and fetches no second file.
        async with services.pool.acquire() as conn:
            before = await idempotency.find_answer(conn, answer.place)
        if before is not None:
            return before
    message = await _message(services, sending, data, message_id)
    try:
        if rejects:
            message = await services.acceptor.take_budget(sending, message)
        before = await services.acceptor.accept(message, answer)
    except NotReady:
        # Nobody can say whether it was stored: if it was, it is sent with its file.
        raise
    except RelayError:
        await _drop_new_file(services, data, message)
        raise
    if before is not None:
        await _drop_new_file(services, data, message)
    return before


async def _drop_new_file(services: Services, data: SendIn, message: Accepted) -> None:
    """A file that was stored for a message which was not accepted goes again; an uploaded one stays."""
    uploaded = isinstance(data.content, dict) and "mediaId" in data.content
    if "mediaId" in message.content and not uploaded:
        async with services.pool.acquire() as conn:
            await services.blobs.delete(conn, message.tenant_id, [message.content["mediaId"]])


async def _message(services: Services, sending: Sending, data: SendIn, message_id: MessageId) -> Accepted:
    region = services.config.messages.default_region
    chat = jid_of(data.to, region=region)
    mentions = [
        jid_of(mention, region=region, path=f"mentions[{place}]")
        for place, mention in enumerate(data.mentions)
    ]
    if data.reply_to is not None:
        await _get_target(services, sending, data.reply_to, path="replyTo")
    if data.type is MessageType.TEXT:
        content = text_of(data.content)
    elif data.type in MEDIA_TYPES:
        content = await keep_given_media(services, sending.tenant_id, sending.id, data.type, data.content)
    elif data.type is MessageType.REACTION:
        chat, content = await _reaction(services, sending, data.content)
    elif data.type is MessageType.POLL_VOTE:
        chat, content = await _poll_vote(services, sending, data.content)
    elif data.type in SENDABLE_TYPES:
        content = structured(data.type, data.content)
    else:
        raise InvalidInput(f"Messages of type {data.type} cannot be sent.", path="type")
    return Accepted(
        id=message_id,
        tenant_id=sending.tenant_id,
        session_id=sending.id,
        chat=chat,
        origin=Origin.PERSON if data.by_person is True else Origin.API,
        type=data.type,
        content=content,
        reply_to=data.reply_to,
        mentions=mentions,
        budgeted=False,
        at=services.now(),
    )


async def _reaction(
    services: Services, sending: Sending, given: str | dict[str, Any]
) -> tuple[str, dict[str, Any]]:
    """A reaction goes where its message is: WhatsApp may know the chat by another name than the caller does."""
    content: ReactionContent = convert(given, ReactionContent)
    target = await _get_sent(services, sending, content.message_id)
    return target.chat, {"emoji": content.emoji, "messageId": target.id, "waMessageId": target.wa_id}


async def _poll_vote(
    services: Services, sending: Sending, given: str | dict[str, Any]
) -> tuple[str, dict[str, Any]]:
    """A vote goes where its poll is. Raises InvalidInput for one that the poll does not allow."""
    content: PollVoteContent = convert(given, PollVoteContent)
    poll = await _get_sent(services, sending, content.message_id)
    if poll.type is not MessageType.POLL or poll.revoked_at is not None:
        raise InvalidInput("That message is no poll.", path="content.messageId", code="not_a_poll")
    check_vote(content.options, poll.content)
    return poll.chat, {"options": content.options, "messageId": poll.id, "waMessageId": poll.wa_id}


async def _get_sent(services: Services, sending: Sending, message_id: str) -> Message:
    """The message that `content.messageId` names, which has reached WhatsApp."""
    target = await _get_target(services, sending, message_id, path="content.messageId")
    if target.wa_id is None:
        raise InvalidInput("That message was not sent yet.", path="content.messageId")
    return target


async def _get_target(services: Services, sending: Sending, message_id: str, *, path: str) -> Message:
    """Another message of the session. Raises InvalidInput at `path`."""
    try:
        async with services.pool.acquire() as conn:
            target = await messages.get_message(conn, sending.tenant_id, message_id)
    except NotFound:
        target = None
    if target is None or target.session_id != sending.id:
        raise InvalidInput("There is no such message in this session.", path=path, code="message_unknown")
    return target


def _wait_seconds(request: Request) -> int:
    """What `Prefer: wait=N` asks for (RFC 7240): at most a minute, 0 when it asks for nothing."""
    # Read as they come: to look one up, the framework would decode them all.
    for name, value in request.scope["headers"]:
        if name == b"prefer" and (match := _WAIT.search(value)) is not None:
            return min(int(match[1]), _MOST_WAIT_SECONDS)
    return 0


async def _wait(
    services: Services, tenant_id: TenantId, message_id: MessageId, seconds: float
) -> SendOut | None:
    """How the message stands once WhatsApp has spoken; None when the time is over."""

    async def look() -> Message | None:
        async with services.pool.acquire() as conn:
            message = await messages.get_message(conn, tenant_id, message_id)
        return None if message.status in _UNSETTLED and not services.draining.is_set() else message

    message = await wait_for(services.doorbell, "messages", look, seconds=seconds)
    if message is None or message.status in _UNSETTLED:
        return None
    return SendOut(
        message_id=message.id,
        status=message.status,
        error=message.error or UNSET,
        wa_message_id=message.wa_id or UNSET,
    )


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(SendOut).decode
