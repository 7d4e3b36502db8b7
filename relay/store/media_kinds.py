"""What kind of file something is, by its first bytes: what it says of itself is a claim, not a fact.

A file that is named one thing and is a page, a script or a program is refused: whoever receives it would open it.
"""

import puremagic

from relay.model.errors import InvalidInput
from relay.model.message import MessageType

HEAD_BYTES = 8192
UNKNOWN = "application/octet-stream"

_ACTIVE_TYPES = frozenset(
    {"text/html", "application/xhtml+xml", "image/svg+xml", "application/xml", "text/xml", "text/javascript"}
)
# Windows, Linux and macOS programs, scripts, pages.
_ACTIVE_HEADS = (
    b"MZ", b"\x7fELF", b"\xcf\xfa\xed\xfe", b"\xce\xfa\xed\xfe", b"#!/", b"<!doctype html", b"<html", b"<script",
    b"<svg", b"<?xml", b"<?php",
)  # fmt: skip
# What nobody opens by looking at it.
_INERT_FAMILIES = ("image/", "audio/", "video/", "text/plain", "application/pdf")
_CLIP_TYPES = frozenset({"application/ogg", "application/x-matroska"})
_FAMILIES: dict[MessageType, tuple[str, ...]] = {
    MessageType.IMAGE: ("image/",),
    MessageType.STICKER: ("image/",),
    # An audio and a video may share their container.
    MessageType.AUDIO: ("audio/", "video/"),
    MessageType.VIDEO: ("video/",),
}


def judge(head: bytes, *, declared: str | None, kind: MessageType | None, path: str) -> str:
    """The media type to store. Raises InvalidInput when the bytes are not what they should be."""
    claim = (declared or "").partition(";")[0].strip().lower()
    found = _sniff(head)
    if _is_active(head, found) and (kind in _FAMILIES or claim.startswith(_INERT_FAMILIES)):
        raise _refusal(claim or str(kind), path)
    families = _FAMILIES.get(kind) if kind else None
    if families is None:
        return claim or (found[0] if found else UNKNOWN)
    fitting = [name for name in found if name.startswith(families)]
    if fitting:
        return claim if claim in fitting else fitting[0]
    # An image that cannot be recognised is none; sound has too many spellings to insist.
    lenient = kind in (MessageType.AUDIO, MessageType.VIDEO) and all(name in _CLIP_TYPES for name in found)
    if lenient and claim.startswith(families):
        return claim
    if lenient and found:
        return "audio/ogg" if kind is MessageType.AUDIO else "video/x-matroska"
    raise _refusal(str(kind), path)


def _sniff(head: bytes) -> list[str]:
    """Every media type that the bytes may be, the likeliest first."""
    try:
        return list(
            dict.fromkeys(match.mime_type for match in puremagic.magic_string(head) if match.mime_type)
        )
    except (puremagic.PureError, ValueError):
        return []


def _is_active(head: bytes, found: list[str]) -> bool:
    start = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    starts = any(start.startswith(mark.lower()) for mark in _ACTIVE_HEADS)
    return starts or bool(found and found[0] in _ACTIVE_TYPES)


def _refusal(wanted: str, path: str) -> InvalidInput:
    return InvalidInput(
        f"The file is not what it should be ({wanted}).", path=path, code="media_type_mismatch"
    )
