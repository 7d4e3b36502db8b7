"""The API: Litestar under uvicorn, on a socket of our own or on one that was handed down."""

import asyncio
import socket
from contextlib import nullcontext

import uvicorn

from relay.api.app import create_app
from relay.api.key_use import WRITE_SECONDS
from relay.api.services import Services
from relay.listening import bind, find_operator_key
from relay.loops import Bell, Loop, run_until
from relay.roles.base import Base


class _Server(uvicorn.Server):
    """uvicorn without its own signal handlers: the process has one set, for all roles."""

    def capture_signals(self) -> nullcontext[None]:  # type: ignore[override]
        return nullcontext()


async def run(base: Base, ready: asyncio.Event) -> None:
    config = base.config
    listening = bind(config) if base.listen_fd is None else socket.socket(fileno=base.listen_fd)
    services = Services(
        config=config,
        pool=base.pool,
        vault=base.vault,
        doorbell=base.doorbell,
        guard=base.guard,
        blobs=base.blobs,
        operator_key=find_operator_key(config),
        draining=base.stopping,
    )
    server = _Server(
        uvicorn.Config(
            create_app(services),
            http="httptools",
            loop="none",
            lifespan="on",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_graceful_shutdown=int(config.server.drain_seconds),
        )
    )
    writing = Loop("key_use", services.key_use.work, poll_seconds=WRITE_SECONDS, bell=Bell())
    async with asyncio.TaskGroup() as group:
        group.create_task(run_until([writing], base.stopping))
        group.create_task(server.serve([listening]))
        while not server.started and not server.should_exit:  # noqa: ASYNC110 - uvicorn has no event for it
            await asyncio.sleep(0.01)
        ready.set()
        await base.stopping.wait()
        server.should_exit = True
    await services.aclose()
