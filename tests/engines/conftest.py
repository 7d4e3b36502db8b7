"""The suite's phone network, once for each engine that can be run through it."""

import pytest

from relay.store.pool import Pool
from tests.engines.phones import PhoneNetwork
from tests.engines.sandbox_phones import SandboxPhones


@pytest.fixture
def sandbox(pool: Pool) -> SandboxPhones:
    return SandboxPhones(pool)


@pytest.fixture(params=["sandbox"])
def phones(request: pytest.FixtureRequest) -> PhoneNetwork:
    """A network of each kind; add an engine's fixture by its name."""
    network: PhoneNetwork = request.getfixturevalue(request.param)
    return network
