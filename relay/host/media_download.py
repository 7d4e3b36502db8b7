"""One file from WhatsApp's media server, opened as it comes.

    https://mmg.whatsapp.net + the message's path ──through the session's proxy──► Opener ──► chunks of the file

The host is a constant: a stranger's message names a path, and can never lead elsewhere. Redirects are not followed.
"""

import re
import ssl
from base64 import urlsafe_b64encode
from collections.abc import AsyncGenerator, Awaitable, Callable

import httpx

from relay.engines.engine import MediaRef
from relay.engines.whatsapp_media import OVERHEAD_BYTES, MediaDamaged, Opener
from relay.model.errors import InvalidInput, NotFound, RelayError
from relay.model.ids import SessionId

HOST = "mmg.whatsapp.net"
ProxyOf = Callable[[SessionId], Awaitable[str | None]]
"""A session's proxy: its URL, with an address that was checked."""

_SILENCE_SECONDS = 30.0
_GONE = frozenset({403, 404, 410})
_HEADERS = {
    "Origin": "https://web.whatsapp.com",
    "Referer": "https://web.whatsapp.com/",
    "Accept-Encoding": "identity",
}
_PATH = re.compile(r"/[!-\[\]-~]*")
_MMS_TYPES = {"sticker": "image"}


class Unavailable(RelayError):
    """It could not be had just now."""

    code = "media_unavailable"


class Gone(NotFound):
    """WhatsApp does not have it, or not for us."""

    code = "media_gone"


def url_of(ref: MediaRef) -> httpx.URL:
    """Where the file lies. Raises MediaDamaged for a path that is none."""
    path = ref.direct_path
    if not _PATH.fullmatch(path) or "#" in path:
        raise MediaDamaged("The message names no path at WhatsApp.")
    joint = "&" if "?" in path else "?"
    proof = urlsafe_b64encode(ref.encrypted_sha256).decode()
    kind = _MMS_TYPES.get(ref.kind, ref.kind)
    try:
        url = httpx.URL(f"https://{HOST}{path}{joint}hash={proof}&mms-type={kind}&__wa-mms=")
    except httpx.InvalidURL:
        raise MediaDamaged("The message names no path at WhatsApp.") from None
    if (url.scheme, url.host, url.port, url.userinfo) != ("https", HOST, None, b""):
        raise MediaDamaged("The message names a place that is not WhatsApp's.")
    return url


async def download(
    ref: MediaRef, *, proxy: str | None, tls: ssl.SSLContext, max_bytes: int
) -> AsyncGenerator[bytes, None]:
    """The file's chunks; all of it is proven when the last one has come.

    Raises Unavailable, Gone, MediaDamaged, and InvalidInput (`media_too_large`).
    """
    url, opener = url_of(ref), Opener(ref)
    client = httpx.AsyncClient(
        proxy=proxy, verify=tls, trust_env=False, follow_redirects=False, timeout=_SILENCE_SECONDS
    )
    try:
        async with client, client.stream("GET", url, headers=_HEADERS) as response:
            _check(response, max_bytes=max_bytes)
            async for chunk in response.aiter_raw():
                yield opener.update(chunk)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise Unavailable(type(error).__name__) from error
    yield opener.finish()


def _check(response: httpx.Response, *, max_bytes: int) -> None:
    if response.status_code in _GONE:
        raise Gone(f"WhatsApp's media server answered {response.status_code}.")
    if response.status_code != httpx.codes.OK:
        raise Unavailable(f"status {response.status_code}")
    announced = response.headers.get("Content-Length", "")
    if announced.isdecimal() and int(announced) > max_bytes + OVERHEAD_BYTES:
        raise InvalidInput(f"The file is larger than the {max_bytes} bytes allowed.", code="media_too_large")
