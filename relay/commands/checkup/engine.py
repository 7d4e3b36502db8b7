"""What sessions with a real phone need of this machine: the native library, room for their live files, WhatsApp itself."""

import asyncio
import os
from pathlib import Path

import httpx

from relay.commands.checkup.finding import Finding, ok, warn, wrong
from relay.config import Config
from relay.egress.tls import build_tls_context
from relay.model.errors import NotSupported

_MEMORY = Path("/dev/shm")  # noqa: S108 - looked at, and nothing made in it
_LIVE_FILE_BYTES = 2 * 1024 * 1024
"""Of one session: its database, and the log beside it, which grows to 1 MB in a busy hour."""
_FEW_SESSIONS, _HARDLY_ANY = 50, 5
_HOSTS = ("web.whatsapp.com", "mmg.whatsapp.net")
_SECONDS = 5.0


def check_library() -> Finding:
    try:
        from relay.engines.binding import Library  # noqa: PLC0415 - where neonize is missing, this raises already

        Library()
    except (NotSupported, OSError, AttributeError) as error:
        detail = error.detail if isinstance(error, NotSupported) else str(error)
        mend = (
            "Run make setup again, on Linux with glibc or macOS, x86-64 or ARM64. The sandbox works without."
        )
        return wrong("engine", f"The library for real phones cannot be loaded: {detail}", mend)
    return ok("engine", "The library for real phones loads.")


def check_live_files(config: Config, memory: Path = _MEMORY) -> Finding:
    """Where the auth state of connected accounts lies. When it is full, what comes cannot be read, and never will be."""
    if not os.access(memory, os.W_OK):
        sentence = f"This system has no {memory}: connected accounts' keys lie in {config.data_dir / 'live'}."
        return warn("live files", sentence, "Encrypt that disk; `relay serve` works as usual.")
    room = os.statvfs(memory)
    free = room.f_bavail * room.f_frsize
    sentence = (
        f"{free // 1024**2} MiB are free in {memory}: room for {free // _LIVE_FILE_BYTES} more busy sessions."
    )
    mend = "Make it larger: --shm-size=1g for a container, a larger tmpfs for a machine; only what is used is taken."
    if free < _HARDLY_ANY * _LIVE_FILE_BYTES:
        return wrong("live files", sentence, mend)
    if free < _FEW_SESSIONS * _LIVE_FILE_BYTES:
        return warn("live files", sentence, mend)
    return ok("live files", sentence)


async def check_reach(config: Config) -> Finding:
    """Whether WhatsApp can be reached the way that sessions without a proxy of their own go."""
    way = "through host.proxy" if config.host.proxy else "from this machine"
    missed = [host for host in await asyncio.gather(*(_miss(config, host) for host in _HOSTS)) if host]
    if not missed:
        return ok("whatsapp", f"WhatsApp can be reached {way}.")
    return warn(
        "whatsapp",
        f"WhatsApp cannot be reached {way}: {', '.join(missed)}.",
        f"Let this machine connect to {' and '.join(_HOSTS)} on port 443, or set host.proxy. "
        "Sandbox sessions, and those with a proxy of their own, do not need it.",
    )


async def _miss(config: Config, host: str) -> str | None:
    """The host and why it was not reached; None when it was. Any answer will do."""
    try:
        async with httpx.AsyncClient(
            proxy=config.host.proxy or None, verify=build_tls_context(), trust_env=False, timeout=_SECONDS
        ) as http:
            await http.head(f"https://{host}/")
    except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
        return f"{host} ({type(error).__name__})"
    return None
