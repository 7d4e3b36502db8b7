"""`relay keys` as an operator runs it: killed anywhere, under load, on several machines."""

import asyncio
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import httpx
import pytest

from relay.commands import rotation
from relay.model.ids import TenantId, new_tenant_id
from relay.model.tenant import Retention
from relay.store import tenants
from relay.store.master_keys import lock_rotation
from relay.store.pool import Connection, Pool, connect
from relay.vault import Vault, data_key_identity, key_id_of, name_of, open_vault, read_ring
from tests.api_client import MASTER_KEY
from tests.flow.killed_rotation import POINTS
from tests.flow.ledger import WIDE_LIMITS, Sink, Traffic, open_sink
from tests.flow.serving import Program, Relay, environment, link, make_tenant, program, serving, shared, until

ROOT = Path(__file__).parents[2]
ROTATE = ("keys", "rotate", "--one-machine")


class Secrets:
    """Tenants, each with a secret that its data key has sealed."""

    def __init__(self) -> None:
        self.sealed: dict[TenantId, bytes] = {}

    async def add(self, conn: Connection, vault: Vault, count: int) -> None:
        for _ in range(count):
            tenant_id = new_tenant_id()
            await tenants.insert_tenant(conn, vault, tenant_id=tenant_id, name="Acme", retention=Retention())
            key = await tenants.get_data_key(conn, vault, tenant_id)
            self.sealed[tenant_id] = key.seal(tenant_id.encode(), identity="place")

    async def open_all(self, conn: Connection, vault: Vault) -> None:
        for tenant_id, sealed in self.sealed.items():
            key = await tenants.get_data_key(conn, vault, tenant_id)
            assert key.open(sealed, identity="place") == tenant_id.encode()


@pytest.fixture
async def conn(pool: Pool) -> AsyncIterator[Connection]:
    async with pool.acquire() as conn:
        yield conn


# --- the command -------------------------------------------------------------------------------------------------


async def run(folder: Path, environ: dict[str, str], *words: str) -> Program:
    """`relay WORDS`, ended."""
    async with program(folder, *words, environ=environ) as ran:
        await ran.ends()
        assert "Traceback" not in ran.log
        return ran


async def test_a_rotation_that_other_machines_could_miss_is_refused(
    conn: Connection, url: str, tmp_path: Path
) -> None:
    """Where other machines may share the database: first a key that waits, then its use; each step says the next."""
    environ = shared(url, tmp_path)
    secrets, file = Secrets(), tmp_path / "master.key"
    await secrets.add(conn, open_vault(file), 3)
    refused = await run(tmp_path, environ, "keys", "rotate")
    assert (refused.process.returncode, read_ring(file)) == (2, [MASTER_KEY])
    assert "relay keys rotate --prepare" in refused.log

    prepared = await run(tmp_path, environ, "keys", "rotate", "--prepare")
    new, _old = (name_of(key_id_of(key)) for key in read_ring(file))
    assert prepared.process.returncode == 0
    assert prepared.lines == [f"{new} waits in {file}; nothing uses it yet."]
    assert f"Copy {file} to every machine" in prepared.log
    listed = await run(tmp_path, environ, "keys", "list")
    old = name_of(key_id_of(MASTER_KEY))
    assert [line.split() for line in listed.lines[1:]] == [[new, "waiting", "0"], [old, "wraps", "3"]]

    rotated = await run(tmp_path, environ, "keys", "rotate")
    assert rotated.process.returncode == 0
    assert rotated.lines == [f"{new} wraps all new keys; wrapped anew: 3.", f"Dropped from {file}: {old}."]
    assert "to the other machines once more" in rotated.log
    listed = await run(tmp_path, environ, "keys", "list")
    assert [line.split() for line in listed.lines[1:]] == [[new, "wraps", "3"]]
    await secrets.open_all(conn, open_vault(file))


async def test_what_does_not_open_is_named_and_keeps_the_old_key(
    conn: Connection, url: str, tmp_path: Path
) -> None:
    """The others are wrapped anew all the same; the command ends with 1."""
    environ, file = shared(url, tmp_path), tmp_path / "master.key"
    secrets = Secrets()
    await secrets.add(conn, open_vault(file), 2)
    broken = next(iter(secrets.sealed))
    await conn.execute("UPDATE tenants SET data_key = '\\x0102' WHERE id = $1", broken)
    ran = await run(tmp_path, environ, *ROTATE)
    assert (ran.process.returncode, len(read_ring(file))) == (1, 2)
    assert f"opens the keys of: {broken}." in ran.log
    assert "The old keys stay" in ran.log


async def test_two_rotations_are_one_after_the_other(
    pool: Pool, conn: Connection, url: str, tmp_path: Path
) -> None:
    """One that comes while another is at work waits for it, and touches nothing until then."""
    environ, file = shared(url, tmp_path), tmp_path / "master.key"
    secrets = Secrets()
    await secrets.add(conn, open_vault(file), 3)
    first = await connect(url, name="tests")
    await lock_rotation(first)

    async def waits() -> bool:
        return bool(await pool.fetchval(_IS_WAITING))

    async with program(tmp_path, *ROTATE, environ=environ) as second:
        await until(waits, seconds=20, what="the second waits for the first")
        assert read_ring(file) == [MASTER_KEY]
        await rotation.rotate(first, file)
        [key] = read_ring(file)
        await first.close()
        assert await second.ends() == 0
    assert read_ring(file) != [key]
    await secrets.open_all(conn, open_vault(file))


_IS_WAITING = "SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND NOT granted)"


# --- killed ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("point", POINTS)
async def test_a_killed_rotation_leaves_everything_openable(
    conn: Connection, url: str, tmp_path: Path, point: str
) -> None:
    """By kill -9, at each point: all opens at once, new tenants come, and the next run ends it with one key in the file."""
    environ, file = shared(url, tmp_path), tmp_path / "master.key"
    running, secrets = open_vault(file), Secrets()
    await secrets.add(conn, running, 105)
    first = next(iter(secrets.sealed))
    unnamed = running.unwrap_bytes(await wrapped_of(conn, first), identity=data_key_identity(first))
    await conn.execute("UPDATE tenants SET data_key = $2 WHERE id = $1", first, legacy(first, unnamed))

    assert await kill_at(point, tmp_path, environ) == -signal.SIGKILL
    started = open_vault(file)
    for vault in (running, started):
        await secrets.open_all(conn, vault)
        await secrets.add(conn, vault, 1)

    assert (await run(tmp_path, environ, *ROTATE)).process.returncode == 0
    [key] = read_ring(file)
    assert key != MASTER_KEY
    for vault in (running, started, Vault(key)):
        await secrets.open_all(conn, vault)
    assert {path.name for path in tmp_path.iterdir() if path.name.startswith("master")} == {"master.key"}


def legacy(tenant_id: TenantId, data_key: bytes) -> bytes:
    """Wrapped as it was before keys had ids."""
    return Vault(MASTER_KEY).wrap(
        data_key, identity=data_key_identity(tenant_id), key_id=key_id_of(MASTER_KEY)
    )[9:]


async def wrapped_of(conn: Connection, tenant_id: TenantId) -> bytes:
    wrapped: bytes = await conn.fetchval("SELECT data_key FROM tenants WHERE id = $1", tenant_id)
    return wrapped


async def kill_at(point: str, folder: Path, environ: dict[str, str]) -> int:
    """The exit code of a rotation that kills itself there."""
    words = [sys.executable, "-m", "tests.flow.killed_rotation", point, *ROTATE]
    given = environ | {"PYTHONPATH": str(ROOT)}
    process = await asyncio.create_subprocess_exec(*words, cwd=folder, env=given)
    async with asyncio.timeout(30):
        return await process.wait()


# --- while everything runs ---------------------------------------------------------------------------------------


async def test_nothing_fails_while_the_key_is_rotated(tmp_path: Path) -> None:
    """Twice under traffic: companies are made, webhooks signed, an account resumes on a new host; no request fails."""
    async with serving(tmp_path) as relay, open_sink() as sink, await make_tenant(relay) as caller:
        session = await link(caller, limits=WIDE_LIMITS)
        await sink.register(caller, "/in")
        traffic = Traffic(caller, session, sink, "/in")
        file = tmp_path / "data" / "master.key"
        seen = read_ring(file)
        environ = environment({})
        stopping = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            companies = group.create_task(found_companies(relay, sink, stopping))
            flowing = group.create_task(keep_flowing(traffic, stopping))
            for _ in range(2):
                ran = await run(tmp_path, environ, "keys", "rotate", "--data-dir", str(tmp_path / "data"))
                assert ran.process.returncode == 0, ran.log
                seen += read_ring(file)
            relay.kill("host")
            await until(lambda: is_connected(caller, session), seconds=20, what="the account is back")
            stopping.set()
        await flowing
        assert len(set(seen)) == len(seen) == 3
        assert await companies > 2
        assert traffic.accepted

        async def arrived() -> bool:
            return traffic.has_all()

        await until(arrived, seconds=20, what="every accepted message has reached the sink")
        assert sink.forged == 0
        assert not [
            line for line in relay.log.splitlines() if "seal_broken" in line or "request.failed" in line
        ]


async def found_companies(relay: Relay, sink: Sink, stopping: asyncio.Event) -> int:
    """One after the other, each with an endpoint whose secret is sealed and shown; how many."""
    count = 0
    while not stopping.is_set():
        count += 1
        async with await make_tenant(relay, f"Company {count}") as company:
            await sink.register(company, f"/{count}")
    return count


async def keep_flowing(traffic: Traffic, stopping: asyncio.Event) -> None:
    while not stopping.is_set():
        with suppress(httpx.ReadTimeout):
            await traffic.receive(1, each=5)
        await asyncio.sleep(0.02)


async def is_connected(caller: httpx.AsyncClient, session: str) -> bool:
    return bool((await caller.get(f"/api/v1/whatsapp/sessions/{session}")).json()["status"] == "connected")


async def test_the_key_is_rotated_while_the_server_is_stopped(tmp_path: Path) -> None:
    """The embedded database is started for it; the next start needs nothing and its account resumes."""
    async with serving(tmp_path) as relay, await make_tenant(relay) as caller:
        session = await link(caller)
        key = caller.headers["authorization"]
        assert await relay.stop() == 0
    file = tmp_path / "data" / "master.key"
    before = read_ring(file)
    words = ("--data-dir", str(tmp_path / "data"))
    ran = await run(tmp_path, environment({}), "keys", "rotate", *words)
    assert ran.process.returncode == 0, ran.log
    assert len(read_ring(file)) == 1
    assert read_ring(file) != before
    async with serving(tmp_path) as relay, relay.client() as caller:
        caller.headers["authorization"] = key
        await until(lambda: is_connected(caller, session), seconds=20, what="the account is back")
