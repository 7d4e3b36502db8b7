"""The suite's phone network, once for each engine that can be run through it."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from relay.store.pool import Pool
from tests.engines.neonize_desk import Desk, open_desk
from tests.engines.neonize_phones import NeonizePhones
from tests.engines.neonize_template import LinkedPhone, link_phones
from tests.engines.phones import PhoneNetwork
from tests.engines.sandbox_phones import SandboxPhones

_PINGS = "2,0.3,0.6,4"


@pytest.fixture
def sandbox(pool: Pool) -> SandboxPhones:
    return SandboxPhones(pool)


@pytest.fixture(scope="session")
def linked_phones(tmp_path_factory: pytest.TempPathFactory) -> list[LinkedPhone]:
    """Two phones with a device each."""

    async def make() -> list[LinkedPhone]:
        async with NeonizePhones(tmp_path_factory.mktemp("linked"), []) as phones:
            with pytest.MonkeyPatch.context() as patch:
                take_for_whatsapp(phones, patch)
                return await link_phones(phones, 2)

    return asyncio.run(make())


def take_for_whatsapp(phones: NeonizePhones, patch: pytest.MonkeyPatch) -> None:
    """What engine processes start with from now on."""
    for name, value in phones.network.environ.items():
        patch.setenv(name, value)


@pytest.fixture
def quick_pings(monkeypatch: pytest.MonkeyPatch) -> None:
    """The library notices within three seconds that nobody answers, and connects anew after some more."""
    monkeypatch.setenv("PHONE_NETWORK_PINGS", _PINGS)


@pytest.fixture
async def neonize(
    linked_phones: list[LinkedPhone], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[NeonizePhones]:
    async with NeonizePhones(tmp_path / "neonize", linked_phones) as phones:
        take_for_whatsapp(phones, monkeypatch)
        yield phones


@pytest.fixture(params=["sandbox", "neonize"])
def phones(request: pytest.FixtureRequest) -> PhoneNetwork:
    """A network of each kind; add an engine's fixture by its name."""
    network: PhoneNetwork = request.getfixturevalue(request.param)
    return network


@pytest.fixture
async def desk(neonize: NeonizePhones) -> Desk:
    return await open_desk(neonize)
