"""The embedded PostgreSQL through everything that happens to a server: stops, crashes, odd folders, odd users."""

import asyncio
import os
import shutil
import signal
import stat
import sys
import tempfile
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg
import psutil
import pytest

from relay.store import embedded, embedded_account
from relay.store.embedded import EmbeddedPostgres, EmbeddedPostgresError
from relay.store.embedded_account import Account, choose_account, is_namespace_allowed, start_program
from relay.store.embedded_folder import list_leftovers

ROOT = Path(__file__).resolve().parents[2]
WAYS = ["namespace", "switch", "switch, programs out of reach"] if os.geteuid() == 0 else ["self"]

# Another Relay: holds the folder until SIGTERM, and says when PostgreSQL is up.
OWNER = """
import asyncio, os, signal, sys
from pathlib import Path
from relay.store.embedded import EmbeddedPostgres

async def main():
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    async with EmbeddedPostgres(Path(sys.argv[1])) as postgres:
        print(postgres.pid, os.geteuid(), postgres.url, flush=True)
        await stop.wait()

asyncio.run(main())
"""


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(url)
    try:
        yield connection
    finally:
        await connection.close()


async def write_row(url: str) -> None:
    async with connected(url) as connection:
        await connection.execute("CREATE TABLE kept (word text PRIMARY KEY)")
        await connection.execute("INSERT INTO kept VALUES ('durable')")


async def read_rows(url: str) -> list[str]:
    async with connected(url) as connection:
        return [row["word"] for row in await connection.fetch("SELECT word FROM kept")]


async def until(condition: Callable[[], bool], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come to pass in time"
        await asyncio.sleep(0.01)


def kill(pid: int | None, number: signal.Signals = signal.SIGKILL) -> None:
    assert pid is not None
    os.kill(pid, number)


async def spawn_owner(data_dir: Path, *launcher: str) -> Process:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}
    return await asyncio.create_subprocess_exec(
        *launcher, sys.executable, "-c", OWNER, str(data_dir), stdout=PIPE, env=environment
    )


async def read_owner(owner: Process) -> tuple[int, int, str]:
    """The postmaster's pid, the owner's user id as it sees it, and the URL."""
    assert owner.stdout is not None
    pid, uid, url = (await owner.stdout.readline()).decode().split()
    return int(pid), int(uid), url


async def test_data_and_password_survive_a_stop(tmp_path: Path) -> None:
    """What was written before a stop is there after the next start, under the same URL."""
    async with EmbeddedPostgres(tmp_path / "data") as first:
        await write_row(first.url)
        url = first.url
        assert await first.start() == url, "a second start() changes nothing"
    assert first.pid is None
    async with EmbeddedPostgres(tmp_path / "data") as second:
        assert second.url == url
        assert await read_rows(second.url) == ["durable"]
    await second.stop()


async def test_second_relay_is_refused(tmp_path: Path) -> None:
    """A folder in use is refused with a sentence naming who has it, and left alone."""
    async with EmbeddedPostgres(tmp_path) as first:
        with pytest.raises(
            EmbeddedPostgresError, match=rf"in use by another Relay \(process {os.getpid()}\)"
        ):
            await EmbeddedPostgres(tmp_path).start()
        await write_row(first.url)


async def test_killed_owner_takes_postgres_along(tmp_path: Path) -> None:
    """After kill -9 of Relay PostgreSQL ends, and what was committed is there at the next start."""
    owner = await spawn_owner(tmp_path)
    pid, _, url = await read_owner(owner)
    await write_row(url)
    owner.kill()
    await owner.wait()
    await until(lambda: not psutil.pid_exists(pid))
    async with EmbeddedPostgres(tmp_path) as postgres:
        assert await read_rows(postgres.url) == ["durable"]


async def test_restart_right_after_a_kill(tmp_path: Path) -> None:
    """A Relay started while the killed one's PostgreSQL may still be ending gets the folder."""
    owner = await spawn_owner(tmp_path)
    _, _, url = await read_owner(owner)
    await write_row(url)
    owner.kill()
    await owner.wait()
    async with EmbeddedPostgres(tmp_path) as postgres:
        assert await read_rows(postgres.url) == ["durable"]


async def test_terminated_owner_stops_in_order(tmp_path: Path) -> None:
    """SIGTERM to Relay shuts PostgreSQL down cleanly: no pid file, no socket, no process, no lock."""
    owner = await spawn_owner(tmp_path)
    pid, _, _ = await read_owner(owner)
    owner.terminate()
    assert await owner.wait() == 0
    assert not psutil.pid_exists(pid)
    assert not (tmp_path / "postgres" / "postmaster.pid").exists()
    assert not (tmp_path / "postgres" / ".s.PGSQL.5432").exists()
    assert (tmp_path / "postgres.log").read_text().endswith("database system is shut down\n")


async def test_interrupt_of_the_terminal_is_ours(tmp_path: Path) -> None:
    """PostgreSQL is in a session of its own, where a terminal's Ctrl+C does not reach it."""
    async with EmbeddedPostgres(tmp_path) as postgres:
        assert postgres.pid is not None
        assert os.getsid(postgres.pid) == postgres.pid != os.getsid(0)


def _count_busy(cluster: Path) -> int:
    return sum("SELECT" in " ".join(one.cmdline()) for one in list_leftovers(cluster))


async def test_killed_postgres_is_started_again(tmp_path: Path) -> None:
    """A kill -9 of PostgreSQL is noticed by wait(); start() recovers, whatever its children still do."""
    async with EmbeddedPostgres(tmp_path) as postgres:
        await write_row(postgres.url)
        url = postgres.url
        busy = await asyncpg.connect(url)
        query = asyncio.create_task(busy.execute("SELECT count(*) FROM generate_series(1, 1e12)"))
        await until(lambda: _count_busy(tmp_path / "postgres") == 1)
        waiting = asyncio.create_task(postgres.wait())
        kill(postgres.pid)
        assert await waiting == -signal.SIGKILL
        assert await postgres.start() == url
        assert await read_rows(url) == ["durable"]
        assert len([one for one in list_leftovers(tmp_path / "postgres") if one.ppid() == os.getpid()]) == 1
        with pytest.raises((asyncpg.PostgresConnectionError, ConnectionError)):
            await query


async def test_stop_does_not_wait_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A PostgreSQL that does not answer is killed in the end, and the next start recovers."""
    monkeypatch.setattr(embedded, "_STOP_STEPS", (("INT", 0.1), ("QUIT", 0.1), ("KILL", 10)))
    async with EmbeddedPostgres(tmp_path) as postgres:
        await write_row(postgres.url)
        waiting = asyncio.create_task(postgres.wait())
        kill(postgres.pid, signal.SIGSTOP)
    assert await waiting == -signal.SIGKILL
    async with EmbeddedPostgres(tmp_path) as postgres:
        assert await read_rows(postgres.url) == ["durable"]


async def test_interrupted_first_start(tmp_path: Path) -> None:
    """A start that is cancelled while the database is being made leaves no process, no lock and no obstacle."""
    before = set(psutil.Process().children())
    starting = asyncio.create_task(EmbeddedPostgres(tmp_path).start())
    await until((tmp_path / "postgres.draft").exists)
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    left = set(psutil.Process().children()) - before
    assert not [one for one in left if one.name() in {"initdb", "postgres"}]
    async with EmbeddedPostgres(tmp_path) as postgres:
        await write_row(postgres.url)


async def test_living_leftover_is_stopped(tmp_path: Path) -> None:
    """A PostgreSQL of an earlier run that still works in the folder is told by that, and ended first."""
    async with EmbeddedPostgres(tmp_path) as postgres:
        await write_row(postgres.url)
        programs = postgres._programs
    cluster = tmp_path / "postgres"
    account = await choose_account(cluster, is_namespace_allowed)
    command = [str(programs / "postgres"), "-D", account.name_folder(cluster), "-c", "listen_addresses="]
    with (tmp_path / "leftover.log").open("wb") as output:
        leftover = await start_program(
            account, [*command, "-c", "unix_socket_directories=."], folder=cluster, output=output
        )
    await until((cluster / ".s.PGSQL.5432").exists)
    async with EmbeddedPostgres(tmp_path) as postgres:
        await leftover.wait()
        said = (tmp_path / "leftover.log").read_text()
        assert said.endswith("database system is shut down\n"), "it was asked, not killed"
        assert postgres.pid != leftover.pid
        assert await read_rows(postgres.url) == ["durable"]


async def test_foreign_process_with_the_old_pid_is_left_alone(tmp_path: Path) -> None:
    """A pid file of a crashed run whose number somebody else has now: we start, and they live."""
    async with EmbeddedPostgres(tmp_path) as postgres:
        await write_row(postgres.url)
        kill(postgres.pid)
        await postgres.wait()
        await until(lambda: not list_leftovers(tmp_path / "postgres"))
    stranger = await asyncio.create_subprocess_exec("sleep", "60")
    for name in ("postmaster.pid", ".s.PGSQL.5432.lock"):
        file = tmp_path / "postgres" / name
        _, rest = file.read_text().split("\n", 1)
        file.write_text(f"{stranger.pid}\n{rest}")
    async with EmbeddedPostgres(tmp_path) as postgres:
        assert await read_rows(postgres.url) == ["durable"]
    assert stranger.returncode is None
    stranger.kill()
    await stranger.wait()


async def test_long_path(tmp_path: Path) -> None:
    """Where the path is too long for a socket, clients go through a short private folder, which goes with the stop."""
    data_dir = tmp_path / ("long, " * 20) / ("longer" * 20) / "data"
    async with EmbeddedPostgres(data_dir) as postgres:
        await write_row(postgres.url)
        assert postgres._socket_folder is not None
        short = postgres._socket_folder.parent
        assert stat.S_IMODE(short.stat().st_mode) == 0o700
        kill(postgres.pid)
        await postgres.wait()
        await postgres.start()
        assert await read_rows(postgres.url) == ["durable"]
    assert not short.exists()


async def test_socket_is_private_and_passwords_are_asked_for(tmp_path: Path) -> None:
    """Nobody else reaches the socket, nothing listens on the network, and even we need the password."""
    async with EmbeddedPostgres(tmp_path) as postgres:
        assert stat.S_IMODE((tmp_path / "postgres").stat().st_mode) == 0o700
        assert stat.S_IMODE((tmp_path / "postgres" / ".s.PGSQL.5432").stat().st_mode) & 0o077 == 0
        assert stat.S_IMODE((tmp_path / "postgres.password").stat().st_mode) == 0o600
        assert psutil.Process(postgres.pid).net_connections("inet") == []
        for database in ("relay", "postgres"):
            with pytest.raises(asyncpg.InvalidPasswordError):
                await asyncpg.connect(postgres.url, password="guess", database=database)


async def test_durability_stays_on(tmp_path: Path) -> None:
    """What Relay promises to keep is on disk when it says so."""
    async with EmbeddedPostgres(tmp_path) as postgres, connected(postgres.url) as connection:
        for name in ("fsync", "synchronous_commit", "full_page_writes", "data_checksums"):
            assert await connection.fetchval(f"SHOW {name}") == "on"
        assert await connection.fetchval("SHOW server_encoding") == "UTF8"


async def test_log_holds_no_rows(tmp_path: Path) -> None:
    """A failing statement leaves neither its text nor its values in PostgreSQL's log."""
    async with EmbeddedPostgres(tmp_path) as postgres, connected(postgres.url) as connection:
        await connection.execute("CREATE TABLE people (phone text PRIMARY KEY, level int)")
        await connection.execute("INSERT INTO people VALUES ('+4915112345678', 1)")
        with pytest.raises(asyncpg.UniqueViolationError):
            await connection.execute("INSERT INTO people VALUES ($1, 2)", "+4915112345678")
        with pytest.raises(asyncpg.DataError):
            await connection.execute("UPDATE people SET level = '+4915112345678 is not a number'::text::int")
    log = tmp_path / "postgres.log"
    assert "4915112345678" not in log.read_text()
    assert stat.S_IMODE(log.stat().st_mode) == 0o600


async def test_long_log_is_moved_aside(tmp_path: Path) -> None:
    """A log that has grown too long makes room, and PostgreSQL goes on writing to the same file."""
    log = tmp_path / "postgres.log"
    log.write_bytes(b"x" * 5_000_000)
    async with EmbeddedPostgres(tmp_path):
        assert log.stat().st_size < 10_000
        assert log.with_name("postgres.log.1").stat().st_size == 5_000_000


async def test_failed_start_tells_why_and_lets_go(tmp_path: Path) -> None:
    """PostgreSQL's own words come with the error, and the folder is free for the next try."""
    with pytest.raises(EmbeddedPostgresError, match="shared_buffers"):
        await EmbeddedPostgres(tmp_path, settings={"shared_buffers": "plenty"}).start()
    async with EmbeddedPostgres(tmp_path) as postgres:
        assert postgres.pid is not None


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("PG_VERSION", "17\n", "PostgreSQL 17, and this Relay brings 18"),
        ("letter.txt", "dear", "unknown version"),
    ],
)
async def test_foreign_cluster_is_refused(tmp_path: Path, name: str, content: str, sentence: str) -> None:
    """A folder that is not our PostgreSQL's is left as it is."""
    (tmp_path / "postgres").mkdir()
    (tmp_path / "postgres" / name).write_text(content)
    with pytest.raises(EmbeddedPostgresError, match=sentence):
        await EmbeddedPostgres(tmp_path).start()
    assert [path.name for path in (tmp_path / "postgres").iterdir()] == [name]


async def test_lost_password_is_told(tmp_path: Path) -> None:
    """Without its password file a database is refused with the sentence, not given a new password that is wrong."""
    async with EmbeddedPostgres(tmp_path):
        pass
    (tmp_path / "postgres.password").unlink()
    with pytest.raises(EmbeddedPostgresError, match="password file"):
        await EmbeddedPostgres(tmp_path).start()


async def test_half_made_cluster_is_made_anew(tmp_path: Path) -> None:
    """A first start that was killed in the middle is no obstacle to the second."""
    (tmp_path / "postgres.draft" / "base").mkdir(parents=True)
    (tmp_path / "postgres.draft" / "PG_VERSION").write_text("18\n")
    async with EmbeddedPostgres(tmp_path) as postgres:
        await write_row(postgres.url)


@pytest.fixture
def home() -> Iterator[Path]:
    """A home with mode 0700, in a folder that everybody may enter."""
    base = Path(tempfile.mkdtemp(prefix="relay-test-"))
    base.chmod(0o755)
    (base / "home").mkdir(mode=0o700)
    (base / "home" / "work").mkdir(mode=0o750)
    yield base / "home" / "work"
    shutil.rmtree(base)


@pytest.mark.parametrize("way", WAYS)
async def test_below_a_private_home(home: Path, way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """As whoever we are, by every way there is, it runs below a 0700 home and changes nothing above its own files."""

    async def is_allowed(account: Account) -> bool:
        return way == "namespace" and await is_namespace_allowed(account)

    if "out of reach" in way:
        installed = embedded_account.find_installed()
        for name in (installed.name, f"{installed.name}.libs"):
            (home / name).symlink_to(installed.parent / name)
        monkeypatch.setattr(embedded, "find_installed", lambda: home / installed.name)
        monkeypatch.setattr(embedded, "SHARED_FOLDER", home.parents[1] / "shared")
    above = [home, *home.parents]
    before = [(path.stat().st_mode, path.stat().st_uid, path.stat().st_gid) for path in above]
    for _ in range(2):
        async with EmbeddedPostgres(home / "data", is_namespace_allowed=is_allowed) as postgres:
            async with connected(postgres.url) as connection:
                await connection.execute("CREATE TABLE IF NOT EXISTS kept (word text)")
                await connection.execute("INSERT INTO kept VALUES ('durable')")
            assert postgres.pid is not None
            runs_as = psutil.Process(postgres.pid).uids().real
            assert (runs_as == os.geteuid()) == (way in {"self", "namespace"})
            assert postgres._programs.is_relative_to(home.parents[1] / "shared") == ("out of reach" in way)
    async with EmbeddedPostgres(home / "data", is_namespace_allowed=is_allowed) as postgres:
        assert await read_rows(postgres.url) == ["durable", "durable"]
        kill(postgres.pid)
        await postgres.wait()
        await postgres.start()
        assert await read_rows(postgres.url) == ["durable", "durable"]
    assert [(path.stat().st_mode, path.stat().st_uid, path.stat().st_gid) for path in above] == before


async def test_namespaces_may_go_away(home: Path) -> None:
    """A database made by one way is run by the other later on: a move to a container, for one, costs nothing."""

    async def forbidden(_: Account) -> bool:
        return False

    async with EmbeddedPostgres(home) as postgres:
        await write_row(postgres.url)
    for probe in (forbidden, is_namespace_allowed):
        async with EmbeddedPostgres(home, is_namespace_allowed=probe) as postgres:
            assert await read_rows(postgres.url) == ["durable"]


async def test_ordinary_user(home: Path) -> None:
    """An ordinary user gets a plain child, which ends with its parent too; root becomes one to show it."""
    account = await choose_account(home / "data", is_namespace_allowed)
    launcher = [str(Path(embedded_account.__file__).with_name("embedded_launch.py")), str(os.getpid())]
    change = [account.kind, str(account.uid), str(account.gid)]
    os.chown(home, *account.owner)
    owner = await spawn_owner(home / "data", sys.executable, *launcher, *change)
    pid, uid, url = await read_owner(owner)
    assert uid != 0
    assert f"{home}/data/postgres" in psutil.Process(pid).cmdline(), "started plainly, by its own path"
    await write_row(url)
    owner.kill()
    await owner.wait()
    await until(lambda: not psutil.pid_exists(pid))
