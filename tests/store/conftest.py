"""What tests of the inbox begin with."""

from pathlib import Path

import pytest

from relay.store.pool import Pool
from tests.accounts import add_session
from tests.desk import Account, Desk


@pytest.fixture
async def desk(pool: Pool, url: str, tmp_path: Path) -> Desk:
    return Desk(pool, url, tmp_path)


@pytest.fixture
async def account(pool: Pool) -> Account:
    async with pool.acquire() as conn:
        return await add_session(conn)
