"""The operator's part: tenants, and keys. A company's key with the scope `admin` manages its own company's keys."""

import asyncio
from datetime import datetime
from typing import Annotated

from litestar import delete, get, patch, post
from litestar.params import FromPath, JSONBody, QueryParameter
from msgspec import UNSET, Meta, UnsetType, structs

from relay.api.auth import OPERATOR_ONLY, requires, tenant_of
from relay.api.paging import Cursor, Limit, Page
from relay.api.request import Request
from relay.api.services import Services
from relay.api.waiting import wait_for
from relay.api.wire import In, Out
from relay.model.api_key import new_key
from relay.model.errors import Forbidden, InvalidInput
from relay.model.ids import KeyId, TenantId, new_tenant_id
from relay.model.tenant import ApiKey, Retention, Scope, Tenant
from relay.store import keys, sessions, tenants

Name = Annotated[str, Meta(min_length=1, max_length=200)]
_LOGOUT_SECONDS = 10.0

Days = Annotated[int, Meta(ge=1, le=36_500)]


class RetentionIn(In, frozen=True, kw_only=True):
    """Days to keep; what is left out or null takes the server's setting."""

    message_days: Days | None = None
    event_days: Days | None = None
    media_days: Days | None = None


class TenantIn(In, frozen=True, kw_only=True):
    name: Name
    retention: RetentionIn = RetentionIn()


class TenantPatch(In, frozen=True, kw_only=True):
    name: Name | UnsetType = UNSET
    retention: RetentionIn | UnsetType = UNSET


class TenantOut(Out, frozen=True, kw_only=True):
    company_id: TenantId
    name: str
    retention: Retention
    created_at: datetime


class ListedTenantOut(TenantOut, frozen=True, kw_only=True):
    sessions: int
    """How many it has."""


class TenantList(Out, frozen=True, kw_only=True):
    tenants: list[ListedTenantOut]
    next_cursor: str | None


def _tenant_out(tenant: Tenant) -> TenantOut:
    return TenantOut(
        company_id=tenant.id, name=tenant.name, retention=tenant.retention, created_at=tenant.created_at
    )


def _retention(given: RetentionIn) -> Retention:
    return Retention(
        message_days=given.message_days, event_days=given.event_days, media_days=given.media_days
    )


@post("/tenants", opt=OPERATOR_ONLY, summary="Create a company")
async def create_tenant(request: Request, data: JSONBody[TenantIn]) -> TenantOut:
    services = request.services
    async with services.pool.acquire() as conn:
        tenant = await tenants.insert_tenant(
            conn,
            services.vault,
            tenant_id=new_tenant_id(),
            name=data.name,
            retention=_retention(data.retention),
        )
    return _tenant_out(tenant)


@get("/tenants", opt=OPERATOR_ONLY, summary="List companies, newest first")
async def list_tenants(request: Request, limit: Limit = 50, cursor: Cursor = None) -> TenantList:
    page = Page.of(limit, cursor)
    async with request.services.pool.acquire() as conn:
        rows = await tenants.list_tenants(conn, before=page.before, limit=page.fetch)
        shown, next_cursor = page.cut(rows, lambda tenant: tenant.id)
        counts = await sessions.count_by_tenant(conn, [tenant.id for tenant in shown])
    listed = [
        ListedTenantOut(sessions=counts.get(tenant.id, 0), **structs.asdict(_tenant_out(tenant)))
        for tenant in shown
    ]
    return TenantList(tenants=listed, next_cursor=next_cursor)


@get("/tenants/{company_id:str}", opt=OPERATOR_ONLY, summary="Read a company")
async def read_tenant(request: Request, company_id: FromPath[str]) -> TenantOut:
    async with request.services.pool.acquire() as conn:
        return _tenant_out(await tenants.get_tenant(conn, TenantId(company_id)))


@patch("/tenants/{company_id:str}", opt=OPERATOR_ONLY, summary="Change a company's name or retention")
async def update_tenant(
    request: Request, company_id: FromPath[str], data: JSONBody[TenantPatch]
) -> TenantOut:
    async with request.services.pool.acquire() as conn:
        tenant = await tenants.update_tenant(
            conn,
            TenantId(company_id),
            name=None if data.name is UNSET else data.name,
            retention=None if data.retention is UNSET else _retention(data.retention),
        )
    return _tenant_out(tenant)


@delete("/tenants/{company_id:str}", opt=OPERATOR_ONLY, summary="Remove a company and everything of it")
async def delete_tenant(request: Request, company_id: FromPath[str]) -> None:
    services, tenant_id = request.services, TenantId(company_id)
    await _log_out(services, tenant_id)
    async with services.pool.acquire() as conn, conn.transaction():
        media = await tenants.delete_tenant(conn, tenant_id)
    services.doorbell.ring("keys")
    services.doorbell.ring("sessions")
    await asyncio.to_thread(services.blobs.remove_files, media)


async def _log_out(services: Services, tenant_id: TenantId) -> None:
    """Let the accounts' phones know, as far as that is done in a moment: what is sent to a device goes nowhere from now on."""

    async def are_out() -> bool | None:
        async with services.pool.acquire() as conn:
            return None if await sessions.is_any_linked(conn, tenant_id) else True

    async with services.pool.acquire() as conn:
        await sessions.request_logouts(conn, tenant_id)
    services.doorbell.ring("sessions")
    await wait_for(services.doorbell, "status", are_out, seconds=_LOGOUT_SECONDS)


class KeyIn(In, frozen=True, kw_only=True):
    company_id: str | None = None
    """The operator names the company; a company's own key may leave it out."""
    name: Name
    scopes: Annotated[list[Scope], Meta(min_length=1)]
    expires_at: Annotated[datetime, Meta(tz=True)] | None = None


class RotateIn(In, frozen=True, kw_only=True):
    overlap_seconds: Annotated[float, Meta(ge=0, le=30 * 86_400)] = 86_400
    """How long the old key still works."""


class KeyOut(Out, frozen=True, kw_only=True):
    id: KeyId
    company_id: TenantId | None
    name: str
    scopes: list[Scope]
    hint: str
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    last_used_at: datetime | None
    """To about a minute; null: not seen yet."""


class NewKeyOut(KeyOut, frozen=True, kw_only=True):
    key: str
    """Shown this once."""


class KeyList(Out, frozen=True, kw_only=True):
    keys: list[KeyOut]
    next_cursor: str | None


def _key_out(key: ApiKey) -> KeyOut:
    return KeyOut(
        id=key.id,
        company_id=key.tenant_id,
        name=key.name,
        scopes=sorted(key.scopes),
        hint=key.hint,
        created_at=key.created_at,
        expires_at=key.expires_at,
        revoked_at=key.revoked_at,
        last_used_at=key.last_used_at,
    )


def _new_key_out(key: ApiKey, text: str) -> NewKeyOut:
    return NewKeyOut(key=text, **structs.asdict(_key_out(key)))


@post("/keys", opt=requires(Scope.ADMIN), summary="Create an API key; its text is shown this once")
async def create_key(request: Request, data: JSONBody[KeyIn]) -> NewKeyOut:
    services = request.services
    tenant_id = tenant_of(request.principal, data.company_id)
    if data.expires_at is not None and data.expires_at <= services.now():
        raise InvalidInput("expiresAt is in the past.", path="expiresAt")
    text = new_key()
    async with services.pool.acquire() as conn:
        await tenants.get_tenant(conn, tenant_id)
        key = await keys.insert_key(
            conn,
            tenant_id=tenant_id,
            name=data.name,
            scopes=frozenset(data.scopes),
            text=text,
            expires_at=data.expires_at,
        )
    services.doorbell.ring("keys")
    return _new_key_out(key, text)


@get("/keys", opt=requires(Scope.ADMIN), summary="List API keys, newest first")
async def list_keys(
    request: Request,
    *,
    company_id: Annotated[str | None, QueryParameter(name="companyId")] = None,
    operator: Annotated[
        bool, QueryParameter(description="The operator's own keys alone, which are no company's.")
    ] = False,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> KeyList:
    page = Page.of(limit, cursor)
    principal = request.principal
    if operator and principal.tenant_id is not None:
        raise Forbidden("These keys are the operator's.", code="operator_only")
    everybody = principal.tenant_id is None and company_id is None
    tenant_id = None if everybody else tenant_of(principal, company_id)
    async with request.services.pool.acquire() as conn:
        if operator:
            rows = await keys.list_operator_keys(conn, before=page.before, limit=page.fetch)
        else:
            rows = await keys.list_keys(conn, tenant_id, before=page.before, limit=page.fetch)
    shown, next_cursor = page.cut(rows, lambda key: key.id)
    return KeyList(keys=[_key_out(key) for key in shown], next_cursor=next_cursor)


@delete("/keys/{key_id:str}", opt=requires(Scope.ADMIN), summary="Revoke an API key at once")
async def delete_key(request: Request, key_id: FromPath[str]) -> None:
    services = request.services
    async with services.pool.acquire() as conn:
        await keys.revoke_key(conn, KeyId(key_id), request.principal.tenant_id, now=services.now())
    services.doorbell.ring("keys")


@post(
    "/keys/{key_id:str}/rotate",
    opt=requires(Scope.ADMIN),
    summary="Replace an API key; the old one works on for a while",
)
async def rotate_key(
    request: Request, key_id: FromPath[str], data: JSONBody[RotateIn | None] = None
) -> NewKeyOut:
    services = request.services
    text = new_key()
    async with services.pool.acquire() as conn, conn.transaction():
        key = await keys.rotate_key(
            conn,
            KeyId(key_id),
            request.principal.tenant_id,
            text=text,
            overlap_seconds=(data or RotateIn()).overlap_seconds,
            now=services.now(),
        )
    services.doorbell.ring("keys")
    return _new_key_out(key, text)
