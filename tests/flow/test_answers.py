"""What engines answer to the API: whoever waits hears something, whatever strangers have called their groups."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from relay.store import requests
from tests.hosting import Account, Hosting


async def test_an_answer_that_postgres_refuses(
    hosting: Hosting, account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name with a character that Postgres does not take: the answer comes without it, at once."""
    await hosting.link(account)
    engine = hosting.host._held[account[1]].session.engine
    assert engine is not None

    async def picture(_: str) -> str:
        return "https://example.org/a\x00b"

    monkeypatch.setattr(engine, "find_profile_picture", picture)
    async with hosting.pool.acquire() as conn:
        asked = await requests.insert_request(
            conn,
            tenant_id=account[0],
            session_id=account[1],
            body={"kind": "picture", "jid": "5511999990001@s.whatsapp.net"},
            expires_at=datetime.now(UTC) + timedelta(minutes=1),
        )
    await hosting.host.requests.work()
    answering: set[asyncio.Task[Any]] = set(hosting.host.requests._answering)
    await asyncio.wait(answering)
    async with hosting.pool.acquire() as conn:
        answer = await requests.find_answer(conn, asked)
    assert answer == {"result": {"url": "https://example.org/ab"}}
