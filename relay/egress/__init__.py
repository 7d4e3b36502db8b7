"""Every connection that a tenant's words can cause goes through here.

    endpoint's URL ──► webhook_client + post    (aiohttp, the hot path)        ─┐
    media by URL   ──► http_client + fetch      (httpx)                         ├─► AddressGuard.check
    agent's URL    ──► http_client              (httpx)                         │   of the address that is
    proxy          ──► pin_proxy                (the engine connects by itself) ─┘   being connected to

A URL is looked at twice: `AddressGuard.check_url` when it is registered, so that a person hears of a mistake at
once, and `AddressGuard.check` at every connect, which alone is what protects us: names may change in between.
"""

import sys

# httpx does without its command line where that cannot be imported. It would bring two libraries for terminals along:
# 6 MB in the host and in the dispatcher, which need them for nothing else.
sys.modules.setdefault("httpx._main", None)  # type: ignore[arg-type]
