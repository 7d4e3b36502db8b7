"""Whether a request comes from the console's own page: no other site may use the cookie of somebody who is signed in.

X-Relay-Console: 1 ──► a form cannot send it, another site's script must ask first, and is never allowed
  └─► Sec-Fetch-Site, the browser's own word where it gives it ──► same-origin
        └─► else Origin, where there is one ──► the host that was asked
"""

from collections.abc import Iterable
from urllib.parse import urlsplit

from relay.model.errors import Forbidden

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
"""What changes nothing, and is not held against this."""


def check_same_origin(headers: Iterable[tuple[bytes, bytes]]) -> None:
    """Raises Forbidden."""
    given = {name: value.decode("latin-1").strip() for name, value in headers}
    if given.get(b"x-relay-console") != "1":
        raise Forbidden(
            "A call by the console's cookie needs the header `X-Relay-Console: 1`; programs send an API key instead.",
            code="csrf_refused",
        )
    if not _is_same_origin(given):
        raise Forbidden("This call came from another site's page.", code="csrf_refused")


def _is_same_origin(given: dict[bytes, str]) -> bool:
    site = given.get(b"sec-fetch-site")
    if site is not None:
        return site == "same-origin"
    origin = given.get(b"origin")
    if origin is None:
        return True
    # A proxy may have put its own host in place of the one that was asked.
    hosts = {given.get(name, "").lower() for name in (b"host", b"x-forwarded-host")}
    return urlsplit(origin).netloc.lower() in hosts - {""}
