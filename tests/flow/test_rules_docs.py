"""The quick start of docs/rules.md, typed into a real server as a newcomer types it: the answer comes."""

import asyncio
import re
import shlex
import sys
from pathlib import Path

import pytest

from tests.flow.serving import Relay, environment, serving, until

DOCS = Path(__file__).parents[2] / "docs"
PLACES = {"relay_…": "demo key", "ses_…": "demo session"}
"""What the page leaves to be filled in, and where the first start prints it."""


def quick_start(page: str) -> list[str]:
    """The shell blocks of the page's first section, in order."""
    first = (DOCS / page).read_text().partition("\n## ")[2].partition("\n## ")[0]
    return re.findall(r"^```sh\n(.*?)^```$", first, re.DOTALL | re.MULTILINE)


async def typed(relay: Relay, folder: Path, blocks: list[str]) -> tuple[int, str]:
    """One terminal: the exit status at the first command that fails, and everything that was shown."""
    script = "set -e -o pipefail\n" + "\n".join(blocks)
    for place, label in PLACES.items():
        script = script.replace(place, relay.printed(label))
    script = script.replace("http://127.0.0.1:8080", relay.url)
    script = script.replace(".venv/bin/relay", f"{shlex.quote(sys.executable)} -m relay")
    process = await asyncio.create_subprocess_exec(
        "bash", "-c", script,
        cwd=folder,
        env=environment({}, RELAY_URL=relay.url),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    shown, _ = await process.communicate()
    return process.returncode or 0, shown.decode()


@pytest.mark.parametrize(
    ("page", "answer", "version", "handoff"),
    [
        ("rules.md", "We are open from 9 to 18", "first", "calls a person"),
        ("rules.pt-BR.md", "Abrimos das 9h às 18h", "primeiro", "chama uma pessoa"),
    ],
)
async def test_a_newcomer_gets_an_answer(
    tmp_path: Path, page: str, answer: str, version: str, handoff: str
) -> None:
    """Block by block: connected, checked, tested, explained, pushed, written to, answered, changed, taken back."""
    *before, look, change = quick_start(page)
    fill_in, prepare = before[:2]
    async with serving(tmp_path, operator_key=None, rules__folder=str(tmp_path / "none")) as relay:
        code, shown = await typed(relay, tmp_path, before)
        assert code == 0, shown
        assert f"{version} is in force as version 1: rules 2, flows 0, tests 1." in shown
        assert "FAILED" not in shown
        assert "FALHOU" not in shown
        assert handoff in shown
        again = [fill_in, prepare.partition("call -X")[0]]

        async def answered() -> bool:
            _, outbox = await typed(relay, tmp_path, [*again, look])
            return answer in outbox

        await until(answered, seconds=20, what="the customer's phone has the answer")
        code, shown = await typed(relay, tmp_path, [*again, change])
        assert code == 0, shown
        assert f"{version} is in force as version 2" in shown
        assert f"Version 1 of {version} is in force again, as version 3." in shown
