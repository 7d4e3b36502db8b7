"""Contacts: whom a session has met, and whether a number is on WhatsApp."""

from datetime import datetime
from typing import Annotated

from litestar import delete, get, post
from litestar.params import FromPath, JSONBody, QueryParameter
from msgspec import Meta

from relay.api.auth import requires, tenant_of
from relay.api.engine_calls import call_engine
from relay.api.owner import Company, owner_of
from relay.api.paging import Cursor, Limit, Page
from relay.api.recipients import digits_of
from relay.api.request import Request
from relay.api.session_view import get_callers_session
from relay.api.wire import In, Out
from relay.model.ids import ContactId, SessionId
from relay.model.tenant import Scope
from relay.store import contacts
from relay.store.contacts import Contact


class ContactOut(Out, frozen=True, kw_only=True):
    id: ContactId
    contact_id: ContactId
    session_id: SessionId
    pn: str | None
    """The phone number, in digits."""
    lid: str | None
    name: str | None
    first_seen_at: datetime


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
    limit: Limit = 50,
    cursor: Cursor = None,
) -> ContactList:
    page = Page.of(limit, cursor)
    tenant_id = tenant_of(request.principal, company_id)
    async with request.services.pool.acquire() as conn:
        rows = await contacts.list_contacts(
            conn, tenant_id, session_id=session_id, search=search, before=page.before, limit=page.fetch
        )
    shown, next_cursor = page.cut(rows, lambda contact: contact.id)
    return ContactList(contacts=[_contact_out(contact) for contact in shown], next_cursor=next_cursor)


@get("/contacts/{contact_id:str}", opt=requires(Scope.MESSAGES_READ), summary="Read a contact")
async def read_contact(request: Request, contact_id: FromPath[str]) -> ContactOut:
    async with request.services.pool.acquire() as conn:
        tenant_id = await owner_of(request, conn, contact_id)
        return _contact_out(await contacts.get_contact(conn, tenant_id, contact_id))


@delete(
    "/contacts/{contact_id:str}",
    opt=requires(Scope.MESSAGES_SEND),
    summary="Remove a contact and everything of it: messages, files, events",
)
async def delete_contact(request: Request, contact_id: FromPath[str]) -> None:
    services = request.services
    async with services.pool.acquire() as conn, conn.transaction():
        tenant_id = await owner_of(request, conn, contact_id)
        media = await contacts.delete_contact(conn, tenant_id, ContactId(contact_id))
    services.blobs.remove_files(media)


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


def _contact_out(contact: Contact) -> ContactOut:
    return ContactOut(
        id=contact.id,
        contact_id=contact.id,
        session_id=contact.session_id,
        pn=contact.pn,
        lid=contact.lid,
        name=contact.name,
        first_seen_at=contact.first_seen_at,
    )
