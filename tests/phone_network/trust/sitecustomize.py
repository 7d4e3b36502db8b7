"""Makes a process under test take the stand-in for WhatsApp. Python imports this by its name when its folder is on PYTHONPATH.

The library pins the root of WhatsApp's Noise certificates: 32 bytes in a writable part of its image. When
PHONE_NETWORK_ROOT names another root (in hex), those bytes are overwritten in this process's memory right after the
library was loaded. Its file is not touched, and without the variable nothing happens.

PHONE_NETWORK_PINGS replaces how it looks whether the line is alive (whatsmeow's keepalive.go), four numbers of seconds:
how long it waits for an answer, the least and the most between two pings, and after how long in vain it connects anew.
"""

import ctypes
import importlib.machinery
import importlib.util
import os
import re
import struct
import sys
from pathlib import Path
from typing import Any

PINNED = bytes.fromhex("142375574d0a587166aae71ebe516437c4a28b73e3695c6ce1f7f9545da8ee6b")
PINGS = struct.pack("<4q", *(seconds * 10**9 for seconds in (10, 20, 30, 180)))
HERE = Path(__file__).resolve().parent


def replace(library: Path, known: bytes, wanted: bytes, what: str) -> None:
    """Raises ImportError unless it was found exactly once."""
    found = []
    for line in Path("/proc/self/maps").read_text().splitlines():
        matched = re.match(r"([0-9a-f]+)-([0-9a-f]+) rw\S* .* (/.*)$", line)
        if matched and Path(matched[3]).name == library.name:
            start, end = int(matched[1], 16), int(matched[2], 16)
            content = ctypes.string_at(start, end - start)
            found += [start + at.start() for at in re.finditer(re.escape(known), content)]
    if len(found) != 1:
        raise ImportError(f"{what} stands {len(found)} times in {library}: this stand-in needs it once")
    ctypes.memmove(found[0], wanted, len(wanted))


def replace_pings(library: Path, seconds: str) -> None:
    wanted = [int(float(number) * 10**9) for number in seconds.split(",")]
    replace(library, PINGS, struct.pack("<4q", *wanted), "the rhythm of pings")


def watch_for_the_library(root: bytes, pings: str) -> None:
    load = ctypes.CDLL.__init__

    def load_and_replace(self: Any, name: Any, *args: Any, **kwargs: Any) -> None:
        load(self, name, *args, **kwargs)
        if name and Path(name).name.startswith("neonize-"):
            replace(Path(name), PINNED, root, "the pinned root")
            if pings:
                replace_pings(Path(name), pings)

    ctypes.CDLL.__init__ = load_and_replace  # type: ignore[method-assign]


def run_the_next_one() -> None:
    """The sitecustomize that this one stands in front of, if there is any."""
    path = [entry for entry in sys.path if Path(entry or ".").resolve() != HERE]
    spec = importlib.machinery.PathFinder.find_spec("sitecustomize", path)
    if spec and spec.loader:
        spec.loader.exec_module(importlib.util.module_from_spec(spec))


if os.environ.get("PHONE_NETWORK_ROOT"):
    watch_for_the_library(
        bytes.fromhex(os.environ["PHONE_NETWORK_ROOT"]), os.environ.get("PHONE_NETWORK_PINGS", "")
    )
run_the_next_one()
