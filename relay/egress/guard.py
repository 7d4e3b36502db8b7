"""Which addresses a tenant's words may make us connect to.

    the server's own? ────yes──► refused, unless allow_networks names this very address
          │ no
    in allow_networks? ───yes──► allowed
          │ no
    denied, not global? ──yes──► refused
          │ no
          └────────────────────► allowed

The text of a refusal is that of an address where nobody answers: a scanner learns nothing from it.
"""

import socket
from collections.abc import Callable, Collection, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from relay.egress.urls import CheckedUrl, check_url, split_url

UNREACHABLE = "the address could not be reached"
PROXY_SCHEMES = ("http", "socks5")

# On top of `is_global`, which Python 3.11 has wrong for a dozen of these. What carries an IPv4 address inside
# (v4-compatible, NAT64, Teredo, 6to4) is denied as a whole: no public endpoint needs it. 168.63.129.16 is a
# public address that leads to Azure's metadata and name servers.
DENIED_NETWORKS: tuple[IPv4Network | IPv6Network, ...] = tuple(
    ip_network(text)
    for text in [
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",
        "127.0.0.0/8",
        "169.254.0.0/16",
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.31.196.0/24",
        "192.52.193.0/24",
        "192.88.99.0/24",
        "192.168.0.0/16",
        "192.175.48.0/24",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/4",
        "240.0.0.0/4",
        "168.63.129.16/32",
        "::/96",
        "::ffff:0:0/96",
        "::ffff:0:0:0/96",
        "64:ff9b::/96",
        "64:ff9b:1::/48",
        "100::/64",
        "2001::/23",
        "2001:db8::/32",
        "2002::/16",
        "3fff::/20",
        "5f00::/16",
        "fc00::/7",
        "fe80::/10",
        "fec0::/10",
        "ff00::/8",
    ]
)


class AddressBlocked(OSError):
    """The guard refused an address. `detail` says which and why: for our own logs only."""

    def __init__(self, detail: str) -> None:
        super().__init__(UNREACHABLE)
        self.detail = detail


class AddressGuard:
    """Judges addresses. `own_addresses` are (host, port) pairs where this server listens; a host that is not an IP
    address, or `0.0.0.0` or `::`, stands for every address of this machine.
    """

    def __init__(
        self,
        *,
        allow_networks: Sequence[str] = (),
        own_addresses: Callable[[], Collection[tuple[str, int]]] | Collection[tuple[str, int]] = (),
    ) -> None:
        self._allowed = tuple(ip_network(text) for text in allow_networks)
        self._own_addresses = own_addresses

    def is_allowed(self, address: str) -> bool:
        """Judge the text of a resolved address, with or without a %scope."""
        return self._find_refusal(address) is None

    def check(self, host_ip: str, port: int) -> None:
        """Raise AddressBlocked unless this address may be connected to."""
        refusal = self._find_refusal(host_ip) or self._find_own(host_ip, port)
        if refusal is not None:
            raise AddressBlocked(f"{host_ip} port {port}: {refusal}")

    def check_url(self, url: str) -> CheckedUrl:
        """Check a URL at registration: its words, and its host where that is an address. ValueError tells a person."""
        return self._check_host(check_url(url))

    def check_proxy_url(self, url: str) -> CheckedUrl:
        """As `check_url`, for a proxy, which may have a user name and a password."""
        return self._check_host(split_url(url, schemes=PROXY_SCHEMES, with_userinfo=True))

    def _check_host(self, checked: CheckedUrl) -> CheckedUrl:
        address = _find_literal(checked.host)
        if address is not None:
            try:
                self.check(address, checked.port)
            except AddressBlocked as error:
                raise ValueError(f"{UNREACHABLE.capitalize()}.") from error
        return checked

    def _find_refusal(self, text: str) -> str | None:
        try:
            address = _unwrap(ip_address(text))
        except ValueError:
            return "not an IP address"
        if any(address in network for network in self._allowed):
            return None
        denied = next((network for network in DENIED_NETWORKS if address in network), None)
        if denied is not None:
            return f"in {denied}"
        return None if address.is_global else "not a global address"

    def _find_own(self, text: str, port: int) -> str | None:
        own_addresses = self._own_addresses() if callable(self._own_addresses) else self._own_addresses
        address = _unwrap(ip_address(text))
        if any(network.num_addresses == 1 and address in network for network in self._allowed):
            return None
        if any(port == own_port and _reaches(address, host) for host, own_port in own_addresses):
            return "this server's own address"
        return None


def _unwrap(address: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    """`::ffff:127.0.0.1` connects to 127.0.0.1, so it is judged as that."""
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address


def _find_literal(host: str) -> str | None:
    """The address that is meant where no name server is asked."""
    if host.removesuffix(".") == "localhost" or host.removesuffix(".").endswith(".localhost"):
        return "127.0.0.1"
    try:
        return str(ip_address(host))
    except ValueError:
        return None


def _reaches(address: IPv4Address | IPv6Address, own_host: str) -> bool:
    """Whether connecting to `address` ends at a listener on `own_host`."""
    if address.is_unspecified:
        return True  # the kernel takes it as "this machine"
    try:
        own = _unwrap(ip_address(own_host))
    except ValueError:
        return _is_of_this_machine(address)
    return _is_of_this_machine(address) if own.is_unspecified else address == own


def _is_of_this_machine(address: IPv4Address | IPv6Address) -> bool:
    """Only an address of one of our own interfaces can be bound."""
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.bind((str(address), 0))
    except OSError:
        return False
    return True
