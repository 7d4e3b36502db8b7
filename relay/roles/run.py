"""The named roles in this process, from the start to an orderly end.

config, vault, pool, doorbell ──► api | host | dispatcher | responder ──► `started` on standard output
                                      │
SIGTERM, SIGINT, the supervisor gone ─┴─► readiness off, stop claiming, drain, release, close
"""

import asyncio
import gc
import signal
import sys
from collections.abc import Collection
from importlib import import_module

from relay.config import Config, Role
from relay.logs import say
from relay.model.errors import RelayError
from relay.roles.base import Base, open_base


async def run_roles(
    config: Config, roles: Collection[Role], *, listen_fd: int | None, supervised: bool
) -> None:
    """Run `roles` until told to stop. `listen_fd`: the API's socket, bound by a supervisor. Raises RelayError."""
    async with open_base(config, name="+".join(sorted(roles)), listen_fd=listen_fd) as base:
        _stop_on_signals(base.stopping)
        if supervised:
            await _stop_with_parent(base.stopping)
        try:
            await _run_together(base, sorted(set(roles)))
        except BaseExceptionGroup as group:
            refused, broken = group.split(RelayError)
            if refused is None or broken is not None:
                raise
            # A role that cannot start says why in one sentence.
            raise _first(refused) from None


async def _run_together(base: Base, roles: list[Role]) -> None:
    async with asyncio.TaskGroup() as group:
        for role in roles:
            ready = asyncio.Event()
            # A process loads what its roles need and no more: a host is 20 MB lighter without the API.
            module = import_module(f"relay.roles.{role}")
            group.create_task(module.run(base, ready), name=role)
            await ready.wait()
        # What stands now stands for good: a collection that walks all of it stops everything for some 50 ms.
        gc.collect()
        gc.freeze()
        say(f"started {' '.join(roles)}")
        await base.stopping.wait()


def _first(group: BaseExceptionGroup[RelayError]) -> RelayError:
    error: RelayError | BaseExceptionGroup[RelayError] = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def _stop_on_signals(stopping: asyncio.Event) -> None:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)


async def _stop_with_parent(stopping: asyncio.Event) -> None:
    """Standard input is a pipe that the supervisor holds: it ends when the supervisor does, however it dies."""

    class Watch(asyncio.Protocol):
        def connection_lost(self, exc: Exception | None) -> None:
            stopping.set()

    await asyncio.get_running_loop().connect_read_pipe(Watch, sys.stdin)
