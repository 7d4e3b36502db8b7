"""What a session on this host writes and reads, each write fenced by the lease's term."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

import asyncpg
import msgspec

from relay.model.errors import RelayError
from relay.model.event import Event, body_of
from relay.model.ids import new_event_id
from relay.model.session import REASONS, SessionStatus
from relay.store import auth_states, leases, outbox, sessions
from relay.store.auth_states import AuthState
from relay.store.doorbell import Doorbell
from relay.store.pool import DATABASE_AWAY, Pool
from relay.store.session_locks import lock_sessions
from relay.store.sessions import Request, StatusChange
from relay.vault import Vault

log = logging.getLogger(__name__)


class LeaseLost(RelayError):
    """Another host holds the session, or it was deleted: nothing was written."""

    code = "lease_lost"


_AWAY_SECONDS = 1.0


class Ledger:
    """The rows of one held session, under one term.

    While the database is away a write waits for it, as long as the lease lasts by our own clock. Each locks the session
    before its lease, as whoever deletes both does.
    """

    def __init__(
        self, pool: Pool, vault: Vault, doorbell: Doorbell, *, term: int, is_ours: Callable[[], bool]
    ) -> None:
        self._pool = pool
        self._vault = vault
        self._doorbell = doorbell
        self.term = term
        self._is_ours = is_ours

    async def _persist(self, write: Callable[[], Awaitable[bool]]) -> None:
        while self._is_ours():
            try:
                if await write():
                    return
                break
            except (*DATABASE_AWAY, asyncpg.TransactionRollbackError):
                # Away, or it has ended a circle of those who wait for each other at our cost.
                log.warning("database.away")
                await asyncio.sleep(_AWAY_SECONDS)
        raise LeaseLost("The session is no longer this host's.")

    async def write(
        self, request: Request, change: StatusChange, *, banned_until: datetime | None, tell: bool
    ) -> None:
        """Store a status; with `tell`, its event too. Raises LeaseLost."""
        change = msgspec.structs.replace(change, banned_until=banned_until)
        events = _events(request, change, tell=tell)
        await self._persist(lambda: self._store(request, change, events))
        self._doorbell.ring("status")
        log.info(
            "session.changed", extra={"session": request.id, "status": change.status, "reason": change.reason}
        )

    async def _store(self, request: Request, change: StatusChange, events: list[Event]) -> bool:
        async with self._pool.acquire() as conn, conn.transaction():
            await lock_sessions(conn, [request.id])
            if not await sessions.set_status(
                conn, request.id, change, term=self.term, request=request.request
            ):
                return False
            owed = await outbox.insert_events(conn, events)
        if events:
            self._doorbell.ring("events")
        if owed:
            self._doorbell.ring("deliveries")
        return True

    async def save_auth(self, request: Request, auth: bytes) -> None:
        """Raises LeaseLost."""
        await self._persist(lambda: self._store_auth(request, auth))

    async def _store_auth(self, request: Request, auth: bytes) -> bool:
        async with self._pool.acquire() as conn, conn.transaction():
            await lock_sessions(conn, [request.id])
            return await auth_states.save_auth_state(
                conn,
                self._vault,
                session_id=request.id,
                tenant_id=request.tenant_id,
                auth=auth,
                term=self.term,
            )

    async def find_auth(self, request: Request) -> AuthState | None:
        """Looked for before every start. Raises LeaseLost."""
        async with self._pool.acquire() as conn, conn.transaction():
            if not (self._is_ours() and await leases.is_held(conn, request.id, term=self.term)):
                raise LeaseLost("The session is no longer this host's.")
            return await auth_states.find_auth_state(conn, self._vault, request.tenant_id, request.id)

    async def erase_auth(self, request: Request) -> None:
        """The device is gone: forget its keys and number. Raises LeaseLost."""
        await self._persist(lambda: self._erase_auth(request))

    async def _erase_auth(self, request: Request) -> bool:
        async with self._pool.acquire() as conn, conn.transaction():
            await lock_sessions(conn, [request.id])
            if not await leases.is_held(conn, request.id, term=self.term):
                return False
            await auth_states.delete_auth_state(conn, request.id, term=self.term)
            await sessions.finish_logout(conn, request.id, term=self.term)
        return True


def _events(request: Request, change: StatusChange, *, tell: bool) -> list[Event]:
    now = datetime.now(UTC)
    told: list[tuple[str, dict[str, object]]] = []
    if tell:
        data: dict[str, object] = {
            "sessionId": request.id,
            "status": change.status,
            "reason": change.reason,
            "detail": REASONS.get(change.reason or ""),
        }
        if change.status is SessionStatus.CONNECTED:
            data["phone"] = change.phone
        told.append(("session.status", data))
    if change.qr or change.pairing_code:
        told.append(
            (
                "session.qr",
                {
                    "sessionId": request.id,
                    "qr": change.qr,
                    "pairingCode": change.pairing_code,
                    "expiresAt": change.qr_expires_at,
                },
            )
        )
    return [
        Event(
            id=new_event_id(),
            tenant_id=request.tenant_id,
            type=event_type,
            session_id=request.id,
            body=body_of(event_type, now, data),
        )
        for event_type, data in told
    ]
