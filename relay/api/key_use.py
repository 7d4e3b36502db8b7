"""When each key was last used: noted in memory at every call, written once a minute in one statement.

So it may be a minute behind, and what a process saw in the minute before it was killed is never written.
"""

from datetime import datetime

from relay.model.ids import KeyId
from relay.store.keys import mark_keys_used
from relay.store.pool import Pool

WRITE_SECONDS = 60.0


class KeyUse:
    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._used: dict[KeyId, datetime] = {}

    def note(self, key_id: KeyId, at: datetime) -> None:
        self._used[key_id] = at

    async def work(self) -> bool:
        """Write what was noted; what cannot be written is kept for the next time."""
        used, self._used = self._used, {}
        if used:
            try:
                async with self._pool.acquire() as conn:
                    await mark_keys_used(conn, used)
            except BaseException:
                self._used = used | self._used
                raise
        return False
