"""The auth state of accounts that are connected from this machine: files in memory, never on a disk.

    snapshot (sealed in Postgres) ──restore, drop ratchets──► live file ──engine process works in it
              ▲                                                   │
              └──────────── SQLite's own backup, compressed ──────┘   taken here, never in the engine's process

A live file knows the lease's term under which it was last used. Where nobody else has held the session since, an engine
goes on from it as it is. Otherwise somebody may have used a copy meanwhile: then the newest there is, is taken, without
its ratchets, so that the first message each way makes new ones.
"""

import hashlib
import os
import sqlite3
import stat
import zlib
from collections.abc import Iterable
from contextlib import closing, suppress
from pathlib import Path
from urllib.parse import quote

from relay.model.errors import ConfigError
from relay.model.ids import SessionId

_MEMORY = Path("/dev/shm")  # noqa: S108 - the folder made there is checked to be ours alone
_PAGE_BYTES = 1024
"""The library's log grows to a thousand pages, and a message changes some bytes on a few of them."""
_LOG_MOST_BYTES = 256 * 1024
_PARTS = (".db", ".db-wal", ".db-shm", ".term", ".term.draft", ".lock")


def open_folder(data_dir: Path) -> Path:
    """The private folder of this Relay's live files. Raises ConfigError where somebody else has made it."""
    name = f"relay-{os.getuid()}-{hashlib.sha256(os.fsencode(data_dir.resolve())).hexdigest()[:16]}"
    folder = _MEMORY / name if os.access(_MEMORY, os.W_OK) else data_dir / "live"
    with suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
        raise ConfigError(
            f"{folder}: must be a folder that only this user can enter; remove it and start again."
        )
    return folder


def sweep(folder: Path, known: Iterable[SessionId]) -> None:
    """Remove what belongs to sessions that are no more."""
    names = set(known)
    for path in folder.iterdir():
        if path.name.partition(".")[0] not in names:
            path.unlink(missing_ok=True)


def list_sessions(folder: Path) -> list[SessionId]:
    return sorted({SessionId(path.name.partition(".")[0]) for path in folder.iterdir()})


class LiveFile:
    """One session's. Its methods block; none but `snapshot` is for while an engine works in it."""

    def __init__(self, folder: Path, session_id: SessionId) -> None:
        self._base = folder / session_id
        self._seen: tuple[object, ...] | None = None

    @property
    def path(self) -> Path:
        return self._part(".db")

    def _part(self, ending: str) -> Path:
        return self._base.with_name(self._base.name + ending)

    def make_ready(self, *, term: int, auth: bytes | None, auth_term: int | None) -> bool:
        """Bring the file up to the newest state there is; False when there is none and the account must be linked."""
        used_in = self._find_term()
        if used_in is not None and used_in >= (auth_term or 0):
            if used_in < term - 1:
                drop_ratchets(self.path)
        elif auth is not None:
            self.remove()
            self._touch()
            self.path.write_bytes(zlib.decompress(auth))
            drop_ratchets(self.path)
            set_page_size(self.path)
        else:
            self.remove()
            self._touch()
            set_page_size(self.path)
            self._note_term(term)
            return False
        self._note_term(term)
        return True

    def _find_term(self) -> int | None:
        """Under which term a linked account's file was last used; None without one."""
        try:
            term = int(self._part(".term").read_text())
        except (OSError, ValueError):
            return None
        return term if self._is_linked() else None

    def _is_linked(self) -> bool:
        """Whether there is an account in it, as far as it can be read."""
        try:
            with closing(self._connect()) as db:
                found: int = db.execute("SELECT count(*) FROM whatsmeow_device").fetchone()[0]
        except sqlite3.Error:
            return False
        return found > 0

    def _connect(self) -> sqlite3.Connection:
        """A file that is not there is not made."""
        return sqlite3.connect(f"file:{quote(str(self.path))}?mode=rw", uri=True)

    def _note_term(self, term: int) -> None:
        draft = self._part(".term.draft")
        draft.write_text(str(term))
        draft.rename(self._part(".term"))

    def _touch(self) -> None:
        """SQLite would make it, for everybody to read."""
        os.close(os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))

    def snapshot(self) -> bytes | None:
        """The account's state as it is now; None when it has not changed since the last time, or there is none.

        A state that was wiped, or never came to be, must not take the place of one that was kept.
        """
        looks = self._look()
        if looks == self._seen or not self._is_linked():
            return None
        with closing(self._connect()) as source, closing(sqlite3.connect(":memory:")) as copy:
            source.backup(copy)
            image = copy.serialize()
            self._shrink_log(source)
        self._seen = looks
        return zlib.compress(image, 1)

    def _shrink_log(self, db: sqlite3.Connection) -> None:
        """A log keeps the size it once had, in the memory that all live files share."""
        # Another process is at work in it: what cannot be had at once is had the next time.
        with suppress(FileNotFoundError, sqlite3.OperationalError):
            if self._part(".db-wal").stat().st_size > _LOG_MOST_BYTES:
                db.execute("PRAGMA busy_timeout = 100")
                db.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def _look(self) -> tuple[object, ...]:
        found: list[object] = []
        for ending in (".db", ".db-wal"):
            try:
                status = self._part(ending).stat()
            except FileNotFoundError:
                continue
            found += [ending, status.st_mtime_ns, status.st_size]
        return tuple(found)

    def remove(self) -> None:
        for ending in _PARTS:
            self._part(ending).unlink(missing_ok=True)
        self._seen = None


def set_page_size(path: Path) -> None:
    """Of a file that nobody works in, empty or restored; the library takes it as it finds it."""
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA journal_mode = DELETE")
        db.execute(f"PRAGMA page_size = {_PAGE_BYTES}")
        db.execute("VACUUM")


def drop_ratchets(path: Path) -> None:
    """Forget the sessions with all devices, and our own sender keys; identity and prekeys stay."""
    with closing(sqlite3.connect(path)) as db, db:
        own = [
            (_address(jid),)
            for row in db.execute("SELECT jid, lid FROM whatsmeow_device")
            for jid in row
            if jid
        ]
        db.execute("DELETE FROM whatsmeow_sessions")
        # Those of the account's phone are not ours: what it says in groups is to be read.
        db.executemany("DELETE FROM whatsmeow_sender_keys WHERE sender_id = ?", own)


def _address(jid: str) -> str:
    """A device's name in the keys' tables: `user:device`, a LID's `user_1:device`."""
    name, _, server = jid.partition("@")
    user, _, device = name.partition(":")
    return f"{user}_1:{device or 0}" if server == "lid" else f"{user}:{device or 0}"
