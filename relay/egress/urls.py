"""What a URL or a header of a tenant may look like. Pure: nothing is resolved, nothing is connected to.

The host comes out in one spelling, whichever of the many it went in with (`2130706433`, `0x7f.1`, `127。0。0。1`), so
that the guard and both HTTP clients, which parse differently, mean the same host.
"""

import re
import unicodedata
from collections.abc import Collection, Mapping
from ipaddress import IPv4Address, IPv6Address
from socket import inet_aton

from msgspec import Struct
from yarl import URL

MAX_URL_LENGTH = 2048
MAX_HEADER_LENGTH = 4096
DEFAULT_PORTS = {"http": 80, "https": 443, "socks5": 1080}

_PARTS = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://([^/?#]*)(.*)", re.DOTALL)
_AUTHORITY = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^\[\]:]+)(?::([0-9]{1,5}))?")
_NAME = re.compile(r"[a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63})*\.?")
_NUMERIC_LABEL = re.compile(r"[0-9]+|0x[0-9a-f]*")
_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_HEADER_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*")
# They frame the request or steer the connection: a tenant who sets them could smuggle a second request.
_OUR_HEADERS = frozenset(
    [
        "host",
        "content-length",
        "transfer-encoding",
        "connection",
        "keep-alive",
        "upgrade",
        "te",
        "trailer",
        "expect",
    ]
)


class CheckedUrl(Struct, frozen=True, kw_only=True):
    """`url` is to be stored and used: as it was given, with an IP address in its one canonical spelling."""

    url: str
    scheme: str
    host: str
    """ASCII and in lower case; an IPv6 address has no brackets."""
    port: int
    userinfo: str
    """`user:password`, of proxies only."""


def check_url(url: str) -> CheckedUrl:
    """Check the words of a URL; ValueError tells a person what to change."""
    return split_url(url, schemes=("http", "https"), with_userinfo=False)


def split_url(url: str, *, schemes: Collection[str], with_userinfo: bool) -> CheckedUrl:
    if len(url) > MAX_URL_LENGTH:
        raise ValueError(f"The URL is longer than {MAX_URL_LENGTH} characters.")
    if any(unicodedata.category(character)[0] in "CZ" for character in url):
        raise ValueError("The URL contains a space or a control character; write it as %20 and the like.")
    parts = _PARTS.fullmatch(url)
    if parts is None or parts[1].lower() not in schemes:
        raise ValueError(f"The URL must start with {' or '.join(f'{scheme}://' for scheme in schemes)}.")
    if "\\" in url:
        raise ValueError("The URL contains a backslash; write it as %5C.")
    userinfo, at, authority = parts[2].rpartition("@")
    if at and (not with_userinfo or "@" in userinfo):
        raise ValueError("The URL must not contain a user name or a password.")
    scheme = parts[1].lower()
    host, port = _split_authority(authority, default_port=DEFAULT_PORTS[scheme])
    return CheckedUrl(
        url=f"{scheme}://{userinfo}{at}{_spell_authority(authority, host)}{parts[3]}",
        scheme=scheme,
        host=host,
        port=port,
        userinfo=userinfo,
    )


def _split_authority(authority: str, *, default_port: int) -> tuple[str, int]:
    if not authority:
        raise ValueError("The URL has no host.")
    match = _AUTHORITY.fullmatch(authority)
    if match is None:
        raise ValueError("The URL's host or port is not valid.")
    port = int(match[2]) if match[2] else default_port
    if not 0 < port < 65536:
        raise ValueError("The URL's port must be between 1 and 65535.")
    return _canonical_host(match[1]), port


def _canonical_host(host: str) -> str:
    """One spelling for each host. A host that ends in a number is an IPv4 address or nothing (WHATWG URL, 3.5)."""
    try:
        if host.startswith("["):
            return str(IPv6Address(host[1:-1]))
        name = host.lower() if host.isascii() else (URL(f"http://{host}/").raw_host or "")
        if _NUMERIC_LABEL.fullmatch(name.removesuffix(".").rpartition(".")[2]):
            return str(IPv4Address(inet_aton(name.removesuffix("."))))
    except (ValueError, OSError):
        name = ""
    if len(name) > 253 or not _NAME.fullmatch(name):
        raise ValueError("The URL's host is not a valid name or address.")
    return name


def _spell_authority(authority: str, host: str) -> str:
    port = authority[authority.rfind("]") + 1 :].partition(":")[2]
    return (f"[{host}]" if ":" in host else host) + (f":{port}" if port else "")


def check_headers(headers: Mapping[str, str]) -> None:
    """Check the names and values of request headers; ValueError tells a person what to change."""
    for name, value in headers.items():
        if not _HEADER_NAME.fullmatch(name) or len(name) > 128:
            raise ValueError("A header's name must be 1 to 128 letters, digits or hyphens.")
        if name.lower() in _OUR_HEADERS or name.lower().startswith("proxy-"):
            raise ValueError(f"The header {name} is set by the server and cannot be changed.")
        if not _HEADER_VALUE.fullmatch(value) or len(value) > MAX_HEADER_LENGTH:
            raise ValueError(
                f"The value of the header {name} is too long or contains a line break or control character."
            )
