"""A plugin that blocks its process costs that process a restart, and itself its breaker."""

import json
import subprocess
import sys
from pathlib import Path
from textwrap import dedent

import pytest

from tests.plugin_samples import IMPORTS

STALL_SECONDS = 1.0

# Calls the hook of each plugin once, in the order of their names, and says which were called and which rest.
CHILD = """
import asyncio, json, logging, sys
import uvloop
from pathlib import Path
from relay.plugin.asking import ask_message_received
from relay.plugin.watchdog import Watchdog
from tests.plugin_samples import Shelf, asked

async def main():
    folder, notes, stall_seconds = Path(sys.argv[1]), Path(sys.argv[2]), float(sys.argv[3])
    logging.basicConfig(format="%(message)s")
    shelf = Shelf(folder)
    shelf.names = sorted(file.stem for file in folder.glob("*.py"))
    watchdog = Watchdog(notes, shelf.names, stall_seconds=stall_seconds)
    caller = shelf.load(watchdog=watchdog, timeout_seconds=0.05)
    shelf.seconds = float(sys.argv[4])
    resting = [name for name in shelf.names if caller.rests(name)]
    print(json.dumps({"resting": resting, "blocked": watchdog.blocked}), flush=True)
    answered = await ask_message_received(caller, asked())
    # A thread that holds the interpreter lets nobody else run; one that does not lets this pass.
    await asyncio.sleep(stall_seconds * 1.5)
    watchdog.close()
    print(json.dumps(answered.plugin), flush=True)

uvloop.run(main())
"""

HELD = "__import__('re').match(r'(a+)+$', 'a' * 64 + 'b')"
"""Years, in C, with the interpreter's lock held all the while."""
BLOCKS = {
    "a loop that never awaits": "async def message_received():\n    while True: pass",
    "a sleep in async code": "async def message_received(): time.sleep(600)",
    "the lock held in async code": f"async def message_received(): {HELD}",
    "the lock held in a thread": f"def message_received(): {HELD}",
    "after an await": "async def message_received():\n    await asyncio.sleep(0)\n    time.sleep(600)",
    "while it is cancelled": "async def message_received():\n    try: await asyncio.sleep(600)\n    finally: time.sleep(600)",
}


GOOD = "async def message_received(): return 'fine'"
"""It answers in its first step: a thread may begin later than calls are waited for here."""


class Folder:
    def __init__(self, path: Path) -> None:
        self.path = path
        (path / "plugins").mkdir()

    def write(self, name: str, source: str) -> None:
        (self.path / "plugins" / f"{name}.py").write_text(IMPORTS + "@hook\n" + dedent(source))

    def run(self, *, after_seconds: float = 0) -> "subprocess.CompletedProcess[str]":
        """`after_seconds`: so long after the start is the plugin called."""
        words = [str(self.path / "plugins"), str(self.path / "notes"), str(STALL_SECONDS), str(after_seconds)]
        return subprocess.run(
            [sys.executable, "-c", CHILD, *words], text=True, capture_output=True, timeout=60, check=False
        )


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


@pytest.mark.parametrize("how", BLOCKS)
def test_blocking_ends_the_process_and_opens_the_breaker(folder: Folder, how: str) -> None:
    """The next process knows which plugin it was, leaves it alone, and asks the others."""
    folder.write("bad", BLOCKS[how])
    folder.write("good", GOOD)
    ended = folder.run()
    assert ended.returncode == -14, ended.stderr
    again = folder.run()
    assert again.returncode == 0, again.stderr
    first, answered = map(json.loads, again.stdout.splitlines())
    assert first == {"resting": ["bad"], "blocked": {"bad": 1}}
    assert answered == "good"
    assert "plugin.blocked" in again.stderr
    trace = (folder.path / "notes" / "bad.blocked.txt").read_text()
    assert "bad.py" in trace
    # It is told once: a process that ends well leaves nothing to tell.
    assert json.loads(folder.run().stdout.splitlines()[0])["blocked"] == {}


def test_a_thread_that_merely_takes_long_is_nobodys_trouble(folder: Folder) -> None:
    """It does not hold the lock, so everything goes on, and nothing is said of it."""
    folder.write("bad", "def message_received(): time.sleep(600)")
    folder.write("good", GOOD)
    ended = folder.run()
    assert (ended.returncode, json.loads(ended.stdout.splitlines()[-1])) == (0, "good")


def test_an_async_hook_that_waits_is_nobodys_trouble(folder: Folder) -> None:
    """Waiting is not blocking, however long."""
    folder.write("bad", "async def message_received(): await asyncio.sleep(600)")
    folder.write("good", "async def message_received(): return 'fine'")
    ended = folder.run()
    assert (ended.returncode, json.loads(ended.stdout.splitlines()[-1])) == (0, "good")


def test_a_process_that_was_killed_blames_nobody(folder: Folder) -> None:
    """A kill -9 in the middle of a call leaves a note, but no trace of a stall."""
    folder.write("bad", "async def message_received():\n    import os\n    os.kill(os.getpid(), 9)")
    assert folder.run().returncode == -9
    (folder.path / "plugins" / "bad.py").unlink()
    folder.write("good", GOOD)
    assert json.loads(folder.run().stdout.splitlines()[0]) == {"resting": [], "blocked": {}}


def test_blocking_again_and_again_rests_longer(folder: Folder) -> None:
    """The count outlives the process: each restart in a row doubles the rest."""
    folder.write("bad", "async def message_received(): time.sleep(600)")
    assert folder.run().returncode == -14
    # The rest is over, and the one call that is let through blocks again.
    assert folder.run(after_seconds=60).returncode == -14
    ended = folder.run(after_seconds=119)
    first = json.loads(ended.stdout.splitlines()[0])
    assert (ended.returncode, first) == (0, {"resting": ["bad"], "blocked": {"bad": 2}})
