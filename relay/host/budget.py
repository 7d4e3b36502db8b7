"""How much a session may send: a person's pace, not a cannon's, or WhatsApp bans the account.

    a reply (the chat wrote within a day)      replies_per_minute
    anything else                              per_minute, per_day
    the first message ever in a chat           … and new_contacts_per_day

Counted by the `limits` package over our own Postgres, in fixed windows that start with their first message.
"""

from collections.abc import Sequence
from datetime import UTC, datetime

from limits import RateLimitItem, RateLimitItemPerDay, RateLimitItemPerMinute
from limits.aio.strategies import FixedWindowRateLimiter

from relay.model.ids import SessionId
from relay.model.session import Session, SessionLimits
from relay.store.pool import Connection, Pool
from relay.store.rate_counters import PostgresStorage, list_counts

_DAY = "day"


def _windows(limits: SessionLimits, *, is_reply: bool, is_first: bool) -> list[tuple[str, RateLimitItem]]:
    if is_reply:
        return [("replies", RateLimitItemPerMinute(limits.replies_per_minute))]
    # The minute first: it refuses most often, and what it refuses must not use up the day.
    windows: list[tuple[str, RateLimitItem]] = [("minute", RateLimitItemPerMinute(limits.per_minute))]
    if is_first:
        windows.append(("new", RateLimitItemPerDay(limits.new_contacts_per_day)))
    windows.append((_DAY, RateLimitItemPerDay(limits.per_day)))
    return windows


async def list_used_today(conn: Connection, sessions: Sequence[Session]) -> dict[SessionId, int]:
    """How much of its `per_day` each session has used in the day that runs."""
    keys = {one.id: RateLimitItemPerDay(one.limits.per_day).key_for(one.id, _DAY) for one in sessions}
    counts = await list_counts(conn, list(keys.values()))
    # What was refused has been counted too.
    return {one.id: min(counts.get(keys[one.id], 0), one.limits.per_day) for one in sessions}


class Budget:
    """The budgets of all sessions; what is full is remembered until its window ends, and costs no query."""

    def __init__(self, pool: Pool) -> None:
        self._limiter = FixedWindowRateLimiter(PostgresStorage(pool))
        self._full: dict[tuple[SessionId, str, int], datetime] = {}

    async def take(
        self, session_id: SessionId, limits: SessionLimits, *, is_reply: bool, is_first: bool, now: datetime
    ) -> datetime | None:
        """Take one message from the budget; None when it may go, else when to ask again."""
        windows = _windows(limits, is_reply=is_reply, is_first=is_first)
        # All of them are looked at before any is used.
        full = [self._full.get(_key(session_id, name, window), now) for name, window in windows]
        if max(full) > now:
            return max(full)
        for name, window in windows:
            if window.amount > 0 and await self._limiter.hit(window, session_id, name):
                self._full.pop(_key(session_id, name, window), None)
                continue
            reset_at = (await self._limiter.get_window_stats(window, session_id, name)).reset_time
            until = max(datetime.fromtimestamp(reset_at, UTC), now)
            self._full[_key(session_id, name, window)] = until
            return until
        return None


def _key(session_id: SessionId, name: str, window: RateLimitItem) -> tuple[SessionId, str, int]:
    """A raised limit is another key: it takes effect at once."""
    return session_id, name, window.amount
