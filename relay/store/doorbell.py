"""NOTIFY as a doorbell between processes: it says «look at the table», never carries the work.

    ring(channel) ──at most every 5 ms──► NOTIFY ──► LISTEN of every process ──► Bell.ring()

A NOTIFY takes a global lock at commit, so it never stands inside a transaction that does work. A ring after silence
goes out at once; the rings of the next 5 ms become one. One connection both rings and listens, and is pinged; whoever waits on a bell has a slow poll as the
backstop, so a lost ring costs a second and nothing else. `keys` carries nothing either: it says «forget what you cached».
"""

import asyncio
import logging
from collections import defaultdict
from contextlib import suppress
from typing import Any, Literal

import asyncpg

from relay.loops import Bell
from relay.store.pool import DATABASE_AWAY, connect

log = logging.getLogger(__name__)

Channel = Literal[
    "deliveries",
    "outgoing",
    "sessions",
    "status",
    "events",
    "messages",
    "requests",
    "replies",
    "media",
    "sandbox",
    "keys",
]
"""deliveries: something is owed · outgoing: a message is queued · sessions: what a tenant wants of one changed ·
status: a session's status or QR changed · events: the log grew · messages: an outgoing one changed status ·
requests: an engine was asked, or has answered · replies: a reply task is due · media: an inbound file is
to be fetched, or has been · sandbox: the phone network was asked
something · keys: an API key changed."""

_COALESCE_SECONDS = 0.005
_PING_SECONDS = 5.0
_RECONNECT_SECONDS = 1.0
_NOTIFY = "SELECT pg_notify('relay_' || channel, '') FROM unnest($1::text[]) AS channel"


class Doorbell:
    """Rings for other processes and hears theirs; `run` must be running for either."""

    def __init__(self, url: str, *, name: str) -> None:
        self._url = url
        self._name = name
        self._bells: defaultdict[str, list[Bell]] = defaultdict(list)
        self._rung: set[str] = set()
        self._wake = asyncio.Event()

    def bell(self, channel: Channel, bell: Bell | None = None) -> Bell:
        """A bell that rings with `channel`; give one to have several channels ring it."""
        bell = bell or Bell()
        self._bells[channel].append(bell)
        return bell

    def drop(self, channel: Channel, bell: Bell) -> None:
        with suppress(ValueError):
            self._bells[channel].remove(bell)

    def ring(self, channel: Channel) -> None:
        """Ring here at once, and in the other processes within 5 ms."""
        self._ring_here(channel)
        self._rung.add(channel)
        self._wake.set()

    def _ring_here(self, channel: str) -> None:
        for bell in self._bells[channel]:
            bell.ring()

    async def run(self) -> None:
        """Until cancelled: send what was rung, hear what others ring."""
        while True:
            try:
                await self._stay_connected()
            except (*DATABASE_AWAY, asyncpg.PostgresError) as error:
                # Refused for now, too: one that is being put back, or whose password changes.
                log.warning("doorbell.connection_lost", extra={"error": type(error).__name__})
                await asyncio.sleep(_RECONNECT_SECONDS)

    async def _stay_connected(self) -> None:
        conn: Any = await connect(self._url, name=f"{self._name} doorbell")
        try:
            for channel in Channel.__args__:  # type: ignore[attr-defined]
                await conn.add_listener(f"relay_{channel}", self._heard)
                # What was rung while nobody listened.
                self._ring_here(channel)
            while True:
                await self._send(conn)
                await asyncio.sleep(_COALESCE_SECONDS)
        finally:
            with suppress(Exception):
                await conn.close(timeout=1)

    async def _send(self, conn: Any) -> None:
        """Pass on what was rung; where nothing is for a while, see that the connection lives."""
        try:
            async with asyncio.timeout(_PING_SECONDS):
                await self._wake.wait()
        except TimeoutError:
            await conn.execute("SELECT 1", timeout=_PING_SECONDS)
            return
        self._wake.clear()
        channels, self._rung = self._rung, set()
        try:
            await conn.execute(_NOTIFY, sorted(channels), timeout=_PING_SECONDS)
        except BaseException:
            # Rung again once connected again.
            self._rung |= channels
            self._wake.set()
            raise

    def _heard(self, _conn: object, _pid: int, channel: str, _payload: object) -> None:
        self._ring_here(channel.removeprefix("relay_"))
