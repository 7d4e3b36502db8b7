"""The doorbell: it rings again once the database is there again, whatever was said meanwhile."""

import asyncio
from typing import Any

import asyncpg
import pytest

from relay.loops import Bell
from relay.store import doorbell as module
from relay.store import pool
from relay.store.doorbell import Doorbell


@pytest.mark.parametrize(
    "refusal",
    [
        ConnectionRefusedError(),
        asyncpg.InvalidCatalogNameError('database "relay" does not exist'),
        asyncpg.InvalidPasswordError("password authentication failed"),
        asyncpg.InvalidAuthorizationSpecificationError("no pg_hba.conf entry"),
    ],
    ids=lambda refusal: type(refusal).__name__,
)
async def test_it_outlives_a_database_that_refuses_it(
    url: str, monkeypatch: pytest.MonkeyPatch, refusal: Exception
) -> None:
    """A database that is being put back, or whose password has just changed, refuses us for a moment."""
    connect, refusals = pool.connect, [refusal]

    async def connect_at_last(*args: Any, **given: Any) -> Any:
        if refusals:
            raise refusals.pop()
        return await connect(*args, **given)

    monkeypatch.setattr(module, "connect", connect_at_last)
    monkeypatch.setattr(module, "_RECONNECT_SECONDS", 0)
    doorbell = Doorbell(url, name="tests")
    heard: Bell = doorbell.bell("keys")
    hearing = asyncio.create_task(doorbell.run())
    # It rings when it is connected: something may have been rung while nobody listened.
    ringing = asyncio.create_task(heard.wait(20))
    await asyncio.wait([hearing, ringing], return_when=asyncio.FIRST_COMPLETED)
    assert not hearing.done(), "nobody hears anything any more"
    assert ringing.done()
    hearing.cancel()
