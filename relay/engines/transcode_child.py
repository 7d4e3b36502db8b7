"""The process that opens a stranger's media file, so that no other has to. Started by transcode.py as a module.

    one Job on stdin ──► open the file and the target ──► limits ──► decode, encode ──► one Found or Refused on stdout

FFmpeg's decoders are large and their input is hostile, so this process is given away: it holds no secret and little
memory and time, and once the limits are set it can open nothing any more, neither a file nor a socket. Whatever it
did not foresee ends it; the server reads that from its exit code.
"""

import ctypes
import errno
import os
import resource
import signal
import sys
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

import av

# Imported by av at its first use otherwise, when no file can be opened any more.
import av.subtitles.codeccontext
import av.subtitles.stream
import msgspec

from relay.engines import transcode_film, transcode_picture, transcode_sound
from relay.engines.transcode_job import DAMAGED, TOO_COSTLY, Found, Job, Limits, Refusal, Refused
from relay.model.message import MessageType

_NICENESS = 10
_PR_SET_PDEATHSIG = 1


def main() -> None:
    _end_with_parent()
    job = msgspec.json.decode(sys.stdin.buffer.read(), type=Job)
    sys.stdout.buffer.write(msgspec.json.encode(_answer(job)))
    sys.stdout.buffer.flush()


def _end_with_parent() -> None:
    """Nobody wants the answer of a child whose server was killed."""
    if sys.platform == "linux":
        parent = os.getppid()
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)


def confine(limits: Limits) -> None:
    """From here on the kernel keeps this process small, and shut off."""
    os.nice(_NICENESS)
    _lower(resource.RLIMIT_CORE, 0)
    _lower(resource.RLIMIT_CPU, limits.cpu_seconds)
    _lower(resource.RLIMIT_FSIZE, limits.output_bytes)
    # macOS may refuse this one; the limit on pixels still holds there.
    with suppress(ValueError):
        _lower(resource.RLIMIT_AS, limits.memory_bytes)
    # What is open stays open; nothing else can be: a playlist inside the file reaches no network and no other file.
    _lower(resource.RLIMIT_NOFILE, 0)


def _lower(limit: int, most: int) -> None:
    hard = resource.getrlimit(limit)[1]
    least = most if hard == resource.RLIM_INFINITY else min(most, hard)
    resource.setrlimit(limit, (least, least))


def _answer(job: Job) -> Found | Refused:
    try:
        # Without its name: FFmpeg would believe the name's ending before the content.
        with (
            os.fdopen(os.open(job.path, os.O_RDONLY), "rb") as source,
            Path(job.target).open("w+b") as target,
        ):
            confine(job.limits)
            return _prepare(job, source, target)
    except Refusal as error:
        return Refused(detail=str(error))
    except MemoryError:
        return Refused(detail=TOO_COSTLY)
    except OSError as error:
        if error.errno != errno.EFBIG:
            raise
        megabytes = job.limits.output_bytes // 1024 // 1024
        return Refused(detail=f"Converted, the file is larger than {megabytes} MB. Send a shorter one.")
    except (av.FFmpegError, ValueError):
        return Refused(detail=DAMAGED)


def _prepare(job: Job, source: BinaryIO, target: BinaryIO) -> Found:
    match job.kind:
        case MessageType.AUDIO if job.voice:
            return transcode_sound.prepare_voice(source, target)
        case MessageType.AUDIO:
            return transcode_sound.prepare_audio(source)
        case MessageType.IMAGE:
            return transcode_picture.prepare_image(source, target)
        case MessageType.STICKER:
            return transcode_picture.prepare_sticker(source, target)
        case MessageType.VIDEO:
            return transcode_film.prepare_video(source, target)
    raise AssertionError(f"nobody has a {job.kind} converted")


if __name__ == "__main__":
    main()
