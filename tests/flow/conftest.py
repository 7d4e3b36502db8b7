"""The API over an in-process HTTP transport, real Postgres behind it; and, where a module has a running `relay`, a company
with a bot on it, a server of that company's and an endpoint, new for each test. `hosting`: a host on a clock of the test's own, and `account`, a session for it.
"""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from relay.store.pool import Pool
from tests.accounts import add_session
from tests.api_client import Api, serve_api
from tests.engines.sandbox_phones import SandboxPhones
from tests.flow.bot_talk import Server, Shop, open_server, open_shop
from tests.flow.ledger import Sink, open_sink
from tests.flow.serving import Relay
from tests.hosting import Account, Hosting


@pytest.fixture
async def api(pool: Pool, url: str) -> AsyncIterator[Api]:
    """The app, called by the operator; `await api.as_tenant()` is a company's caller."""
    async with serve_api(pool, url) as api:
        yield api


@pytest_asyncio.fixture(loop_scope="module")
async def shop(relay: Relay) -> AsyncIterator[Shop]:
    async with open_shop(relay) as shop:
        yield shop


@pytest_asyncio.fixture(loop_scope="module")
async def server() -> AsyncIterator[Server]:
    async with open_server() as server:
        yield server


@pytest_asyncio.fixture(loop_scope="module")
async def sink() -> AsyncIterator[Sink]:
    async with open_sink() as sink:
        yield sink


@pytest.fixture
async def account(pool: Pool) -> Account:
    async with pool.acquire() as conn:
        return await add_session(conn)


@pytest.fixture
def phones(pool: Pool) -> SandboxPhones:
    return SandboxPhones(pool)


@pytest.fixture
async def hosting(pool: Pool, url: str, tmp_path: Path, phones: SandboxPhones) -> AsyncIterator[Hosting]:
    hosting = Hosting(pool, url, tmp_path, phones)
    yield hosting
    await hosting.stop()
