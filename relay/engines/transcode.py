"""Media as WhatsApp's clients want it: voice notes, stickers, videos, thumbnails, and how long or large a file is.

    prepared() ──► a turn (two at a time) ──► prepare() ──► child process with limits ──► Prepared, or SendRejected
                                                  └─ document: goes as it is, nobody looks into it

A file comes from a stranger, so the server never decodes it: FFmpeg's libraries (`av`) are imported by the child only
(transcode_child.py). The child has an environment without secrets, a limit on memory, processor time and output, and
a deadline after which it and whatever it started are killed.
"""

import asyncio
import logging
import os
import signal
import sys
import tempfile
from asyncio.subprocess import DEVNULL, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import msgspec

from relay.engines.engine import Media
from relay.engines.transcode_job import TOO_COSTLY, Found, Job, Limits, Prepared, Refused, description_of
from relay.model.errors import NotConnected, SendRejected
from relay.model.message import MessageType

log = logging.getLogger(__name__)

CODE = "media_not_convertible"
AT_ONCE = 2
_TURN_SECONDS = 15.0
"""Well before the send that waits is given up: that would be called `unknown`."""
LIMITS = Limits()

_COMMAND = (sys.executable, "-I", "-m", "relay.engines.transcode_child")
# Where the interpreter finds its own libraries on some systems; nothing else of ours is the child's business.
_INHERITED = ("LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")
_ANSWER_MOST_BYTES = 256 * 1024
_CRASHED = (
    "The file made the converter fail: it is probably damaged. Send another copy, or send it as a document."
)


class Transcoder:
    """One for a process: few conversions at a time, and their files removed afterwards."""

    def __init__(self, folder: Path, *, at_once: int = AT_ONCE, timeout_seconds: float = 60) -> None:
        self._folder = folder
        self._turns = asyncio.Semaphore(at_once)
        self._timeout_seconds = timeout_seconds

    @asynccontextmanager
    async def prepared(self, media: Media, kind: MessageType, *, voice: bool) -> AsyncIterator[Prepared]:
        """The file to upload, there until the block ends. Raises SendRejected, and NotConnected when it has no turn."""
        with tempfile.TemporaryDirectory(dir=self._folder) as scratch:
            await self._take_turn()
            try:
                ready = await prepare(
                    media, kind, voice=voice, scratch=Path(scratch), timeout_seconds=self._timeout_seconds
                )
            finally:
                self._turns.release()
            yield ready

    async def _take_turn(self) -> None:
        """Raises NotConnected while all are taken: nothing of it was sent, so that it may be tried again."""
        try:
            async with asyncio.timeout(_TURN_SECONDS):
                await self._turns.acquire()
        except TimeoutError:
            raise NotConnected("Too many files are being converted just now.") from None


async def prepare(
    media: Media,
    kind: MessageType,
    *,
    voice: bool,
    scratch: Path,
    timeout_seconds: float = 60,
    limits: Limits = LIMITS,
) -> Prepared:
    """Convert one file into `scratch`, a folder of its own that the caller removes. Raises SendRejected."""
    if kind is MessageType.DOCUMENT:
        return Prepared(path=media.path, mimetype=media.mimetype, size_bytes=media.size_bytes)
    target = scratch / "converted"
    job = Job(path=media.path, target=str(target), kind=kind, voice=voice, limits=limits)
    answer = await _ask_child(job, scratch, timeout_seconds)
    if isinstance(answer, Refused):
        raise SendRejected(answer.detail, code=CODE)
    return Prepared(
        path=str(target) if answer.converted else media.path,
        size_bytes=target.stat().st_size if answer.converted else media.size_bytes,
        **description_of(answer),
    )


async def _ask_child(job: Job, scratch: Path, timeout_seconds: float) -> Found | Refused:
    # Files, not pipes: nobody waits for a child that does not listen, or is flooded by one that does not stop.
    with tempfile.TemporaryFile(dir=scratch) as question, tempfile.TemporaryFile(dir=scratch) as answer:
        question.write(msgspec.json.encode(job))
        question.seek(0)
        child = await asyncio.create_subprocess_exec(
            *_COMMAND,
            stdin=question,
            stdout=answer,
            stderr=DEVNULL,
            cwd=scratch,
            env={name: os.environ[name] for name in _INHERITED if name in os.environ},
            start_new_session=True,
        )
        try:
            async with asyncio.timeout(timeout_seconds):
                code = await child.wait()
        except TimeoutError:
            log.warning("media.conversion_timed_out", extra={"kind": job.kind})
            return Refused(detail=TOO_COSTLY)
        finally:
            await _end(child)
        answer.seek(0)
        return _read(answer.read(_ANSWER_MOST_BYTES), job, code)


def _read(line: bytes, job: Job, code: int) -> Found | Refused:
    with suppress(msgspec.DecodeError):
        return msgspec.json.decode(line, type=Found | Refused)
    log.warning("media.conversion_failed", extra={"kind": job.kind, "exit_code": code})
    # The kernel's: out of time, or out of the machine's memory.
    if code in (-signal.SIGXCPU, -signal.SIGKILL):
        return Refused(detail=TOO_COSTLY)
    return Refused(detail=_CRASHED)


async def _end(child: Process) -> None:
    """Kill the child's whole group, and wait until it is gone."""
    if child.returncode is None:
        with suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        await child.wait()
