"""The console's files, read once into a list: what is not in it cannot be asked for, whatever the path."""

import hashlib
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import PurePosixPath

from msgspec import Struct

_MEDIA_TYPES = {
    ".html": "text/html",
    ".css": "text/css",
    ".js": "text/javascript",
    ".json": "application/json",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".ico": "image/x-icon",
    ".woff2": "font/woff2",
}


class PageFile(Struct, frozen=True, kw_only=True):
    content: bytes
    media_type: str
    etag: str


def read_files(folder: Traversable) -> dict[str, PageFile]:
    """The files below `folder` by their paths in it; of kinds that a page is made of."""
    return dict(_walk(folder, ""))


def shipped_files() -> dict[str, PageFile]:
    return read_files(resources.files("relay.api.console") / "static")


def _walk(folder: Traversable, place: str) -> list[tuple[str, PageFile]]:
    found: list[tuple[str, PageFile]] = []
    for entry in folder.iterdir():
        path = place + entry.name
        media_type = _MEDIA_TYPES.get(PurePosixPath(path).suffix)
        if entry.is_dir():
            found += _walk(entry, path + "/")
        elif media_type is not None:
            content = entry.read_bytes()
            etag = f'"{hashlib.sha256(content).hexdigest()[:32]}"'
            found.append((path, PageFile(content=content, media_type=media_type, etag=etag)))
    return found
