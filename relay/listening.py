"""Where the API listens: the socket, bound once and handed down to whoever serves it, and who may not be let near it."""

import ipaddress
import os
import socket
from collections.abc import Mapping

from relay.config import Config
from relay.model.errors import ConfigError

_BACKLOG = 2048
_SAMPLES = (
    "changeme",
    "change-me",
    "change_me",
    "operator",
    "secret",
    "password",
    "example",
    "sample",
    "test",
    "demo",
)
_LEAST_CHARS = 16


def bind(config: Config) -> socket.socket:
    """The API's socket. Raises ConfigError where the address cannot be had."""
    host, port = config.server.host, config.server.port
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
    except OSError as error:
        listening.close()
        raise ConfigError(
            f"server.port: cannot listen on {host}:{port} ({error.strerror}). Give another with --port."
        ) from None
    listening.listen(_BACKLOG)
    return listening


def find_operator_key(config: Config, environ: Mapping[str, str] = os.environ) -> str | None:
    """RELAY_OPERATOR_KEY, fit for where we listen. Raises ConfigError."""
    key = environ.get("RELAY_OPERATOR_KEY")
    if key is not None:
        check_operator_key(key, config.server.host)
    return key


def check_operator_key(key: str, host: str) -> None:
    """Refuse an operator key that others could guess, where others can try. Raises ConfigError."""
    if not key:
        # An empty header would be it.
        raise ConfigError(
            "RELAY_OPERATOR_KEY: is empty. Give it a value, or leave it out of the environment."
        )
    if _is_loopback(host):
        return
    if len(key) < _LEAST_CHARS:
        raise ConfigError(
            f"RELAY_OPERATOR_KEY: must have at least {_LEAST_CHARS} characters when the server listens on {host}."
        )
    if any(sample in key.lower() for sample in _SAMPLES) or len(set(key)) < 6:
        raise ConfigError(
            f"RELAY_OPERATOR_KEY: looks like a sample value, and the server listens on {host}. Choose a random one."
        )


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
