"""Live files: which state an engine goes on from, when its ratchets go, and that nobody else gets at it."""

import sqlite3
import zlib
from contextlib import closing
from pathlib import Path

import pytest

from relay.engines import live_files
from relay.engines.live_files import LiveFile
from relay.model.errors import ConfigError
from relay.model.ids import SessionId

SESSION = SessionId("ses_1")
_SCHEMA = """
    PRAGMA journal_mode = WAL;
    CREATE TABLE whatsmeow_device (jid text PRIMARY KEY, lid text);
    CREATE TABLE whatsmeow_identity_keys (their_id text PRIMARY KEY);
    CREATE TABLE whatsmeow_sessions (their_id text PRIMARY KEY);
    CREATE TABLE whatsmeow_sender_keys (chat_id text, sender_id text);
"""
_LINK = "INSERT INTO whatsmeow_device VALUES ('5511999990001:7@s.whatsapp.net', '100000000000001:7@lid')"
OWN_KEYS = {"5511999990001:7", "100000000000001_1:7"}
# The account's phone and its other clients, and people whose names begin as ours do.
OTHERS_KEYS = {
    "5511999990001:0",
    "100000000000001_1:0",
    "100000000000001_1:71",
    "1000000000000011_1:7",
    "5511988887777:0",
}


def make(path: Path, *, talked_with: str) -> None:
    """A linked account's database, as far as this code looks at it."""
    with closing(sqlite3.connect(path)) as db, db:
        db.executescript(_SCHEMA)
        db.execute(_LINK)
        talk(db, talked_with)
        db.executemany(
            "INSERT INTO whatsmeow_sender_keys VALUES ('1@g.us', ?)",
            [(key,) for key in sorted(OWN_KEYS | OTHERS_KEYS)],
        )


def talk(db: sqlite3.Connection, somebody: str) -> None:
    db.execute("INSERT INTO whatsmeow_sessions VALUES (?)", (somebody,))
    db.execute("INSERT INTO whatsmeow_identity_keys VALUES (?)", (somebody,))


def column(path: Path, name: str, table: str) -> set[str]:
    with closing(sqlite3.connect(path)) as db:
        return {row[0] for row in db.execute(f"SELECT {name} FROM whatsmeow_{table}")}


def ratchets(file: LiveFile) -> set[str]:
    return column(file.path, "their_id", "sessions")


def people_met(file: LiveFile) -> set[str]:
    return column(file.path, "their_id", "identity_keys")


def sender_keys(file: LiveFile) -> set[str]:
    return column(file.path, "sender_id", "sender_keys")


def saved(folder: Path, talked_with: str) -> bytes:
    """A snapshot that another machine has kept."""
    path = folder / f"{talked_with}.db"
    make(path, talked_with=talked_with)
    with closing(sqlite3.connect(path)) as db:
        return zlib.compress(db.serialize())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "live"
    folder.mkdir(mode=0o700)
    return folder


@pytest.fixture
def file(folder: Path) -> LiveFile:
    """Linked under term 3, and used."""
    file = LiveFile(folder, SESSION)
    assert not file.make_ready(term=3, auth=None, auth_term=None)
    make(file.path, talked_with="live")
    return file


def test_an_account_without_any_state_is_to_be_linked(folder: Path) -> None:
    """There is an empty file for the library then, which nobody else can read; asked again, still nothing is there."""
    file = LiveFile(folder, SESSION)
    for _ in range(2):
        assert not file.make_ready(term=1, auth=None, auth_term=None)
        assert file.path.stat().st_mode & 0o077 == 0
        with closing(sqlite3.connect(file.path)) as db:
            assert db.execute("SELECT count(*) FROM sqlite_master").fetchone() == (0,)


@pytest.mark.parametrize("term", [3, 4])
def test_a_restart_goes_on_from_the_file(file: LiveFile, tmp_path: Path, term: int) -> None:
    """The same term, or the next one: nobody can have been in between, and every ratchet is good."""
    assert file.make_ready(term=term, auth=saved(tmp_path, "old"), auth_term=3)
    assert ratchets(file) == {"live"}
    assert sender_keys(file) == OWN_KEYS | OTHERS_KEYS
    assert file.make_ready(term=term + 1, auth=None, auth_term=None)
    assert ratchets(file) == {"live"}


def test_another_holder_in_between_costs_the_ratchets(file: LiveFile, tmp_path: Path) -> None:
    """It kept no newer state, so the file is the newest; what it has said with our keys is not said again."""
    assert file.make_ready(term=5, auth=saved(tmp_path, "old"), auth_term=3)
    assert ratchets(file) == set()
    assert sender_keys(file) == OTHERS_KEYS
    assert people_met(file) == {"live"}


def test_a_newer_snapshot_wins(file: LiveFile, tmp_path: Path) -> None:
    """Another holder kept its state after this file was used; nothing of the file is left, its -wal neither."""
    with closing(sqlite3.connect(file.path)) as db:
        talk(db, "in the wal")
        db.commit()
        assert file.make_ready(term=5, auth=saved(tmp_path, "newer"), auth_term=4)
    assert people_met(file) == {"newer"}
    assert ratchets(file) == set()
    assert sender_keys(file) == OTHERS_KEYS


def test_a_fresh_machine_starts_from_the_snapshot(folder: Path, tmp_path: Path) -> None:
    file = LiveFile(folder, SESSION)
    assert file.make_ready(term=9, auth=saved(tmp_path, "old"), auth_term=1)
    assert people_met(file) == {"old"}
    assert ratchets(file) == set()
    assert file.path.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("damage", ["no term", "no number", "no database", "no sqlite", "half", "unlinked"])
def test_a_damaged_file_is_replaced(file: LiveFile, tmp_path: Path, damage: str) -> None:
    """Whatever is wrong with it or with what it knows of its term: the snapshot is there for that."""
    term = file.path.with_suffix(".term")
    match damage:
        case "no term":
            term.unlink()
        case "no number":
            term.write_text("")
        case "no database":
            file.path.unlink()
        case "no sqlite":
            file.path.write_bytes(b"nothing that SQLite knows" * 1000)
        case "half":
            file.path.write_bytes(file.path.read_bytes()[:5000])
        case "unlinked":
            with closing(sqlite3.connect(file.path)) as db, db:
                db.execute("DELETE FROM whatsmeow_device")
    assert file.make_ready(term=4, auth=saved(tmp_path, "old"), auth_term=3)
    assert people_met(file) == {"old"}
    assert ratchets(file) == set()


def test_a_snapshot_has_what_stands_in_the_wal(file: LiveFile, folder: Path) -> None:
    """Taken while somebody works in the file; there is none when nothing has changed since."""
    with closing(sqlite3.connect(file.path)) as db:
        talk(db, "just now")
        db.commit()
        image = file.snapshot()
        assert file.snapshot() is None
        talk(db, "later")
        db.commit()
        later = file.snapshot()
    assert image is not None
    assert later is not None
    for auth, met in ((image, {"live", "just now"}), (later, {"live", "just now", "later"})):
        copy = LiveFile(folder, SessionId("ses_copy"))
        assert copy.make_ready(term=2, auth=auth, auth_term=1)
        assert people_met(copy) == met
        copy.remove()


@pytest.mark.parametrize("origin", ["linked here", "restored"])
def test_a_log_stays_short(folder: Path, tmp_path: Path, origin: str) -> None:
    """Whatever happens between two snapshots, the log is not longer than about one megabyte."""
    file = LiveFile(folder, SESSION)
    if origin == "restored":
        assert file.make_ready(term=9, auth=saved(tmp_path, "old"), auth_term=1)
    else:
        assert not file.make_ready(term=3, auth=None, auth_term=None)
        make(file.path, talked_with="live")
    with closing(sqlite3.connect(file.path)) as engine:
        engine.execute("PRAGMA journal_mode = WAL")
        for number in range(2000):
            with engine:
                talk(engine, f"{number}@lid {'x' * 500}")
        assert file.path.with_name(file.path.name + "-wal").stat().st_size < 1_200_000


def test_a_long_log_is_shrunk_beside_the_engine(file: LiveFile) -> None:
    """The memory that all live files share gets back what a burst took; what was written is still there."""
    with closing(sqlite3.connect(file.path)) as engine:
        for number in range(100):
            with engine:
                talk(engine, f"{number}@lid {'x' * 3000}")
        wal = file.path.with_name(file.path.name + "-wal")
        assert wal.stat().st_size > 512 * 1024
        assert file.snapshot() is not None
        assert wal.stat().st_size == 0
        with engine:
            talk(engine, "after")
        assert len(people_met(file)) == 102


@pytest.mark.parametrize("state", ["absent", "empty", "unlinked", "damaged"])
def test_what_is_no_account_is_never_kept(file: LiveFile, state: str) -> None:
    """A start that failed before there was a state, or a library that has wiped it: the kept one is better."""
    match state:
        case "absent":
            file.remove()
        case "empty":
            file.path.write_bytes(b"")
        case "unlinked":
            with closing(sqlite3.connect(file.path)) as db, db:
                db.execute("DELETE FROM whatsmeow_device")
        case "damaged":
            file.path.write_bytes(b"nothing that SQLite knows" * 1000)
    assert file.snapshot() is None
    assert file.path.exists() == (state != "absent")


def test_remove_leaves_nothing(file: LiveFile, folder: Path) -> None:
    """Not of this session; another's whose name begins so keeps all."""
    other = LiveFile(folder, SessionId(f"{SESSION}0"))
    other.make_ready(term=1, auth=None, auth_term=None)
    before = set(folder.glob(f"{SESSION}0.*"))
    for ending in (".db-wal", ".db-shm", ".lock", ".term.draft"):
        file.path.with_suffix(ending).touch()
    file.remove()
    assert set(folder.iterdir()) == before
    file.remove()


def test_sweep_removes_those_that_are_no_more(file: LiveFile, folder: Path) -> None:
    """Sessions that are still there keep theirs."""
    gone = LiveFile(folder, SessionId("ses_gone"))
    gone.make_ready(term=1, auth=None, auth_term=None)
    kept = set(folder.glob(f"{SESSION}.*"))
    assert live_files.list_sessions(folder) == [SESSION, "ses_gone"]
    live_files.sweep(folder, [SESSION])
    assert set(folder.iterdir()) == kept


@pytest.fixture(params=["memory", "data folder"])
def place(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where files are made, with and without a memory file system."""
    memory = tmp_path / "shm"
    if request.param == "memory":
        memory.mkdir()
    monkeypatch.setattr(live_files, "_MEMORY", memory)
    (tmp_path / "data").mkdir()
    return tmp_path / "data"


def test_the_folder_is_private_and_stays_the_same(place: Path) -> None:
    """Nobody else enters it; each data folder has its own."""
    folder = live_files.open_folder(place)
    assert folder.stat().st_mode & 0o777 == 0o700
    assert live_files.open_folder(place) == folder
    (place / "other").mkdir()
    assert live_files.open_folder(place / "other") != folder


@pytest.mark.parametrize("made", ["symlink", "open", "file", "another's"])
def test_a_folder_that_somebody_else_has_made_is_refused(
    place: Path, tmp_path: Path, made: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error names it and says what to do."""
    folder = live_files.open_folder(place)
    folder.rmdir()
    if made == "symlink":
        (tmp_path / "theirs").mkdir(mode=0o700)
        folder.symlink_to(tmp_path / "theirs")
    elif made == "open":
        folder.mkdir()
        folder.chmod(0o750)
    elif made == "file":
        folder.touch(mode=0o600)
    else:
        folder.mkdir(mode=0o700)
        lstat = Path.lstat
        monkeypatch.setattr(Path, "lstat", lambda path: _of_another(lstat(path)))
    with pytest.raises(ConfigError, match="remove it and start again") as refused:
        live_files.open_folder(place)
    assert str(folder) in refused.value.detail


def _of_another(found: object) -> object:
    class Status:
        st_mode = found.st_mode  # type: ignore[attr-defined]
        st_uid = found.st_uid + 1  # type: ignore[attr-defined]

    return Status()
