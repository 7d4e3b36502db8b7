"""Who calls, and what a key may do.

    Authorization: Bearer … | X-Api-Key: …
      ├─ the operator's key of the environment ──────────────────────► operator
      ├─ not spelled as a key is (checksum) ─────────────────────────► 401, nobody is asked
      ├─ found in this process within the last seconds ──────────────► as then
      └─ SHA-256 ──► api_keys ──► unknown, revoked, expired ─────────► 401
                                └► tenant and scopes; no tenant: operator
    neither header: the console's cookie ──► console_sessions ──► the key that signed in
      └─ what is not a look must come from the console's own page ───► 403

Every route asks for a key unless its `opt` is `PUBLIC`; `opt=requires(Scope.…)` asks for a scope on top. It is one
hook before the handler, not Litestar's guards: those copy the handler at every call, a tenth of a request's time.
A change of keys rings the doorbell `keys`, on which every process forgets what it has found.
"""

import hmac
import time
from collections.abc import Awaitable, Callable, Iterable
from datetime import datetime
from typing import Any, TypeAlias

from litestar.connection import Request

from relay.api.console.cookie import find_token
from relay.api.console.same_origin import SAFE_METHODS, check_same_origin
from relay.api.console.signed_in import find_signed_in, principal_of
from relay.api.key_use import KeyUse
from relay.api.limits import RequestLimiter
from relay.loops import Bell
from relay.model.api_key import digest, is_key
from relay.model.errors import Forbidden, InvalidInput, NotFound, Unauthenticated
from relay.model.ids import TenantId
from relay.model.tenant import OPERATOR, Principal, Scope
from relay.store.keys import find_key_by_hash
from relay.store.pool import Pool

Opt: TypeAlias = dict[str, Any]

PUBLIC: Opt = {"public": True}
"""A route's `opt`: it answers without a key."""
OPERATOR_ONLY: Opt = {"operator_only": True}
"""A route's `opt`: no company's key opens it."""

_REMEMBER_SECONDS = 5.0
_REMEMBER_MOST = 10_000
_COOKIE = b"cookie "
"""Before what is remembered of a cookie: a key's digest never counts as one, nor the other way."""


class Authenticator(Bell):
    """Finds the principal of a key; hung on the doorbell `keys`, it forgets when that rings."""

    def __init__(
        self, pool: Pool, *, operator_key: str | None, now: Callable[[], datetime], key_use: KeyUse
    ) -> None:
        super().__init__()
        self._pool = pool
        self.operator_hash = None if operator_key is None else digest(operator_key)
        self._now = now
        self._key_use = key_use
        self._found: dict[bytes, tuple[Principal | None, float]] = {}
        self._generation = 0

    def ring(self) -> None:
        """Forget everything; what is being looked up just now is not remembered."""
        self._generation += 1
        self._found.clear()

    async def authenticate(self, headers: Iterable[tuple[bytes, bytes]]) -> Principal:
        """By key or, where there is none, by the console's cookie. Raises Unauthenticated."""
        text = _find_key_in(headers)
        if text is not None:
            return await self.authenticate_key(text)
        token = find_token(headers)
        if token is not None:
            return await self._authenticate_cookie(token)
        raise Unauthenticated(
            "Send an API key in the header `Authorization: Bearer …` or `X-Api-Key`.", code="key_missing"
        )

    async def authenticate_key(self, text: str) -> Principal:
        """Raises Unauthenticated."""
        hash_ = digest(text)
        if self.operator_hash is not None and hmac.compare_digest(hash_, self.operator_hash):
            return OPERATOR
        if not is_key(text):
            raise Unauthenticated("The API key is misspelled.", code="key_malformed")
        principal = await self._find(hash_, lambda: self._look_up_key(hash_))
        if principal is None:
            raise Unauthenticated("The API key is unknown or revoked.", code="key_unknown")
        now = self._now()
        if principal.expires_at is not None and principal.expires_at <= now:
            raise Unauthenticated("The API key has expired.", code="key_expired")
        self._key_use.note(principal.key_id, now)
        return principal

    async def _authenticate_cookie(self, token: str) -> Principal:
        principal = await self._find(_COOKIE + digest(token), lambda: self._look_up_cookie(token))
        now = self._now()
        if principal is None or principal.expires_at is None or principal.expires_at <= now:
            raise Unauthenticated("You are signed out; sign in again.", code="signed_out")
        self._key_use.note(principal.key_id, now)
        return principal

    async def _find(
        self, named: bytes, look_up: Callable[[], Awaitable[Principal | None]]
    ) -> Principal | None:
        known = self._found.get(named)
        if known is not None and known[1] > time.monotonic():
            return known[0]
        generation = self._generation
        principal = await look_up()
        if generation == self._generation:
            if len(self._found) >= _REMEMBER_MOST:
                self._found.clear()
            self._found[named] = (principal, time.monotonic() + _REMEMBER_SECONDS)
        return principal

    async def _look_up_key(self, hash_: bytes) -> Principal | None:
        async with self._pool.acquire() as conn:
            return principal_of(await find_key_by_hash(conn, hash_))

    async def _look_up_cookie(self, token: str) -> Principal | None:
        async with self._pool.acquire() as conn:
            return await find_signed_in(conn, token, operator_hash=self.operator_hash, now=self._now())


def _find_key_in(headers: Iterable[tuple[bytes, bytes]]) -> str | None:
    for name, value in headers:
        if name == b"x-api-key":
            return value.decode("latin-1").strip()
        if name == b"authorization":
            scheme, _, text = value.partition(b" ")
            if scheme.lower() == b"bearer":
                return text.decode("latin-1").strip()
    return None


async def admit(request: Request[Any, Any, Any]) -> None:
    """Before every handler of the app: set the request's principal and hold it against the route's `opt`."""
    scope, opt = request.scope, request.route_handler.opt
    if b"%00" in scope["query_string"] or "\x00" in scope["path"]:
        raise InvalidInput("The address holds a NUL character.", code="nul_character")
    if "public" in opt or scope["method"] == "OPTIONS":
        return
    principal = await identify(request)
    limiter: RequestLimiter | None = request.app.state["limiter"]
    if limiter is not None:
        await limiter.admit(scope, principal.key_id)
    if "operator_only" in opt and principal.tenant_id is not None:
        raise Forbidden("This call is the operator's.", code="operator_only")
    needed: Scope | None = opt.get("scope")
    if needed is not None and needed not in principal.scopes and Scope.ADMIN not in principal.scopes:
        raise Forbidden(f"This key lacks the scope `{needed}`.", code="scope_missing")


async def identify(request: Request[Any, Any, Any]) -> Principal:
    """The principal of a request, found once. Raises Unauthenticated, and Forbidden for another site's page."""
    scope = request.scope
    if scope.get("user") is None:
        authenticator: Authenticator = request.app.state["authenticator"]
        found = await authenticator.authenticate(scope["headers"])
        if found.console and scope["method"] not in SAFE_METHODS:
            check_same_origin(scope["headers"])
        scope["user"] = found
    principal: Principal = scope["user"]
    return principal


def requires(scope: Scope) -> Opt:
    """A route's `opt`: the key must hold this scope, or `admin`."""
    return {"scope": scope}


def tenant_of(principal: Principal, company_id: str | None) -> TenantId:
    """Whom a call acts for: a company's key for its company, the operator for the one that is named."""
    if principal.tenant_id is None:
        if company_id is None:
            raise InvalidInput(
                "The operator acts for many companies: name one.", path="companyId", code="company_required"
            )
        return TenantId(company_id)
    if company_id is not None and company_id != principal.tenant_id:
        raise NotFound("There is no such company.")
    return principal.tenant_id
