"""A journal that other processes write: torn ends, fair turns, full segments, and which files go when."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from relay.engines import journal_file
from relay.engines.journal_file import FRAME, Writer, segment_path
from relay.host.journal import Journal
from tests.unit.test_journal import names, read_all, record

_ROOT = Path(__file__).parents[2]
# Writes so many records for each number that it is told, and says so; then it waits for the next.
_SCRIPT = """
import sys
from pathlib import Path
from relay.engines import journal_file
from tests.unit.test_journal import record
journal_file._SEGMENT_BYTES = 2000
writer, number = journal_file.Writer(Path(sys.argv[1]), int(sys.argv[2])), 0
for line in sys.stdin:
    for _ in range(int(line)):
        writer.append(record(number))
        number += 1
    print("written", flush=True)
"""


class Process:
    """A foreign writer."""

    def __init__(self, folder: Path, writer: int) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", _SCRIPT, str(folder), str(writer)],
            cwd=_ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        self.write(0)

    def write(self, count: int) -> None:
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(f"{count}\n".encode())
        self._process.stdin.flush()
        assert self._process.stdout.readline() == b"written\n"

    def stop(self, number: int = signal.SIGSTOP) -> None:
        self._process.send_signal(number)

    def kill(self) -> None:
        self._process.kill()
        with self._process:
            pass


@pytest.fixture
def process(tmp_path: Path) -> Iterator[Process]:
    """A process that writes as 7."""
    process = Process(tmp_path, 7)
    yield process
    process.kill()


def segments(folder: Path, writer: int = 7) -> list[str]:
    return [path.name for path in sorted(folder.glob(f"segment-{writer:08d}-*"))]


def test_a_living_writers_segment_is_never_removed(tmp_path: Path, process: Process) -> None:
    """The host that had started it is dead, and all it wrote is committed: it may write more, as long as it lives."""
    process.write(3)
    journal = Journal(tmp_path)
    assert read_all(journal) == ["W0", "W1", "W2"]
    assert read_all(journal) == []
    process.write(2)
    assert read_all(journal) == ["W3", "W4"]
    process.kill()
    assert read_all(journal) == []
    assert segments(tmp_path) == []


def test_a_frozen_writers_segment_is_never_removed(tmp_path: Path, process: Process) -> None:
    """It does nothing for as long as one likes, and goes on."""
    process.write(1)
    process.stop()
    journal = Journal(tmp_path)
    assert read_all(journal) == ["W0"]
    assert read_all(journal) == []
    process.stop(signal.SIGCONT)
    process.write(1)
    assert read_all(journal) == ["W1"]


def test_a_writer_that_fills_segments_after_its_host_has_died(tmp_path: Path, process: Process) -> None:
    """Those that are read go, the one that it writes stays, nothing is read twice or left out."""
    journal = Journal(tmp_path)
    for number in range(10):
        process.write(30)
        assert read_all(journal) == [f"W{number * 30 + one}" for one in range(30)]
        assert len(segments(tmp_path)) == 1
    process.kill()
    assert read_all(journal) == []
    assert segments(tmp_path) == []


def test_what_a_killed_writer_left_is_read_before_it_goes(tmp_path: Path, process: Process) -> None:
    """By the host that started it, which knows that it has ended, and by the next one, which does not."""
    journal = Journal(tmp_path)
    journal.watch(7)
    process.write(100)
    process.kill()
    journal.commit(journal.read(7))
    journal.writer_ended(7)
    again = Journal(tmp_path)
    assert read_all(again) == [f"W{number}" for number in range(7, 100)]
    assert segments(tmp_path) == []


def test_a_record_that_a_kill_has_torn_ends_its_writers_segments(tmp_path: Path) -> None:
    """What stood before it is read, its segment goes, and the other writers' records are not held up."""
    writer = Writer(tmp_path, 7)
    writer.append(record(1))
    path = segment_path(tmp_path, 7, 1)
    with path.open("ab") as torn:
        torn.write(FRAME.pack(1000, 1) + b"[half of it")
    writer.close()
    Writer(tmp_path, 8).append(record(2))
    journal = Journal(tmp_path)
    assert sorted(read_all(journal)) == ["W1", "W2"]
    assert segments(tmp_path) == []


def test_a_record_that_is_being_written_is_read_when_it_is_whole(tmp_path: Path) -> None:
    """A reader may see any part of it: nothing until then, not the record behind it either."""
    writer = Writer(tmp_path, 7)
    writer.append(record(1))
    writer.append(record(2, "long" * 500))
    path = segment_path(tmp_path, 7, 1)
    whole = path.read_bytes()
    journal = Journal(tmp_path)
    os.truncate(path, len(whole) - 700)
    assert read_all(journal) == ["W1"]
    path.write_bytes(path.read_bytes()[: len(whole) - 700] + b"\0" * 700)
    assert read_all(journal) == []
    path.write_bytes(path.read_bytes()[:8] + whole[8:])
    assert read_all(journal) == ["W2"]


def test_writers_have_their_turns(tmp_path: Path) -> None:
    """However much a busy one has written, each of the others is next after one batch."""
    journal = Journal(tmp_path)
    busy, *others = [journal.new_writer() for _ in range(4)]
    for writer in (busy, *others):
        count = 1000 if writer == busy else 20
        opened = Writer(tmp_path, writer)
        journal.watch(writer)
        for number in range(count):
            opened.append(record(writer * 1000 + number))
    turns = []
    for _ in range(8):
        batch = journal.read(10)
        journal.commit(batch)
        turns.append(int(names(batch.payloads)[0][1:]) // 1000)
    assert turns == [busy, *others, busy, *others]
    assert len(read_all(journal)) == 1060 - 80


def test_a_reader_between_two_segments_does_not_take_the_writer_for_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At whatever step of the change it looks, it goes on to the next one."""
    monkeypatch.setattr(journal_file, "_SEGMENT_BYTES", 1)
    writer = Writer(tmp_path, 7)
    writer.append(record(0))
    journal = Journal(tmp_path)
    found = read_all(journal)

    def looking(function: Callable[..., Any]) -> Callable[..., Any]:
        def look(*arguments: Any) -> Any:
            found.extend(read_all(journal))
            done = function(*arguments)
            found.extend(read_all(journal))
            return done

        return look

    steps = {name: looking(getattr(os, name)) for name in ("open", "pwrite", "close")}
    for number in range(1, 4):
        with monkeypatch.context() as patched:
            patched.setattr(journal_file, "os", _Steps(steps))
            writer.append(record(number))
        found += read_all(journal)
    assert found == ["W0", "W1", "W2", "W3"]


class _Steps:
    """The module `os`, with some of its functions replaced."""

    def __init__(self, functions: dict[str, Callable[..., Any]]) -> None:
        self._functions = functions

    def __getattr__(self, name: str) -> Any:
        return self._functions.get(name) or getattr(os, name)


def test_numbers_of_writers_are_never_given_twice(tmp_path: Path, process: Process) -> None:
    """A host that starts anew, beside a writer of the one before."""
    process.write(1)
    journal = Journal(tmp_path)
    assert journal.new_writer() > 8
    assert segments(tmp_path, 8) != []
