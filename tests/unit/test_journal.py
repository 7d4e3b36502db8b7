"""The local journal: nothing appended is lost, nothing committed is read again, a torn end harms nothing."""

import os
import resource
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.engines import journal_file as module
from relay.engines.engine import Received
from relay.engines.journal_file import Record
from relay.host import journal as reading
from relay.host.journal import Journal, adopt_orphans, parse, take_slot
from relay.model.ids import SessionId, TenantId
from relay.model.message import MessageType, Party

AT = datetime(2026, 1, 1, tzinfo=UTC)


def record(number: int, text: str = "hello") -> Record:
    entry = Received(
        wa_id=f"W{number}",
        chat="5511999998888@s.whatsapp.net",
        sender=Party(pn="5511999998888"),
        from_me=False,
        type=MessageType.TEXT,
        content={"text": text},
        sent_at=AT,
    )
    return Record(TenantId("ten_1"), SessionId("ses_1"), entry)


def names(payloads: list[bytes]) -> list[str]:
    return [parse(payload).entry.wa_id for payload in payloads]  # type: ignore[union-attr]


def read_all(journal: Journal) -> list[str]:
    found: list[str] = []
    while (batch := journal.read(7)).payloads:
        found += names(batch.payloads)
        journal.commit(batch)
    return found


def test_what_is_appended_is_read_once_and_in_order(tmp_path: Path) -> None:
    """Batches follow each other; a batch that is not committed is read again."""
    journal = Journal(tmp_path)
    for number in range(20):
        journal.append(record(number))
    assert names(journal.read(7).payloads) == names(journal.read(7).payloads)
    assert read_all(journal) == [f"W{number}" for number in range(20)]
    assert journal.read(7).payloads == []
    assert journal.backlog_bytes == 0


def test_a_restart_goes_on_after_the_last_commit(tmp_path: Path) -> None:
    """The head is on disk; what was appended and not committed is still there."""
    journal = Journal(tmp_path)
    for number in range(10):
        journal.append(record(number))
    journal.commit(journal.read(4))
    again = Journal(tmp_path)
    again.append(record(10))
    assert read_all(again) == [f"W{number}" for number in range(4, 11)]


def test_a_killed_process_loses_nothing_it_appended(tmp_path: Path) -> None:
    """SIGKILL right after append: every record is read by the next process."""
    script = (
        "import os, signal, sys; from pathlib import Path; from tests.unit.test_journal import *\n"
        "journal = Journal(Path(sys.argv[1]))\n"
        "for number in range(500): journal.append(record(number))\n"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", script, str(tmp_path)], cwd=root, check=False)
    assert done.returncode == -9
    assert read_all(Journal(tmp_path)) == [f"W{number}" for number in range(500)]


@given(cut=st.integers(min_value=1, max_value=120))
def test_a_torn_end_costs_only_the_torn_record(tmp_path_factory: pytest.TempPathFactory, cut: int) -> None:
    """However much of the last record is missing, those before it and after the restart are read."""
    folder = tmp_path_factory.mktemp("torn")
    journal = Journal(folder)
    for number in range(3):
        journal.append(record(number))
    (segment,) = folder.glob("segment-*.journal")
    os.truncate(segment, segment.stat().st_size - cut)
    again = Journal(folder)
    again.append(record(9))
    assert read_all(again) == ["W0", "W1", "W9"]


def test_a_changed_byte_is_noticed(tmp_path: Path) -> None:
    """The checksum ends a segment at a record that is not what was written."""
    journal = Journal(tmp_path)
    journal.append(record(1))
    journal.append(record(2))
    (segment,) = tmp_path.glob("segment-*.journal")
    content = bytearray(segment.read_bytes())
    content[-5] ^= 1
    segment.write_bytes(content)
    assert read_all(Journal(tmp_path)) == ["W1"]


def test_full_segments_follow_each_other_and_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A segment opens when one is full, and is removed once it is committed."""
    monkeypatch.setattr(module, "_SEGMENT_BYTES", 1000)
    journal = Journal(tmp_path)
    for number in range(50):
        journal.append(record(number))
    assert len(list(tmp_path.glob("segment-*"))) > 5
    assert read_all(journal) == [f"W{number}" for number in range(50)]
    assert len(list(tmp_path.glob("segment-*"))) == 1


def test_a_mark_tells_what_is_committed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also over segments that have come and gone: what stands before the mark is in Postgres, or it is not."""
    monkeypatch.setattr(module, "_SEGMENT_BYTES", 1000)
    journal = Journal(tmp_path)
    assert journal.is_committed(journal.mark())
    for number in range(50):
        journal.append(record(number))
        if number % 7 == 0:
            mark = journal.mark()
            assert not journal.is_committed(mark)
            journal.append(record(number))
            journal.sync()
            read_all(journal)
            assert journal.is_committed(mark)


def test_a_record_larger_than_a_read_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "_READ_BYTES", 600)
    journal = Journal(tmp_path)
    for number, text in enumerate(["short", "long" * 1000, "short"]):
        journal.append(record(number, text))
    assert read_all(journal) == ["W0", "W1", "W2"]


def test_nul_is_kept_out_of_the_way(tmp_path: Path) -> None:
    """Postgres refuses U+0000: it is left out, and a text that spells its escape is not touched."""
    journal = Journal(tmp_path)
    journal.append(record(1, "a\x00b"))
    journal.append(record(2, "a\\u0000b"))
    texts = [parse(payload).entry.content["text"] for payload in journal.read(9).payloads]  # type: ignore[union-attr]
    assert texts == ["ab", "a\\u0000b"]


def test_slots_are_held_by_one_process_and_keep_their_name(tmp_path: Path) -> None:
    """Two hosts take two slots; a slot that is free again has the same holder."""
    first, second = take_slot(tmp_path), take_slot(tmp_path)
    assert first.path != second.path
    assert first.holder != second.holder
    first.release()
    assert take_slot(tmp_path).holder == first.holder


def test_only_slots_that_nobody_holds_are_adopted(tmp_path: Path) -> None:
    """What a host left behind that is not started any more is found; a living host's is not."""
    mine, living, dead = (take_slot(tmp_path) for _ in range(3))
    for slot in (mine, living, dead):
        Journal(slot.path).append(record(1))
    dead.release()
    assert [slot.path for slot in adopt_orphans(tmp_path, mine)] == [dead.path]


def test_a_disk_that_was_full_for_a_moment_tears_nothing(tmp_path: Path) -> None:
    """The kernel takes half of a record: its writer is told, and what comes after it is read."""
    journal = Journal(tmp_path)
    journal.append(record(0))
    (segment,) = tmp_path.glob("segment-*")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (segment.stat().st_size + 20, before[1]))
    try:
        with pytest.raises(OSError, match="File too large"):
            journal.append(record(1))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    journal.append(record(2))
    assert read_all(journal) == ["W0", "W2"]
