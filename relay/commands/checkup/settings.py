"""The settings beyond their types and pairs, which `load` has held against each other already."""

import asyncio
import os
from collections.abc import Iterator, Mapping
from ipaddress import ip_address, ip_network

from limits.aio.storage import Storage
from limits.errors import ConfigurationError
from limits.storage import storage_from_string

from relay.api.limits import make_limiter
from relay.commands.checkup.finding import Finding, ok, warn, wrong
from relay.config import Config
from relay.listening import check_operator_key
from relay.logs import mask
from relay.model.errors import ConfigError

_STORAGE_SECONDS = 5
_METADATA = ip_address("169.254.169.254")
_WIDEST_PREFIX = {4: 8, 6: 16}


def check_operator(config: Config, environ: Mapping[str, str] = os.environ) -> Finding:
    """The key of the environment; one that the first start made is a random one."""
    key = environ.get("RELAY_OPERATOR_KEY")
    if key is None:
        return ok("operator key", "RELAY_OPERATOR_KEY is not set: the keys in the database count.")
    mend = "Set a random one: openssl rand -hex 24"
    try:
        check_operator_key(key, config.server.host)
    except ConfigError as error:
        return wrong("operator key", error.detail, mend)
    try:
        check_operator_key(key, "0.0.0.0")
    except ConfigError:
        sentence = (
            "RELAY_OPERATOR_KEY is easy to guess; it will do for as long as only this machine is listened to."
        )
        return warn("operator key", sentence, mend)
    return ok("operator key", "RELAY_OPERATOR_KEY is set and no sample value.")


def check_networks(config: Config) -> Iterator[Finding]:
    """Each network that a tenant's webhooks may reach beyond the public ones."""
    networks = [ip_network(text) for text in config.webhooks.allow_networks]
    mend = "Name the receiver's own network in webhooks.allow_networks, such as 10.1.2.0/24."
    for network in networks:
        if network.prefixlen == 0:
            yield wrong("networks", f"{network} lets tenants reach every address of yours.", mend)
        elif network.version == _METADATA.version and _METADATA in network:
            yield wrong("networks", f"{network} lets tenants read a cloud's machine metadata.", mend)
        elif network.prefixlen < _WIDEST_PREFIX[network.version]:
            yield warn("networks", f"{network} is wide: tenants can reach all of it.", mend)
        else:
            yield ok("networks", f"{network} may be reached by tenants' webhooks.")
    if not networks:
        yield ok("networks", "Tenants' webhooks reach public addresses only.")


async def check_limits(config: Config) -> Finding:
    """Whether the store in which requests are counted answers."""
    limits, shown = config.limits, mask(config.limits.storage)
    mend = "Start that store, or set limits.storage to async+memory:// (each API process then counts alone)."
    try:
        make_limiter(limits)
        storage = storage_from_string(limits.storage, implementation="redispy")
    except ConfigError as error:
        return wrong("limits", error.detail, "Mend that setting; `relay check` reads it again.")
    except (ConfigurationError, ImportError) as error:
        return wrong("limits", f"limits.storage: {mask(str(error))}", mend)
    if not isinstance(storage, Storage):
        return wrong("limits", f"limits.storage: {shown} is not asynchronous.", "Write async+ before it.")
    try:
        async with asyncio.timeout(_STORAGE_SECONDS):
            reached = await storage.check()
    except Exception:  # noqa: BLE001 - each storage has errors of its own, and any of them means that it is away
        reached = False
    if not reached:
        return wrong("limits", f"limits.storage: {shown} cannot be reached.", mend)
    return ok("limits", f"Requests are counted in {shown}.")
