"""The sender: queued messages out through the engines, in order in each chat, within each session's budgets.

    list_ready ──► budget ──full──► postponed, looked at again when its window opens
                     └──free──► claim (sending, fenced) ──► engine.send ──► settle in groups: sent | failed | unknown

A crash between claim and settle leaves `sending` behind; the next holder makes it `unknown`. Nothing is sent twice.
"""

import asyncio
import logging
import random
import time
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta

from relay.engines.engine import Engine, Media, Outgoing, Sent, Target
from relay.host import settling
from relay.host.budget import Budget
from relay.host.session import Session
from relay.loops import Bell
from relay.model.errors import NotConnected, NotSupported, RelayError, SendRejected
from relay.model.ids import MessageId, SessionId
from relay.model.message import TARGETED_TYPES, MessageType
from relay.store import facts, outbox, outgoing
from relay.store.blobs import Blobs
from relay.store.doorbell import Doorbell
from relay.store.outgoing import Claimed, Settlement
from relay.store.pool import DATABASE_AWAY, Connection, Pool
from relay.store.rates import Count, uncounted

log = logging.getLogger(__name__)

_SLOTS_PER_SESSION = 8
_LOOK_GAP_SECONDS = 0.005
"""Looks this far apart find enough at once to be cheap."""
_FORGETFUL_SECONDS = 5.0
"""Settlements are committed without waiting for the disk; an outage is noticed within a second or two."""
_TYPING_SECONDS_PER_CHARACTER = 0.04
_TYPING_MOST_SECONDS = 6.0


class Sender:
    """Sends for the sessions of one host; `work` claims once, `settle` settles once."""

    def __init__(
        self,
        pool: Pool,
        doorbell: Doorbell,
        blobs: Blobs,
        sessions: Mapping[SessionId, Session],
        *,
        holder: str,
        timeout_seconds: float,
        count: Count = uncounted,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.bell = doorbell.bell("outgoing")
        self.settle_bell = Bell()
        self._pool = pool
        self._doorbell = doorbell
        self._blobs = blobs
        self._sessions = sessions
        self._holder = holder
        self._timeout_seconds = timeout_seconds
        self._count = count
        self.now = now
        self._budget = Budget(pool)
        self._in_flight: dict[MessageId, tuple[Claimed, asyncio.Task[None]]] = {}
        self._settlements: list[Settlement] = []
        self._lately: deque[tuple[float, Settlement, tuple[Claimed, asyncio.Task[None]]]] = deque()
        """Settled a moment ago: a database that dies then may forget it, and is told again."""
        self._typing: set[asyncio.Task[None]] = set()
        self._claiming: set[MessageId] = set()
        """Found queued just now: however an earlier send of theirs ended, that is over."""
        self._looked_at = 0.0
        self._in_doubt = False

    # --- claiming -----------------------------------------------------------------------------------------------

    async def work(self) -> bool:
        """Claim what may go now and start sending it; True when something went."""
        try:
            return await self._work()
        except DATABASE_AWAY:
            self._tell_again()
            raise
        finally:
            self._claiming = set()

    async def _work(self) -> bool:
        await asyncio.sleep(max(0.0, self._looked_at + _LOOK_GAP_SECONDS - time.monotonic()))
        self._looked_at = time.monotonic()
        slots = self._slots()
        if not slots:
            return False
        async with self._pool.acquire() as conn:
            if self._in_doubt:
                held = {session_id: session.term for session_id, session in self._sessions.items()}
                await outgoing.give_back(conn, held, list(self._in_flight))
            # True until the claim has answered: it may have been stored without our hearing of it.
            self._in_doubt = True
            # One that is told of again is settled before it is sent again.
            found = [m for m in await outgoing.list_ready(conn, slots) if m.id not in self._in_flight]
            self._claiming = {message.id for message in found}
            chosen = await self._within_budget(conn, await self._typed(conn, found))
            terms = await outgoing.claim_messages(conn, [m.id for m in chosen], holder=self._holder)
            self._in_doubt = False
        for message in chosen:
            if message.id in terms:
                task = asyncio.create_task(self._send(message, terms[message.id]))
                self._in_flight[message.id] = (message, task)
        return bool(terms)

    async def _typed(self, conn: Connection, ready: list[Claimed]) -> list[Claimed]:
        """Those that may go now; before the others a bot types for a while, which takes none of the session's slots."""
        typing = {m.id: self.now() + timedelta(seconds=m.typing_seconds) for m in ready if m.typing_seconds}
        if not typing:
            return ready
        await outgoing.begin_typing(conn, typing)
        for message in ready:
            if message.id in typing:
                self._show_typing(message)
        return [message for message in ready if message.id not in typing]

    def _show_typing(self, message: Claimed) -> None:
        asyncio.get_running_loop().call_later(message.typing_seconds, self.bell.ring)
        session = self._sessions.get(message.session_id)
        if session is not None and session.engine is not None:
            task = asyncio.create_task(_type(session.engine, message.chat))
            self._typing.add(task)
            task.add_done_callback(self._typing.discard)

    def _slots(self) -> dict[SessionId, int]:
        busy: dict[SessionId, int] = {}
        for message, _task in self._in_flight.values():
            busy[message.session_id] = busy.get(message.session_id, 0) + 1
        free = {
            session_id: _SLOTS_PER_SESSION - busy.get(session_id, 0)
            for session_id, session in self._sessions.items()
            if session.may_send()
        }
        # A busy session is looked at when half of its slots are free: as many messages for half of the looks.
        return {session_id: slots for session_id, slots in free.items() if slots >= _SLOTS_PER_SESSION // 2}

    async def _within_budget(self, conn: Connection, ready: list[Claimed]) -> list[Claimed]:
        # Asked together, so that they are counted together.
        asked = await asyncio.gather(*(self._wait_until(message) for message in ready))
        waiting = {m.id: until for m, until in zip(ready, asked, strict=True) if until is not None}
        if waiting:
            await outgoing.postpone(conn, waiting)
        return [message for message in ready if message.id not in waiting]

    async def _wait_until(self, message: Claimed) -> datetime | None:
        """Take a message from its session's budget; when it is used up, until when to wait."""
        session = self._sessions.get(message.session_id)
        if session is None or message.budgeted:
            return None
        return await self._budget.take(
            message.session_id,
            session.request.limits,
            is_reply=message.is_reply,
            is_first=message.is_first,
            now=self.now(),
        )

    # --- sending ------------------------------------------------------------------------------------------------

    async def _send(self, message: Claimed, term: int) -> None:
        started = asyncio.get_running_loop().time()
        settlement = await self._try_send(message, term)
        self._settlements.append(settlement)
        self.settle_bell.ring()
        log.info(
            "message.sent" if settlement.status == "sent" else "message.not_sent",
            extra={
                "id": message.id,
                "session": message.session_id,
                "status": settlement.status,
                "error": settlement.error,
                "duration_ms": round((asyncio.get_running_loop().time() - started) * 1000),
            },
        )

    async def _try_send(self, message: Claimed, term: int) -> Settlement:
        """Every way a send can end, as a settlement."""
        try:
            sent = await self._engine_send(message)
            return Settlement(
                id=message.id, term=term, status="sent", at=sent.at, wa_id=sent.wa_id, chat=sent.chat
            )
        except NotConnected as error:
            # Surely not sent: it waits for the connection.
            return self._ended(message, term, "queued", error.code)
        except (SendRejected, NotSupported) as error:
            return self._ended(message, term, "failed", error.code)
        except RelayError as error:
            return self._ended(message, term, "unknown", error.code)
        except TimeoutError:
            return self._ended(message, term, "unknown", "outcome_unknown")
        except Exception:
            # An engine that breaks in the middle of a send has told us nothing about it.
            log.exception("engine.send_broke", extra={"id": message.id})
            return self._ended(message, term, "unknown", "outcome_unknown")

    def _ended(self, message: Claimed, term: int, status: str, error: str) -> Settlement:
        return Settlement(id=message.id, term=term, status=status, at=self.now(), error=error)

    async def _engine_send(self, message: Claimed) -> Sent:
        session = self._sessions.get(message.session_id)
        engine = session.engine if session else None
        if session is None or engine is None:
            raise NotConnected("The session is not connected.")
        wanted = Outgoing(
            chat=message.chat,
            type=MessageType(message.type),
            content=message.content,
            media=await self._media(message),
            target=_target(message),
            mentions=message.mentions,
        )
        async with asyncio.timeout(self._timeout_seconds):
            if session.request.limits.pace:
                await _type(engine, message.chat)
                await asyncio.sleep(_typing_seconds(message))
            return await engine.send(wanted)

    async def _media(self, message: Claimed) -> Media | None:
        media_id = message.content.get("mediaId")
        if media_id is None:
            return None
        try:
            async with self._pool.acquire() as conn:
                found = await self._blobs.find(conn, message.tenant_id, media_id)
        except DATABASE_AWAY:
            # Nothing has gone out, and it is not to be called `unknown`.
            raise NotConnected("The database cannot be reached just now.") from None
        if found is None:
            raise SendRejected("The media was removed before it could be sent.", code="media_gone")
        return Media(
            path=str(found.path),
            mimetype=found.mimetype,
            file_name=message.content.get("fileName") or found.file_name,
            size_bytes=found.size_bytes,
        )

    # --- settling -----------------------------------------------------------------------------------------------

    async def settle(self) -> bool:
        """Store how the sends of the last moments ended, in one transaction."""
        batch = self._settlements[:]
        if not batch:
            return False
        try:
            return await self._settle(batch)
        except DATABASE_AWAY:
            self._tell_again()
            raise

    def _tell_again(self) -> None:
        """What is stored already is not moved by it."""
        now = time.monotonic()
        # The last word first: of a message that was queued again and then went out, only that counts.
        for settled_at, settlement, sent in reversed(self._lately):
            is_known = settlement.id in self._in_flight or settlement.id in self._claiming
            if now - settled_at < _FORGETFUL_SECONDS and not is_known:
                self._in_flight[settlement.id] = sent
                self._settlements.append(settlement)
        self._lately.clear()
        if self._settlements:
            self.settle_bell.ring()

    async def _settle(self, batch: list[Settlement]) -> bool:
        rows, owed = await settling.store(self._pool, [(one, self._in_flight[one.id][0]) for one in batch])
        for row in rows:
            if row["status"] in ("sent", "failed"):
                self._count(row["tenant_id"], row["status"])
        # Only now: a settlement that was not stored is stored next time.
        del self._settlements[: len(batch)]
        now = time.monotonic()
        for settlement in batch:
            self._lately.append((now, settlement, self._in_flight.pop(settlement.id)))
        while now - self._lately[0][0] > _FORGETFUL_SECONDS:
            self._lately.popleft()
        self._ring(owed=owed)
        return True

    def _ring(self, *, owed: bool) -> None:
        self._doorbell.ring("messages")
        self._doorbell.ring("events")
        if owed:
            self._doorbell.ring("deliveries")
        self.bell.ring()

    async def drain(self) -> None:
        """Wait for what is being sent, then settle it."""
        tasks = [task for _session, task in self._in_flight.values()]
        if tasks:
            await asyncio.wait(tasks, timeout=self._timeout_seconds)
        await self.settle()

    async def abandon(self, terms: Mapping[SessionId, int]) -> None:
        """These sessions are newly ours: what their last holder was sending is `unknown`."""
        async with self._pool.acquire() as conn, conn.transaction():
            rows = await outgoing.abandon_older(conn, terms)
            owed = await outbox.insert_events(conn, [facts.message_status(row, self.now()) for row in rows])
        if rows:
            self._ring(owed=owed)


def _target(message: Claimed) -> Target | None:
    """The message that it is about. Raises SendRejected where there can be no message without."""
    about = message.about
    if about is None or about.wa_id is None:
        if message.type in TARGETED_TYPES:
            raise SendRejected(
                "The message that it is about was removed, or has not reached WhatsApp.",
                code="target_missing",
            )
        # An answer is worth sending though what it answers cannot be shown with it.
        return None
    return Target(
        wa_id=about.wa_id,
        sender=None if about.sender == "me" else about.sender,
        type=MessageType(about.type),
        content=about.content,
        sent_at=about.sent_at,
    )


async def _type(engine: Engine, chat: str) -> None:
    """A courtesy: an engine that cannot just now does without."""
    with suppress(RelayError, TimeoutError):
        async with asyncio.timeout(_TYPING_MOST_SECONDS):
            await engine.set_typing(chat, typing=True)


def _typing_seconds(message: Claimed) -> float:
    length = len(str(message.content.get("text", "")))
    seconds = min(_TYPING_MOST_SECONDS, 1 + length * _TYPING_SECONDS_PER_CHARACTER)
    return seconds * random.uniform(0.7, 1.3)  # noqa: S311
