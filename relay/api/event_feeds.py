"""What streams of events are told: one look at the log for all of them, however many consoles are open.

    doorbell `events`, 1 s poll ──► one query: news of every tenant that somebody listens to
                                       │ each event made into text once
                     ┌─────────────────┼─────────────────┐
                 Listener          Listener          Listener     what its stream has yet to write

A listener holds a bounded number of events, and those by reference. One that is too slow for its tenant's events
loses all of them, says so (`missed`), and its stream reads on by itself from where it was. So does a new one.
"""

import asyncio
import time
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime

from msgspec import Struct

from relay.loops import Bell, Loop
from relay.model.ids import TenantId
from relay.store import events
from relay.store.doorbell import Doorbell
from relay.store.events import Position, StoredEvent
from relay.store.pool import Pool

_POLL_SECONDS = 1.0
_PAGE = 200
_HELD_MOST = 1000
_LEAST_GAP_SECONDS = 0.02
_MOST_GAP_SECONDS = 0.25
_GAPS = 10
"""Between two looks so many times what one takes: on a busy server the bell rings a hundred times a second."""


class News(Struct, frozen=True):
    event: StoredEvent
    position: Position
    chunk: bytes
    """As it is written to a stream."""


class Listener:
    """One stream's end of a feed."""

    def __init__(self, feed: "_Feed") -> None:
        self.bell = Bell()
        self.missed = True
        """Something may lie between what its stream has written and what is held here."""
        self.doubtful = False
        """Keys have changed: whoever listens may no longer be allowed to."""
        self._feed = feed
        self._held: deque[News] = deque()

    async def start_over(self, pool: Pool) -> None:
        """Hold what comes from now on; what came before, its stream reads after this call."""
        self._held.clear()
        self.missed = False
        async with pool.acquire() as conn:
            latest = await events.find_latest(conn)
        if self._feed.position is None:
            self._feed.position = latest

    def tell(self, news: list[News]) -> None:
        if self.missed:
            return
        self._held.extend(news)
        if len(self._held) > _HELD_MOST:
            self._held.clear()
            self.missed = True
        self.bell.ring()

    def take(self, *, after: Position) -> list[News]:
        """What is held and lies behind what its stream has written, oldest first."""
        taken = [news for news in self._held if news.position.order > after.order]
        self._held.clear()
        return taken


class _Feed:
    """The listeners of one tenant, and how far its log was read for them: everything behind it they hold or held."""

    def __init__(self) -> None:
        self.position: Position | None = None
        self.listeners: set[Listener] = set()


class _Keys(Bell):
    """Makes every listener doubtful."""

    def __init__(self, feeds: Mapping[TenantId, _Feed]) -> None:
        super().__init__()
        self._feeds = feeds

    def ring(self) -> None:
        for feed in self._feeds.values():
            for listener in feed.listeners:
                listener.doubtful = True
                listener.bell.ring()


class EventFeeds:
    """One for an app; it looks while somebody listens, and does nothing otherwise."""

    def __init__(self, pool: Pool, doorbell: Doorbell, draining: asyncio.Event) -> None:
        self._pool = pool
        self._doorbell = doorbell
        self._draining = draining
        self._feeds: dict[TenantId, _Feed] = {}
        self._keys = _Keys(self._feeds)
        self._loop: Loop | None = None
        self._running: set[asyncio.Task[None]] = set()
        # A loop that was told to stop may be in its last look while the next one begins.
        self._looking = asyncio.Lock()
        self._looked_at = datetime.now(UTC)

    @contextmanager
    def join(self, tenant_id: TenantId) -> Iterator[Listener]:
        """A listener for as long as the block lasts."""
        feed = self._feeds.setdefault(tenant_id, _Feed())
        listener = Listener(feed)
        feed.listeners.add(listener)
        if self._loop is None:
            self._start()
        try:
            yield listener
        finally:
            feed.listeners.discard(listener)
            if not feed.listeners:
                del self._feeds[tenant_id]
            if not self._feeds and self._loop is not None:
                self._doorbell.drop("events", self._loop.bell)
                self._doorbell.drop("keys", self._keys)
                self._loop.stop()
                self._loop = None

    def _start(self) -> None:
        self._looked_at = datetime.now(UTC)
        self._loop = Loop("event_feeds", self.look, poll_seconds=_POLL_SECONDS, bell=Bell())
        self._doorbell.bell("events", self._loop.bell)
        # Behind the authenticator's, which forgets then what it knew.
        self._doorbell.bell("keys", self._keys)
        running = asyncio.create_task(self._loop.run(), name="event_feeds")
        self._running.add(running)
        running.add_done_callback(self._running.discard)

    async def look(self) -> bool:
        """Tell every listener what is new; True where there is more, or soon will be."""
        if self._draining.is_set():
            self._wake_all()
            return False
        started = time.monotonic()
        async with self._looking:
            more = await self._tell_news()
        took = time.monotonic() - started
        await asyncio.sleep(min(max(took * _GAPS, _LEAST_GAP_SECONDS), _MOST_GAP_SECONDS))
        return more

    async def _tell_news(self) -> bool:
        feeds = dict(self._feeds)
        after = {tenant_id: feed.position for tenant_id, feed in feeds.items() if feed.position is not None}
        now = datetime.now(UTC)
        async with self._pool.acquire() as conn:
            found = await events.list_news(conn, after, since=self._looked_at, now=now, limit=_PAGE)
        self._looked_at = now
        for tenant_id, page in found.items():
            feed = feeds[tenant_id]
            feed.position = page.position
            news = [News(event, position, chunk_of(event)) for event, position in page.events]
            for listener in feed.listeners:
                listener.tell(news)
        return any(page.more or page.held for page in found.values())

    def _wake_all(self) -> None:
        for feed in self._feeds.values():
            for listener in feed.listeners:
                listener.bell.ring()


def chunk_of(event: StoredEvent) -> bytes:
    """An event as a stream has it (WHATWG HTML, 9.2)."""
    return f"id: {event.id}\nevent: {event.type}\ndata: {event.body}\n\n".encode()
