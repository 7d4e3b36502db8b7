"""Telling plugins of what has happened: from the event log, each plugin at its own pace, at least once.

    plugin_cursors ──claim──► a page of the tenant's events ──► message_sent, session_status, delete_contact
          ▲                                                                │
          └────────── moved on, fenced by the claim ◄──────────────────────┘

An event that a hook fails at is passed over, but for delete_contact: there the plugin is asked again until it does not
fail, and told of nothing else of that tenant before. While a plugin rests, its cursors stay where they are.
"""

import asyncio
import logging
from datetime import datetime
from typing import Any

import msgspec
from msgspec import Struct

from relay.loops import Bell, Loop
from relay.model import ids
from relay.model.ids import SessionId
from relay.plugin import SentMessage, SessionChange
from relay.plugin.answering import as_nothing
from relay.plugin.calling import Caller, PluginFailed
from relay.plugin.loading import Part
from relay.store import events, plugin_cursors
from relay.store.events import Filter, Found, Position, StoredEvent
from relay.store.plugin_cursors import Cursor
from relay.store.pool import Pool

log = logging.getLogger(__name__)

_TYPES = {
    "message_sent": "message.status",
    "session_status": "session.status",
    "delete_contact": "contact.deleted",
}
"""The hook that each type is for."""
_POLL_SECONDS = 1.0
_TENANTS_AT_ONCE = 8
_PAGE = 10
_LEASE_SECONDS = 120.0
_REST_SECONDS = 30.0


class _Body(Struct):
    timestamp: datetime
    data: dict[str, Any]


_decode = msgspec.json.Decoder(_Body).decode


def follow_events(pool: Pool, caller: Caller) -> list["PluginEvents"]:
    """One for each plugin that wants to be told."""
    parts: dict[str, dict[str, Part]] = {}
    for hook, event_type in _TYPES.items():
        for part in caller.loaded.hooks.get(hook, ()):
            parts.setdefault(part.plugin, {})[event_type] = part
    tenants = {plugin.name: plugin.tenants for plugin in caller.loaded.plugins}
    return [PluginEvents(pool, caller, name, tenants[name], found) for name, found in parts.items()]


class PluginEvents:
    """One plugin's follower. Any number of processes may have one: each tenant is claimed."""

    def __init__(
        self,
        pool: Pool,
        caller: Caller,
        plugin: str,
        tenants: frozenset[str] | None,
        parts: dict[str, Part],
    ) -> None:
        self._pool = pool
        self._caller = caller
        self._plugin = plugin
        self._tenants = tenants
        self._parts = parts
        self._wanted = Filter(types=tuple(parts))
        self.loop = Loop(f"plugins.events {plugin}", self.work, poll_seconds=_POLL_SECONDS, bell=Bell())

    async def work(self) -> bool:
        """Tell of a page of some tenants; True when there may be more."""
        if self._caller.rests(self._plugin):
            return False
        claim = ids.new_claim()
        async with self._pool.acquire() as conn:
            await plugin_cursors.insert_missing(conn, self._plugin, self._tenants)
            cursors = await plugin_cursors.claim_cursors(
                conn,
                self._plugin,
                self._tenants,
                claim=claim,
                limit=_TENANTS_AT_ONCE,
                lease_seconds=_LEASE_SECONDS,
            )
        await asyncio.gather(*(self._follow(cursor, claim) for cursor in cursors))
        return bool(cursors)

    async def _follow(self, cursor: Cursor, claim: str) -> None:
        async with self._pool.acquire() as conn:
            found = await events.list_after(
                conn, cursor.tenant_id, cursor.position, wanted=self._wanted, limit=_PAGE
            )
        position, rest_seconds = await self._tell_all(cursor, found)
        async with self._pool.acquire() as conn:
            await plugin_cursors.move_cursor(
                conn, cursor.tenant_id, self._plugin, position, claim=claim, rest_seconds=rest_seconds
            )

    async def _tell_all(self, cursor: Cursor, found: Found) -> tuple[Position, float]:
        """Where the cursor is to stand, and for how long."""
        for place, event in enumerate(found.events):
            if await self._tell(cursor, event):
                continue
            if place == 0:
                return cursor.position, _REST_SECONDS
            async with self._pool.acquire() as conn:
                before = found.events[place - 1].id
                return await events.find_position(conn, cursor.tenant_id, before), _REST_SECONDS
        return found.position, 0.0

    async def _tell(self, cursor: Cursor, event: StoredEvent) -> bool:
        """False: to be told again."""
        given = _given(event)
        if given is None:
            return True
        try:
            await self._caller.call(
                self._parts[event.type],
                tenant_id=cursor.tenant_id,
                session_id=event.session_id,
                check=as_nothing,
                given=given,
            )
        except PluginFailed:
            return event.type != "contact.deleted" and not self._caller.rests(self._plugin)
        return True


def _given(event: StoredEvent) -> dict[str, Any] | None:
    """What the hook is given; None where it is not for it."""
    body = _decode(event.body)
    data, at = body.data, body.timestamp
    if event.type == "contact.deleted":
        return {"contact_id": data["contactId"]}
    session_id: SessionId = data["sessionId"]
    if event.type == "session.status":
        return {"session": SessionChange(id=session_id, status=data["status"], reason=data["reason"], at=at)}
    if data["status"] != "sent":
        return None
    message = SentMessage(
        id=data["messageId"], session_id=session_id, chat=data["chat"], type=data["type"], at=at
    )
    return {"message": message}
