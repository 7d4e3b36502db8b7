"""Whether this process should be sent requests, and what is missing where it should not."""

import asyncio

from relay.api.remembered import Remembered
from relay.model.errors import NotReady
from relay.store import migrate
from relay.store.pool import DATABASE_AWAY, Pool

OK = "ok"
_REMEMBER_SECONDS = 1.0
_TIMEOUT_SECONDS = 2.0


class Readiness:
    """Asked by whoever knows the address, without a key: so it asks the database at most once a second."""

    def __init__(self, pool: Pool, draining: asyncio.Event) -> None:
        self._pool = pool
        self._draining = draining
        self._database = Remembered(self._look, seconds=_REMEMBER_SECONDS)

    async def check(self) -> dict[str, str]:
        """What is looked at, each with `ok` or a sentence."""
        serving = "This process is stopping." if self._draining.is_set() else OK
        return {**await self._database.get(), "serving": serving}

    async def _look(self) -> dict[str, str]:
        try:
            async with asyncio.timeout(_TIMEOUT_SECONDS), self._pool.acquire() as conn:
                await migrate.require_current(conn)
        except NotReady as error:
            return {"database": OK, "schema": error.detail}
        except DATABASE_AWAY:
            return {"database": "The database does not answer.", "schema": "Unknown."}
        return {"database": OK, "schema": OK}
