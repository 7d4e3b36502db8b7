"""Calling a plugin: in its time, under its breaker, watched; what goes wrong is the plugin's and nobody else's.

    call ─► breaker open? ─► async: a task of its own, each step watched ─┬─► checked ─► the answer
                             sync: a thread of its own                    └─► too late, thrown, nonsense: `plugin.failed`
                                                                              and PluginFailed; five in a row: it rests

A thread cannot be ended, nor can a task that will not be: what goes on after its time counts as stuck, and with more
than four of these a plugin is not called any more until they are done.
"""

import asyncio
import logging
import threading
import time
import traceback
from collections.abc import Awaitable, Callable, Coroutine, Generator, Iterable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

from relay.plugin.breaker import Breaker
from relay.plugin.loading import Loaded, Part, Plugin
from relay.plugin.seen import Context
from relay.plugin.storage import MakeStorage
from relay.plugin.watchdog import Watchdog

log = logging.getLogger(__name__)

_STUCK_MOST = 4
_THREADS_MOST = 8
"""Of one plugin at once; further calls wait for their turn."""

T = TypeVar("T")


class PluginFailed(Exception):
    """A plugin has not answered; what was wrong stands in the log. `plugin` names it."""

    def __init__(self, plugin: str) -> None:
        super().__init__(f"The plugin {plugin} has not answered.")
        self.plugin = plugin


class Ended(Exception):
    """A plugin tried to end the process, or cancelled itself."""


class _State:
    """How a plugin stands in this process."""

    def __init__(self, plugin: Plugin, number: int, clock: Callable[[], float]) -> None:
        self.plugin = plugin
        self.number = number
        self.breaker = Breaker(clock)
        self.threads = asyncio.Semaphore(_THREADS_MOST)
        self.log = logging.getLogger(f"relay.plugins.{plugin.name}")
        self.stuck = 0


class _Watched(Coroutine[Any, Any, Any]):
    """A coroutine whose every step the watchdog knows of."""

    def __init__(self, inner: Coroutine[Any, Any, Any], watchdog: Watchdog, number: int) -> None:
        self._inner = inner
        self._watchdog = watchdog
        self._number = number

    def send(self, value: Any) -> Any:
        return self._step(self._inner.send, value)

    def throw(self, *error: Any) -> Any:
        return self._step(self._inner.throw, *error)

    def close(self) -> None:
        self._step(self._inner.close)

    def __await__(self) -> Generator[Any, Any, Any]:
        raise NotImplementedError  # it is run as a task

    def _step(self, go_on: Callable[..., Any], *value: Any) -> Any:
        self._watchdog.enter(self._number)
        try:
            return go_on(*value)
        finally:
            self._watchdog.leave()


async def _contained(awaitable: Awaitable[Any]) -> Any:
    """`sys.exit()` in a task would end the loop, and with it the process."""
    try:
        return await awaitable
    except (SystemExit, KeyboardInterrupt) as error:
        raise Ended(type(error).__name__) from None


def _utc_now() -> datetime:
    return datetime.now(UTC)


class Caller:
    """Calls what is loaded. `watchdog`: none in tests and where the system has none."""

    def __init__(
        self,
        loaded: Loaded,
        *,
        storage: MakeStorage,
        timeout_seconds: float,
        watchdog: Watchdog | None = None,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], datetime] = _utc_now,
    ) -> None:
        self.loaded = loaded
        self._storage = storage
        self._timeout_seconds = timeout_seconds
        self._watchdog = watchdog
        self._now = now
        self._states = {
            plugin.name: _State(plugin, number, clock) for number, plugin in enumerate(loaded.plugins)
        }
        for name, times in (watchdog.blocked if watchdog else {}).items():
            if name in self._states:
                self._say_resting(self._states[name], self._states[name].breaker.open(times))

    def serving(self, parts: Iterable[Part], tenant_id: str) -> list[Part]:
        """Those of `parts` whose plugins serve the tenant."""
        return [part for part in parts if self.serves(part.plugin, tenant_id)]

    def serves(self, plugin: str, tenant_id: str) -> bool:
        tenants = self._states[plugin].plugin.tenants
        return tenants is None or tenant_id in tenants

    def hooks(self, hook: str, tenant_id: str) -> list[Part]:
        return self.serving(self.loaded.hooks.get(hook, ()), tenant_id)

    def rests(self, plugin: str) -> bool:
        """Whether a call now would fail at once."""
        state = self._states[plugin]
        return state.breaker.is_open or state.stuck > _STUCK_MOST

    async def call(
        self,
        part: Part,
        *,
        tenant_id: str,
        session_id: str | None,
        check: Callable[[Any], T],
        given: dict[str, Any],
    ) -> T:
        """What the plugin answers, as `check` makes it (it raises TypeError on nonsense). Raises PluginFailed."""
        state = self._states[part.plugin]
        if state.stuck > _STUCK_MOST or not state.breaker.allows():
            raise PluginFailed(part.plugin)
        context = Context(
            tenant_id=tenant_id,
            session_id=session_id,
            settings=state.plugin.settings,
            storage=self._storage(tenant_id, part.plugin),
            log=state.log,
            now=self._now(),
        )
        arguments = {
            name: value for name, value in (given | {"context": context}).items() if name in part.takes
        }
        try:
            answer = check(await self._run(part, state, arguments))
        except asyncio.CancelledError:
            # Ours: whoever asked is being stopped.
            state.breaker.abandon()
            raise
        except Exception as error:  # noqa: BLE001 - a plugin may throw anything, and that is all it may do
            self._count_failure(part, state, error)
            raise PluginFailed(part.plugin) from None
        state.breaker.succeed()
        if self._watchdog is not None:
            self._watchdog.forgive(state.number)
        return answer

    # --- running ------------------------------------------------------------------------------------------------

    async def _run(self, part: Part, state: _State, arguments: dict[str, Any]) -> Any:
        if part.is_async:
            return await self._wait(state, self._task(part, state, arguments))
        async with state.threads:
            return await self._wait(state, self._start_thread(part, state, arguments))

    def _task(self, part: Part, state: _State, arguments: dict[str, Any]) -> asyncio.Task[Any]:
        coroutine = _contained(part.function(**arguments))
        if self._watchdog is None:
            return asyncio.create_task(coroutine)
        return asyncio.create_task(_Watched(coroutine, self._watchdog, state.number))

    async def _wait(self, state: _State, running: asyncio.Future[Any]) -> Any:
        try:
            done, _ = await asyncio.wait({running}, timeout=self._timeout_seconds)
        except asyncio.CancelledError:
            self._let_go(state, running)
            raise
        if not done:
            self._let_go(state, running)
            raise TimeoutError
        if running.cancelled():
            raise Ended("CancelledError")
        error = running.exception()
        if error is not None and not isinstance(error, Exception):
            raise Ended(type(error).__name__)
        return running.result()

    def _let_go(self, state: _State, running: asyncio.Future[Any]) -> None:
        """Nobody waits for it any more; a task is told to end, a thread cannot be."""

        def ended(one: asyncio.Future[Any]) -> None:
            state.stuck -= 1
            if not one.cancelled():
                one.exception()  # seen, so that nothing is said of it

        state.stuck += 1
        if isinstance(running, asyncio.Task):
            running.cancel()
        running.add_done_callback(ended)

    def _start_thread(self, part: Part, state: _State, arguments: dict[str, Any]) -> asyncio.Future[Any]:
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Any] = loop.create_future()

        def settle(answer: Any, error: Exception | None) -> None:
            if self._watchdog is not None:
                self._watchdog.thread_ends(state.number)
            if error is None:
                future.set_result(answer)
            else:
                future.set_exception(error)

        def run() -> None:
            answer, failure = None, None
            try:
                answer = part.function(**arguments)
            except Exception as error:  # noqa: BLE001 - carried over to the loop
                failure = error
            except BaseException as error:  # noqa: BLE001 - `sys.exit()`, which a future would not carry
                failure = Ended(type(error).__name__)
            # The loop may be gone by then.
            with suppress(RuntimeError):
                loop.call_soon_threadsafe(settle, answer, failure)

        # Not one of a pool: a pool's threads keep the process from ending.
        thread = threading.Thread(target=run, name=f"plugin {part.plugin}", daemon=True)
        if self._watchdog is None:
            thread.start()
            return future
        # Before it starts: it may hold the interpreter from its first moment.
        self._watchdog.thread_begins(state.number)
        try:
            thread.start()
        except RuntimeError:
            # The system has no room for another.
            self._watchdog.thread_ends(state.number)
            raise
        return future

    # --- failures -----------------------------------------------------------------------------------------------

    def _count_failure(self, part: Part, state: _State, error: Exception) -> None:
        fields = {"plugin": part.plugin, "hook": part.hook, "error": type(error).__name__}
        log.warning("plugin.failed", extra=fields | {"at": _place(state.plugin, error)})
        opened = state.breaker.fail()
        if opened is not None:
            self._say_resting(state, opened)

    def _say_resting(self, state: _State, seconds: float) -> None:
        log.error("plugin.rests", extra={"plugin": state.plugin.name, "seconds": round(seconds)})


def _place(plugin: Plugin, error: Exception) -> str | None:
    """The plugin's own line that it came from; the words of it may be a customer's."""
    file = getattr(plugin.module, "__file__", None)
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename == file]
    return f"{Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else None
