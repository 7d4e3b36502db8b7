"""Every connection that a tenant's words can cause goes through here.

    endpoint's URL ──► webhook_client + post    (aiohttp, the hot path)        ─┐
    media by URL   ──► http_client + fetch      (httpx)                         ├─► AddressGuard.check
    agent's URL    ──► http_client              (httpx)                         │   of the address that is
    proxy          ──► pin_proxy                (the engine connects by itself) ─┘   being connected to

A URL is looked at twice: `AddressGuard.check_url` when it is registered, so that a person hears of a mistake at
once, and `AddressGuard.check` at every connect, which alone is what protects us: names may change in between.
"""

from relay.egress.fetch import Fetched, FetchFailed, fetch, http_client
from relay.egress.guard import UNREACHABLE, AddressBlocked, AddressGuard
from relay.egress.names import Resolve, SystemResolver, pin_proxy
from relay.egress.post import Answer, post, webhook_client
from relay.egress.urls import CheckedUrl, check_headers, check_url

__all__ = [
    "UNREACHABLE",
    "AddressBlocked",
    "AddressGuard",
    "Answer",
    "CheckedUrl",
    "FetchFailed",
    "Fetched",
    "Resolve",
    "SystemResolver",
    "check_headers",
    "check_url",
    "fetch",
    "http_client",
    "pin_proxy",
    "post",
    "webhook_client",
]
