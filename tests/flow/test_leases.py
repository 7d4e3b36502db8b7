"""Leases that go and come back while a session is being let go: one holder, one engine, whatever was under way."""

import asyncio
from typing import Any

import pytest

from relay.store import auth_states, leases
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


async def test_a_start_whose_auth_state_cannot_be_read_just_now(
    hosting: Hosting, account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The database is away for a moment in the middle of a start: that costs a back-off, not the start's whole deadline."""
    await hosting.link(account)
    find, outages = auth_states.find_auth_state, [ConnectionRefusedError()]

    async def find_at_last(*args: Any) -> Any:
        if outages:
            raise outages.pop()
        return await find(*args)

    monkeypatch.setattr(auth_states, "find_auth_state", find_at_last)
    await hosting.fault(account, "drop")
    await hosting.reaches(account, "connecting", "reconnecting")
    await hosting.pass_time(7)
    assert outages == []
    await hosting.pass_time(13)
    await hosting.reaches(account, "connected")
