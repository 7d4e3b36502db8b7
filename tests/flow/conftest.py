"""The API over an in-process HTTP transport, real Postgres behind it."""

from collections.abc import AsyncIterator

import pytest

from relay.store.pool import Pool
from tests.api_client import Api, serve_api


@pytest.fixture
async def api(pool: Pool, url: str) -> AsyncIterator[Api]:
    """The app, called by the operator; `await api.as_tenant()` is a company's caller."""
    async with serve_api(pool, url) as api:
        yield api
