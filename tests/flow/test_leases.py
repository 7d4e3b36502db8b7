"""Leases that go and come back while a session is being let go: one holder, one engine, whatever was under way."""

import asyncio
from typing import Any

import pytest

from relay.store import leases
from relay.store.pool import Pool
from tests.hosting import Account, Hosting


async def test_what_is_given_back_late_is_not_the_next_lease(
    hosting: Hosting, account: Account, pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A session was let go while the database was away, and its lease ran out; the same host has it anew, and keeps it."""
    await hosting.link(account)
    waits, goes_on = asyncio.Event(), asyncio.Event()
    release = leases.release_sessions

    async def release_late(*args: Any, **given: Any) -> None:
        waits.set()
        await goes_on.wait()
        await release(*args, **given)

    monkeypatch.setattr(leases, "release_sessions", release_late)
    held = hosting.host._held[account[1]]
    hosting.host.post(held, held.session.stop)
    letting_go = held.task
    assert letting_go is not None
    await waits.wait()
    await pool.execute("UPDATE leases SET expires_at = now() - interval '1 second'")
    await hosting.host.work()
    assert hosting.host._held[account[1]].term == held.term + 1
    goes_on.set()
    await letting_go
    assert await pool.fetchval("SELECT expires_at > now() FROM leases WHERE resource = $1", account[1])
    await hosting.reaches(account, "connected")
