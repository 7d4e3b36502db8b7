"""A cookie's text leads to the key that signed in, and lives as that key does.

sign-in ──► 30 minutes ──► used? 30 minutes from then ──► … ──► 12 hours after the sign-in at the latest
   └─ who wants to be remembered: those 12 hours, used or not
              └──► revoked, expired or deleted key, another RELAY_OPERATOR_KEY: nobody is signed in
"""

import hashlib
import hmac
from datetime import datetime, timedelta

from msgspec import structs

from relay.model.api_key import digest, new_key
from relay.model.tenant import OPERATOR, ApiKey, Principal
from relay.store import console_sessions
from relay.store.console_sessions import ConsoleSession
from relay.store.keys import find_key
from relay.store.pool import Connection

MOST_SECONDS = 12 * 3600
_IDLE = timedelta(minutes=30)
_MOST = timedelta(seconds=MOST_SECONDS)
_RENEW_AFTER = timedelta(minutes=1)
"""A page that asks all the time costs one write a minute."""


async def sign_in(
    conn: Connection, principal: Principal, *, remember: bool, operator_hash: bytes | None, now: datetime
) -> str:
    """The text of a new cookie for whoever has shown a key. `operator_hash` is the digest of the environment's key."""
    token = new_key()
    by_environment = principal.key_id == OPERATOR.key_id
    session = ConsoleSession(
        key_id=None if by_environment else principal.key_id,
        operator_proof=_proof(token, operator_hash) if by_environment else None,
        created_at=now,
        expires_at=now + (_MOST if remember else _IDLE),
    )
    await console_sessions.insert_session(conn, digest(token), session)
    return token


async def find_signed_in(
    conn: Connection, token: str, *, operator_hash: bytes | None, now: datetime
) -> Principal | None:
    """Whoever signed in, with the time until which that counts; this is a use, and renews it."""
    session = await console_sessions.find_session(conn, digest(token))
    if session is None or session.expires_at <= now:
        return None
    principal = await _principal(conn, session, token, operator_hash)
    if principal is None:
        return None
    until = min(now + _IDLE, session.created_at + _MOST)
    if until - session.expires_at >= _RENEW_AFTER:
        await console_sessions.renew_session(conn, digest(token), expires_at=until)
    else:
        until = session.expires_at
    if principal.expires_at is not None:
        until = min(until, principal.expires_at)
    return structs.replace(principal, console=True, expires_at=until)


async def _principal(
    conn: Connection, session: ConsoleSession, token: str, operator_hash: bytes | None
) -> Principal | None:
    if session.key_id is None:
        proof = _proof(token, operator_hash)
        same = proof is not None and hmac.compare_digest(session.operator_proof or b"", proof)
        return OPERATOR if same else None
    return principal_of(await find_key(conn, session.key_id))


def principal_of(key: ApiKey | None) -> Principal | None:
    """None for a key that is unknown or revoked; whether it has expired is the caller's to see."""
    if key is None or key.revoked_at is not None:
        return None
    return Principal(key_id=key.id, tenant_id=key.tenant_id, scopes=key.scopes, expires_at=key.expires_at)


def _proof(token: str, operator_hash: bytes | None) -> bytes | None:
    """That the environment's key is the one that signed in, without a trace of it to guess from."""
    if operator_hash is None:
        return None
    return hmac.new(token.encode(), operator_hash, hashlib.sha256).digest()
