"""Accepting sends: what arrives together becomes durable together.

    accept() ─► waiting ─► writer: one transaction for up to 500 ─► each its own answer
                  ▲                        │
                  └── more has arrived ◄───┘       the next batch is whatever came in meanwhile

A message and the answer to its Idempotency-Key are written in the same transaction, so a retry never sends twice.
What a session must be for that (whose, linked, which limits) is remembered for a second; that it still exists is
checked by the statement that writes.
"""

import asyncio
import time
from collections.abc import Sequence

import asyncpg
from msgspec import Struct, structs

from relay.host.budget import Budget
from relay.model.errors import Conflict, NotFound, NotReady, RateLimited
from relay.model.ids import SessionId, TenantId
from relay.model.message import Origin
from relay.model.session import SessionLimits
from relay.store import chats, idempotency, outgoing, sessions
from relay.store.doorbell import Doorbell
from relay.store.idempotency import Answer
from relay.store.outgoing import Accepted
from relay.store.owners import find_owner
from relay.store.pool import DATABASE_AWAY, Connection, Pool
from relay.store.session_locks import lock_sessions

_MOST_ROWS = 500
_LINGER_SECONDS = 0.004
"""Under load a batch waits so long for more: half the transactions, for milliseconds that nobody sees."""
_REMEMBER_SECONDS = 1.0
_REMEMBER_MOST = 10_000
_REFUSED = (asyncpg.DataError, UnicodeEncodeError, NotFound)
_LOST = (asyncpg.PostgresError, *DATABASE_AWAY)
_NO_SESSION = "There is no such session."


class Sending(Struct, frozen=True, kw_only=True):
    """A session that can be sent from."""

    id: SessionId
    tenant_id: TenantId
    limits: SessionLimits


class _Waiting(Struct, frozen=True, kw_only=True):
    message: Accepted
    answer: Answer | None
    done: "asyncio.Future[Answer | None]"


class Acceptor:
    """One in each API process; its writer is a task that lives only while something waits."""

    def __init__(self, pool: Pool, doorbell: Doorbell) -> None:
        self._pool = pool
        self._doorbell = doorbell
        self._budget = Budget(pool)
        self._waiting: list[_Waiting] = []
        self._writer: asyncio.Task[None] | None = None
        self._known: dict[str, tuple[Sending, float]] = {}

    async def get_sending(self, tenant_id: str | None, session_id: str) -> Sending:
        """The session to send from; no tenant: the operator, who may use any. Raises NotFound, Conflict."""
        known = self._known.get(session_id)
        if known is None or known[1] < time.monotonic():
            known = (await self._look_up(tenant_id, session_id), time.monotonic() + _REMEMBER_SECONDS)
            if len(self._known) >= _REMEMBER_MOST:
                self._known.clear()
            self._known[session_id] = known
        sending = known[0]
        if tenant_id is not None and sending.tenant_id != tenant_id:
            raise NotFound(_NO_SESSION)
        return sending

    async def _look_up(self, tenant_id: str | None, session_id: str) -> Sending:
        async with self._pool.acquire() as conn:
            owner = TenantId(tenant_id) if tenant_id else await find_owner(conn, session_id)
            if owner is None:
                raise NotFound(_NO_SESSION)
            session = await sessions.get_session(conn, owner, session_id)
        if session.phone is None:
            raise Conflict(
                "The session is not linked to an account yet: connect it and scan its code.",
                code="session_not_linked",
            )
        return Sending(id=session.id, tenant_id=session.tenant_id, limits=session.limits)

    async def accept(self, message: Accepted, answer: Answer | None = None) -> Answer | None:
        """Queue `message`; durable on return. Answers what `answer.place` was answered before, if it was.

        Raises NotFound (the session is gone), NotReady (nobody can say whether it was stored).
        """
        done: asyncio.Future[Answer | None] = asyncio.get_running_loop().create_future()
        self._waiting.append(_Waiting(message=message, answer=answer, done=done))
        if self._writer is None:
            self._writer = asyncio.create_task(self._write(), name="acceptor")
        return await done

    async def take_budget(self, sending: Sending, message: Accepted) -> Accepted:
        """The message, marked as paid for. Raises RateLimited when the session's budget is used up."""
        async with self._pool.acquire() as conn:
            standing = await chats.get_standing(conn, sending.tenant_id, sending.id, message.chat)
        until = await self._budget.take(
            sending.id, sending.limits, is_reply=standing.is_reply, is_first=standing.is_first, now=message.at
        )
        if until is not None:
            raise RateLimited(
                "The session has sent as much as its limits allow for now.",
                retry_after_seconds=(until - message.at).total_seconds(),
                code="budget_exhausted",
            )
        return structs.replace(message, budgeted=True)

    # --- the writer ---------------------------------------------------------------------------------------------

    async def _write(self) -> None:
        try:
            while self._waiting:
                batch, self._waiting = self._waiting[:_MOST_ROWS], self._waiting[_MOST_ROWS:]
                await self._write_batch(batch)
                if len(self._waiting) > 1:
                    await asyncio.sleep(_LINGER_SECONDS)
        finally:
            self._writer = None

    async def _write_batch(self, batch: list[_Waiting]) -> None:
        try:
            results = await self._insert(batch)
        except _REFUSED as error:
            if len(batch) > 1:
                # The others are not to suffer for one that cannot be stored.
                for one in batch:
                    await self._write_batch([one])
                return
            results = [error]
        except _LOST:
            detail = "The database cannot be reached just now. Try again, with the same Idempotency-Key if there was one."
            results = [NotReady(detail, code="database_unavailable")] * len(batch)
        for one, result in zip(batch, results, strict=True):
            if one.done.done():
                continue  # whoever asked has gone
            if isinstance(result, Exception):
                one.done.set_exception(result)
            else:
                one.done.set_result(result)

    async def _insert(self, batch: Sequence[_Waiting]) -> list[Answer | Exception | None]:
        answers = [one.answer for one in batch if one.answer is not None]
        async with self._pool.acquire() as conn:
            if answers:
                async with conn.transaction():
                    results = await _insert_with_answers(conn, batch, answers)
            else:
                taken = await outgoing.insert_accepted(conn, [one.message for one in batch])
                results = [None if one.message.id in taken else NotFound(_NO_SESSION) for one in batch]
        self._doorbell.ring("outgoing")
        if any(one.message.origin == Origin.PERSON for one in batch):
            self._doorbell.ring("replies")
        return results


async def _insert_with_answers(
    conn: Connection, batch: Sequence[_Waiting], answers: Sequence[Answer]
) -> list[Answer | Exception | None]:
    """Raises NotFound when the session of a message with an answer is gone: then neither is to be kept."""
    # Before the answers, which hold their companies: whoever removes a company goes the same way.
    await lock_sessions(conn, {one.message.session_id for one in batch})
    try:
        kept = await idempotency.insert_answers(conn, answers)
    except asyncpg.ForeignKeyViolationError:
        # A company is gone, and its session with it.
        raise NotFound(_NO_SESSION) from None
    standing = dict(zip(map(id, answers), kept, strict=True))
    before = [None if one.answer is None else standing[id(one.answer)] for one in batch]
    fresh = [one.message for one, answer in zip(batch, before, strict=True) if answer is None]
    taken = await outgoing.insert_accepted(conn, fresh) if fresh else set()
    results: list[Answer | Exception | None] = []
    for one, answer in zip(batch, before, strict=True):
        gone = answer is None and one.message.id not in taken
        if gone and one.answer is not None:
            raise NotFound(_NO_SESSION)
        results.append(NotFound(_NO_SESSION) if gone else answer)
    return results
