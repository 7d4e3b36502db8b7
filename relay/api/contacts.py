"""Contacts: whom a session has met, and whether a number is on WhatsApp."""

import asyncio
import re
from datetime import datetime, timedelta
from typing import Annotated, Any

import msgspec
from litestar import delete, get, patch, post
from litestar.params import FromPath, JSONBody, QueryParameter
from msgspec import UNSET, Meta, UnsetType

from relay.api.auth import requires, tenant_of
from relay.api.engine_calls import call_engine
from relay.api.owner import Company, owner_of
from relay.api.paging import Cursor, Limit, Page
from relay.api.recipients import digits_of
from relay.api.request import Request
from relay.api.session_view import get_callers_session
from relay.api.wire import In, Out
from relay.model.errors import InvalidInput
from relay.model.ids import ContactId, SessionId
from relay.model.tenant import Scope
from relay.replies.situation import Variable
from relay.store import bot_contacts, contact_removal, contacts
from relay.store.bot_contacts import BotContact
from relay.store.contacts import Contact

_MOST_TAGS = 50
_MOST_VARS = 100
_MOST_VALUE_CHARS = 4096
_REMEMBER = timedelta(days=90)
_VAR_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}")

Tag = Annotated[str, Meta(min_length=1, max_length=100)]


class ContactOut(Out, frozen=True, kw_only=True):
    id: ContactId
    contact_id: ContactId
    session_id: SessionId
    pn: str | None
    """The phone number, in digits."""
    lid: str | None
    name: str | None
    first_seen_at: datetime
    tags: list[str]
    vars: dict[str, Any]
    """What rules have set, and the API; each is forgotten after a while."""
    ignored: bool
    """Bots do not answer this contact."""


class ContactPatch(In, frozen=True, kw_only=True):
    """What bots know of a contact; what is left out stays."""

    tags: Annotated[list[Tag], Meta(max_length=_MOST_TAGS)] | UnsetType = UNSET
    """All of them."""
    vars: dict[str, Any] | UnsetType = UNSET
    """By name; null removes one, those that are not named stay. Kept for 90 days."""
    ignored: bool | UnsetType = UNSET


class ContactList(Out, frozen=True, kw_only=True):
    contacts: list[ContactOut]
    next_cursor: str | None


class CheckIn(In, frozen=True, kw_only=True):
    session_id: str
    phones: Annotated[list[Annotated[str, Meta(max_length=100)]], Meta(min_length=1, max_length=50)]


class NumberOut(Out, frozen=True, kw_only=True):
    phone: str
    """As it was asked."""
    digits: str
    exists: bool
    jid: str | None


class CheckOut(Out, frozen=True, kw_only=True):
    numbers: list[NumberOut]


@get("/contacts", opt=requires(Scope.MESSAGES_READ), summary="List contacts, newest first")
async def list_contacts(
    request: Request,
    *,
    company_id: Company = None,
    session_id: Annotated[str | None, QueryParameter(name="sessionId")] = None,
    search: Annotated[
        str | None, QueryParameter(max_length=200, description="A number, a LID, or a part of the name.")
    ] = None,
    tag: Annotated[
        str | None, QueryParameter(max_length=100, description="Those that have this tag.")
    ] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> ContactList:
    page = Page.of(limit, cursor)
    tenant_id = tenant_of(request.principal, company_id)
    async with request.services.pool.acquire() as conn:
        rows = await contacts.list_contacts(
            conn,
            tenant_id,
            session_id=session_id,
            search=search,
            tag=tag,
            before=page.before,
            limit=page.fetch,
        )
    shown, next_cursor = page.cut(rows, lambda contact: contact.id)
    now = request.services.now()
    return ContactList(contacts=[_contact_out(contact, now) for contact in shown], next_cursor=next_cursor)


@get("/contacts/{contact_id:str}", opt=requires(Scope.MESSAGES_READ), summary="Read a contact")
async def read_contact(request: Request, contact_id: FromPath[str]) -> ContactOut:
    async with request.services.pool.acquire() as conn:
        tenant_id = await owner_of(request, conn, contact_id)
        return _contact_out(await contacts.get_contact(conn, tenant_id, contact_id), request.services.now())


@patch(
    "/contacts/{contact_id:str}",
    opt=requires(Scope.MESSAGES_SEND),
    summary="Change what bots know of a contact: tags, variables, whether it is ignored",
)
async def update_contact(
    request: Request, contact_id: FromPath[str], data: JSONBody[ContactPatch]
) -> ContactOut:
    services = request.services
    now = services.now()
    async with services.pool.acquire() as conn, conn.transaction():
        tenant_id = await owner_of(request, conn, contact_id)
        contact = await contacts.get_contact(conn, tenant_id, contact_id)
        known = await bot_contacts.lock_contact(conn, tenant_id, contact.id)
        changed = _changed(known, data, now)
        await bot_contacts.update_contact(conn, tenant_id, contact.id, changed)
        return _contact_out(await contacts.get_contact(conn, tenant_id, contact.id), now)


@delete(
    "/contacts/{contact_id:str}",
    opt=requires(Scope.MESSAGES_SEND),
    summary="Remove a contact and everything of it: messages, files, events",
)
async def delete_contact(request: Request, contact_id: FromPath[str]) -> None:
    services = request.services
    async with services.pool.acquire() as conn:
        tenant_id = await owner_of(request, conn, contact_id)
        async with conn.transaction():
            hidden = await contact_removal.hide_contact(conn, tenant_id, contact_id)
        services.doorbell.ring("replies")
        async with conn.transaction():
            removed = await contact_removal.delete_contact(conn, hidden, at=services.now())
    if removed is None:
        return
    services.doorbell.ring("events")
    if removed.owed:
        services.doorbell.ring("deliveries")
    await asyncio.to_thread(services.blobs.remove_files, removed.media)


@post(
    "/contacts/check",
    opt=requires(Scope.MESSAGES_SEND),
    status_code=200,
    summary="Ask WhatsApp which phone numbers have an account",
)
async def check_contacts(request: Request, data: JSONBody[CheckIn]) -> CheckOut:
    services = request.services
    region = services.config.messages.default_region
    digits = [
        digits_of(phone, region=region, path=f"phones[{place}]") for place, phone in enumerate(data.phones)
    ]
    async with services.pool.acquire() as conn:
        session = await get_callers_session(request, conn, data.session_id)
    asked = {"kind": "check", "phones": list(dict.fromkeys(digits))}
    found = (await call_engine(services, session, asked))["numbers"]
    return CheckOut(
        numbers=[
            NumberOut(phone=phone, digits=number, exists=found.get(number) is not None, jid=found.get(number))
            for phone, number in zip(data.phones, digits, strict=True)
        ]
    )


def _changed(known: BotContact, data: ContactPatch, now: datetime) -> BotContact:
    """`known` with what is asked for, without what has expired. Raises InvalidInput."""
    kept = {
        name: stored
        for name, stored in known.vars.items()
        if msgspec.convert(stored, Variable).expires_at > now
    }
    before = len(kept)
    for name, value in ({} if data.vars is UNSET else data.vars).items():
        if value is None:
            kept.pop(name, None)
        else:
            _check_variable(name, value)
            kept[name] = msgspec.to_builtins(Variable(value=value, expires_at=now + _REMEMBER))
    # Rules may have set more: of those some can be taken away.
    if len(kept) > max(before, _MOST_VARS):
        raise InvalidInput(f"A contact has at most {_MOST_VARS} variables.", path="vars")
    return BotContact(
        tags=known.tags if data.tags is UNSET else sorted(set(data.tags)),
        vars=kept,
        ignored=known.ignored if data.ignored is UNSET else data.ignored,
    )


def _check_variable(name: str, value: Any) -> None:
    """Raises InvalidInput."""
    if not _VAR_NAME.fullmatch(name):
        detail = "The name of a variable has up to 64 letters, digits, `_`, `.` and `-`."
        raise InvalidInput(detail, path="vars")
    if len(msgspec.json.encode(value).decode()) > _MOST_VALUE_CHARS:
        detail = f"The value has more than {_MOST_VALUE_CHARS} characters as JSON."
        raise InvalidInput(detail, path=f"vars.{name}")


def _contact_out(contact: Contact, now: datetime) -> ContactOut:
    known = msgspec.convert(contact.vars, dict[str, Variable])
    return ContactOut(
        id=contact.id,
        contact_id=contact.id,
        session_id=contact.session_id,
        pn=contact.pn,
        lid=contact.lid,
        name=contact.name,
        first_seen_at=contact.first_seen_at,
        tags=contact.tags,
        vars={name: variable.value for name, variable in known.items() if variable.expires_at > now},
        ignored=contact.ignored,
    )
