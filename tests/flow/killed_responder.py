"""Responders that are killed, as by kill -9, at named points of their way: `python -m … [OPTION…]`.

    {"point", "call"} on standard input ──► fork: "born PID" ──► `relay run responder`, deadly there ──► "died CODE"

Without a point it runs until somebody else kills it. Nothing of Relay knows of it: each fork wraps the function that the way goes through, then runs the command. Forks,
because a new Python would take longer to start than a round takes.
"""

import asyncio
import functools
import gc
import json
import os
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from importlib import import_module
from typing import Any, Literal, NamedTuple

from relay.__main__ import main
from relay.egress import fetch
from relay.egress.tls import build_tls_context
from relay.replies import http_action, responder
from relay.replies.actions import Run
from relay.replies.agents import http_agent
from relay.replies.answers import Rung
from relay.store import agent_turns, outgoing, reply_tasks
from relay.store.doorbell import Doorbell

Side = Literal["before", "after"]


class Point(NamedTuple):
    owner: Any
    name: str
    side: Side
    counts: Callable[[tuple[Any, ...], Any], bool] = lambda *_: True
    """Of the arguments and the answer: calls that have nothing to do are none."""


POINTS: dict[str, Point] = {
    "messages are claimed": Point(reply_tasks, "claim_tasks", "after", lambda _, claimed: bool(claimed)),
    "a decision begins": Point(responder, "decide", "before"),
    "a decision is half made": Point(Run, "plan", "after"),
    "answers are inserted": Point(outgoing, "insert_accepted", "after"),
    "tasks are to be deleted": Point(reply_tasks, "delete_tasks", "before", lambda given, _: bool(given[1])),
    "tasks are deleted": Point(reply_tasks, "delete_tasks", "after", lambda given, _: bool(given[1])),
    "answers are committed": Point(Rung, "ring", "before", lambda given, _: bool(given[0].channels)),
    "a call goes out": Point(http_action, "call", "before"),
    "a call is answered": Point(http_action, "_answer", "before"),
    "a turn is claimed": Point(agent_turns, "claim_turns", "after", lambda _, claimed: bool(claimed)),
    "an agent has answered": Point(http_agent, "read_answer", "before"),
    "a turn is ended": Point(agent_turns, "end_turn", "after"),
    "the bell is to ring": Point(Doorbell, "ring", "before", lambda given, _: given[1] == "outgoing"),
}


def _deadly(point: Point, function: Callable[..., Any], call: int) -> Callable[..., Any]:
    calls = 0

    def look(side: Side, given: tuple[Any, ...], answer: Any = None) -> None:
        nonlocal calls
        if side == point.side and point.counts(given, answer):
            calls += 1
            if calls == call:
                os.kill(os.getpid(), signal.SIGKILL)

    @functools.wraps(function)
    def run(*given: Any, **named: Any) -> Any:
        look("before", given)
        answer = function(*given, **named)
        look("after", given, answer)
        return answer

    @functools.wraps(function)
    async def run_async(*given: Any, **named: Any) -> Any:
        look("before", given)
        answer = await function(*given, **named)
        look("after", given, answer)
        return answer

    return run_async if asyncio.iscoroutinefunction(function) else run


def _fork(name: str | None, call: int) -> int:
    pid = os.fork()
    if pid == 0:
        if name is not None:
            point = POINTS[name]
            setattr(point.owner, point.name, _deadly(point, getattr(point.owner, point.name), call))
        main()
    return pid


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _load() -> None:
    """What each would load: once, before the forks."""
    for name in ("relay.roles.run", "relay.roles.responder", "relay.plugin.calling", "relay.plugin.loading"):
        import_module(name)
    with suppress(ImportError):
        import_module("uvloop")
    # Reading the authorities that a client trusts takes longer than all the rest of a start.
    trusting = build_tls_context()
    vars(fetch)["build_tls_context"] = lambda: trusting
    gc.collect()
    gc.freeze()


if __name__ == "__main__":
    _load()
    sys.argv[1:1] = ["run", "responder"]
    for line in sys.stdin:
        asked = json.loads(line)
        pid = _fork(asked["point"], asked["call"])
        _say(f"born {pid}")
        _, status = os.waitpid(pid, 0)
        _say(f"died {os.waitstatus_to_exitcode(status)}")
