"""Becomes one of PostgreSQL's programs: the few system calls that must happen between our process and theirs.

    relay ──spawn──► this script: change who we are ──► die with the parent ──► exec

A bare interpreter runs this file by its path (`python -I -S`), because it needs nothing of ours and a fork of a
threaded process should not run Python between fork and exec. The process id stays the same throughout, so that
`postgres` is Relay's own child.

    embedded_launch.py PARENT_PID self|namespace|switch UID GID [PROGRAM ARGUMENT…]

Without a program it only tries whether the change works, and ends with 0 or 1.
"""

import ctypes
import os
import signal
import sys
from pathlib import Path

_CLONE_NEWUSER = 0x10000000
_PR_SET_PDEATHSIG = 1


def _call_c(name: str, *arguments: int) -> None:
    if getattr(ctypes.CDLL(None, use_errno=True), name)(*arguments) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")


def _enter_namespace(uid: int, gid: int) -> None:
    """Look like `uid` to ourselves while every file that we touch stays our own outside (user_namespaces(7))."""
    outer_uid, outer_gid = os.geteuid(), os.getegid()
    _call_c("unshare", _CLONE_NEWUSER)
    # A group may be mapped without privileges only once the list of groups can no longer be changed.
    Path("/proc/self/setgroups").write_text("deny", encoding="ascii")
    Path("/proc/self/gid_map").write_text(f"{gid} {outer_gid} 1", encoding="ascii")
    Path("/proc/self/uid_map").write_text(f"{uid} {outer_uid} 1", encoding="ascii")


def _switch_user(uid: int, gid: int) -> None:
    os.setgroups([])
    os.setgid(gid)
    os.setuid(uid)


def _die_with(parent_pid: int) -> None:
    """Have the kernel send the fast shutdown when Relay is gone, even by kill -9 (prctl(2)).

    After the change of user, which would clear it. Linux ties it to the parent's thread: the one of the event loop.
    """
    _call_c("prctl", _PR_SET_PDEATHSIG, signal.SIGINT)
    if os.getppid() != parent_pid:
        raise SystemExit(1)


def main() -> None:
    parent_pid, kind, uid, gid, *command = sys.argv[1:]
    if kind == "namespace":
        _enter_namespace(int(uid), int(gid))
    elif kind == "switch":
        _switch_user(int(uid), int(gid))
    if sys.platform == "linux":
        _die_with(int(parent_pid))
    if command:
        os.execv(command[0], command)  # noqa: S606 - to become that program is what this script is for


if __name__ == "__main__":
    main()
