"""The socket that the API is served on: bound once, handed down to whoever serves it."""

import socket

from relay.config import Config
from relay.model.errors import ConfigError

_BACKLOG = 2048


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
