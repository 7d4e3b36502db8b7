"""The API over an in-process HTTP transport, real Postgres behind it; and, where a module has a running `relay`, a company
with a bot on it, a server of that company's and an endpoint, new for each test.
"""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from relay.store.pool import Pool
from tests.api_client import Api, serve_api
from tests.flow.bot_talk import Server, Shop, open_server, open_shop
from tests.flow.ledger import Sink, open_sink
from tests.flow.serving import Relay


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
