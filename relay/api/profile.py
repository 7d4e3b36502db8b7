"""What others see of the account, and what it sees of them: presence, name, pictures. The session's engine does it."""

import asyncio
from base64 import b64encode
from typing import Annotated, Any

import msgspec
from litestar import get, put
from litestar.params import FromPath, JSONBody
from msgspec import UNSET, Meta, UnsetType

from relay.api.auth import requires
from relay.api.engine_calls import call_engine, require_connected
from relay.api.media_source import keep_given_media
from relay.api.recipients import jid_of
from relay.api.request import Request
from relay.api.services import Services
from relay.api.session_view import get_callers_session
from relay.api.wire import In, Out
from relay.host.arrivals import sender_of
from relay.model.errors import InvalidInput, NotFound
from relay.model.message import MessageType, Party
from relay.model.session import Session
from relay.model.tenant import Scope
from relay.store import contacts
from relay.store.pool import Connection

_MOST_PICTURE_BYTES = 1_048_576


class PresenceIn(In, frozen=True, kw_only=True):
    available: bool
    """Whether the account shows as online."""


class PictureIn(In, frozen=True, kw_only=True, omit_defaults=True):
    """A JPEG: exactly one of `url`, `base64` and `mediaId`."""

    url: Annotated[str, Meta(max_length=2048)] | None = None
    base64: str | None = None
    media_id: Annotated[str, Meta(max_length=64)] | None = None


class ProfileIn(In, frozen=True, kw_only=True):
    """What is left out stays."""

    name: Annotated[str, Meta(min_length=1, max_length=25)] | UnsetType = UNSET
    picture: PictureIn | UnsetType = UNSET


class PictureOut(Out, frozen=True, kw_only=True):
    url: str | None
    """Where it can be fetched for a while; null where it is hidden or not set."""


@put(
    "/sessions/{session_id:str}/presence",
    opt=requires(Scope.MESSAGES_SEND),
    status_code=204,
    summary="Show the account as online, or not",
)
async def update_presence(request: Request, session_id: FromPath[str], data: JSONBody[PresenceIn]) -> None:
    session = await _get_session(request, session_id)
    await call_engine(request.services, session, {"kind": "presence", "available": data.available})


@put(
    "/sessions/{session_id:str}/profile",
    opt=requires(Scope.SESSIONS),
    status_code=204,
    summary="Change the account's name or picture, as others see them",
)
async def update_profile(request: Request, session_id: FromPath[str], data: JSONBody[ProfileIn]) -> None:
    services = request.services
    session = await _get_session(request, session_id)
    if data.name is UNSET and data.picture is UNSET:
        raise InvalidInput("Give a `name`, a `picture`, or both.", path="name")
    require_connected(session)
    # Whatever is wrong with the picture is found before anything is changed.
    jpeg = None if data.picture is UNSET else await _read_picture(services, session, data.picture)
    if data.name is not UNSET:
        await call_engine(services, session, {"kind": "profile_name", "name": data.name})
    if jpeg is not None:
        asked = {"kind": "profile_picture", "jpeg": b64encode(jpeg).decode()}
        await call_engine(services, session, asked)


@get(
    "/sessions/{session_id:str}/contacts/{contact_id:str}/picture",
    opt=requires(Scope.MESSAGES_READ),
    summary="Ask WhatsApp for the picture of a contact (a contactId, a phone number, a JID) or of a group (its JID)",
)
async def read_picture(request: Request, session_id: FromPath[str], contact_id: FromPath[str]) -> PictureOut:
    async with request.services.pool.acquire() as conn:
        session = await get_callers_session(request, conn, session_id)
        jid = await _jid_of(request, conn, session, contact_id)
    answer = await call_engine(request.services, session, {"kind": "picture", "jid": jid})
    return PictureOut(url=answer["url"])


async def _get_session(request: Request, session_id: str) -> Session:
    async with request.services.pool.acquire() as conn:
        return await get_callers_session(request, conn, session_id)


async def _jid_of(request: Request, conn: Connection, session: Session, name: str) -> str:
    """Raises NotFound, InvalidInput."""
    if not name.startswith("ctc_"):
        return jid_of(name, region=request.services.config.messages.default_region, path="contact_id")
    contact = await contacts.get_contact(conn, session.tenant_id, name)
    if contact.session_id != session.id:
        raise NotFound("There is no such contact.")
    return sender_of(Party(pn=contact.pn, lid=contact.lid), from_me=False)


async def _read_picture(services: Services, session: Session, picture: PictureIn) -> bytes:
    """The JPEG's bytes; a file that was not uploaded before is not kept. Raises InvalidInput."""
    given: dict[str, Any] = msgspec.to_builtins(picture)
    try:
        kept = await keep_given_media(services, session.tenant_id, session.id, MessageType.IMAGE, given)
    except InvalidInput as error:
        path = (error.path or "").replace("content", "picture", 1)
        raise InvalidInput(error.detail, path=path, code=error.code) from None
    try:
        if kept["mimetype"] != "image/jpeg":
            raise InvalidInput("A profile's picture is a JPEG.", path="picture", code="media_type_mismatch")
        if kept["sizeBytes"] > _MOST_PICTURE_BYTES:
            raise InvalidInput(
                f"A profile's picture has at most {_MOST_PICTURE_BYTES} bytes.",
                path="picture",
                code="media_too_large",
            )
        return await asyncio.to_thread(services.blobs.path(kept["mediaId"]).read_bytes)
    finally:
        if picture.media_id is None:
            async with services.pool.acquire() as conn:
                await services.blobs.delete(conn, session.tenant_id, [kept["mediaId"]])
