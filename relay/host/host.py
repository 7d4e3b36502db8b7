"""A host: holds leases on sessions and runs their engines.

    every third of a lease (or when the bell rings)
        renew what we hold ──► claim what nobody holds ──► look at what tenants want of ours
                 │ lost                 │ new                        │ changed
                 ▼                      ▼                            ▼
              stop it                start it                    change it          each a step in the session's
                                                                                     mailbox, one after the other
    engine ──journal()──► journal ──► inbox ──► Postgres           engine ──signal()──► mailbox
    outgoing ──► sender ──► engine                                 engine_requests ──► requests ──► engine

A lease is judged by our own clock: when it could not be renewed in time, the engines stop first.
"""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial

from relay.config import Config
from relay.egress.guard import AddressGuard
from relay.egress.names import Resolve, pin_proxy
from relay.engines.engine import Account, Engine, Entry, Listener, Signal
from relay.engines.journal_file import Record
from relay.host.inbox import Inbox
from relay.host.journal import Journal, Slot, adopt_orphans
from relay.host.ledger import LeaseLost, Ledger
from relay.host.media_fetch import MediaFetcher
from relay.host.requests import Requests
from relay.host.sender import Sender
from relay.host.session import Session
from relay.loops import Bell, Loop
from relay.model.errors import NotConnected
from relay.model.ids import SessionId
from relay.store import leases, sessions, tenants
from relay.store.auth_states import AuthState
from relay.store.blobs import Blobs
from relay.store.doorbell import Doorbell
from relay.store.pool import DATABASE_AWAY, Connection, Pool
from relay.store.rates import Count, uncounted
from relay.store.sessions import Request
from relay.vault import Vault

log = logging.getLogger(__name__)

_CLAIM_AT_ONCE = 100
_TICK_SECONDS = 0.25
_POLL_SECONDS = 1.0
_SYNC_SECONDS = 0.05
_TOUCH_SECONDS = 60.0
# What is kept of a lease for stopping: engines are to be gone before another host may start them.
_STOPPING_SHARE = 0.2

MakeEngine = Callable[[Account, Listener], Engine]


@dataclass
class _Held:
    """A session that we hold, and the steps it has yet to take."""

    session: Session
    term: int
    mailbox: deque[Callable[[], Awaitable[None]]] = field(default_factory=deque)
    task: asyncio.Task[None] | None = None


class _Ear:
    """One engine's listener; its methods may be called from any thread."""

    def __init__(self, host: "Host", held: _Held) -> None:
        self._host = host
        self._held = held
        self._loop = asyncio.get_running_loop()
        self.engine: Engine | None = None

    def signal(self, signal: Signal) -> None:
        self._loop.call_soon_threadsafe(self._pass_on, signal)

    def _pass_on(self, signal: Signal) -> None:
        if self.engine is not None:
            self._host.post(self._held, partial(self._held.session.handle, self.engine, signal))

    def journal(self, entry: Entry) -> None:
        request = self._held.session.request
        self._host.journal.append(Record(request.tenant_id, request.id, entry))
        self._loop.call_soon_threadsafe(self._host.journaled)


class _Nobody:
    """Listens to an engine that is never started."""

    def signal(self, signal: Signal) -> None: ...

    def journal(self, entry: Entry) -> None: ...


class Host:
    """One process's sessions. `engines` makes an engine by its name; an unknown name fails its session."""

    def __init__(
        self,
        *,
        pool: Pool,
        vault: Vault,
        doorbell: Doorbell,
        blobs: Blobs,
        config: Config,
        slot: Slot,
        journal: Journal,
        guard: AddressGuard,
        resolve: Resolve,
        engines: Mapping[str, MakeEngine],
        count: Count = uncounted,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._pool = pool
        self._vault = vault
        self._doorbell = doorbell
        self._config = config
        self._slot = slot
        self._guard = guard
        self._resolve = resolve
        self._engines = engines
        self._count = count
        self._monotonic = monotonic
        self._held: dict[SessionId, _Held] = {}
        self._running: dict[SessionId, Session] = {}
        self._renewed_at = monotonic()
        self._touch_at = 0.0
        self._stopping = False
        self.journal = journal
        self.inbox_bell = Bell()
        self.sync_bell = Bell()
        self.inbox = self._inbox_of(journal)
        self.sender = Sender(
            pool,
            doorbell,
            blobs,
            self._running,
            holder=slot.holder,
            timeout_seconds=config.host.send_timeout_seconds,
            count=count,
        )
        self.media = MediaFetcher(
            pool,
            vault,
            doorbell,
            blobs,
            terms=lambda: {session_id: session.term for session_id, session in self._running.items()},
            proxy_of=self._proxy_of,
        )
        self.requests = Requests(pool, doorbell, self._running)
        self._bell = doorbell.bell("sessions")

    def loops(self) -> list[Loop]:
        """What keeps the host going, until `stop`."""
        return [
            Loop(
                "host.leases",
                self.work,
                poll_seconds=self._config.sessions.lease_seconds / 3,
                bell=self._bell,
            ),
            Loop("host.tick", self.tick, poll_seconds=_TICK_SECONDS, bell=Bell()),
            Loop("host.sender", self.sender.work, poll_seconds=_POLL_SECONDS, bell=self.sender.bell),
            Loop("host.settle", self.sender.settle, poll_seconds=_POLL_SECONDS, bell=self.sender.settle_bell),
            Loop("host.media", self.media.work, poll_seconds=_POLL_SECONDS, bell=self.media.bell),
            Loop("host.requests", self.requests.work, poll_seconds=_POLL_SECONDS, bell=self.requests.bell),
        ]

    def inbox_loops(self) -> list[Loop]:
        """What empties the journal; they stop after the engines have."""
        return [
            Loop("host.inbox", self.inbox.work, poll_seconds=_POLL_SECONDS, bell=self.inbox_bell),
            Loop("host.sync", self._sync, poll_seconds=_POLL_SECONDS, bell=self.sync_bell),
        ]

    def _inbox_of(self, journal: Journal) -> Inbox:
        batch = self._config.host.inbox_batch
        return Inbox(self._pool, self._vault, self._doorbell, journal, batch=batch, count=self._count)

    async def recover(self) -> None:
        """After a crash: take back at once what this slot held, and store what it, and orphans, had journaled."""
        async with self._pool.acquire() as conn:
            await leases.release_all(conn, holder=self._slot.holder)
        for orphan in adopt_orphans(self._slot.path.parent, self._slot):
            journal = Journal(orphan.path)
            inbox = self._inbox_of(journal)
            while await inbox.work():
                pass
            async with self._pool.acquire() as conn:
                await leases.release_all(conn, holder=orphan.holder)
            journal.close()
            orphan.release()
            log.info("journal.adopted", extra={"slot": orphan.path.name})

    # --- leases -------------------------------------------------------------------------------------------------

    async def work(self) -> bool:
        """Renew, claim, and see what tenants want; True when more may be waiting to be claimed."""
        if self._stopping:
            return False
        started = self._monotonic()
        async with self._pool.acquire() as conn:
            await self._renew(conn)
            self._renewed_at = started
            claimed = await self._claim(conn)
            await self._look(conn)
            await self._touch(conn)
        return claimed == _CLAIM_AT_ONCE

    def lease_lasts_seconds(self) -> float:
        """How much longer engines may run if our leases are not renewed, by our own clock."""
        usable = self._config.sessions.lease_seconds * (1 - _STOPPING_SHARE)
        return self._renewed_at + usable - self._monotonic()

    def _is_ours(self) -> bool:
        return self.lease_lasts_seconds() > 0

    async def _renew(self, conn: Connection) -> None:
        held = {session_id: one.term for session_id, one in self._held.items()}
        if not held:
            return
        kept = await leases.renew_sessions(
            conn, held, holder=self._slot.holder, lease_seconds=self._config.sessions.lease_seconds
        )
        for session_id in held.keys() - kept:
            # One that was let go while we asked is no longer ours to stop.
            if one := self._held.get(session_id):
                log.warning("lease.lost", extra={"session": session_id})
                self.post(one, one.session.stop)

    async def _claim(self, conn: Connection) -> int:
        room = min(_CLAIM_AT_ONCE, self._config.host.sessions - len(self._held))
        if room <= 0:
            return 0
        terms = await leases.claim_sessions(
            conn, holder=self._slot.holder, limit=room, lease_seconds=self._config.sessions.lease_seconds
        )
        if terms:
            await self.sender.abandon(terms)
            # A session that was never seen: every request number is news.
            for request in await sessions.list_requests(conn, dict.fromkeys(terms, -1)):
                # One of an older term that is still being stopped: this term runs out, and it is claimed again.
                if request.id not in self._held:
                    self._take(request, terms[request.id])
        return len(terms)

    def _take(self, request: Request, term: int) -> None:
        ledger = Ledger(self._pool, self._vault, self._doorbell, term=term, is_ours=self._is_ours)
        session = Session(
            request,
            ledger,
            self._make_engine,
            self._config.sessions,
            forget=self._forget,
            monotonic=self._monotonic,
        )
        held = _Held(session=session, term=term)
        self._held[request.id] = held
        self._running[request.id] = session
        self.post(held, session.start)

    async def _make_engine(self, session: Session, auth: AuthState | None) -> Engine:
        """Raises KeyError for an unknown kind, OSError or ValueError for a proxy that may not be used."""
        request = session.request
        held = self._held[request.id]
        ear = _Ear(self, held)
        account = Account(
            session_id=request.id,
            tenant_id=request.tenant_id,
            auth=auth.auth if auth else None,
            auth_term=auth.term if auth else None,
            term=held.term,
            link_method=request.link_method,
            link_phone=request.link_phone,
            proxy=await self._proxy(request),
        )
        ear.engine = self._engines[request.engine](account, ear)
        return ear.engine

    async def _forget(self, request: Request) -> None:
        """Keep nothing of the account on this machine."""
        make = self._engines.get(request.engine)
        if make is not None:
            account = Account(session_id=request.id, tenant_id=request.tenant_id, auth=None)
            await make(account, _Nobody()).forget()

    async def _proxy_of(self, session_id: SessionId) -> str | None:
        held = self._held.get(session_id)
        if held is None:
            raise NotConnected("The session is not this host's any more.")
        return await self._proxy(held.session.request)

    async def _proxy(self, request: Request) -> str | None:
        """The operator's own is not looked at; a tenant's is, at every start."""
        if request.proxy is None:
            return self._config.host.proxy or None
        async with self._pool.acquire() as conn:
            key = await tenants.get_data_key(conn, self._vault, request.tenant_id)
        url = key.open(request.proxy, identity=f"session/{request.id}/proxy").decode()
        return await pin_proxy(self._guard, url, resolve=self._resolve)

    async def _touch(self, conn: Connection) -> None:
        """Once a minute: those that are connected and answer were active just now."""
        if self._monotonic() < self._touch_at:
            return
        self._touch_at = self._monotonic() + _TOUCH_SECONDS
        await sessions.touch(conn, [one.request.id for one in self._running.values() if one.may_send()])

    async def _look(self, conn: Connection) -> None:
        seen = {session_id: one.session.request.request for session_id, one in self._held.items()}
        for request in await sessions.list_requests(conn, seen):
            # Whoever let it go while we asked has rung, so that a host looks at it anew.
            if one := self._held.get(request.id):
                self.post(one, partial(one.session.change, request))

    # --- steps --------------------------------------------------------------------------------------------------

    async def tick(self) -> bool:
        """Stop what we can no longer be sure to hold; let sessions whose deadline has passed look at it."""
        if self._held and not self._is_ours():
            # Here and not in `work`: that one may be waiting for the very database that is away.
            log.error("lease.not_renewed", extra={"sessions": len(self._held)})
            await self._stop_all()
        for one in list(self._held.values()):
            if not one.mailbox and one.session.is_due():
                self.post(one, one.session.tick)
        return False

    def post(self, held: _Held, step: Callable[[], Awaitable[None]]) -> None:
        """One more step for a session, after those it has yet to take."""
        held.mailbox.append(step)
        if held.task is None:
            held.task = asyncio.create_task(self._run(held))

    async def _run(self, held: _Held) -> None:
        session = held.session
        while held.mailbox:
            step = held.mailbox[0]
            try:
                await step()
            except LeaseLost:
                log.warning("lease.lost", extra={"session": session.request.id})
            except Exception:
                # One session's trouble is never another's.
                log.exception("session.step_failed", extra={"session": session.request.id})
                session.broke()
            held.mailbox.popleft()
            if session.over:
                held.mailbox.clear()
        held.task = None
        if session.over:
            await self._let_go(held)
        elif session.may_send():
            self.sender.bell.ring()

    async def _let_go(self, held: _Held) -> None:
        session_id = held.session.request.id
        if self._held.get(session_id) is not held:
            return
        del self._held[session_id]
        del self._running[session_id]
        # Where the database is away, the lease runs out by itself.
        with suppress(*DATABASE_AWAY):
            async with self._pool.acquire() as conn:
                await leases.release_sessions(conn, {session_id: held.term}, holder=self._slot.holder)
                is_deleted = not await sessions.list_existing(conn, [session_id])
            if is_deleted:
                await self._forget(held.session.request)
        # A connect that came in the meantime is looked at again, and another host may take it at once.
        self._doorbell.ring("sessions")

    # --- the end ------------------------------------------------------------------------------------------------

    async def stop(self) -> None:
        """Stop claiming, finish the sends in hand, stop the engines, empty the journal, give the leases back."""
        self._stopping = True
        await self.media.stop()
        await self.sender.drain()
        await self._stop_all()
        while await self.inbox.work():
            pass

    async def _stop_all(self) -> None:
        for one in list(self._held.values()):
            self.post(one, one.session.stop)
        tasks = [one.task for one in self._held.values() if one.task is not None]
        if tasks:
            await asyncio.wait(tasks, timeout=self._config.server.drain_seconds)

    def close(self) -> None:
        self.journal.close()
        self._slot.release()

    def journaled(self) -> None:
        """The journal has grown."""
        self.inbox_bell.ring()
        self.sync_bell.ring()

    async def _sync(self) -> bool:
        mark = self.journal.mark()
        await asyncio.sleep(_SYNC_SECONDS)
        if self.journal.is_committed(mark):
            return False
        await asyncio.to_thread(self.journal.sync)
        return True
