"""Plugins in the processes of a running server."""

from pathlib import Path
from typing import Any

import pytest

from tests.flow.serving import environment, program


def settings_of(folder: Path, *names: str, **more: Any) -> dict[str, Any]:
    return {"plugins.folder": str(folder), "plugins.enabled": list(names), **more}


@pytest.mark.parametrize(
    ("source", "sentence"),
    [
        ("import nothing_like_it", "bot cannot be loaded: ModuleNotFoundError"),
        (
            "from msgspec import Struct\nclass Settings(Struct):\n    limit: int",
            "plugins.settings.bot: Object missing required field `limit`",
        ),
        ("import os\nos._exit(9)", "bot: loading it ended the process that tried"),
    ],
)
async def test_a_plugin_that_cannot_be_loaded_stops_the_start(
    tmp_path: Path, source: str, sentence: str
) -> None:
    """With one sentence, before anything is made."""
    (tmp_path / "bot.py").write_text(source)
    environ = environment(settings_of(tmp_path, "bot"))
    words = ["serve", "--port", "0", "--data-dir", str(tmp_path / "data")]
    async with program(tmp_path, *words, environ=environ) as relay:
        assert await relay.ends(seconds=30) == 2
        assert sentence in relay.told
        assert len(relay.told.splitlines()) == 1, relay.told
    assert not (tmp_path / "data").exists()


async def test_the_doctor_looks_at_plugins(tmp_path: Path) -> None:
    """`relay check` refuses one that is wrong; the doctor says what to do."""
    (tmp_path / "bot.py").write_text("1 / 0")
    environ = environment(settings_of(tmp_path, "bot"))
    async with program(tmp_path, "check", environ=environ) as check:
        assert await check.ends(seconds=30) == 2
        assert "ZeroDivisionError: division by zero (bot.py, line 1)" in check.told
    async with program(tmp_path, "doctor", "--data-dir", str(tmp_path), environ=environ) as doctor:
        line = await doctor.says("wrong  plugins")
        assert "take the plugin out of plugins.enabled" in line
