"""kill -9 of every process while messages flow: what was accepted is delivered, once or under the same name.

One `relay serve` lives through all of it; each test has a company, a session and two endpoints of its own. Named
points are found from outside: a lock on a table holds a process in the middle of its transaction, a sink that does
not answer holds one between POST and settle, and then it is killed.
"""

import asyncio
import os
import signal
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest
import pytest_asyncio

from relay.model.delivery import DeliveryStatus, Outcome
from relay.store import deliveries
from relay.store.pool import Connection, connect
from tests.flow.ledger import WIDE_LIMITS, Traffic, ask, open_sink, when
from tests.flow.serving import Relay, link, make_tenant, serving, until

pytestmark = pytest.mark.asyncio(loop_scope="module")

CONNECTED_SECONDS = 10.0


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def relay(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Relay]:
    folder: Path = tmp_path_factory.mktemp("crashes")
    async with serving(folder) as relay:
        yield relay


@asynccontextmanager
async def flowing(relay: Relay) -> AsyncIterator[Traffic]:
    """A company with a connected session, an endpoint, and one that keeps each chat's order."""
    await relay.is_complete()
    async with open_sink() as sink, await make_tenant(relay) as caller:
        session = await link(caller, limits=WIDE_LIMITS)
        await sink.register(caller, "/plain", events=["message.*"])
        await sink.register(caller, "/ordered", events=["message.*"], order="chat")
        yield Traffic(caller, session, sink, "/plain", "/ordered")


async def connected_at(caller: httpx.AsyncClient, session: str) -> str | None:
    """Since when the session is connected; None while it is not."""
    found = await ask(caller, "GET", f"/api/v1/whatsapp/sessions/{session}")
    return str(found["connectedAt"]) if found["status"] == "connected" else None


@pytest.mark.parametrize("victim", ["host", "dispatcher", "api", "postgres", "crash"])
async def test_nothing_is_lost_when_it_dies(relay: Relay, victim: str) -> None:
    """1,500 messages in and 50 out while it is killed: each stored once, delivered, in order, sent once or unknown."""
    async with flowing(relay) as traffic:
        url = relay.database_url()
        caller, session = traffic.caller, traffic.session
        before = await connected_at(caller, session)
        async with asyncio.TaskGroup() as group:
            group.create_task(traffic.receive(30, each=50))
            group.create_task(traffic.send(50))
            await when(
                lambda: len(traffic.sink.arrived["/plain"]) > 300, seconds=15, what="messages are flowing"
            )
            if victim == "crash":
                path = f"/api/v1/whatsapp/sessions/{session}/sandbox/fault"
                await ask(caller, "POST", path, json={"kind": "crash"})
            else:
                relay.kill(victim)
            host_died = victim in ("host", "crash")

            async def connected_again() -> bool:
                since = await connected_at(caller, session)
                return since is not None and (since != before or not host_died)

            await until(connected_again, seconds=CONNECTED_SECONDS, what="the session is connected again")
        await traffic.settle(url)
        await traffic.check(
            url,
            may_double=victim in ("dispatcher", "postgres"),
            may_be_unknown=host_died or victim == "postgres",
        )


@asynccontextmanager
async def holding(url: str, table: str) -> AsyncIterator[Connection]:
    """Nobody else reads or writes `table` for the block: whoever comes to it waits in its transaction."""
    conn = await connect(url, name="tests")
    try:
        async with conn.transaction():
            await conn.execute(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE")
            yield conn
    finally:
        await conn.close()


_WAITS = """
    SELECT count(*) FROM pg_stat_activity
    WHERE application_name LIKE 'relay ' || $1 || '%' AND wait_event_type = 'Lock' AND query ~* $2
"""


async def waits(conn: Connection, role: str, query: str) -> None:
    """Return once a process of the role waits for the lock with a statement that matches."""

    async def stuck() -> bool:
        # Statistics are seen as of the transaction's first look, unless they are let go.
        await conn.execute("SELECT pg_stat_clear_snapshot()")
        return bool(await conn.fetchval(_WAITS, role, query))

    await until(stuck, seconds=10, what=f"the {role} waits in the middle of its transaction")


async def died(relay: Relay, role: str) -> None:
    """Kill it, and see that it is gone."""
    pid = relay.kill(role)
    await when(lambda: pid not in relay.pids(role), seconds=5, what=f"the {role} is gone")


async def test_a_host_that_dies_inside_its_inboxs_transaction(relay: Relay) -> None:
    """Messages written, their events not yet: the rollback leaves no trace, the journal is replayed, once."""
    async with flowing(relay) as traffic:
        url = relay.database_url()
        async with holding(url, "events") as conn:
            await traffic.receive(4, each=50)
            await waits(conn, "host", "insert into events")
            await died(relay, "host")
        await traffic.settle(url)
        await traffic.check(url, may_double=False, may_be_unknown=False)
        assert len(traffic.accepted) == 200


async def test_an_api_that_dies_inside_its_group_commit(relay: Relay) -> None:
    """Nobody was told that the sends are accepted; asked again with the same keys, each goes out once."""
    async with flowing(relay) as traffic:
        url = relay.database_url()
        async with holding(url, "whatsapp_messages") as conn, asyncio.TaskGroup() as group:
            sending = group.create_task(traffic.send(8))
            await waits(conn, "api", "insert into whatsapp_messages")
            await died(relay, "api")
            assert not sending.done()
            assert traffic.sent == {}
            await conn.execute("ROLLBACK AND CHAIN")
        await traffic.settle(url)
        await traffic.check(url, may_double=False, may_be_unknown=False)
        assert len(await traffic.list_outbox()) == 8


async def test_a_host_that_dies_in_the_middle_of_a_send(relay: Relay) -> None:
    """Nobody can say whether it went out: it is `unknown`, and is not sent again."""
    async with flowing(relay) as traffic:
        url = relay.database_url()
        async with holding(url, "sandbox_outbox") as conn:
            await traffic.send(4)
            await waits(conn, "host", "insert into sandbox_outbox")
            await died(relay, "host")
        await traffic.settle(url)
        await traffic.check(url, may_double=False, may_be_unknown=True)
        assert "unknown" in {one["status"] for one in await traffic.list_all("outgoing")}


async def test_a_dispatcher_that_dies_between_post_and_answer(relay: Relay) -> None:
    """What was claimed is due again when the lease is over, and comes again under the same name."""
    async with flowing(relay) as traffic:
        url = relay.database_url()
        traffic.sink.hold()
        await traffic.receive(2, each=10)
        arrived = traffic.sink.arrived["/plain"]
        await when(lambda: len(arrived) > 0, seconds=10, what="a POST is under way")
        await died(relay, "dispatcher")
        under_way = {one.id for one in arrived}
        traffic.sink.release()
        await traffic.settle(url)
        await traffic.check(url, may_double=True, may_be_unknown=False)
        times = Counter(one.id for one in arrived)
        assert all(times[name] > 1 for name in under_way)


async def test_a_dispatcher_that_dies_while_it_settles(relay: Relay) -> None:
    """The endpoint has answered, the answer is not yet recorded: it is recorded, or sent again, never lost."""
    async with flowing(relay) as traffic:
        url = relay.database_url()
        async with holding(url, "attempts") as conn:
            await traffic.receive(2, each=10)
            await waits(conn, "dispatcher", "delete from deliveries")
            await died(relay, "dispatcher")
        await traffic.settle(url)
        await traffic.check(url, may_double=True, may_be_unknown=False)


async def test_a_dispatcher_that_dies_between_claim_and_post(relay: Relay) -> None:
    """Claimed and never sent: due again when the lease is over; the late word of the dead one changes nothing."""
    url = relay.database_url()
    async with flowing(relay) as traffic, connected(url) as conn:
        (stopped,) = relay.pids("dispatcher")
        os.kill(stopped, signal.SIGSTOP)
        await traffic.receive(1, each=30)
        endpoint = await conn.fetchval(_LANE, traffic.session)

        async def owed() -> bool:
            count: int = await conn.fetchval(
                "SELECT count(*) FROM deliveries WHERE endpoint_id = $1", endpoint
            )
            return count == 30

        await until(owed, seconds=10, what="30 deliveries are owed")
        claimed = await deliveries.claim_deliveries(conn, {endpoint: 30}, claim="dead", lease_seconds=0.5)
        assert len(claimed) == 30
        traffic.sink.hold()
        os.kill(stopped, signal.SIGCONT)
        arrived = traffic.sink.arrived["/plain"]
        await when(lambda: len(arrived) > 0, seconds=10, what="another has claimed it and is sending it")
        under_way = {one.id for one in arrived}
        dead = [one for one in claimed if one.event_id in under_way]
        await deliveries.settle(conn, [late(one) for one in dead], patience_seconds=1)
        assert await owed()
        traffic.sink.release()
        await traffic.settle(url)
        assert await conn.fetchval(_COUNT_REJECTED, endpoint) == 0
        await traffic.check(url, may_double=False, may_be_unknown=False)


def late(delivery: deliveries.Claimed) -> deliveries.Result:
    """A failure that is told when the claim is no longer its teller's."""
    return deliveries.Result(
        delivery=delivery, outcome=Outcome.REJECTED, status_code=500, final=DeliveryStatus.EXHAUSTED
    )


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[Connection]:
    conn = await connect(url, name="tests")
    try:
        yield conn
    finally:
        await conn.close()


_LANE = """
    SELECT e.id FROM endpoints e JOIN whatsapp_sessions s USING (tenant_id)
    WHERE s.id = $1 AND e."order" = 'none'
"""
_COUNT_REJECTED = "SELECT count(*) FROM attempts WHERE endpoint_id = $1 AND outcome = 'rejected'"
