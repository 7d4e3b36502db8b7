"""What the doctor says of the engine for real phones, without a server beside it."""

import os
from pathlib import Path

import pytest

from relay.commands.checkup import engine
from relay.config import Config, Host
from tests.phone_network.network import WhatsApp

MIB = 1024 * 1024


async def test_whatsapp_is_asked_for_through_the_operators_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reached there; and where the proxy is away, a sentence with both hosts and without the proxy's password."""
    async with WhatsApp() as network:
        monkeypatch.setenv("SSL_CERT_FILE", network.environ["SSL_CERT_FILE"])
        reached = await engine.check_reach(Config(host=Host(proxy=network.proxy_url)))
    away = await engine.check_reach(Config(host=Host(proxy="http://me:hushhush@127.0.0.1:9")))
    assert (reached.level, away.level) == ("ok", "warn")
    assert "web.whatsapp.com (ConnectError), mmg.whatsapp.net (ConnectError)" in away.sentence
    assert "hushhush" not in away.sentence + away.mend


async def test_a_server_that_nobody_vouches_for_is_not_whatsapp() -> None:
    """Something that ends TLS on the way with a certificate of its own is told of as not reached."""
    async with WhatsApp() as network:
        found = await engine.check_reach(Config(host=Host(proxy=network.proxy_url)))
    assert found.level == "warn"


def test_the_library_is_loaded(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """It is there; in a package without one for this system it is wrong, with what to do."""
    assert engine.check_library().level == "ok"
    monkeypatch.setattr("relay.engines.binding.find_neonize", lambda: tmp_path)
    missing = engine.check_library()
    assert (missing.level, "no native library for this system" in missing.sentence) == ("wrong", True)


@pytest.mark.parametrize(
    ("free_mib", "level", "sessions"),
    [(512, "ok", 256), (64, "warn", 32), (9, "wrong", 4)],
)
def test_room_for_live_files(
    free_mib: int, level: str, sessions: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A container's 64 MB are told of, and what is nearly full is wrong."""
    given = [4096, 4096, *[free_mib * MIB // 4096] * 3, 0, 0, 0, 0, 255]
    monkeypatch.setattr(os, "statvfs", lambda _: os.statvfs_result(given))
    found = engine.check_live_files(Config(), tmp_path)
    assert (found.level, f"room for {sessions} more busy sessions" in found.sentence) == (level, True)


def test_without_memory_to_keep_files_in(tmp_path: Path) -> None:
    """Where the keys lie on a disk, the doctor says so."""
    found = engine.check_live_files(Config(), tmp_path / "shm")
    assert (found.level, "data/live" in found.sentence) == ("warn", True)
