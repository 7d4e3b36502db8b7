"""The replaced root: only where it was asked for, and only for the network that it names."""

import os
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.phone_network.certificates import Certificates
from tests.phone_network.clients import Clients
from tests.phone_network.network import TRUST, WhatsApp


@pytest.fixture
async def network() -> AsyncIterator[WhatsApp]:
    async with WhatsApp() as network:
        yield network


async def test_a_client_that_trusts_another_root_does_not_connect(network: WhatsApp, tmp_path: Path) -> None:
    """So what the others show is that the library has verified our certificates, not that it skipped them."""
    async with Clients(network) as clients:
        network.certificates = Certificates()
        client = await clients.open(tmp_path / "a.db")
        assert "failed to verify" in (await client.event("ended"))["error"]


@pytest.mark.parametrize("root", ["", "00" * 32])
def test_the_next_sitecustomize_runs_as_well(tmp_path: Path, root: str) -> None:
    (tmp_path / "sitecustomize.py").write_text("print('the next one')")
    environ = {**os.environ, "PYTHONPATH": f"{TRUST}{os.pathsep}{tmp_path}", "PHONE_NETWORK_ROOT": root}
    told = subprocess.run([sys.executable, "-c", ""], env=environ, capture_output=True, text=True, check=True)
    assert told.stdout == "the next one\n"
    assert not told.stderr
