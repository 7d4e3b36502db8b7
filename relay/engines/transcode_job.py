"""What the server and its converting child say to each other, one JSON text each way.

    transcode.py ──Job──► transcode_child.py ──Found | Refused──► transcode.py

The child reads a stranger's file, so its words are a claim: they are decoded by these types and hold no path.
"""

from typing import Any

from msgspec import Struct

from relay.model.message import MessageType


class Limits(Struct, frozen=True, kw_only=True):
    """What one conversion may take, kept by the kernel."""

    memory_bytes: int = 1024 * 1024 * 1024
    """Of address space; the libraries alone take 120 MB of it."""
    cpu_seconds: int = 45
    output_bytes: int = 64 * 1024 * 1024


class Job(Struct, frozen=True, kw_only=True):
    path: str
    target: str
    """Where a converted file goes; made by the child, and left empty when the file goes as it is."""
    kind: MessageType
    voice: bool
    limits: Limits


class Description(Struct, frozen=True, kw_only=True):
    """What a client is told of a file besides its bytes; what does not apply is None."""

    mimetype: str
    seconds: int | None = None
    width: int | None = None
    height: int | None = None
    thumbnail: bytes | None = None
    """A JPEG of at most 100 pixels."""
    waveform: bytes | None = None
    """A voice note's 64 bars, each 0 to 100."""
    animated: bool = False


def description_of(file: Description) -> dict[str, Any]:
    """Its fields, to describe another one by."""
    return {name: getattr(file, name) for name in Description.__struct_fields__}


class Found(Description, frozen=True, kw_only=True, tag="found"):
    """The file can be sent: as it is, or as `target` when it was converted."""

    converted: bool = False


class Refused(Struct, frozen=True, kw_only=True, tag="refused"):
    """`detail` is a sentence for people."""

    detail: str


class Prepared(Description, frozen=True, kw_only=True):
    """A file that is ready to upload. `path` is the original's when nothing had to be converted."""

    path: str
    size_bytes: int


class Refusal(Exception):
    """Raised inside the child: the file cannot be sent as this kind."""


PIXELS_MOST = 120_000_000
"""The cameras of phones make 108 megapixels in one picture; 120 take half a gigabyte for a moment."""

DAMAGED = (
    "The file could not be read: it is damaged, of a kind that Relay does not know, "
    f"or a picture of more than {PIXELS_MOST // 1_000_000} megapixels."
)
TOO_COSTLY = (
    "The file took more time or memory to prepare than is allowed. "
    "Send a shorter or smaller one, or send it as a document."
)
