"""Several processes of each role on one database, as on several machines: shared work, moved work, nothing doubled."""

import asyncio
import os
import secrets
import signal
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from relay.store.pool import Pool, connect
from tests.api_client import ALL_SCOPES, OPERATOR_KEY
from tests.conftest import database_url
from tests.flow.ledger import WIDE_LIMITS, Sink, Traffic, open_sink
from tests.flow.serving import Program, free_port, link, program, shared, until

_EACH = 4
"""Sessions that the first host takes, and that are left to the second."""
_MOVED_SECONDS = 10.0


class Cluster:
    """Programs on one database; each has a data folder of its own, as on a machine of its own."""

    def __init__(self, folder: Path, url: str, stack: AsyncExitStack) -> None:
        self.folder = folder
        self.url = url
        self._stack = stack
        self._count = 0

    async def start(self, *words: str, **settings: Any) -> Program:
        """`relay run WORDS`, once it says that it has started."""
        self._count += 1
        folder = self.folder / str(self._count)
        folder.mkdir()
        given = {"database__pool_size": 4, "logs__level": "debug", **settings}
        environ = shared(self.url, folder, **given)
        command = ["run", *words, "--data-dir", str(folder / "data")]
        started = await self._stack.enter_async_context(program(folder, *command, environ=environ))
        await started.says("started")
        return started

    async def start_api(self) -> httpx.AsyncClient:
        """An API process, as the operator calls it."""
        port = free_port()
        await self.start("api", "--port", str(port))
        client = httpx.AsyncClient(
            base_url=f"http://127.0.0.1:{port}", headers=bearer(OPERATOR_KEY), timeout=10, trust_env=False
        )
        return await self._stack.enter_async_context(client)


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


@pytest.fixture
async def cluster(url: str, tmp_path: Path) -> AsyncIterator[Cluster]:
    async with AsyncExitStack() as stack:
        yield Cluster(tmp_path, url, stack)


async def make_tenant(operator: httpx.AsyncClient) -> str:
    """A company's key."""
    company = (await operator.post("/api/v1/admin/tenants", json={"name": "Acme"})).json()["companyId"]
    body = {"companyId": company, "name": "test", "scopes": ALL_SCOPES}
    return str((await operator.post("/api/v1/admin/keys", json=body)).json()["key"])


@asynccontextmanager
async def called_by(operator: httpx.AsyncClient, key: str) -> AsyncIterator[httpx.AsyncClient]:
    """The same process, called by a company."""
    async with httpx.AsyncClient(
        base_url=operator.base_url, headers=bearer(key), timeout=10, trust_env=False
    ) as caller:
        yield caller


_HELD = """
    SELECT l.holder, count(*) FROM leases l JOIN whatsapp_sessions s ON s.id = l.resource
    WHERE l.expires_at > now() AND s.status = 'connected' GROUP BY l.holder ORDER BY l.holder
"""


async def held(pool: Pool) -> dict[str, int]:
    """Connected sessions by the host that holds them."""
    return {row["holder"]: row["count"] for row in await pool.fetch(_HELD)}


async def all_held_by_one(pool: Pool, *, count: int, other_than: str | None = None) -> str:
    """The host that has come to hold all sessions, and not the one that they have left."""

    async def moved() -> str | None:
        now = await held(pool)
        return next(iter(now)) if list(now.values()) == [count] and other_than not in now else None

    return str(await until(moved, seconds=_MOVED_SECONDS, what=f"all {count} sessions have moved"))


async def flow_while(traffics: Sequence[Traffic], something: Callable[[], Awaitable[object]]) -> None:
    """Messages in and out of every session, and something that happens in the middle of it."""
    heard = sum(len(traffic.sink.arrived[path]) for traffic in traffics for path in traffic.paths)

    async def is_flowing() -> bool:
        now = sum(len(traffic.sink.arrived[path]) for traffic in traffics for path in traffic.paths)
        return now > heard + 50

    async with asyncio.TaskGroup() as group:
        for traffic in traffics:
            group.create_task(traffic.receive(6, each=20))
            group.create_task(traffic.send(8))
        await until(is_flowing, seconds=15, what="messages are flowing")
        await something()


async def settle_and_check(traffics: Sequence[Traffic], url: str, *, may_be_unknown: bool) -> None:
    for traffic in traffics:
        await traffic.settle(url)
    for traffic in traffics:
        await traffic.check(url, may_double=False, may_be_unknown=may_be_unknown)


async def link_some(caller: httpx.AsyncClient, sink: Sink, name: str) -> list[Traffic]:
    """Sessions with an endpoint each, linked at once."""
    sessions = await asyncio.gather(*(link(caller, limits=WIDE_LIMITS) for _ in range(_EACH)))
    traffics = []
    for number, session in enumerate(sessions):
        path = f"/ordered-{name}-{number}"
        await sink.register(caller, path, events=["message.*"], sessions=[session], order="chat")
        traffics.append(Traffic(caller, session, sink, path))
    return traffics


async def test_two_of_each_share_the_work(cluster: Cluster, pool: Pool) -> None:
    """Hosts hold some sessions each; one is stopped, one is frozen past its lease: all moves on, nothing is doubled."""
    one, two, first, *dispatchers = await asyncio.gather(
        cluster.start_api(),
        cluster.start_api(),
        cluster.start("host", host__sessions=_EACH),
        cluster.start("dispatcher"),
        cluster.start("dispatcher"),
    )
    key = await make_tenant(one)
    async with called_by(one, key) as caller, called_by(two, key) as other, open_sink() as sink:
        traffics = await link_some(caller, sink, "first")
        second = await cluster.start("host")
        traffics += await link_some(other, sink, "second")
        assert sorted((await held(pool)).values()) == [_EACH, _EACH]

        await flow_while(traffics, first.stop)
        assert first.process.returncode == 0, first.told
        second_holder = await all_held_by_one(pool, count=2 * _EACH)
        await settle_and_check(traffics, cluster.url, may_be_unknown=False)
        assert not list(cluster.folder.glob("3/data/journal/*/segment-*"))
        assert all("webhook.attempted" in dispatcher.log for dispatcher in dispatchers)

        await cluster.start("host")

        async def freeze() -> None:
            os.kill(second.process.pid, signal.SIGSTOP)
            await all_held_by_one(pool, count=2 * _EACH, other_than=second_holder)
            os.kill(second.process.pid, signal.SIGCONT)

        await flow_while(traffics, freeze)
        await settle_and_check(traffics, cluster.url, may_be_unknown=True)
        await all_held_by_one(pool, count=2 * _EACH, other_than=second_holder)
        assert await second.stop() == 0, second.told


async def test_a_revoked_key_is_refused_by_every_process_at_once(cluster: Cluster) -> None:
    """Revoked through one API process, it opens nothing in the other, which had it in mind."""
    one, two = await asyncio.gather(cluster.start_api(), cluster.start_api())
    key = await make_tenant(one)
    async with called_by(two, key) as caller:
        (made,) = (await caller.get("/api/v1/admin/keys")).json()["keys"]
        assert (await one.delete(f"/api/v1/admin/keys/{made['id']}")).status_code == 204

        async def refused() -> bool:
            return (await caller.get("/api/v1/admin/keys")).status_code == 401

        await until(refused, seconds=1, what="the other process refuses the key")


async def test_an_old_schema_is_refused(postgres_url: str, tmp_path: Path) -> None:
    """`relay run` says what to run; once that has been run, it starts; a newer schema is refused as well."""
    async with empty_database(postgres_url) as url:
        environ = shared(url, tmp_path)
        for role in ("api", "host", "dispatcher"):
            async with program(tmp_path, "run", role, "--port", "0", environ=environ) as old:
                assert await old.ends() == 2
                assert "relay migrate" in old.log
                assert len(old.log.splitlines()) == 1, old.log
        async with program(tmp_path, "migrate", environ=environ) as migrating:
            assert await migrating.ends() == 0, migrating.log
        async with program(tmp_path, "run", "dispatcher", environ=environ) as running:
            await running.says("started")
            assert await running.stop() == 0, running.log
        conn = await connect(url, name="tests")
        await conn.execute("INSERT INTO relay_migrations (number, name) VALUES (9999, 'later')")
        await conn.close()
        async with program(tmp_path, "run", "host", environ=environ) as old:
            assert await old.ends() == 2
            assert len(old.log.splitlines()) == 1, old.log


async def test_a_role_that_cannot_start_says_why(url: str, tmp_path: Path) -> None:
    """One sentence for a port that is taken, a sample key beyond loopback, a database that is not there."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        nowhere = shared("postgresql://nobody@127.0.0.1:1/none", tmp_path, server__port=0)
        cases = [
            (["run", "api", "--port", port], shared(url, tmp_path), "--port"),
            (
                ["run", "api", "--host", "0.0.0.0", "--port", "0"],
                {**shared(url, tmp_path), "RELAY_OPERATOR_KEY": "changeme"},
                "RELAY_OPERATOR_KEY",
            ),
            *((words, nowhere, "database.url") for words in (["run", "host"], ["serve"], ["migrate"])),
        ]
        for words, environ, said in cases:
            async with program(tmp_path, *words, environ=environ) as refused:
                assert await refused.ends() == 2, refused.log
                assert said in refused.log
                assert len(refused.log.splitlines()) == 1, refused.log


@asynccontextmanager
async def empty_database(server: str) -> AsyncIterator[str]:
    name = f"relay_empty_{secrets.token_hex(6)}"
    admin = await connect(server, name="tests")
    await admin.execute(f"CREATE DATABASE {name}")
    try:
        yield database_url(server, name)
    finally:
        await admin.execute(f"DROP DATABASE {name} WITH (FORCE)")
        await admin.close()
