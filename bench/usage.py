"""What each process uses: CPU seconds and memory, by the part of the product that it is."""

import os
from collections.abc import Mapping

import psutil


class Usage:
    """The processes of one `relay serve`, of the sink, and ourselves."""

    def __init__(
        self, server_pid: int, *, sink_pid: int | None = None, phones_pid: int | None = None
    ) -> None:
        self._server = psutil.Process(server_pid)
        self._others = {"generator": os.getpid()}
        if sink_pid is not None:
            self._others["sink"] = sink_pid
        if phones_pid is not None:
            self._others["stand-in"] = phones_pid

    def read_cpu_seconds(self) -> dict[str, float]:
        """Since each process started; `machine` is everything that runs here, ours or not."""
        seconds: dict[str, float] = {}
        for name, process in self._list():
            times = process.cpu_times()
            used = times.user + times.system
            if name == "postgres":
                # Backends that have ended are counted by the postmaster that waited for them.
                used += times.children_user + times.children_system
            seconds[name] = seconds.get(name, 0.0) + used
        machine = psutil.cpu_times()
        seconds["machine"] = sum(machine) - machine.idle - getattr(machine, "iowait", 0.0)
        return seconds

    def read_memory_megabytes(self) -> dict[str, float]:
        """Resident memory of each process of ours; for Postgres the proportional share of all, as they share most."""
        megabytes: dict[str, float] = {}
        for name, process in self._list():
            memory = process.memory_full_info()
            used = memory.pss if name == "postgres" else memory.rss
            megabytes[name] = megabytes.get(name, 0.0) + used / 1e6
        return {name: used for name, used in megabytes.items() if name not in self._others}

    def read_shares_megabytes(self) -> dict[str, tuple[float, float]]:
        """Proportional share (each shared page counted once) and resident memory, by part; without the sink and us."""
        shares: dict[str, tuple[float, float]] = {}
        for name, process in self._list():
            if name not in self._others:
                memory = process.memory_full_info()
                pss, rss = shares.get(name, (0.0, 0.0))
                shares[name] = pss + memory.pss / 1e6, rss + memory.rss / 1e6
        return shares

    def list_pids(self, part: str) -> list[int]:
        """The processes that are this part of the product."""
        return [process.pid for name, process in self._list() if name == part]

    def _list(self) -> list[tuple[str, psutil.Process]]:
        found = [("supervisor", self._server)]
        found += [(_name(process), process) for process in self._server.children(recursive=True)]
        found += [(name, psutil.Process(pid)) for name, pid in self._others.items()]
        return found


def _name(process: psutil.Process) -> str:
    """The first role that it runs, or `engines`; whatever else the server has started is Postgres."""
    words = process.cmdline()
    if "relay.engines.engine_process" in words:
        return "engines"
    return words[words.index("run") + 1] if "run" in words else "postgres"


def spent(before: Mapping[str, float], after: Mapping[str, float]) -> dict[str, float]:
    """CPU seconds between two readings; `others` is what this machine did besides."""
    seconds = {name: used - before.get(name, 0.0) for name, used in after.items()}
    machine = seconds.pop("machine")
    return seconds | {"others": max(0.0, machine - sum(seconds.values()))}
