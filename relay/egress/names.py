"""Names to addresses, and proxies pinned to an address that was checked."""

import asyncio
import socket
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from relay.egress.guard import AddressBlocked, AddressGuard

MAX_LOOKUPS = 32

Resolve = Callable[[str, int], Awaitable[Sequence[str]]]
"""(host, port) → the texts of its addresses; OSError if there are none."""


class SystemResolver:
    """Asks the system. In threads of its own: a tenant's slow name server must not hold up files or other names'
    owners on the loop's default threads. Whoever makes it closes it.
    """

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(MAX_LOOKUPS, thread_name_prefix="names")

    async def __call__(self, host: str, port: int) -> list[str]:
        look_up = partial(socket.getaddrinfo, host, port, type=socket.SOCK_STREAM)
        try:
            found = await asyncio.get_running_loop().run_in_executor(self._threads, look_up)
        except UnicodeError as error:
            raise OSError("the name cannot be looked up") from error
        return list(dict.fromkeys(str(sockaddr[0]) for *_, sockaddr in found))

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)


async def pin_proxy(guard: AddressGuard, url: str, *, resolve: Resolve) -> str:
    """Return the proxy's URL with a checked address in place of its name, for an engine that connects by itself.

    ValueError if the URL is not usable, OSError (AddressBlocked) if its name leads nowhere we may go.
    """
    proxy = guard.check_proxy_url(url)
    refused: OSError = AddressBlocked(f"{proxy.host}: the name has no address")
    for address in await resolve(proxy.host, proxy.port):
        try:
            guard.check(address, proxy.port)
        except AddressBlocked as error:
            refused = error
            continue
        host = f"[{address}]" if ":" in address else address
        userinfo = f"{proxy.userinfo}@" if proxy.userinfo else ""
        return f"{proxy.scheme}://{userinfo}{host}:{proxy.port}"
    raise refused
