"""Inbound files: fetched at once from WhatsApp, of the sessions that this host holds.

    media_fetches ──claim──► download ──► a file, proven ──► media row, message, event, deliveries in one transaction
                                 │ trouble                        (stored, or failed for good)
                                 └──► put off: 5, 30, 120, 600 s, then hourly, a day in all

Four at once and one of each session. A claim whose host has died ends by itself, or as soon as another holds the session.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta

import msgspec

from relay.egress.tls import build_tls_context
from relay.engines.engine import MediaRef
from relay.engines.whatsapp_media import MediaDamaged
from relay.host import media_outcome
from relay.host.media_download import Gone, ProxyOf, Unavailable, download
from relay.model.errors import InvalidInput, RelayError
from relay.model.ids import SessionId, new_claim
from relay.store import media_fetches, tenants
from relay.store.blobs import Blobs, Stored
from relay.store.doorbell import Doorbell
from relay.store.media_fetches import Fetch, identity_of
from relay.store.pool import DATABASE_AWAY, Connection, Pool
from relay.vault import Vault

log = logging.getLogger(__name__)

_AT_ONCE = 4
_CLAIM_SECONDS = 600.0
_FETCH_SECONDS = 540.0
_WAITS_SECONDS = (5, 30, 120, 600, *[3600] * 23)
_AWAY_SECONDS = 1.0
# What says more of a file than that it could not be had.
_TELLING = (Gone, MediaDamaged, InvalidInput)


class MediaFetcher:
    """Fetches for the sessions of one host; `work` claims once and starts what it got.

    `terms` answers the sessions held and their leases' terms. `stop` ends what is under way; it is claimed anew.
    """

    def __init__(
        self,
        pool: Pool,
        vault: Vault,
        doorbell: Doorbell,
        blobs: Blobs,
        *,
        terms: Callable[[], Mapping[SessionId, int]],
        proxy_of: ProxyOf,
    ) -> None:
        self.bell = doorbell.bell("media")
        self._pool = pool
        self._vault = vault
        self._doorbell = doorbell
        self._blobs = blobs
        self._terms = terms
        self._proxy_of = proxy_of
        self._tls = build_tls_context()
        self._seen: dict[SessionId, int] = {}
        self._under_way: dict[SessionId, asyncio.Task[None]] = {}

    async def work(self) -> bool:
        """Claim what is due and start fetching it; True when something was started."""
        held = self._terms()
        free = {session: term for session, term in held.items() if session not in self._under_way}
        room = _AT_ONCE - len(self._under_way)
        if not free or room <= 0:
            return False
        claim = new_claim()
        async with self._pool.acquire() as conn:
            await self._take_over(conn, held)
            claimed = await media_fetches.claim_fetches(
                conn, free, limit=room, claim=claim, lasts=timedelta(seconds=_CLAIM_SECONDS)
            )
        for fetch in claimed:
            self._under_way[fetch.session_id] = asyncio.create_task(self._run(fetch, claim))
        return bool(claimed)

    async def _take_over(self, conn: Connection, held: Mapping[SessionId, int]) -> None:
        """Sessions that are newly ours: what their last holder was fetching is not waited for."""
        new = {session: term for session, term in held.items() if self._seen.get(session) != term}
        if new:
            await media_fetches.release_older(conn, new)
        self._seen = dict(held)

    async def drain(self) -> None:
        """Wait for what is under way."""
        if self._under_way:
            await asyncio.wait(list(self._under_way.values()))

    async def stop(self) -> None:
        """End what is under way."""
        for task in self._under_way.values():
            task.cancel()
        await self.drain()

    # --- one file -----------------------------------------------------------------------------------------------

    async def _run(self, fetch: Fetch, claim: str) -> None:
        try:
            await self._fetch(fetch, claim)
        except Exception:
            # A fault of ours with one file is never another's; it is claimed again when the claim has ended.
            log.exception("media.fetch_broke", extra={"media": fetch.media_id})
        finally:
            del self._under_way[fetch.session_id]
            self.bell.ring()

    async def _fetch(self, fetch: Fetch, claim: str) -> None:
        started = time.monotonic()
        try:
            async with asyncio.timeout(_FETCH_SECONDS):
                ref, stored = await self._store(fetch)
        except (RelayError, ValueError, *DATABASE_AWAY) as error:
            await self._miss(fetch, claim, error)
            return

        async def keep() -> bool | None:
            async with self._pool.acquire() as conn:
                return await media_outcome.keep(conn, self._blobs, fetch, claim=claim, ref=ref, stored=stored)

        owed = await _persist(keep)
        if owed is None:
            return
        self._ring(owed=owed)
        fields = {"media": fetch.media_id, "session": fetch.session_id, "size_bytes": stored.size_bytes}
        log.info("media.fetched", extra={**fields, "duration_ms": round((time.monotonic() - started) * 1000)})

    async def _store(self, fetch: Fetch) -> tuple[MediaRef, Stored]:
        """The file, whole and proven; without a row it is nobody's yet."""
        ref = await self._open(fetch)
        proxy = await self._proxy_of(fetch.session_id)
        chunks = download(ref, proxy=proxy, tls=self._tls, max_bytes=self._blobs.max_bytes)
        try:
            return ref, await self._blobs.write(chunks, media_id=fetch.media_id)
        finally:
            # Its connection ends here, and not when somebody collects it.
            await chunks.aclose()

    async def _open(self, fetch: Fetch) -> MediaRef:
        async with self._pool.acquire() as conn:
            key = await tenants.get_data_key(conn, self._vault, fetch.tenant_id)
        plain = key.open(fetch.reference, identity=identity_of(fetch.media_id))
        return msgspec.json.decode(plain, type=MediaRef)

    # --- how it ended -------------------------------------------------------------------------------------------

    async def _miss(self, fetch: Fetch, claim: str, error: Exception) -> None:
        """Put it off, or give it up."""
        final = _is_final(fetch, error)
        wait = None if final else _WAITS_SECONDS[fetch.attempts - 1]
        code = error.code if isinstance(error, _TELLING) else Unavailable.code

        async def store() -> bool | None:
            async with self._pool.acquire() as conn:
                if wait is None:
                    return await media_outcome.give_up(conn, fetch, claim=claim, error=code)
                await media_fetches.postpone(conn, fetch.media_id, claim=claim, wait=timedelta(seconds=wait))
                return None

        self._ring(owed=await _persist(store))
        fields = {"media": fetch.media_id, "session": fetch.session_id, "attempt": fetch.attempts}
        reason = error.detail if isinstance(error, RelayError) else type(error).__name__
        log.warning(
            "media.not_fetched", extra={**fields, "error": code, "reason": reason, "retry_seconds": wait}
        )

    def _ring(self, *, owed: bool | None) -> None:
        if owed is not None:
            self._doorbell.ring("media")
            self._doorbell.ring("events")
        if owed:
            self._doorbell.ring("deliveries")


def _is_final(fetch: Fetch, error: Exception) -> bool:
    """Whether trying again is of no use."""
    match error:
        case InvalidInput():
            return True
        case Gone() | MediaDamaged():
            # Once more: what was sent a moment ago may not be everywhere yet.
            return fetch.attempts > 1
        case _:
            return fetch.attempts > len(_WAITS_SECONDS)


async def _persist(write: Callable[[], Awaitable[bool | None]]) -> bool | None:
    """A database that is away for a moment must not cost the file: tried until the claim is over."""
    deadline = time.monotonic() + _CLAIM_SECONDS - _FETCH_SECONDS
    while True:
        try:
            return await write()
        except DATABASE_AWAY:
            if time.monotonic() > deadline:
                raise
            await asyncio.sleep(_AWAY_SECONDS)
