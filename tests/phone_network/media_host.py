"""mmg.whatsapp.net: takes sealed files, gives them back to whoever knows the path, and fails as the real one does.

    POST   /mms/<kind>/<sha256 of the file, base64url>?auth=…   → {"url", "direct_path"}
    GET    <direct_path>&hash=…                                  → the file, or the part that Range asks for
    DELETE /mms/<kind>/<sha256>?auth=…                           → gone

Pictures of profiles and groups lie here too, in clear, below /pictures/.
"""

import asyncio
import base64
import json
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from urllib.parse import parse_qs, urlsplit

from tests.phone_network.media_cipher import SealedFile, seal

HOST = "mmg.whatsapp.net"
Answer = tuple[int, dict[str, str], bytes]
_RANGE = re.compile(r"bytes=(\d+)-(\d*)")


@dataclass
class Fault:
    """What goes wrong with the next `times` requests of a method: a status, or bytes that are not what was stored."""

    status: int = 200
    broken: bool = False
    """One bit of the file is another."""
    cut: bool = False
    """The second half of the file is missing."""
    times: int = 1
    method: str = "GET"


@dataclass
class Hold:
    """A media host that is slow: downloads wait until they are released."""

    reached: asyncio.Event = field(default_factory=asyncio.Event)
    """Set once somebody waits."""
    released: asyncio.Event = field(default_factory=asyncio.Event)

    def release(self) -> None:
        self.released.set()


@dataclass(frozen=True)
class Stored:
    """Where a file lies, as a message says it."""

    url: str
    direct_path: str


@dataclass
class MediaHost:
    files: dict[str, bytes] = field(default_factory=dict)
    """By path, without the query."""
    expired: set[str] = field(default_factory=set)
    faults: list[Fault] = field(default_factory=list)
    requests: list[tuple[str, str, int]] = field(default_factory=list)
    """(method, path, status) of all that was asked for."""
    auth: str = field(default_factory=lambda: secrets.token_urlsafe(16))
    _hold: Hold | None = None

    def put(self, blob: bytes) -> Stored:
        """Store a sealed file as an upload would."""
        path = f"/v/{_name(blob)}.enc"
        self.files[path] = blob
        direct_path = f"{path}?ccb=11-4&oh=00"
        return Stored(f"https://{HOST}{direct_path}", direct_path)

    def put_sealed(self, content: bytes, kind: str) -> tuple[SealedFile, Stored]:
        """Seal a file for a message of that kind, and store it."""
        sealed = seal(content, kind)
        return sealed, self.put(sealed.blob)

    def put_picture(self, picture_id: str, image: bytes) -> Stored:
        path = f"/pictures/{picture_id}.jpg"
        self.files[path] = image
        return Stored(f"https://{HOST}{path}?ccb=11-4", f"{path}?ccb=11-4")

    def fail(self, status: int, *, times: int = 1, method: str = "GET") -> None:
        """The next requests of a method answer this status."""
        self.faults.append(Fault(status, times=times, method=method))

    def break_next(self, *, times: int = 1) -> None:
        """The next downloads have one wrong bit."""
        self.faults.append(Fault(broken=True, times=times))

    def cut_next(self, *, times: int = 1) -> None:
        """The next downloads end in the middle, as if that were all."""
        self.faults.append(Fault(cut=True, times=times))

    def expire(self, direct_path: str) -> None:
        """The file is too old: 410 from now on."""
        self.expired.add(urlsplit(direct_path).path)

    def hold(self) -> Hold:
        """Downloads wait from now on, until the hold is released."""
        self._hold = Hold()
        return self._hold

    async def handle(self, method: str, target: str, headers: Mapping[str, str], body: bytes) -> Answer:
        """One request; `target` is the path with its query, header names are in lower case."""
        if method == "GET" and self._hold and not self._hold.released.is_set():
            self._hold.reached.set()
            await self._hold.released.wait()
        answer = self._answer(method, target, headers, body)
        self.requests.append((method, urlsplit(target).path, answer[0]))
        return answer

    def _answer(self, method: str, target: str, headers: Mapping[str, str], body: bytes) -> Answer:
        fault = self._next_fault(method)
        if fault.status != 200:
            return fault.status, {}, b""
        path, query = urlsplit(target).path, parse_qs(urlsplit(target).query)
        if method == "GET":
            return self._download(path, headers, fault)
        if method not in ("POST", "DELETE"):
            return 405, {}, b""
        if query.get("auth") != [self.auth]:
            return 401, {}, b""
        name = path.rpartition("/")[2].rstrip("=")
        return self._upload(name, body) if method == "POST" else self._delete(name)

    def _next_fault(self, method: str) -> Fault:
        for fault in self.faults:
            if fault.method == method:
                fault.times -= 1
                if fault.times == 0:
                    self.faults.remove(fault)
                return fault
        return Fault()

    def _upload(self, name: str, body: bytes) -> Answer:
        if name != _name(body):
            return 400, {}, b"the file is not the one that its name promises"
        stored = self.put(body)
        answer = {"url": stored.url, "direct_path": stored.direct_path, "handle": name, "object_id": name}
        return 200, {"content-type": "application/json"}, json.dumps(answer).encode()

    def _delete(self, name: str) -> Answer:
        known = self.files.pop(f"/v/{name}.enc", None)
        return (404 if known is None else 200), {}, b""

    def _download(self, path: str, headers: Mapping[str, str], fault: Fault) -> Answer:
        if path in self.expired:
            return 410, {}, b""
        if path not in self.files:
            return 404, {}, b""
        blob = self.files[path]
        if fault.broken:
            middle = len(blob) // 2
            blob = blob[:middle] + bytes([blob[middle] ^ 1]) + blob[middle + 1 :]
        if fault.cut:
            blob = blob[: len(blob) // 2]
        kind = "image/jpeg" if path.startswith("/pictures/") else "application/octet-stream"
        asked = _RANGE.fullmatch(headers.get("range", ""))
        if not asked:
            return 200, {"content-type": kind}, blob
        return _part(blob, int(asked[1]), int(asked[2] or len(blob) - 1), kind)


def _part(blob: bytes, first: int, last: int, kind: str) -> Answer:
    if first >= len(blob):
        return 416, {"content-range": f"bytes */{len(blob)}"}, b""
    part = blob[first : last + 1]
    said = f"bytes {first}-{first + len(part) - 1}/{len(blob)}"
    return 206, {"content-type": kind, "content-range": said}, part


def _name(blob: bytes) -> str:
    return base64.urlsafe_b64encode(sha256(blob).digest()).decode().rstrip("=")
