"""The address guard and the check of URLs, headers and proxies, without a connection."""

from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relay.egress.guard import DENIED_NETWORKS, UNREACHABLE, AddressBlocked, AddressGuard
from relay.egress.names import pin_proxy
from relay.egress.urls import check_headers, check_url

V4_DENIED = [network for network in DENIED_NETWORKS if network.version == 4]
# Where an IPv4 address can hide: (what stands before it, how many bits follow it).
EMBEDDINGS = {
    "mapped": ("::ffff:0:0", 0),
    "compatible": ("::", 0),
    "translated": ("::ffff:0:0:0", 0),
    "NAT64": ("64:ff9b::", 0),
    "local NAT64": ("64:ff9b:1::", 0),
    "6to4": ("2002::", 80),
    "Teredo server": ("2001::", 64),
    "Teredo client": ("2001::", 0),
}
LOOPBACK_SPELLINGS = [
    "127.0.0.1",
    "127.0.0.1.",
    "2130706433",
    "0x7f000001",
    "0X7F000001",
    "0x7f.0.0.1",
    "0177.0.0.1",
    "017700000001",
    "127.1",
    "127.0.1",
    "①②⑦.⓪.⓪.①",
    "１２７.0.0.1",
    "127。0。0。1",
    "127．0．0．1",
    "127｡1",
    "[::1]",
    "[0:0:0:0:0:0:0:1]",
    "[::ffff:127.0.0.1]",
    "[::ffff:7f00:1]",
    "[::127.0.0.1]",
    "[64:ff9b::127.0.0.1]",
    "[2002:7f00:1::]",
    "[2001:0:7f00:1::]",
    "localhost",
    "LOCALHOST.",
    "me.localhost",
]


@st.composite
def denied_v4(draw: st.DrawFn) -> IPv4Address:
    network = draw(st.sampled_from(V4_DENIED))
    return IPv4Address(draw(st.integers(int(network[0]), int(network[-1]))))


@st.composite
def denied_addresses(draw: st.DrawFn) -> str:
    network = draw(st.sampled_from(DENIED_NETWORKS).filter(lambda each: str(each) != "::ffff:0.0.0.0/96"))
    number = draw(st.integers(int(network[0]), int(network[-1])))
    return str(IPv4Address(number) if network.version == 4 else IPv6Address(number))


@settings(deadline=None)
@given(address=denied_addresses())
def test_denied_networks_are_refused(address: str) -> None:
    """No address of a denied network passes, wherever in it."""
    mapped = IPv6Address(address).ipv4_mapped if ":" in address else None
    if mapped is None or mapped in V4_DENIED:
        assert not AddressGuard().is_allowed(address)


@settings(deadline=None)
@given(v4=denied_v4(), embedding=st.sampled_from(sorted(EMBEDDINGS)))
def test_denied_v4_is_refused_in_every_embedding(v4: IPv4Address, embedding: str) -> None:
    """An IPv6 address that carries a denied IPv4 address is refused too."""
    prefix, shift = EMBEDDINGS[embedding]
    address = IPv6Address(int(IPv6Address(prefix)) | int(v4) << shift)
    assert not AddressGuard().is_allowed(str(address))


@settings(deadline=None)
@given(v4=st.ip_addresses(v=4))
def test_mapped_is_judged_as_what_it_maps(v4: IPv4Address) -> None:
    """`::ffff:a.b.c.d` and `a.b.c.d` get the same answer."""
    guard = AddressGuard()
    assert guard.is_allowed(f"::ffff:{v4}") == guard.is_allowed(str(v4))


@settings(deadline=None)
@given(address=st.ip_addresses(v=6, network=IPv6Network("fe80::/10")))
def test_scope_does_not_help(address: IPv6Address) -> None:
    """A %scope behind an address changes nothing."""
    assert not AddressGuard().is_allowed(f"{address}%eth0")


@pytest.mark.parametrize("address", ["1.1.1.1", "8.8.8.8", "::ffff:1.1.1.1", "2606:4700:4700::1111"])
def test_public_addresses_pass(address: str) -> None:
    """The guard refuses no public endpoint."""
    assert AddressGuard().is_allowed(address)


@pytest.mark.parametrize(
    "address",
    [
        "169.254.169.254",
        "fd00:ec2::254",
        "100.100.100.200",
        "192.0.0.192",
        "168.63.129.16",
        "::ffff:a9fe:a9fe",
    ],
)
def test_metadata_services_are_refused(address: str) -> None:
    """The clouds' metadata addresses are refused, also the public ones."""
    assert not AddressGuard().is_allowed(address)


@pytest.mark.parametrize(
    "text", ["", "example.com", "127.1", "0177.0.0.1", "1.1.1.1%eth0", "fe80::1%", "1.1.1.1 "]
)
def test_what_is_no_address_is_refused(text: str) -> None:
    """The guard judges resolved addresses; anything else is refused, not guessed."""
    guard = AddressGuard()
    assert not guard.is_allowed(text)
    with pytest.raises(AddressBlocked):
        guard.check(text, 80)


def test_refusal_tells_the_tenant_nothing() -> None:
    """The text is the neutral one; which address and why is in `detail` only."""
    with pytest.raises(AddressBlocked) as refused:
        AddressGuard().check("10.1.2.3", 80)
    assert str(refused.value) == UNREACHABLE
    assert refused.value.detail == "10.1.2.3 port 80: in 10.0.0.0/8"


def test_allowed_networks_win() -> None:
    """What the operator allows passes, mapped or not, and nothing beside it."""
    guard = AddressGuard(allow_networks=["127.0.0.0/8", "fd00::/8"])
    assert guard.is_allowed("127.0.0.1")
    assert guard.is_allowed("::ffff:127.0.0.1")
    assert guard.is_allowed("fd00::1")
    assert not guard.is_allowed("10.0.0.1")
    assert not guard.is_allowed("::1")


def test_own_address_needs_to_be_named() -> None:
    """The server's own address is refused within an allowed network, unless it is named by itself."""
    own = [("127.0.0.1", 8080)]
    wide = AddressGuard(allow_networks=["127.0.0.0/8"], own_addresses=own)
    wide.check("127.0.0.1", 8081)
    wide.check("127.0.0.2", 8080)
    for address in ("127.0.0.1", "::ffff:127.0.0.1"):
        with pytest.raises(AddressBlocked):
            wide.check(address, 8080)
    AddressGuard(allow_networks=["127.0.0.0/8", "127.0.0.1/32"], own_addresses=own).check("127.0.0.1", 8080)


@pytest.mark.parametrize("listening", ["0.0.0.0", "::", "localhost"])
def test_own_address_behind_a_wildcard(listening: str) -> None:
    """A server that listens everywhere is behind every address of this machine, known as late as at the connect."""
    own: list[tuple[str, int]] = []
    guard = AddressGuard(allow_networks=["0.0.0.0/0"], own_addresses=lambda: own)
    guard.check("127.0.0.1", 8080)
    own.append((listening, 8080))
    for address in ("127.0.0.1", "127.0.0.9", "0.0.0.0"):
        with pytest.raises(AddressBlocked):
            guard.check(address, 8080)
    guard.check("192.0.2.1", 8080)


@pytest.mark.parametrize("host", LOOPBACK_SPELLINGS)
def test_loopback_in_any_spelling_is_refused_at_registration(host: str) -> None:
    """However loopback is written in a URL, a person hears at once that it will not do."""
    with pytest.raises(ValueError, match=UNREACHABLE[1:]):
        AddressGuard().check_url(f"http://{host}:8000/hook")


@pytest.mark.parametrize("host", LOOPBACK_SPELLINGS[:15])
def test_literal_is_stored_in_its_one_spelling(host: str) -> None:
    """What is stored and sent to is the address that was checked, in a spelling nobody reads differently."""
    checked = AddressGuard(allow_networks=["127.0.0.0/8"]).check_url(f"HTTP://{host}:8000/a%2Fb?x=%2F#y")
    assert checked.url == "http://127.0.0.1:8000/a%2Fb?x=%2F#y"
    assert (checked.scheme, checked.host, checked.port) == ("http", "127.0.0.1", 8000)


@pytest.mark.parametrize(
    ("url", "host", "port"),
    [
        ("https://example.com", "example.com", 443),
        ("https://Example.COM./x?a=%2B&b=c%20d", "example.com.", 443),
        ("http://münchen.example:81/ä", "xn--mnchen-3ya.example", 81),
        ("https://my_host.example/", "my_host.example", 443),
        ("https://[2606:4700:4700::1111]:8443/", "2606:4700:4700::1111", 8443),
        ("https://example.com/@x:y", "example.com", 443),
        ("https://1.example/", "1.example", 443),
    ],
)
def test_ordinary_urls_pass(url: str, host: str, port: int) -> None:
    """Names, ports, other scripts and IPv6 literals are understood."""
    checked = AddressGuard().check_url(url)
    assert (checked.host, checked.port) == (host, port)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "example.com",
        "//example.com/",
        "ftp://example.com/",
        "file:///etc/passwd",
        "gopher://example.com/",
        "http:example.com",
        "http:/example.com/",
        "http:///example.com/",
        "http://",
        "http://?x",
        "http://:80/",
        "http://user@example.com/",
        "http://user:password@example.com/",
        "http://example.com@127.0.0.1/",
        "http://example.com:80@127.0.0.1/",
        "http://127.0.0.1\\@example.com/",
        "http://example.com\\.internal/",
        "http:\\\\127.0.0.1/",
        "http://example.com/\r\nHost: internal",
        "http://example.com/a b",
        "http://exam\tple.com/",
        "http://example.com\x00/",
        "http://ex\u200bample.com/",
        "http://ex\u00adample.com/",
        "http://example.com\u2028/",
        " http://example.com/",
        "http://example.com:0/",
        "http://example.com:65536/",
        "http://example.com:-1/",
        "http://example.com:8x/",
        "http://example.com:/",
        "http://example.com:٨٠/",
        "http://127%2e0%2e0%2e1/",
        "http://%31%32%37.0.0.1/",
        "http://[fe80::1%eth0]/",
        "http://[fe80::1%25eth0]/",
        "http://[::1/",
        "http://::1/",
        "http://[127.0.0.1]/",
        "http://[v1.x]/",
        "http://[::1]x/",
        "http://1.2.3.4.5/",
        "http://256.1.1.1/",
        "http://0x/",
        "http://example.0x7f/",
        "http://a..b/",
        "http://.example.com/",
        "http://exa℀mple.com/",
        "http://" + "a" * 64 + ".com/",
        "http://" + "a." * 127 + "com/",
        "http://example.com/" + "x" * 2048,
    ],
)
def test_malformed_urls_are_refused(url: str) -> None:
    """Userinfo, backslashes, line breaks, odd schemes, ports and hosts are refused with a sentence."""
    with pytest.raises(ValueError, match=r"^The URL.*\.$"):
        check_url(url)


@settings(deadline=None)
@given(st.text(max_size=60), st.sampled_from(["", "http://", "https://", "http://127.0.0.1"]))
def test_any_text_gives_an_answer(text: str, start: str) -> None:
    """No text makes the check fail in another way; what passes is stable, and its host is safe to hand on."""
    try:
        checked = check_url(start + text)
    except ValueError:
        return
    assert check_url(checked.url) == checked
    assert checked.host.isascii()
    assert not set(checked.host) & set("@/\\?#%[] ")


@settings(deadline=None)
@given(st.ip_addresses())
def test_literals_are_judged_as_the_guard_judges(address: IPv4Address | IPv6Address) -> None:
    """Registration and connect agree about every address."""
    guard = AddressGuard()
    host = str(address) if address.version == 4 else f"[{address}]"
    try:
        accepted = bool(guard.check_url(f"http://{host}/"))
    except ValueError:
        accepted = False
    assert accepted == guard.is_allowed(str(ip_address(address)))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("X-A", "b\r\nX-Evil: 1"),
        ("X-A", "b\nc"),
        ("X-A", "b\x00"),
        ("X-A", "Zoë €"),
        ("X-A\r\nX-B", "c"),
        ("X A", "b"),
        ("", "b"),
        ("Host", "internal"),
        ("Content-Length", "0"),
        ("transfer-encoding", "chunked"),
        ("Connection", "close"),
        ("Proxy-Authorization", "x"),
        ("X-A", "b" * 5000),
    ],
)
def test_bad_headers_are_refused(name: str, value: str) -> None:
    """Line breaks and headers that frame the request are refused with a sentence."""
    with pytest.raises(ValueError, match=r"\.$"):
        check_headers({name: value})


def test_ordinary_headers_pass() -> None:
    """What endpoints are usually given is accepted."""
    check_headers({"Authorization": "Bearer abc=", "X-Tenant_1": "a, b; c", "webhook-id": "msg_1"})


async def test_proxy_is_pinned_to_a_checked_address() -> None:
    """The engine gets the proxy's first allowed address, with the credentials, never its name."""

    async def resolve(host: str, port: int) -> list[str]:
        assert (host, port) == ("proxy.example", 1080)
        return ["10.0.0.1", "2606:4700::1", "1.1.1.1"]

    pinned = await pin_proxy(AddressGuard(), "socks5://me:pa%40ss@proxy.example", resolve=resolve)
    assert pinned == "socks5://me:pa%40ss@[2606:4700::1]:1080"


@pytest.mark.parametrize("addresses", [[], ["127.0.0.1"], ["10.0.0.1", "::1"]])
async def test_proxy_that_leads_inside_is_refused(addresses: list[str]) -> None:
    """A proxy whose name has only private addresses, or none, is blocked."""

    async def resolve(host: str, port: int) -> list[str]:
        return addresses

    with pytest.raises(AddressBlocked):
        await pin_proxy(AddressGuard(), "http://proxy.example:3128", resolve=resolve)


@pytest.mark.parametrize(
    "url",
    ["socks5://127.1:1080", "http://a:b@[::1]:3128", "https://proxy.example", "socks5://a@b@c", "socks4://x"],
)
def test_bad_proxies_are_refused(url: str) -> None:
    """Private literals, other schemes and doubtful userinfo are refused at registration."""
    with pytest.raises(ValueError, match=r"\.$"):
        AddressGuard().check_proxy_url(url)
