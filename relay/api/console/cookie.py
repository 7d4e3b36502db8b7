"""The console's cookie: its text is spelled as an API key is, so that a log would mask it, and opens nothing as one.

HttpOnly, so that no script reads it; SameSite=Strict, so that no other site's page sends it. Its path is the whole
host: behind a proxy's prefix the server does not know its own.
"""

from collections.abc import Iterable
from typing import Any

from relay.model.api_key import is_key

_NAME = "relay_session"
_PREFIX = f"{_NAME}=".encode()


def find_token(headers: Iterable[tuple[bytes, bytes]]) -> str | None:
    """The cookie's text in a request; None also where it is misspelled."""
    for name, value in headers:
        if name == b"cookie":
            for part in value.split(b";"):
                cookie = part.strip()
                if cookie.startswith(_PREFIX):
                    token = cookie.removeprefix(_PREFIX).decode("latin-1")
                    return token if is_key(token) else None
    return None


def cookie_of(token: str, *, secure: bool, max_age_seconds: int | None = None) -> str:
    """A `Set-Cookie`; without an age the cookie goes when the browser is closed."""
    age = "" if max_age_seconds is None else f"; Max-Age={max_age_seconds}"
    return f"{_NAME}={token}; HttpOnly; SameSite=Strict; Path=/{age}{'; Secure' if secure else ''}"


def is_https(scope: Any) -> bool:
    """Whether the browser came by https; a proxy in front says so, and who lies about it hides only their own cookie."""
    said = next((value for name, value in scope["headers"] if name == b"x-forwarded-proto"), b"")
    return scope["scheme"] == "https" or said.partition(b",")[0].strip().lower() == b"https"
