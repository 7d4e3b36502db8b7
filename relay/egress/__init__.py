"""Every connection that a tenant's words can cause goes through here.

    endpoint's URL ──► webhook_client + post    (aiohttp, the hot path)        ─┐
    media by URL   ──► http_client + fetch      (httpx)                         ├─► AddressGuard.check
    agent's URL    ──► http_client              (httpx)                         │   of the address that is
    proxy          ──► pin_proxy                (the engine connects by itself) ─┘   being connected to

A URL is looked at twice: `AddressGuard.check_url` when it is registered, so that a person hears of a mistake at
once, and `AddressGuard.check` at every connect, which alone is what protects us: names may change in between.
"""
