"""The API beside a running host, in one process: what a caller sees when everything works."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from relay.api.waiting import wait_for
from relay.config import Config, Sandbox
from relay.egress.guard import AddressGuard
from relay.egress.names import SystemResolver
from relay.engines.sandbox_network import SandboxNetwork
from relay.host.host import Host
from relay.host.journal import Journal, take_slot
from relay.loops import Loop, run_until
from relay.store.doorbell import Channel
from relay.store.pool import Pool
from tests.api_client import Api, serve_api

QUICK = Sandbox(delivered_after_seconds=0, read_after_seconds=0)


@asynccontextmanager
async def run_host(
    api: Api, folder: Path, *, config: Config | None = None, monotonic: Callable[[], float] = time.monotonic
) -> AsyncIterator[Host]:
    """A host for the sessions of `api`; its bells are the API's own. `monotonic` is the clock of the phones."""
    services = api.services
    config = (config or services.config).with_server(data_dir=str(folder))
    network = SandboxNetwork(services.pool, config.sandbox, monotonic=monotonic)
    slot = take_slot(folder / "journal")
    host = Host(
        pool=services.pool,
        vault=services.vault,
        doorbell=services.doorbell,
        blobs=services.blobs,
        config=config,
        slot=slot,
        journal=Journal(slot.path),
        guard=AddressGuard(),
        resolve=SystemResolver(),
        engines={"sandbox": network.engine},
    )
    bell = services.doorbell.bell("sandbox", network.bell)
    phones = Loop("sandbox.network", network.work, poll_seconds=0.1, bell=bell)
    stopping = asyncio.Event()
    running = asyncio.create_task(run_until([*host.loops(), *host.inbox_loops(), phones], stopping))
    try:
        yield host
    finally:
        stopping.set()
        await running
        await host.stop()
        host.close()


@asynccontextmanager
async def serve_all(
    pool: Pool, url: str, folder: Path, *, monotonic: Callable[[], float] = time.monotonic, **changes: Any
) -> AsyncIterator[Api]:
    """A company's caller, with a host that runs its sessions."""
    config = changes.pop("config", None) or Config(sandbox=QUICK)
    async with serve_api(pool, url, config=config, **changes) as operator:
        async with run_host(operator, folder, monotonic=monotonic):
            api = await operator.as_tenant()
            yield api
        await operator.services.aclose()


async def make_session(api: Api, **fields: Any) -> str:
    """A new session that shows its QR code; its id."""
    body = {"name": "Front desk", "engine": "sandbox", **fields}
    response = await api.post("/api/v1/whatsapp/sessions", json=body)
    assert response.status_code == 201, response.text
    session_id = str(response.json()["sessionId"])
    if body.get("connect", True):
        # The answer waits for the code, but not for ever.
        await until(api, "status", lambda: _shows_code(api, session_id), True)
    return session_id


async def _shows_code(api: Api, session_id: str) -> bool:
    return (await api.get(f"/api/v1/whatsapp/sessions/{session_id}")).json()["qrCode"] is not None


async def link_session(api: Api, **fields: Any) -> str:
    """A session that is connected; its id."""
    session_id = await make_session(api, **fields)
    path = f"/api/v1/whatsapp/sessions/{session_id}"
    response = await api.post(f"{path}/sandbox/scan")
    assert response.status_code == 200, response.text

    async def status() -> str:
        return str((await api.get(path)).json()["status"])

    await until(api, "status", status, "connected")
    return session_id


async def until(api: Api, channel: Channel, look: Callable[[], Awaitable[Any]], wanted: Any) -> None:
    """Wait until `look` answers `wanted`; fails when it does not within seconds."""
    seen: Any = None

    async def check() -> bool | None:
        nonlocal seen
        seen = await look()
        return True if seen == wanted else None

    assert await wait_for(api.services.doorbell, channel, check, seconds=10), f"{seen!r} is not {wanted!r}"


async def until_messages(api: Api, session_id: str, count: int) -> list[dict[str, Any]]:
    """The messages of a session, newest first, once there are so many."""
    found: list[dict[str, Any]] = []

    async def look() -> int:
        response = await api.get("/api/v1/whatsapp/messages", params={"sessionId": session_id})
        found[:] = response.json()["messages"]
        return len(found)

    await until(api, "events", look, count)
    return found
