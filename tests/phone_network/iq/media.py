"""`w:m`: where files go, and the word that lets them in."""

from typing import TYPE_CHECKING

from tests.phone_network.media_host import HOST
from tests.phone_network.node import Node

if TYPE_CHECKING:
    from tests.phone_network.connection import Connection
    from tests.phone_network.network import WhatsApp
    from tests.phone_network.services import Services


def register(network: "WhatsApp", services: "Services") -> None:
    async def media_conn(_: "Connection", __: Node) -> Node:
        return media_connection(services.media.auth)

    network.iq["w:m", "set"] = media_conn


def media_connection(auth: str) -> Node:
    attrs = {"auth": auth, "ttl": "3600", "auth_ttl": "21600", "max_buckets": "12"}
    return Node("media_conn", {**attrs}, [Node("host", {"hostname": HOST})])
