"""What the sandbox's virtual phones receive, made durable: one INSERT for all that wait.

    record() ─► waiting ─► writer: INSERT … all of them … ─► each its row id
                   ▲                    │
                   └── more has come ◄──┘

Many sessions that send at once share a transaction.
"""

import asyncio
from typing import TypeAlias

import asyncpg

from relay.model.errors import OutcomeUnknown
from relay.store import sandbox as store
from relay.store.pool import DATABASE_AWAY, Pool
from relay.store.sandbox import OutboxEntry

_MOST_ROWS = 500
_REFUSED = (asyncpg.IntegrityConstraintViolationError, asyncpg.DataError)
_LOST = (asyncpg.PostgresError, *DATABASE_AWAY)
_Waiting: TypeAlias = tuple[OutboxEntry, asyncio.Future[int]]


class Outbox:
    """Group commit; its writer is a task that lives only while something waits."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._waiting: list[_Waiting] = []
        self._writer: asyncio.Task[None] | None = None

    async def record(self, entry: OutboxEntry) -> int:
        """The row's id once it is durable. Raises OutcomeUnknown."""
        written: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._waiting.append((entry, written))
        if self._writer is None:
            self._writer = asyncio.create_task(self._write(), name="sandbox.outbox")
        return await written

    async def _write(self) -> None:
        try:
            while self._waiting:
                batch, self._waiting = self._waiting[:_MOST_ROWS], self._waiting[_MOST_ROWS:]
                await self._insert(batch)
        finally:
            self._writer = None

    async def _insert(self, batch: list[_Waiting]) -> None:
        try:
            ids = await store.insert_outbox(self._pool, [entry for entry, _ in batch])
        except _REFUSED as error:
            if len(batch) == 1:
                return _fail(batch, error)
            # One entry that Postgres refuses (its session was just removed) must not cost the others.
            for single in batch:
                await self._insert([single])
        except _LOST as error:
            _fail(batch, error)
        else:
            for (_, written), row_id in zip(batch, ids, strict=True):
                # Whoever waited may have been cancelled.
                if not written.done():
                    written.set_result(row_id)


def _fail(batch: list[_Waiting], error: Exception) -> None:
    sentence = f"The sandbox could not keep what was sent ({type(error).__name__})."
    for _, written in batch:
        if not written.done():
            written.set_exception(OutcomeUnknown(sentence))
