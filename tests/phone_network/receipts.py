"""What clients say of messages to them (read, played, delivered), noted down; passing it on is the phones' part."""

from typing import TYPE_CHECKING

from tests.phone_network.activity import Activity, Read
from tests.phone_network.node import Node

if TYPE_CHECKING:
    from tests.phone_network.connection import Connection
    from tests.phone_network.network import WhatsApp

# Receipts that are about the transport only: asking for a message again, answering one's own devices.
_NOT_OURS = ("retry", "sender", "peer_msg", "hist_sync", "server-error", "enc_rekey_retry")


def register(network: "WhatsApp", activity: Activity) -> None:
    """Beside whoever takes receipts already."""
    earlier = network.stanzas.get("receipt")

    async def take(connection: "Connection", node: Node) -> None:
        if node.attr("type") not in _NOT_OURS:
            activity.record(read(connection, node))
        if earlier:
            await earlier(connection, node)

    network.stanzas["receipt"] = take


def read(connection: "Connection", node: Node) -> Read:
    listed = node.find("list")
    return Read(
        by=connection.device.jid,
        type=node.attr("type") or "delivered",
        chat=node.jid("to"),
        sender=node.jid("participant") if "participant" in node.attrs else None,
        message_ids=(node.attr("id"), *(item.attr("id") for item in (listed.children if listed else []))),
    )
