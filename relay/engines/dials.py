"""Cutting off dials that a proxy does not answer.

The library gives a proxy a minute to answer, and a SOCKS5 proxy for ever. Meanwhile it holds the account's lock, which
it needs to disconnect or stop the account, and nothing in it ends a dial sooner. Its connections are this process's,
though, and can be shut from outside.
"""

import socket
import struct
import sys
from contextlib import suppress
from urllib.parse import urlsplit

import psutil

_DIALLING = {psutil.CONN_SYN_SENT, psutil.CONN_ESTABLISHED}
_PORTS = {"http": 80, "socks5": 1080}
_GREETING_BYTES = 512
"""What a proxy itself may say; WhatsApp's certificates are more than that."""
_RECEIVED = struct.Struct("=Q")
_RECEIVED_AT = 128
"""Of `tcpi_bytes_received` in Linux's `struct tcp_info`."""


def cut_dials(proxy: str) -> None:
    """End each connection of this process to the proxy on which WhatsApp has said nothing yet; only on Linux.

    The others are left alone: they may be those of other accounts with the same proxy.
    """
    if sys.platform != "linux":
        return
    door = urlsplit(proxy)
    port = door.port or _PORTS[door.scheme]
    with suppress(OSError):
        found = socket.getaddrinfo(door.hostname, port, type=socket.SOCK_STREAM)
        doors = {(address[0], port) for *_, address in found}
        for connection in psutil.Process().net_connections("tcp"):
            if connection.raddr in doors and connection.status in _DIALLING:
                _cut(connection.fd)


def _cut(descriptor: int) -> None:
    # Its owner may close it at any moment: what is looked at is what is shut.
    with suppress(OSError), socket.fromfd(descriptor, socket.AF_INET, socket.SOCK_STREAM) as dial:
        told = dial.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _RECEIVED_AT + _RECEIVED.size)
        (received,) = _RECEIVED.unpack_from(told, _RECEIVED_AT)
        if received < _GREETING_BYTES:
            dial.shutdown(socket.SHUT_RDWR)
