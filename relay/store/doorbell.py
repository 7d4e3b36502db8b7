"""NOTIFY as a doorbell between processes: it says «look at the table», never carries the work.

    ring(channel) ──at most every 5 ms──► NOTIFY ──► every process's listener ──► Bell.ring()

A NOTIFY takes a global lock at commit, so it never stands inside a transaction that does work. A ring after silence
goes out at once; the rings of the next 5 ms become one. The listening connection is pinged; whoever waits on a bell has a slow poll as the backstop, so a lost
ring costs a second and nothing else. `keys` carries nothing either: it says «forget what you cached».
"""

import asyncio
import logging
from collections import defaultdict
from contextlib import suppress
from typing import Any, Literal

import asyncpg

from relay.loops import Bell
from relay.store.pool import Pool, connect

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
    "sandbox",
    "keys",
]
"""deliveries: something is owed · outgoing: a message is queued · sessions: what a tenant wants of one changed ·
status: a session's status or QR changed · events: the log grew · messages: an outgoing one changed status ·
requests: an engine was asked, or has answered · replies: a reply task is due · sandbox: the phone network was asked
something · keys: an API key changed."""

_COALESCE_SECONDS = 0.005
_PING_SECONDS = 5.0
_NOTIFY = "SELECT pg_notify('relay_' || channel, '') FROM unnest($1::text[]) AS channel"


class Doorbell:
    """Rings for other processes and hears theirs; `run` must be running for either."""

    def __init__(self, pool: Pool, url: str, *, name: str) -> None:
        self._pool = pool
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
        async with asyncio.TaskGroup() as group:
            group.create_task(self._send(), name="doorbell.send")
            group.create_task(self._listen(), name="doorbell.listen")

    async def _send(self) -> None:
        loop = asyncio.get_running_loop()
        silent_until = 0.0
        while True:
            await self._wake.wait()
            await asyncio.sleep(max(0.0, silent_until - loop.time()))
            silent_until = loop.time() + _COALESCE_SECONDS
            self._wake.clear()
            channels, self._rung = sorted(self._rung), set()
            try:
                await self._pool.execute(_NOTIFY, channels)
            except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, TimeoutError):
                log.warning("doorbell.ring_lost", extra={"channels": ",".join(channels)})

    async def _listen(self) -> None:
        while True:
            try:
                await self._hear()
            except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, TimeoutError) as error:
                log.warning("doorbell.connection_lost", extra={"error": type(error).__name__})
                await asyncio.sleep(1)

    async def _hear(self) -> None:
        conn: Any = await connect(self._url, name=f"{self._name} doorbell")
        try:
            for channel in Channel.__args__:  # type: ignore[attr-defined]
                await conn.add_listener(f"relay_{channel}", self._heard)
                # What was rung while nobody listened.
                self._ring_here(channel)
            while True:
                await asyncio.sleep(_PING_SECONDS)
                await conn.execute("SELECT 1", timeout=_PING_SECONDS)
        finally:
            with suppress(Exception):
                await conn.close(timeout=1)

    def _heard(self, _conn: object, _pid: int, channel: str, _payload: object) -> None:
        self._ring_here(channel.removeprefix("relay_"))
