"""Signing in at the console: a key is shown once, and a cookie stands for it until it ends.

POST ──► own page? ──► not too many wrong keys ──► key counts ──► Set-Cookie, who
GET  ──► who is signed in            DELETE ──► nobody any more
"""

from typing import Annotated

from litestar import Response, delete, get, post
from litestar.params import JSONBody
from msgspec import Meta

from relay.api.auth import PUBLIC, Authenticator
from relay.api.console.cookie import cookie_of, find_token, is_https
from relay.api.console.same_origin import check_same_origin
from relay.api.console.sign_in_limiter import SignInLimiter, address_of
from relay.api.console.signed_in import MOST_SECONDS, sign_in
from relay.api.limits import RequestLimiter
from relay.api.request import Request
from relay.api.wire import In, Out
from relay.model.api_key import digest
from relay.model.errors import Unauthenticated
from relay.model.ids import KeyId, TenantId
from relay.model.tenant import OPERATOR, Principal, Scope
from relay.store import console_sessions
from relay.store.keys import find_key
from relay.store.pool import Connection
from relay.store.tenants import get_tenant

_ENVIRONMENT_KEY = "RELAY_OPERATOR_KEY"
_NO_STORE = {"Cache-Control": "no-store"}


class SignIn(In, frozen=True, kw_only=True):
    key: Annotated[str, Meta(max_length=1000)]
    """An API key."""
    remember: bool = False
    """For 12 hours, also when the browser is closed and when nothing is done for half an hour."""


class SignedIn(Out, frozen=True, kw_only=True):
    company_id: TenantId | None
    """Null for the operator."""
    company_name: str | None
    operator: bool
    scopes: list[Scope]
    key_id: KeyId | None
    """Null for RELAY_OPERATOR_KEY, which is in no list."""
    key_name: str


@post("/session", opt=PUBLIC, status_code=200, summary="Sign in at the console: a cookie for an API key")
async def create_console_session(request: Request, data: JSONBody[SignIn]) -> Response[SignedIn]:
    check_same_origin(request.scope["headers"])
    authenticator: Authenticator = request.app.state["authenticator"]
    principal = await _authenticate(request, authenticator, data.key.strip())
    services = request.services
    async with services.pool.acquire() as conn:
        who = await _who(conn, principal)
        token = await sign_in(
            conn,
            principal,
            remember=data.remember,
            operator_hash=authenticator.operator_hash,
            now=services.now(),
        )
    cookie = cookie_of(
        token,
        secure=is_https(request.scope),
        max_age_seconds=MOST_SECONDS if data.remember else None,
    )
    return Response(who, status_code=200, headers={**_NO_STORE, "Set-Cookie": cookie})


async def _authenticate(request: Request, authenticator: Authenticator, key: str) -> Principal:
    """Raises Unauthenticated, and RateLimited."""
    failures: SignInLimiter = request.app.state["sign_in_limiter"]
    address = address_of(request.scope)
    await failures.admit(address)
    try:
        principal = await authenticator.authenticate_key(key)
    except Unauthenticated:
        await failures.count_failure(address)
        raise
    limiter: RequestLimiter | None = request.app.state["limiter"]
    if limiter is not None:
        await limiter.admit(request.scope, principal.key_id)
    return principal


@get("/session", summary="Who is signed in, and what the key may do")
async def read_console_session(request: Request) -> Response[SignedIn]:
    async with request.services.pool.acquire() as conn:
        return Response(await _who(conn, request.principal), headers=_NO_STORE)


@delete("/session", summary="Sign out")
async def delete_console_session(request: Request) -> Response[None]:
    services, token = request.services, find_token(request.scope["headers"])
    if token is not None:
        async with services.pool.acquire() as conn:
            await console_sessions.delete_session(conn, digest(token))
        services.doorbell.ring("keys")
    cleared = cookie_of("", secure=is_https(request.scope), max_age_seconds=0)
    return Response(None, status_code=204, headers={**_NO_STORE, "Set-Cookie": cleared})


async def _who(conn: Connection, principal: Principal) -> SignedIn:
    key = None if principal.key_id == OPERATOR.key_id else await find_key(conn, principal.key_id)
    tenant = None if principal.tenant_id is None else await get_tenant(conn, principal.tenant_id)
    return SignedIn(
        company_id=principal.tenant_id,
        company_name=None if tenant is None else tenant.name,
        operator=tenant is None,
        scopes=sorted(principal.scopes),
        key_id=None if key is None else key.id,
        key_name=_ENVIRONMENT_KEY if key is None else key.name,
    )
